"""The detector node: pictures of a video or a topic become keypoints, and whatever is missing is said in a sentence."""

import os
import signal
import struct
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from dp3d_core.capture.detect.worker import WorkerConfig, WorkerFailed
from dp3d_ros.detector.calibration import camera_info
from dp3d_ros.detector.pictures import Capture, Newest
from dp3d_ros.detector.process import WorkerProcess
from dp3d_ros.detector.session import PAUSE_S, Session
from dp3d_ros.messages.image import image_bgr
from dp3d_ros.messages.keypoints import BadMessage, stamp_ns
from dp3d_ros.messages.pointcloud2 import people_from_cloud

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core"))
import tiny_onnx
from test_worker import PERSON, STANDING

CALIBRATION = """image_width: 128
image_height: 96
camera_matrix: {rows: 3, cols: 3, data: [100.0, 0, 64, 0, 100.0, 48, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [99.0, 0, 64, 0, 0, 99.0, 48, 0, 0, 0, 1, 0]}
"""


@pytest.fixture
def model(tmp_path):
    """A model that sees one person in whatever is not black."""
    return str(tiny_onnx.yolo(tmp_path / "a.onnx", [PERSON]))


@pytest.fixture
def video(tmp_path):
    """20 white pictures of 128 x 96 at 10 Hz."""
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "white.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (128, 96))
    for _ in range(20):
        writer.write(np.full((96, 128, 3), 255, np.uint8))
    writer.release()
    return path


