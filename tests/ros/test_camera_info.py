"""CameraInfo and Camera are the same camera, and what is no camera is refused by cause."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from dp3d_core import Camera
from dp3d_ros.messages.camera_info import camera_from_info, info_from_camera, signature
from dp3d_ros.messages.keypoints import BadMessage

CAMERA = Camera(fx=600.0, fy=610.0, cx=320.0, cy=240.0, width=640, height=480, distortion=(0.1, -0.2, 0.0, 0.0, 0.05))


@given(st.floats(50, 1e4), st.floats(50, 1e4), st.floats(-1e3, 1500), st.sampled_from([0, 4, 5, 8, 12, 14]))
def test_camera_survives_the_message(fx, fy, cx, terms):
    model = "plumb_bob" if terms <= 5 else "rational_polynomial"
    camera = Camera(fx=fx, fy=fy, cx=cx, cy=3.0, width=640, height=480, distortion=(0.01,) * terms, model=model)
    assert camera_from_info(info_from_camera(camera, Header())) == camera


def test_binning_and_region_of_interest_move_the_pixels():
    info = info_from_camera(CAMERA, Header())
    info.binning_x = info.binning_y = 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 200, 100
    camera = camera_from_info(info)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (300, 305, 110, 100)
    assert (camera.width, camera.height) == (100, 50)


@pytest.mark.parametrize("d", [[], [0.0] * 4, [0.0] * 5])
def test_an_ideal_fisheye_is_no_pinhole(d):
    info = spoiled(d=d, distortion_model="equidistant")
    camera = camera_from_info(info)
    assert camera.model == "equidistant" and camera_from_info(info_from_camera(camera, Header())) == camera
    assert camera.rays([[320.0 + 600.0, 240.0]])[0, 0] == pytest.approx(math.tan(1), rel=1e-6)


def test_a_rectified_picture_has_the_camera_of_p_and_no_lens():
    info = info_from_camera(CAMERA, Header())
    info.p[0], info.p[2], info.p[5], info.p[6] = 500.0, 300.0, 510.0, 200.0
    camera = camera_from_info(info, rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy, camera.distortion) == (500, 510, 300, 200, ())
    info.p[0] = 0.0
    with pytest.raises(BadMessage, match=r"p\[0\] is 0"):
        camera_from_info(info, rectified=True)


def spoiled(**values):
    info = info_from_camera(CAMERA, Header())
    for name, value in values.items():
        setattr(info, name, value)
    return info


@pytest.mark.parametrize(
    ("info", "cause"),
    [
        (CameraInfo(), "uncalibrated_camera"),
        (spoiled(k=[0.0] * 9), "uncalibrated_camera"),
        (spoiled(k=[float("nan")] * 9), "bad_camera_info"),
        (spoiled(k=[-600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]), "bad_camera_info"),
        (spoiled(k=[600.0, 0.0, 320.0, 0.0, 0.0, 240.0, 0.0, 0.0, 1.0]), "bad_camera_info"),
        (spoiled(width=0), "bad_camera_info"),
        (spoiled(d=[0.1, 0.2, 0.3]), "bad_camera_info"),
        (spoiled(d=[float("inf")] * 5), "bad_camera_info"),
        (spoiled(distortion_model="bent"), "bad_camera_info"),
        *(
            (spoiled(k=[focal, 0.0, 320.0, 0.0, focal, 240.0, 0.0, 0.0, 1.0]), "uncalibrated_camera")
            for focal in (1.0, 1e6, 1e300)
        ),
        (spoiled(k=[600.0, 0.0, 1e9, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]), "uncalibrated_camera"),
    ],
)
def test_what_is_no_camera_is_refused(info, cause):
    with pytest.raises(BadMessage) as refusal:
        camera_from_info(info)
    assert refusal.value.cause == cause


def test_signature_changes_with_the_camera_and_not_with_the_stamp():
    first, second = info_from_camera(CAMERA, Header()), info_from_camera(CAMERA, Header(frame_id="other"))
    assert signature(first) == signature(second)
    second.k[0] = 601.0
    assert signature(first) != signature(second)
