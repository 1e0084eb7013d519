"""Parameters come from the dataclasses, and every YAML of the package fits them."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

import dp3d_ros
from dp3d_core.config import PRECISIONS, StreamConfig, from_dict
from dp3d_ros.node.parameters import NodeConfig, all_fields, describe, path_refusal, refusal
from dp3d_ros.player_node import PlayerConfig
from dp3d_ros.recorder_node import RecorderConfig
from dp3d_ros.tables import NODES
from dp3d_ros.viewer_node import ViewerConfig

CONFIG = Path(dp3d_ros.__file__).parent / "config"
CLASSES = NODES


def load(path):
    (node,) = yaml.safe_load(path.read_text()).values()
    return node["ros__parameters"]


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_yaml_fits_the_dataclasses(path):
    values = load(path)
    values.pop("qos_overrides", None)
    classes = CLASSES[path.stem.split("_")[0]]
    owners = {item.name: cls for cls in classes for item in fields(cls)}
    assert set(values) <= set(owners), "unknown parameters"
    for cls in classes:
        mine = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if owners[name] is cls}
        from_dict(cls, mine)  # types and ranges


@pytest.mark.parametrize("name", CLASSES)
def test_default_yaml_says_every_default(name):
    values = load(CONFIG / f"{name}.yaml")
    defaults = {item.name: item.default for item in all_fields(*CLASSES[name]).values()}
    assert {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()} == defaults


def test_names_never_clash():
    assert len(all_fields(NodeConfig, StreamConfig)) == len(fields(NodeConfig)) + len(fields(StreamConfig))


@pytest.mark.parametrize("cls", [NodeConfig, StreamConfig, PlayerConfig, RecorderConfig, ViewerConfig])
def test_every_parameter_describes_itself(cls):
    for item in fields(cls):
        facts = describe(item)
        assert facts["description"] and facts["type"] in (bool, int, float, str, tuple)
        if item.name.endswith(("_s", "_m", "_px", "_deg")):
            assert "[" in facts["description"], f"{item.name} tells no unit"


@pytest.mark.parametrize(
    ("changes", "running", "reason"),
    [
        ({"marker_sigmas": 2.0}, True, ""),
        ({"marker_sigmas": 9.0}, True, "expected 0.0 to 5.0, got 9.0"),
        ({"marker_sigmas": float("nan")}, True, "marker_sigmas"),
        ({"weights": "base"}, True, "only while unconfigured"),
        ({"weights": "base"}, False, ""),
        ({"input": "magic"}, False, "expected one of"),
        ({"lookahead": 3}, False, "expected one of"),
        ({"cameras": ["left", "left"]}, False, "different names"),
        ({"cameras": []}, False, "one or more"),
        ({"cameras": ["left", "a b"]}, False, "letters"),
        ({"assumed_hfov_deg": 2.0}, False, "5 to 170"),
        ({"min_confidence": 0.3, "use_sim_time": True}, True, ""),
        ({"input": "hri", "publish_hri": True}, False, "publishes /humans/bodies already"),
        ({"weights": "small"}, True, ""),
    ],
)
def test_changes_apply_or_are_refused_with_a_reason(changes, running, reason):
    said = refusal(changes, (NodeConfig(), StreamConfig()), running)
    assert (said == "") == (reason == "") and reason in said


def test_changes_are_judged_together():
    config = replace(NodeConfig(), cameras=("left",))
    assert not refusal({"cameras": [""]}, (config, StreamConfig()), running=False)
    hri = replace(NodeConfig(), publish_hri=True)
    assert refusal({"input": "hri"}, (hri, StreamConfig()), running=False)
    assert not refusal({"input": "hri", "publish_hri": False}, (hri, StreamConfig()), running=False)


def test_every_precision_of_the_engines_has_a_limit():
    from dp3d_core.backends.parity import LIMIT_MM

    assert set(PRECISIONS) == set(LIMIT_MM)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"weights": "/etc/passwd"}, True), ({"weights": "x.safetensors"}, True), ({"weights": "base"}, False),
        ({"engine_cache": "/tmp/mine"}, True), ({"engine_cache": ""}, False), ({"allow_path_changes": True}, True),
        ({"lookahead": 2}, False),
    ],
)  # fmt: skip
def test_paths_are_set_at_the_start_only(changes, refused):
    assert bool(path_refusal(changes, NodeConfig())) == refused
    assert not path_refusal({"weights": "/mine.safetensors"}, NodeConfig(weights="/mine.safetensors"))