def turned(path, out):
    """A copy of an mp4 whose track says that it must be turned by 90 degrees, as phones write them."""
    data = bytearray(Path(path).read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes behind the name
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    Path(out).write_bytes(data)
    return str(out)


def test_a_rotation_tag_is_honoured_and_stamps_are_the_files(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "lying.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), 20, (64, 48))
    for _ in range(4):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    for name, size in ((path, (64, 48)), (turned(path, tmp_path / "turned.mp4"), (48, 64))):
        newest = Newest()
        capture = Capture(name, newest, frame_id="camera", loop=False, now_ns=lambda: 7)
        taken = []
        while not capture.ended or newest.waiting:
            picture = newest.take(0.05)
            taken += [] if picture is None else [picture]
        assert capture.size_px == size and taken[0].image.shape == (size[1], size[0], 3)
        assert {(picture.stamp_ns - 7) % 50_000_000 for picture in taken} == {0}
        capture.close()


def heard(bench, kind, topic):
    """A list to which messages are added."""
    messages = []
    bench.node.create_subscription(kind, topic, messages.append, QoSProfile(depth=100))
    return messages


@pytest.mark.ros
def test_a_video_becomes_keypoints_and_then_the_node_ends(start, bench, model, video, tmp_path):
    (tmp_path / "camera.yaml").write_text(CALIBRATION)
    clouds, infos = heard(bench, PointCloud2, "keypoints"), heard(bench, CameraInfo, "camera_info")
    node = start("detector", video=video, model=model, calibration=str(tmp_path / "camera.yaml"))
    bench.until(lambda: node.process.poll() is not None, "the end of the video")
    assert node.process.returncode == 0 and "of 20 pictures looked at" in node.text()
    assert 2 <= len(clouds) == len(infos) <= 20
    stamps = [stamp_ns(cloud.header.stamp) for cloud in clouds]
    assert all(round((later - first) / 1e8, 6).is_integer() for first, later in pairwise(stamps))
    people = people_from_cloud(clouds[-1], 17).keypoints
    assert len(people.ids) == 1 and clouds[0].header.frame_id == "camera_optical_frame"
    inside = STANDING[:, 1] < 47
    np.testing.assert_allclose(people.xy_px[0][inside], 2 * STANDING[inside], atol=1e-3)
    assert infos[0].k[0] == 100 and infos[0].p[0] == 99 and infos[0].header.stamp == clouds[0].header.stamp


@pytest.mark.ros
def test_pictures_of_a_topic_become_keypoints_and_bad_ones_are_said(start, bench, model):
    clouds = heard(bench, PointCloud2, "keypoints")
    images = bench.node.create_publisher(Image, "image", 10)
    node = start("detector", model=model, max_hz=100.0)
    white = Image(height=64, width=64, encoding="mono8", step=64, data=bytes([255]) * 4096)

    def publish(image=white):
        image.header = bench.header()
        images.publish(image)

    bench.until(lambda: clouds, "keypoints", every=publish)
    stamp = clouds[-1].header
    assert stamp.frame_id == "camera_optical_frame"
    bench.until(lambda: bench.facts("/detector").get("people") == 1, "good news", every=publish)
    facts = bench.facts("/detector")
    assert bench.level("/detector") == 0 and facts["joint_set"] == "coco17" and facts["detection_p50_ms"] > 0

    broken = Image(height=64, width=64, encoding="mono8", step=64, data=b"short")
    bench.until(lambda: bench.level("/detector") == 2, "an error", every=lambda: publish(broken))
    assert "Image: 64 x 64 pixels of mono8 need 64 bytes a row" in bench.facts("/detector")["last_error"]

    # its worker dies: another is started, and the node goes on
    (worker,) = [child for child in children(node.process.pid)]
    os.kill(worker, signal.SIGKILL)
    count = len(clouds)
    bench.until(lambda: len(clouds) > count + 2, "keypoints of another worker", every=publish)
    assert bench.next_facts("/detector")["worker_starts"] == 2 and node.process.poll() is None
    assert node.interrupt() == 0
    assert not os.path.exists(f"/proc/{worker}")


def children(pid):
    """Processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return sorted(set(found) | {int(child) for child in text.split()})


@pytest.mark.ros
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"detector_python": "/nowhere/python", "video": "WHITE"}, "its environment is missing, no /nowhere/python"),
        ({"model": "/nowhere/a.onnx", "video": "WHITE"}, "model: no file at /nowhere/a.onnx"),
        ({"video": "/dev/video99"}, "there is no device /dev/video99; is the camera plugged in?"),
        ({"video": "/nowhere/a.mp4"}, "video: no file at /nowhere/a.mp4"),
        ({"video": "GARBAGE"}, "OpenCV cannot read it; convert it to mp4 or avi"),
        ({"model": "MODEL"}, "no picture from /image for 5 s; nobody publishes it"),
    ],
    ids=["environment", "model", "device", "file", "garbage", "topic"],
)
def test_what_is_missing_is_one_sentence_and_the_node_lives_on(start, bench, tmp_path, video, model, parameters, said):
    (tmp_path / "garbage.mp4").write_bytes(b"no video" * 100)
    files = {"WHITE": video, "GARBAGE": str(tmp_path / "garbage.mp4")}
    if parameters.get("video") in files:
        parameters = parameters | {"video": files[parameters["video"]], "wait_for_subscribers_s": 0.0, "loop": True}
    if parameters.get("model") == "MODEL":
        parameters = parameters | {"model": model}
    node = start("detector", **parameters)
    status = bench.diagnostics
    bench.until(lambda: "/detector" in status and said in status["/detector"].message, f"{said!r} in the diagnostics")
    assert bench.level("/detector") == (1 if said.startswith("no picture") else 2) and node.process.poll() is None
    assert node.interrupt() == 0 and "Traceback" not in node.text()


def test_the_detectors_environment_finds_dp3d_and_no_other_package_of_this_one(tmp_path):
    """Where dp3d is installed it lies among all packages of its environment."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nls $PYTHONPATH >{tmp_path}/seen\n")
    python.chmod(0o755)
    worker = WorkerProcess(WorkerConfig(), str(python))
    with pytest.raises(WorkerFailed):
        worker.ready()
    assert (tmp_path / "seen").read_text().split() == ["dp3d_core"]


def picture(encoding, channels, data=None, step=0):
    pixels = np.arange(2 * 4 * channels, dtype=np.uint8).reshape(2, 4, channels)
    image = Image(height=2, width=4, encoding=encoding, step=step or 4 * channels)
    image.data = pixels.tobytes() if data is None else data
    return image, pixels


@pytest.mark.parametrize(
    ("encoding", "channels", "order"),
    [("bgr8", 3, [0, 1, 2]), ("rgb8", 3, [2, 1, 0]), ("bgra8", 4, [0, 1, 2]), ("rgba8", 4, [2, 1, 0]),
     ("mono8", 1, [0, 0, 0])],
)  # fmt: skip
def test_pictures_come_in_opencvs_order(encoding, channels, order):
    image, pixels = picture(encoding, channels)
    np.testing.assert_array_equal(image_bgr(image), pixels[..., order])
    padded, _ = picture(encoding, channels, step=4 * channels + 3)
    padded.data = b"".join(row.tobytes() + b"xyz" for row in pixels)
    np.testing.assert_array_equal(image_bgr(padded), pixels[..., order])


def test_yuv_pictures_are_converted():
    pytest.importorskip("cv2")
    grey = bytes([128, 200] * 8)
    for encoding, data in (("uyvy", grey), ("yuv422_yuy2", grey[::-1])):
        assert np.ptp(image_bgr(picture(encoding, 2, data)[0])) <= 2


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (picture("bayer_rggb8", 1)[0], "expected one of bgr8"),
        (picture("bgr8", 3, data=b"short")[0], "5 bytes"),
        (picture("bgr8", 3, step=5)[0], "step of 5"),
        (Image(encoding="bgr8"), "0 x 0"),
    ],
)
def test_what_is_no_picture_is_named(image, said):
    with pytest.raises(BadMessage, match=said) as refusal:
        image_bgr(image)
    assert refusal.value.cause == "bad_image"


def test_the_session_never_goes_back():
    session = Session()
    told = [session.seconds(stamp) for stamp in (5_000_000_000, 5_100_000_000, 5_050_000_000, 5_100_000_000, 0, 10**8)]
    assert told == pytest.approx([0, 0.1, None, None, 0.1 + PAUSE_S, 0.2 + PAUSE_S], abs=1e-9)


def test_a_calibration_of_another_size_or_none_tells_the_size_only(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION)
    assert camera_info(str(path))(Header(), 128, 96).k[0] == 100
    for make in (camera_info(str(path)), camera_info("")):
        info = make(Header(), 640, 480)
        assert (info.width, info.height, info.k[0]) == (640, 480, 0)
    path.write_text("image_width: 3")
    with pytest.raises(ValueError, match="expected a file of camera_calibration"):
        camera_info(str(path))
