"""Rays and pixels are each other's inverse, and the virtual camera turns without changing the pose."""

import sys

import numpy as np
import pytest
import torch
from helpers import CAMERA, LENS, walk

from dp3d_core.data import cameras as training
from dp3d_core.geometry.camera import CENTRE_TIME_S, Camera, follow, person_view, turn_rays, turn_to

FISHEYE = Camera(
    fx=400.0,
    fy=400.0,
    cx=480.0,
    cy=270.0,
    width=960,
    height=540,
    model="equidistant",
    distortion=(0.02, -0.01, 0.003, -0.001),
)
RATIONAL = Camera(
    fx=700.0,
    fy=700.0,
    cx=480.0,
    cy=270.0,
    width=960,
    height=540,
    model="rational_polynomial",
    distortion=(0.3, -0.2, 0.0005, 0.0003, 0.05, 0.4, -0.1, 0.02),
)


@pytest.mark.parametrize(
    "camera", [CAMERA, LENS, FISHEYE, RATIONAL], ids=["pinhole", "plumb_bob", "fisheye", "rational"]
)
def test_projection_round_trips_over_the_whole_image(camera):
    x, y = np.meshgrid(np.linspace(0, camera.width - 1, 15), np.linspace(0, camera.height - 1, 9))
    pixels = np.stack([x, y], -1)
    rays = camera.rays(pixels)
    assert rays.shape == pixels.shape and rays.dtype == np.float32
    points = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) * 3.7
    np.testing.assert_allclose(camera.project(points), pixels, atol=0.05)


@pytest.mark.parametrize("distortion", [(), (0.0,) * 4, (0.0,) * 5], ids=["none", "four", "five"])
@pytest.mark.parametrize("degrees", [10, 40, 60, 85])
def test_a_fisheye_without_distortion_is_equidistant(distortion, degrees):
    """By definition of the model: the distance from the centre is the focal length times the angle off the axis."""
    camera = Camera(
        fx=300.0, fy=300.0, cx=500.0, cy=500.0, width=1000, height=1000, model="equidistant", distortion=distortion
    )
    angle = np.radians(degrees)
    pixel, point = np.array([[500 + 300 * angle, 500.0]]), np.array([[np.sin(angle), 0, np.cos(angle)]])
    np.testing.assert_allclose(np.arctan(camera.rays(pixel)), [[angle, 0]], atol=1e-6)
    np.testing.assert_allclose(camera.project(point), pixel, atol=1e-6)
    assert camera.see(np.array([[500 + 300 * np.radians(95), 500.0]]), np.ones(1))[1] == 0


def test_rays_of_projected_points_point_at_them():
    joints = walk(np.arange(5) / 30)
    for camera in (CAMERA, LENS):
        np.testing.assert_allclose(camera.rays(camera.project(joints)), joints[..., :2] / joints[..., 2:], atol=2e-5)


def test_behind_the_camera_is_nan():
    for camera in (CAMERA, LENS):
        pixels = camera.project(np.array([[0.1, 0.1, -2.0], [0.1, 0.1, 0.0], [0.1, 0.1, 2.0]]))
        assert np.isnan(pixels[:2]).all() and np.isfinite(pixels[2]).all()


def test_nobody_gives_no_rays():
    for camera in (CAMERA, LENS, FISHEYE):
        assert camera.rays(np.zeros((0, 17, 2))).shape == (0, 17, 2)
        assert camera.project(np.zeros((0, 17, 3))).shape == (0, 17, 2)


@pytest.mark.parametrize("camera", [CAMERA, LENS, FISHEYE], ids=["pinhole", "plumb_bob", "fisheye"])
def test_rays_beyond_the_lens_are_no_measurement(camera):
    """Where a lens model has no inverse, the keypoint counts as missing; in the image and near it nothing changes."""
    inside = np.array([[-80.0, 200.0], [500.0, 300.0], [959.0, 539.0]])
    outside = np.array([[-5e5, 1e5], [9e5, 9e5]])
    rays, confidence = camera.see(np.concatenate([inside, outside])[None], np.full((1, 5), 0.7))
    np.testing.assert_array_equal(rays[0, :3], camera.rays(inside))
    assert (rays[0, 3:] == 0).all() and confidence[0].tolist() == [0.7, 0.7, 0.7, 0, 0]
    if camera is LENS:
        fold = np.array([[-1600.0, 270.0]])  # far outside, and its "ray" is 28 degrees off the axis
        assert np.abs(camera.rays(fold)).max() < 1 and camera.see(fold, np.ones(1))[1] == 0
    assert camera.see(np.zeros((0, 17, 2)), np.zeros((0, 17)))[0].shape == (0, 17, 2)


def test_without_opencv_only_lenses_ask_for_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert np.isfinite(CAMERA.rays(np.ones((1, 2)))).all() and np.isfinite(CAMERA.project(np.ones((1, 3)))).all()
    for call in (lambda: LENS.rays(np.ones((1, 2))), lambda: LENS.project(np.ones((1, 3)))):
        with pytest.raises(ImportError, match=r"lens distortion needs OpenCV .*pip install opencv-python-headless"):
            call()


