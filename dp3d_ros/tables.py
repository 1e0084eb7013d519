"""Makes the tables of dp3d_ros/README.md: `python -m dp3d_ros.tables --write`.

Parameters come from the dataclasses, counters from `dp3d_ros.lifter.causes`; topics and bad input are written here.
"""

import argparse
from dataclasses import fields
from pathlib import Path

from dp3d_core.config import StreamConfig
from dp3d_ros.detector_node import DetectorConfig
from dp3d_ros.lifter.causes import BACKEND, DROPS, ODDITIES, STREAM
from dp3d_ros.node.parameters import NodeConfig, describe
from dp3d_ros.overlay_node import OverlayConfig
from dp3d_ros.player_node import PlayerConfig
from dp3d_ros.recorder_node import RecorderConfig
from dp3d_ros.viewer_node import ViewerConfig

NODES = {
    "lifter": (NodeConfig, StreamConfig),
    "detector": (DetectorConfig,),
    "overlay": (OverlayConfig,),
    "player": (PlayerConfig,),
    "recorder": (RecorderConfig,),
    "viewer": (ViewerConfig,),
}
TOPICS = {
    "lifter": (
        ("in", "~/keypoints", "sensor_msgs/PointCloud2", "best effort, 1",
         "`input: pointcloud2`. A point a keypoint: `x`, `y` float32 [px], `score` float32 [0..1], `joint` uint8 or "
         "uint16, `person` int32. Absent points are missing keypoints; no points: nobody is there. People without id "
         "(`person` -1 or no such field) get one here: each row of a cloud of several rows is a person; in one row, "
         "send each person's joints in ascending order"),
        ("in", "/yolo/tracking", "yolo_msgs/DetectionArray", "best effort, 1",
         "`input: yolo`. yolo_ros; COCO-17. Without a tracker remap it to `/yolo/detections`: ids are then assigned "
         "here"),
        ("in", "/humans/bodies/tracked", "hri_msgs/IdsList", "best effort, 1",
         "`input: hri`. ROS4HRI; bodies of one stamp are one frame"),
        ("in", "/humans/bodies/<id>/skeleton2d", "hri_msgs/Skeleton2D", "best effort, 1", "`input: hri`. Of each id"),
        ("in", "camera_info", "sensor_msgs/CameraInfo", "best effort, 1",
         "of the raw image; may come late and change; binning and region of interest count"),
        ("in", "/tf", "tf2_msgs/TFMessage", "of tf2_ros", "`target_frame`, `fixed_frame`"),
        ("in", "/tf_static", "tf2_msgs/TFMessage", "of tf2_ros", "`target_frame`, `fixed_frame`"),
        ("in", "imu", "sensor_msgs/Imu", "best effort, 1",
         "`imu_topic`, whose name this stands for. Where up is: its orientation, else its acceleration while at rest"),
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
        ("out", "~/poses", "geometry_msgs/PoseArray", "reliable, 5",
         "`publish_poses`. A pose for each person, in the order of ~/skeletons: mid-hip, x forward, z up the trunk"),
        ("out", "~/people", "people_msgs/People", "reliable, 5",
         "`publish_people`. Name, place and velocity of each root; tags `root_sigma_m`, `predicted`, "
         "`velocity_sigma_m_s`"),
        ("out", "~/motion", "sensor_msgs/PointCloud2", "reliable, 5",
         "`publish_motion`. A point for each person: mid-hip `x`, `y`, `z` [m], `vx`, `vy`, `vz` [m/s], covariances "
         "`cov_xx`, `cov_xy`, ..., `cov_zz` of the place and `vcov_...` of the velocity, `contact_right`, "
         "`contact_left` (probability that the foot stands), `stature` [m], `person` int32, `predicted` uint8"),
        ("out", "~/orientations", "sensor_msgs/PointCloud2", "reliable, 5",
         "`publish_orientations`. A point for each link: `x`, `y`, `z` [m], unit quaternion `qx`, `qy`, `qz`, `qw`, "
         "`person` int32, `link` uint8, in the order body, waist, torso, head, l_shoulder, l_elbow, l_wrist, l_hip, "
         "l_knee, l_ankle, r_..."),
        ("out", "/humans/bodies/tracked", "hri_msgs/IdsList", "reliable, 1",
         "`publish_hri`, unless `input: hri`: ids of the bodies"),
        ("out", "/humans/bodies/<id>/skeleton2d", "hri_msgs/Skeleton2D", "reliable, 1",
         "`publish_hri`, unless `input: hri`: the keypoints in ROS4HRI's order"),
        ("out", "/humans/bodies/<id>/roi", "hri_msgs/NormalizedRegionOfInterest2D", "reliable, 1",
         "`publish_hri`, unless `input: hri`: box of the keypoints"),
        ("out", "/humans/bodies/<id>/position", "geometry_msgs/PointStamped", "reliable, 1",
         "`publish_hri`, unless `input: hri`: mid-hip, in the frame of ~/skeletons"),
        ("out", "/humans/bodies/<id>/velocity", "geometry_msgs/TwistStamped", "reliable, 1",
         "`publish_hri`, unless `input: hri`: linear velocity of mid-hip"),
        ("out", "/diagnostics", "diagnostic_msgs/DiagnosticArray", "reliable, 10",
         "1 Hz in every state: counts, rates, latencies p50/p95/p99, drops by cause, camera, backend, weights, last "
         "error"),
    ),
    "detector": (
        ("in", "image", "sensor_msgs/Image", "best effort, 1",
         "without `video`; bgr8, rgb8, bgra8, rgba8, mono8, yuv422 or yuv422_yuy2"),
        ("out", "keypoints", "sensor_msgs/PointCloud2", "reliable, 10", "as `~/keypoints` of the lifter, with ids"),
        ("out", "camera_info", "sensor_msgs/CameraInfo", "reliable, 10",
         "with `video`: of `calibration`, else K = 0 and the picture's size"),
        ("out", "image", "sensor_msgs/Image", "reliable, 2",
         "`video`. The pictures looked at, bgr8, while someone listens"),
        ("out", "/diagnostics", "diagnostic_msgs/DiagnosticArray", "reliable, 10",
         "1 Hz: pictures, people, rate, latency of detection and from picture to keypoints, last error"),
    ),
    "overlay": (
        ("in", "image", "sensor_msgs/Image", "best effort, 5", "encodings as of the detector"),
        ("in", "skeletons", "sensor_msgs/PointCloud2", "best effort, 5", "of the lifter, in the camera's frame"),
        ("in", "camera_info", "sensor_msgs/CameraInfo", "best effort, 5", "of the pictures, of any size"),
        ("out", "overlay", "sensor_msgs/Image", "reliable, 2",
         "bgr8: each picture whose skeletons came, drawn only while someone listens"),
        ("out", "/diagnostics", "diagnostic_msgs/DiagnosticArray", "reliable, 10", "1 Hz: counts, rate, last error"),
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


BAD_INPUT = (
    ("NaN, Inf or pixels beyond a million", "that keypoint is missing; `stream.not_finite`"),
    ("a score below 0 or above 1", "used as 0 or 1; `stream.confidence_out_of_range`"),
    (
        "pixels outside the image",
        "used: detectors guess a little beyond the edge, and the score says how sure they are",
    ),
    (
        "a joint missing for up to 0.3 s, its person seen",
        "goes on as it moved, slowing, with fading confidence; after that it is missing",
    ),
    ("an unknown joint or person number", "that point is left out; `odd.unknown_joint`"),
    ("two points of one joint and person", "the last is used; `odd.duplicate_point`"),
    (
        "a cloud without the fields, of wrong sizes or too large",
        "the message is dropped; `drop.bad_fields`, `drop.bad_size`, `drop.too_many_points`",
    ),
    ("a stamp twice, or up to 0.5 s older", "the message is dropped; `drop.repeated_stamp`, `drop.late_stamp`"),
    ("a stamp 0.5 s older or more (a bag loops)", "everybody starts afresh; `odd.clock_jumped_back`"),
    ("stamp 0, empty frame id", "the time of arrival, the frame of CameraInfo; `odd.zero_stamp`, `odd.no_frame_id`"),
    (
        "no CameraInfo, K = 0, or values that are no camera",
        "frames are dropped until a camera is known, or one is "
        "assumed; `drop.no_camera_info`, `drop.uncalibrated_camera`, `drop.bad_camera_info`",
    ),
    (
        "a camera that changes",
        "used from then on; where rays moved (another lens, not another resolution) people start "
        "afresh and keep their ids; `odd.camera_changed`",
    ),
    ("a person with fewer than `min_joints` joints", "unseen in this frame; `stream.few_joints`"),
    (
        "a person unseen",
        "predicted for `predict_for_s` with growing sigma, then not published; forgotten after `reset_after_s`",
    ),
    (
        "more people than `max_people`",
        "those already tracked stay, the first new ones fill the room; `stream.too_many_people`",
    ),
    (
        "an answer of the network that is not finite",
        "that person is left out of this frame and starts afresh; `stream.not_finite_answer`",
    ),
    ("messages faster than the node", "the newest wins; `missed`"),
    ("a parameter of the wrong type or range", "refused with a reason; at start the node ends with one line"),
    (
        "a missing message package, weights that are none, a device that is not here",
        "`configure` fails with one line in the log and in `last_error`; the node can be configured again",
    ),
)
"""What comes in, and what the lifter does."""


def parameter_rows(node: str):
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


def table(head: list[str], rows) -> str:
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
    yield "Bad input", table(["what comes in", "what the lifter does"], [list(row) for row in BAD_INPUT])


MARK = "<!-- Everything below is generated: python -m dp3d_ros.tables --write -->"
README = Path(__file__).with_name("README.md")


def generated() -> str:
    """The generated part of the README."""
    return MARK + "".join(f"\n\n## {heading}\n\n{text}" for heading, text in sections()) + "\n"


def readme() -> str:
    """The README as it should be: the written part as it is, the generated part anew."""
    return README.read_text().split(MARK)[0] + generated()


def main(args=None) -> None:
    """Print the tables, or with --write put them into dp3d_ros/README.md."""
    parser = argparse.ArgumentParser(prog="python -m dp3d_ros.tables", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write them into dp3d_ros/README.md")
    if parser.parse_args(args).write:
        README.write_text(readme())
    else:
        print(generated(), end="")


if __name__ == "__main__":
    main()
