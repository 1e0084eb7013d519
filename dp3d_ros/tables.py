"""Prints the README's tables of parameters, topics and counters: `python -m dp3d_ros.tables`.

Parameters come from the dataclasses, counters from `dp3d_ros.lifter.causes`; topics are written here.
"""

from dataclasses import fields

from dp3d_core.config import StreamConfig
from dp3d_ros.lifter.causes import BACKEND, DROPS, ODDITIES, STREAM
from dp3d_ros.node.parameters import NodeConfig, describe
from dp3d_ros.player_node import PlayerConfig
from dp3d_ros.recorder_node import RecorderConfig
from dp3d_ros.viewer_node import ViewerConfig

NODES = {
    "lifter": (NodeConfig, StreamConfig),
    "player": (PlayerConfig,),
    "recorder": (RecorderConfig,),
    "viewer": (ViewerConfig,),
}
TOPICS = {
    "lifter": (
        ("in", "~/keypoints", "sensor_msgs/PointCloud2", "best effort, 1",
         "`input: pointcloud2`. A point a keypoint: `x`, `y` float32 [px], `score` float32 [0..1], `joint` uint8 or "
         "uint16, `person` int32. Absent points are missing keypoints; no points: nobody is there"),
        ("in", "/yolo/tracking", "yolo_msgs/DetectionArray", "best effort, 1",
         "`input: yolo`. yolo_ros; COCO-17. Without a tracker remap it to `/yolo/detections`: ids are then assigned "
         "here"),
        ("in", "/humans/bodies/tracked", "hri_msgs/IdsList", "best effort, 1",
         "`input: hri`. ROS4HRI; bodies of one stamp are one frame"),
        ("in", "/humans/bodies/<id>/skeleton2d", "hri_msgs/Skeleton2D", "best effort, 1", "`input: hri`. Of each id"),
        ("in", "camera_info", "sensor_msgs/CameraInfo", "best effort, 1",
         "of the raw image; may come late and change; binning and region of interest count"),
        ("in", "/tf", "tf2_msgs/TFMessage", "of tf2_ros", "`target_frame`"),
        ("in", "/tf_static", "tf2_msgs/TFMessage", "of tf2_ros", "`target_frame`"),
        ("in", "/clock", "rosgraph_msgs/Clock", "best effort, 1", "`use_sim_time`"),
        ("out", "~/skeletons", "sensor_msgs/PointCloud2", "reliable, 5",
         "17 points a person: `x`, `y`, `z` [m]; `sigma` [m] per axis about the root; `root_sigma` [m] of the root "
         "along its ray; `person` int32; `joint` uint8 (Human3.6M-17); `predicted` uint8: not seen in this frame. "
         "One message a frame, also with nobody"),
        ("out", "~/markers", "visualization_msgs/MarkerArray", "reliable, 5",
         "joints, bones, label, uncertainty; namespace `body_<id>`; built only while someone listens"),
        ("out", "/tf", "tf2_msgs/TFMessage", "reliable, 100",
         "`publish_tf`. REP-155: `body_<id>` at mid-hip, x forward, z up; `waist_<id>`, `torso_<id>`, `head_<id>`, "
         "`{l,r}_{shoulder,elbow,wrist,hip,knee,ankle}_<id>` below it"),
        ("out", "/humans/bodies/tracked", "hri_msgs/IdsList", "reliable, 1",
         "`publish_hri`, unless `input: hri`: ids of the bodies"),
        ("out", "/humans/bodies/<id>/skeleton2d", "hri_msgs/Skeleton2D", "reliable, 1",
         "`publish_hri`, unless `input: hri`: the keypoints in ROS4HRI's order"),
        ("out", "/humans/bodies/<id>/roi", "hri_msgs/NormalizedRegionOfInterest2D", "reliable, 1",
         "`publish_hri`, unless `input: hri`: box of the keypoints"),
        ("out", "/diagnostics", "diagnostic_msgs/DiagnosticArray", "reliable, 10",
         "1 Hz in every state: counts, rates, latencies p50/p95/p99, drops by cause, camera, backend, weights, last "
         "error"),
    ),
    "player": (
        ("out", "keypoints", "sensor_msgs/PointCloud2", "reliable, 10", "as `~/keypoints` of the lifter"),
        ("out", "camera_info", "sensor_msgs/CameraInfo", "reliable, 10", "with each frame"),
        ("out", "/clock", "rosgraph_msgs/Clock", "reliable, 10", "with `clock`"),
    ),
    "recorder": (
        ("in", "skeletons", "sensor_msgs/PointCloud2", "reliable, 100", "of the lifter"),
        ("in", "markers", "visualization_msgs/MarkerArray", "reliable, 100", "counted only"),
        ("in", "/diagnostics", "diagnostic_msgs/DiagnosticArray", "reliable, 10", "for the summary"),
    ),
    "viewer": (("in", "skeletons", "sensor_msgs/PointCloud2", "reliable, 10", "of the lifter"),),
}  # fmt: skip
COUNTERS = {"drop": DROPS, "odd": ODDITIES, "stream": STREAM, "backend": BACKEND}


def parameter_rows(node):
    """Cells of the parameter table of a node: name, default, range, meaning, and for the lifter whether it is live."""
    for cls in NODES[node]:
        for item in fields(cls):
            facts = describe(item)
            row = [f"`{facts['name']}`", _default(facts["default"]), _limits(item, facts), facts["description"]]
            yield [*row, "yes" if facts["live"] else ""] if node == "lifter" else row


def _default(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return '`""`' if value == "" else f"`{value}`"


def _limits(item, facts):
    if item.metadata.get("choices") is not None:
        return ", ".join(f"`{choice}`" for choice in item.metadata["choices"])
    if facts["high"] is not None:
        return f"{facts['low']:g} … {facts['high']:g}"
    return f"≥ {facts['low']:g}" if facts["low"] is not None else ""


def table(head, rows):
    """A markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def sections():
    """(heading, table) of everything."""
    for node in NODES:
        live = ["live"] if node == "lifter" else []
        yield (
            f"Parameters of `{node}`",
            table(["parameter", "default", "range", "meaning", *live], parameter_rows(node)),
        )
    for node, topics in TOPICS.items():
        rows = [[way, f"`{topic}`", f"`{kind}`", qos, text] for way, topic, kind, qos, text in topics]
        yield f"Topics of `{node}`", table(["", "topic", "type", "QoS, depth", "what"], rows)
    rows = [[f"`{group}.{name}`", *texts] for group, causes in COUNTERS.items() for name, texts in causes.items()]
    yield "What the diagnostics count", table(["counter", "when", "what to do"], rows)


if __name__ == "__main__":
    print("\n\n".join(f"### {heading}\n\n{text}" for heading, text in sections()))
