"""The overlay: pictures and skeletons of one stamp become a picture with people in it; what does not fit is said."""

import numpy as np
import pytest
from figure import CAMERA, standing
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from dp3d_core import Camera
from dp3d_core.types import Skeletons
from dp3d_ros.messages.image import image_bgr, image_message
from dp3d_ros.messages.keypoints import stamp_ns
from dp3d_ros.messages.pointcloud2 import cloud_from_skeletons
from dp3d_ros.overlay_node import UNMATCHED, OverlayConfig, Pairs

cv2 = pytest.importorskip("cv2")
from dp3d_ros.overlay_node import draw_people  # noqa: E402

SHAPE = (CAMERA.height, CAMERA.width, 3)


def skeletons(joints_m=None):
    """One person, the standing figure."""
    joints_m = standing() if joints_m is None else joints_m
    empty = Skeletons.empty(0.0)
    return Skeletons(
        **{name: getattr(empty, name) for name in ("stamp_s", "metric", "stature_m", "contact")},
        ids=(7,),
        joints_cam_m=joints_m[None].astype(np.float32),
        sigma_m=np.full((1, 17), 0.03, np.float32),
        sigma_lateral_m=np.full((1, 17), 0.03, np.float32),
        sigma_depth_m=np.full((1, 17), 0.03, np.float32),
        root_sigma_m=np.full(1, 0.2, np.float32),
        predicted=np.zeros(1, bool),
        actions=(None,),
    )


def test_messages_are_paired_by_stamp_and_those_that_wait_in_vain_are_forgotten():
    pairs = Pairs(keep=2)
    assert pairs.add(0, 1, "image 1") is None and pairs.add(1, 2, "people 2") is None
    assert pairs.add(1, 1, "people 1") == ("image 1", "people 1") and pairs.add(1, 1, "again") is None
    assert pairs.add(0, 2, "image 2") == ("image 2", "people 2")
    assert all(pairs.add(0, stamp, stamp) is None for stamp in (3, 4, 5))
    assert pairs.add(1, 3, "late") is None and pairs.add(1, 5, "good") == (5, "good")


def drawn(joints_m, camera=CAMERA):
    picture = np.zeros((camera.height, camera.width, 3), np.uint8)
    draw_people(picture, {7: (joints_m, np.zeros(17), 0.2)}, camera)
    return picture


def test_people_are_drawn_where_the_camera_sees_them():
    joints_m = standing()
    picture = drawn(joints_m)
    for x, y in np.rint(CAMERA.project(joints_m)).astype(int):
        assert picture[y, x].any()
    rows, columns = np.nonzero(picture.any(-1))
    low, high = CAMERA.project(joints_m).min(0), CAMERA.project(joints_m).max(0)
    assert rows.max() < high[1] + 10 and columns.min() > low[0] - 80 and columns.max() < high[0] + 80
    assert rows.min() < low[1] - 10, "the label stands above the head"


@pytest.mark.parametrize(
    "change",
    [(0, 0, -3.2), (0, 0, -6), (1e6, 0, 0), (np.nan, 0, 0), (0, 0, np.inf)],
    ids=["through", "behind", "beside", "nan", "inf"],
)
def test_what_cannot_be_seen_is_left_out(change):
    drawn(standing() + change)


def test_a_picture_of_another_size_has_the_same_people():
    half = CAMERA.resized(320, 240)
    small, large = drawn(standing(), half), drawn(standing())
    for x, y in np.rint(half.project(standing())).astype(int):
        assert small[y, x].any() and large[2 * y, 2 * x].any()


def test_pictures_go_out_as_they_came_in():
    picture = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    np.testing.assert_array_equal(image_bgr(image_message(picture, Image().header)), picture)


@pytest.mark.parametrize("value", [3.0, -1.0, 171.0])
def test_a_field_of_view_of_no_camera_is_refused(value):
    with pytest.raises(ValueError, match="assumed_hfov_deg"):
        OverlayConfig(assumed_hfov_deg=value)


# --- over DDS --------------------------------------------------------------------------------------------------------


class Sender:
    """Publishes pictures and skeletons to an overlay, and hears what it draws."""

    def __init__(self, bench):
        self.bench, self.drawn = bench, []
        self.images = bench.node.create_publisher(Image, "image", 10)
        self.people = bench.cloud_publisher("/skeletons", depth=10)
        bench.node.create_subscription(Image, "overlay", self.drawn.append, QoSProfile(depth=10))

    def __call__(self, picture=None, frame_id="camera_optical_frame", info=True, camera=CAMERA, images=True):
        header = self.bench.header()
        if info:
            self.bench.publish_info(camera=camera)
        picture = image_message(np.zeros(SHAPE, np.uint8), header) if picture is None else picture
        picture.header = header
        if images:
            self.images.publish(picture)
        people = self.bench.header(stamp_ns(header.stamp))
        people.frame_id = frame_id
        self.people.publish(cloud_from_skeletons(skeletons(), people))
        return header

    def said(self, text, every):
        self.bench.until(lambda: self.bench.told(text, "/overlay"), f"{text!r} in the diagnostics", every=every)
        assert self.bench.level("/overlay") == 1


@pytest.mark.ros
def test_people_appear_in_the_picture_and_what_does_not_fit_is_said(start, bench):
    node, send = start("overlay"), Sender(bench)
    send.said("no CameraInfo has come yet", every=lambda: send(info=False))
    bench.until(lambda: send.drawn, "a picture", every=send)
    image = send.drawn[-1]
    assert (image.width, image.height, image.encoding, image.header.frame_id) == (
        640,
        480,
        "bgr8",
        "camera_optical_frame",
    )
    picture = image_bgr(image)
    for x, y in np.rint(CAMERA.project(standing())).astype(int):
        assert picture[y, x].any()
    send.said("the lifter's target_frame must be empty", every=lambda: send(frame_id="map"))
    send.said("expected one of bgr8", every=lambda: send(Image(encoding="bayer_rggb8", width=2, height=2)))
    send.said("need 1920 bytes a row", every=lambda: send(Image(encoding="bgr8", width=640, height=480)))
    for _ in range(UNMATCHED):
        send(images=False)
    send.said("without a picture of their stamp; are they of another camera?", every=lambda: send(images=False))
    count = len(send.drawn)
    bench.until(lambda: len(send.drawn) > count, "a picture after all that", every=send)
    bench.until(lambda: bench.level("/overlay") == 0, "good news", every=send)
    facts = bench.facts("/overlay")
    assert facts["bad_images"] >= 2 and facts["frames_out"] >= 2 and "Traceback" not in node.text()
    absurd = Camera(fx=1e6, fy=1e6, cx=320.0, cy=240.0, width=640, height=480)
    send.said("fit no lens", every=lambda: send(camera=absurd))
    assert node.interrupt() == 0


@pytest.mark.ros
def test_without_a_calibration_the_field_of_view_is_assumed_as_in_the_lifter(start, bench):
    start("overlay", assumed_hfov_deg=60.0)
    send = Sender(bench)
    bench.until(lambda: send.drawn, "a picture", every=lambda: send(info=False))
    camera = Camera.from_fov(width=640, height=480, horizontal_fov_deg=60.0)
    picture = image_bgr(send.drawn[-1])
    for x, y in np.rint(camera.project(standing())).astype(int):
        assert picture[y, x].any()