def test_assumed_camera_has_the_field_of_view():
    camera = Camera.from_fov(width=640, height=480, horizontal_fov_deg=90)
    assert camera.assumed and camera.fx == pytest.approx(320)
    np.testing.assert_allclose(camera.rays(np.array([[0.0, 240.0], [640.0, 240.0]])), [[-1, 0], [1, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": 0.0}, "positive focal"), ({"fy": float("nan")}, "finite"), ({"width": 0}, "image size"),
        ({"model": "pinhole"}, "distortion model"), ({"distortion": (0.1,)}, "distortion values"),
        ({"model": "equidistant", "distortion": (0.1,) * 5}, "distortion values"),
    ],
)  # fmt: skip
def test_impossible_cameras_are_refused(changes, message):
    good = {"fx": 900.0, "fy": 900.0, "cx": 480.0, "cy": 270.0, "width": 960, "height": 540}
    with pytest.raises(ValueError, match=message):
        Camera(**(good | changes))


@pytest.mark.parametrize("degrees", [0, 4.9, 171, float("nan")])
def test_impossible_field_of_view_is_refused(degrees):
    with pytest.raises(ValueError, match="field of view"):
        Camera.from_fov(width=640, height=480, horizontal_fov_deg=degrees)


def test_turning_is_a_rotation_that_centres_its_ray():
    centres = np.random.default_rng(0).normal(size=(50, 2))
    rotation = turn_to(centres, np)
    np.testing.assert_allclose(rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
    np.testing.assert_allclose(turn_rays(centres[:, None], rotation, np), 0, atol=1e-12)
    np.testing.assert_allclose(rotation[:, 0, 1], 0, atol=1e-12)  # x stays level


def test_virtual_camera_keeps_the_pose_when_turned_back():
    joints = walk(np.arange(4) / 30, start_m=(2.0, -0.5, 3.0))
    rotation = turn_to(joints[:, 0, :2] / joints[:, 0, 2:], np)
    virtual = np.einsum("tij,tkj->tki", rotation, joints)
    np.testing.assert_allclose(np.einsum("tij,tki->tkj", rotation, virtual), joints, atol=1e-12)
    # and its rays are those of the turned points
    rays = turn_rays(joints[..., :2] / joints[..., 2:], rotation, np)
    np.testing.assert_allclose(rays, virtual[..., :2] / virtual[..., 2:], atol=1e-9)


def test_rays_far_off_the_view_stay_finite():
    rotation = turn_to(np.array([[3.0, 0.0]]), np)
    assert np.isfinite(turn_rays(np.array([[[-1e6, 1e6], [-3.0, 0.0]]]), rotation, np)).all()


def test_view_is_the_weighted_centre_and_log_spread():
    rays = np.array([[[0.0, 0.0], [2.0, 0.0], [99.0, 99.0]]])
    view, weight = person_view(rays, np.array([[0.5, 0.5, 0.0]]), np)
    np.testing.assert_allclose(view, [[1, 0, 0]], atol=1e-6)  # spread 1, log 0
    assert weight == [1]


def test_nothing_seen_has_no_weight_and_no_nan():
    view, weight = person_view(np.ones((2, 17, 2)), np.zeros((2, 17)), np)
    assert np.isfinite(view).all() and (weight == 0).all()


def test_following_starts_at_the_first_view_then_has_its_time_constant():
    state = follow(np.array([[1.0, 2.0, 3.0]]), np.array([1.0]), np.zeros((1, 4)), np.array([0.0]), np)
    np.testing.assert_allclose(state, [[1, 2, 3, 1]])
    state = follow(np.array([[0.0, 0.0, 0.0]]), np.array([1.0]), state, np.array([CENTRE_TIME_S]), np)
    np.testing.assert_allclose(state[0, :3], np.exp(-1) * np.array([1, 2, 3]))


def test_an_unseen_person_keeps_their_view():
    state = np.array([[1.0, 2.0, 3.0, 1.0]])
    np.testing.assert_allclose(follow(np.zeros((1, 3)), np.zeros(1), state, np.array([9.0]), np), state)
    never = follow(np.zeros((1, 3)), np.zeros(1), np.zeros((1, 4)), np.array([0.1]), np)
    np.testing.assert_allclose(never, 0)


def test_following_twice_is_following_once_over_both_intervals():
    view, one = np.array([[1.0, -1.0, 0.5]]), np.ones(1)
    start = np.array([[0.0, 0.0, 0.0, 1.0]])
    twice = follow(view, one, follow(view, one, start, np.array([0.1]), np), np.array([0.2]), np)
    np.testing.assert_allclose(twice, follow(view, one, start, np.array([0.3]), np))


def test_training_cameras_keep_everybody_in_front_and_distances_rigid():
    stamps_s = np.arange(12) / 30
    world = walk(stamps_s, start_m=(0, 0, 0))[..., [0, 2, 1]] * np.array([1, 1, -1]) + np.array([3.0, -2.0, 0.9])
    world = torch.from_numpy(np.repeat(world[None], 64, 0)).float()
    view = training.look(
        world, torch.from_numpy(stamps_s).float().expand(64, -1), generator=torch.Generator().manual_seed(0)
    )
    assert (view.joints_cam_m[..., 2] > 0.49).all()
    inside = lambda x: torch.cdist(x, x)  # noqa: E731
    torch.testing.assert_close(inside(view.joints_cam_m), inside(world), atol=1e-4, rtol=1e-4)

    # right-handed: a left hip stays to the left of the spine as seen along the person's front
    def triple(x):
        across = torch.linalg.cross(x[..., 1, :] - x[..., 0, :], x[..., 8, :] - x[..., 0, :], dim=-1)
        return (across * (x[..., 9, :] - x[..., 8, :])).sum(-1)

    torch.testing.assert_close(triple(view.joints_cam_m), triple(world), atol=1e-4, rtol=1e-3)
    # the floor is down: heads project above ankles for cameras that hardly roll
    pixels, inside_image = training.project(view)
    assert (pixels[:, :, 10, 1] < pixels[:, :, 3, 1]).float().mean() > 0.98
    assert inside_image.float().mean() > 0.5
