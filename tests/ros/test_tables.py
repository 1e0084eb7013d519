"""The tables of topics say what the live nodes have: every topic with its type, and none besides."""

import pytest
from bench import STAND_INS
from sensor_msgs.msg import JointState

from dp3d_ros.tables import NODES, TOPICS, sections

STANDS_FOR = {
    ("/tf", "visualization_msgs/MarkerArray"): "tf2_msgs/TFMessage",
    ("/tf_static", "visualization_msgs/MarkerArray"): "tf2_msgs/TFMessage",
    ("/yolo/tracking", "visualization_msgs/MarkerArray"): "yolo_msgs/DetectionArray",
    ("/lifter/people", "geometry_msgs/PolygonStamped"): "people_msgs/People",
    ("/humans/bodies/tracked", "sensor_msgs/JointState"): "hri_msgs/IdsList",
    ("/humans/bodies/<id>/skeleton2d", "sensor_msgs/PointCloud"): "hri_msgs/Skeleton2D",
    ("/humans/bodies/<id>/roi", "geometry_msgs/PointStamped"): "hri_msgs/NormalizedRegionOfInterest2D",
}
"""What the stand-ins of tests/ros/stand_ins are on the wire."""
OF_RCLPY = {"/rosout", "/parameter_events", "/lifter/transition_event"}
"""What every such node has."""


def test_tables_are_well_formed_markdown():
    for _, text in sections():
        head, rule, *rows = text.splitlines()
        assert rows and all(row.count(" | ") == head.count(" | ") for row in [rule, *rows])


ASKED = (
    (
        "input: pointcloud2",
        "use_sim_time",
        "publish_tf",
        "publish_hri",
        "target_frame",
        "imu_topic",
        "publish_poses",
        "publish_people",
        "publish_orientations",
        "publish_motion",
    ),
    ("input: yolo",),
    ("input: hri",),
)
"""Conditions of topics of the lifter, by which the texts of the table begin; together they are all."""


def condition(text):
    """What a topic is there for, or None if it always is."""
    return text.split("`")[1] if text.startswith("`") else None


def told(node, asked):
    """{(in or out, topic, type)} of a node's table under these conditions."""
    return {
        (way, topic.replace("~", "/lifter") if topic[0] in "~/" else f"/{topic}", kind)
        for way, topic, kind, _, text in TOPICS[node]
        if condition(text) in (None, *asked)
    }


def used(bench, node):
    """{(in or out, topic, type)} that the graph tells of a running node; nothing while it is not known."""
    from rclpy.node import NodeNameNonExistentError

    found = set()
    try:
        for way, word in (("in", "subscriber"), ("out", "publisher")):
            for name, kinds in getattr(bench.node, f"get_{word}_names_and_types_by_node")(node, "/"):
                topic, kind = name.replace("/bodies/b0/", "/bodies/<id>/"), kinds[0].replace("/msg/", "/")
                found.add((way, topic, STANDS_FOR.get((topic, kind), kind)))
    except NodeNameNonExistentError:
        return set()
    return {item for item in found if item[1] not in OF_RCLPY}


def wait_for_table(bench, node, asked, every=None):
    """Until the node has exactly the topics of its table; the two sets, where it never does."""
    try:
        bench.until(lambda: used(bench, node) == told(node, asked), "the table's topics", every=every)
    except AssertionError:
        assert used(bench, node) == told(node, asked)
        raise


@pytest.mark.ros
@pytest.mark.parametrize("node", sorted(set(NODES) - {"lifter"}))
def test_a_node_has_the_topics_of_its_table(start, bench, tmp_path, node):
    if node == "viewer":
        pytest.importorskip("rerun")
    parameters = {
        "detector": {}, "overlay": {}, "player": {"clock": True}, "recorder": {"output": str(tmp_path / "a.npz")},
        "viewer": {"show": "file", "file": str(tmp_path / "a.rrd")},
    }  # fmt: skip
    start(node, **parameters[node])
    wait_for_table(bench, node, asked=())


@pytest.mark.ros
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked[0])
def test_the_lifter_has_the_topics_of_its_table(start, bench, asked):
    parameters = {"input": asked[0].removeprefix("input: ")} | {name: True for name in asked[1:]}
    if "target_frame" in asked:
        parameters |= {"target_frame": "map", "imu_topic": "/imu"}
    start("fake", autostart=True, env=STAND_INS, **parameters)
    bodies = bench.node.create_publisher(JointState, "/humans/bodies/tracked", 1)

    def publish():
        if asked[0] == "input: hri":
            bodies.publish(JointState(name=["b0"]))
        else:
            bench.publish_info()
            bench.publish_people()

    wait_for_table(bench, "lifter", asked, every=publish)


def test_every_condition_of_the_table_is_tried():
    assert {condition(text) for *_, text in TOPICS["lifter"]} == {None, *(name for asked in ASKED for name in asked)}
