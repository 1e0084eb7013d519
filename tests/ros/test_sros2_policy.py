"""The SROS2 policy names exactly what the running nodes have: less would stop them, more is more than they need."""

import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest

import dp3d_ros

pytestmark = pytest.mark.ros
POLICY = Path(dp3d_ros.__file__).parent / "config" / "sros2_policy.xml"
GRANTS = {
    "topics": {"publish": "publisher", "subscribe": "subscriber"},
    "services": {"reply": "service", "request": "client"},
}
"""What a policy may grant, and what the graph calls it."""
CONNECTED = {"skeletons": "lifter/skeletons", "markers": "lifter/markers", "keypoints": "lifter/keypoints"}
AS_IN_THE_POLICY = {
    "lifter": {"autostart": True, "use_sim_time": True},
    "detector": {},
    "overlay": {},
    "player": {"loop": True},
    "recorder": {},
    "viewer": {"show": "file"},
}
"""Parameters of the nodes as the policy's comment describes them."""


def profiles():
    """{node: profile element} of all enclaves."""
    return {item.get("node"): item for item in ElementTree.parse(POLICY).getroot().iter("profile")}


def granted(node):
    """{kind: names} that the policy allows a node, `~/` written out."""
    found = {kind: set() for kinds in GRANTS.values() for kind in kinds}
    for element in profiles()[node]:
        for kind in element.attrib:
            found[kind] |= {item.text.replace("~", f"/{node}", 1) for item in element}
    return found


def used(bench, node):
    """{kind: names} that the graph tells of a running node; nothing while it is not known."""
    from rclpy.node import NodeNameNonExistentError

    try:
        return {
            kind: {name for name, _ in getattr(bench.node, f"get_{word}_names_and_types_by_node")(node, "/")}
            for kinds in GRANTS.values()
            for kind, word in kinds.items()
        }
    except NodeNameNonExistentError:
        return {}


def test_the_policy_has_the_form_of_sros2():
    root = ElementTree.parse(POLICY).getroot()
    assert root.tag == "policy" and root.get("version") == "0.2.0"
    assert [child.tag for child in root] == ["enclaves"] and len(profiles()) == len(list(root.iter("profile")))
    for enclave in root.find("enclaves"):
        assert enclave.tag == "enclave" and enclave.get("path").startswith("/")
        (box,) = enclave
        for profile in box:
            assert box.tag == "profiles" and set(profile.attrib) == {"ns", "node"}
            for element in profile:
                ((kind, rule),) = element.attrib.items()
                assert kind in GRANTS[element.tag] and rule == "ALLOW"
                names = [item.text for item in element]
                assert {item.tag for item in element} == {element.tag.removesuffix("s")}
                assert len(set(names)) == len(names) and not any("*" in name for name in names), (
                    "no more than is needed"
                )


@pytest.mark.skipif(find_spec("sros2") is None, reason="needs sros2")
def test_sros2_itself_takes_the_policy():
    from sros2.policy import load_policy

    load_policy(POLICY)


@pytest.mark.parametrize("node", AS_IN_THE_POLICY)
def test_the_policy_grants_exactly_what_the_running_node_has(start, bench, tmp_path, node):
    if node == "viewer" and find_spec("rerun") is None:
        pytest.skip("needs rerun-sdk (the extra `viewer`)")
    file = {"viewer": {"file": str(tmp_path / "a.rrd")}, "recorder": {"output": str(tmp_path / "a.npz")}}
    parameters = AS_IN_THE_POLICY[node] | file.get(node, {})
    start("fake" if node == "lifter" else node, remaps=CONNECTED if node != "lifter" else None, **parameters)
    wanted = granted(node)
    try:
        bench.until(lambda: used(bench, node) == wanted, "the policy's topics and services")
    except AssertionError:
        assert used(bench, node) == wanted
        raise
    if node == "lifter":
        bench.until(lambda: bench.skeletons, "skeletons", every=lambda: (bench.publish_info(), bench.publish_people()))
    bench.spin(0.5)
    assert used(bench, node) == wanted, "once it is at work, too"


def test_every_node_of_the_package_has_a_profile():
    from dp3d_ros.tables import NODES

    assert set(profiles()) == set(NODES) == set(AS_IN_THE_POLICY)
