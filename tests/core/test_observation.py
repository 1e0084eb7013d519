"""What the network sees: the same from NumPy and torch, blind to missing pixels, unchanged by where the person is."""

import numpy as np
import torch
from helpers import CAMERA, seen, walk

from dp3d_core.geometry.camera import UPRIGHT_FROM, turn_to, upright
from dp3d_core.geometry.observation import LOG_SIZE_CENTRE, RAY_LIMIT, follow_all, observe, up_input
from dp3d_core.geometry.viewpoint import Viewpoint, look


def some_rays(frames=6, seed=0):
    generator = np.random.default_rng(seed)
    stamps_s = np.cumsum(generator.uniform(0.01, 0.1, frames))
    pixels, confidence = seen(walk(stamps_s))
    confidence = (confidence * (generator.random(confidence.shape) > 0.3)).astype(np.float32)
    confidence[2] = 0
    return CAMERA.rays(pixels)[None], confidence[None], (stamps_s - stamps_s[0]).astype(np.float32)[None]


def test_numpy_and_torch_agree():
    rays, confidence, stamps_s = some_rays()
    state = follow_all(rays, confidence, stamps_s, np)
    ours = observe(rays, confidence, state, np)
    tensors = [torch.from_numpy(array) for array in (rays, confidence, stamps_s)]
    torch_state = follow_all(*tensors, torch)
    theirs = observe(tensors[0], tensors[1], torch_state, torch)
    np.testing.assert_allclose(state, torch_state.numpy(), atol=1e-5)
    for left, right in zip(ours, theirs):
        np.testing.assert_allclose(left, right.numpy(), atol=2e-5)


def test_looking_live_is_looking_offline_frame_by_frame():
    """Three people at once, a frame in which nobody is seen, one person at the edge of the picture."""
    people = [some_rays(frames=20, seed=seed) for seed in range(3)]
    stamps_s = people[0][2]
    rays, confidence = (np.concatenate([person[part] for person in people]) for part in (0, 1))
    rays[2] *= 8
    wanted = observe(rays, confidence, follow_all(rays, confidence, np.repeat(stamps_s, 3, 0), np), np)
    viewpoints, intervals_s = [Viewpoint() for _ in people], np.diff(stamps_s[0], prepend=stamps_s[0, 0]).tolist()
    for frame, dt_s in enumerate(intervals_s):
        found = look(viewpoints, rays[:, frame], confidence[:, frame], [dt_s] * 3)
        for left, right in zip(found, wanted):
            assert left.dtype == np.float32
            np.testing.assert_allclose(left, right[:, frame], atol=2e-5)


def test_missing_pixels_may_hold_anything():
    rays, confidence, stamps_s = some_rays()
    garbage = np.where((confidence > 0)[..., None], rays, 1e6).astype(np.float32)
    clean = observe(rays, confidence, follow_all(rays, confidence, stamps_s, np), np)[0]
    dirty = observe(garbage, confidence, follow_all(garbage, confidence, stamps_s, np), np)[0]
    np.testing.assert_allclose(dirty, clean, atol=1e-6)
    assert (clean[..., :2][confidence == 0] == 0).all()


def test_a_person_looks_the_same_wherever_the_camera_pans():
    """The virtual camera faces the person, so panning the real one by any angle changes nothing."""
    joints = walk(np.arange(1) / 30, start_m=(0.0, 0.0, 4.0))
    views = []
    for pan in (0.0, 0.5, -0.9):
        turn = np.array([[np.cos(pan), 0, np.sin(pan)], [0, 1, 0], [-np.sin(pan), 0, np.cos(pan)]])
        turned = joints @ turn.T
        rays = (turned[..., :2] / turned[..., 2:])[None]
        # the centre as the direction of the same material point
        state = np.concatenate([rays[:, :, 0], np.full((1, 1, 1), -1.5), np.ones((1, 1, 1))], -1)
        views.append(observe(rays, np.ones(rays.shape[:-1]), state, np)[0])
    np.testing.assert_allclose(views[1], views[0], atol=1e-9)
    np.testing.assert_allclose(views[2], views[0], atol=1e-9)


def test_channels_are_scaled_rays_confidence_and_log_size():
    rays = np.array([[[0.1, 0.0], [-0.1, 0.0]]])
    state = np.array([[0.0, 0.0, np.log(0.1), 1.0]])
    channels, rotation, turned = observe(rays, np.array([[1.0, 0.5]]), state, np)
    np.testing.assert_allclose(rotation, turn_to(np.zeros((1, 2)), np))
    np.testing.assert_allclose(turned, rays)
    np.testing.assert_allclose(channels[..., :2], [[[1, 0], [-1, 0]]])
    np.testing.assert_allclose(channels[..., 2], [[1, 0.5]])
    np.testing.assert_allclose(channels[..., 3], np.log(0.1) - LOG_SIZE_CENTRE)


def test_wild_rays_are_clipped():
    rays = np.array([[[50.0, -50.0], [0.0, 0.0], [0.1, 0.1]]])
    state = np.array([[0.0, 0.0, -2.5, 1.0]])
    channels = observe(rays, np.ones((1, 3)), state, np)[0]
    assert np.abs(channels[..., :2]).max() == RAY_LIMIT


def test_one_visible_joint_and_none_are_finite():
    rays, confidence, stamps_s = some_rays()
    confidence[:] = 0
    confidence[0, 1, 3] = 1
    out = observe(rays, confidence, follow_all(rays, confidence, stamps_s, np), np)
    assert all(np.isfinite(array).all() for array in out)


def turned_by(roll, rays):
    """What a camera rolled by `roll` radians sees of rays (..., 2), and its up vector (3,)."""
    cos, sin = np.cos(roll), np.sin(roll)
    rotation = np.array([[cos, sin], [-sin, cos]], np.float32)
    return rays @ rotation.T, np.array([*(rotation @ (0, -1)), 0], np.float32)


def test_with_up_known_every_roll_of_the_camera_is_alike():
    rays, confidence, stamps_s = some_rays(frames=10)
    level = np.broadcast_to(np.array([0, -1, 0], np.float32), (1, 10, 3))
    upright = observe(rays, confidence, follow_all(rays, confidence, stamps_s, np), np, up=level)[0]
    for roll in (0.3, np.pi / 2, np.pi, -2.0):
        turned, up = turned_by(roll, rays)
        up = np.broadcast_to(up, (1, 10, 3))
        state = follow_all(turned, confidence, stamps_s, np)
        seen_now, rotation, _ = observe(turned, confidence, state, np, up=up)
        np.testing.assert_allclose(seen_now, upright, atol=1e-4)
        told = up_input(up, np.full((1, 10), 0.02), rotation, np)
        np.testing.assert_allclose(told[..., 0], 0, atol=1e-5)
        assert (told[..., 1] < -0.9).all() and (told[..., 3] > 0.9).all()


def test_unknown_up_changes_nothing_and_up_along_the_axis_is_no_riddle():
    rays, confidence, stamps_s = some_rays()
    state = follow_all(rays, confidence, stamps_s, np)
    plain = observe(rays, confidence, state, np)
    unknown = np.zeros((1, 6, 3), np.float32)
    for left, right in zip(plain, observe(rays, confidence, state, np, up=unknown)):
        np.testing.assert_allclose(left, right, atol=1e-6)
    assert not up_input(unknown, np.zeros((1, 6)), plain[1], np).any()
    generator = np.random.default_rng(0)
    for near in (0.0, 1e-4, 0.1, UPRIGHT_FROM / 2):
        up = generator.normal(size=(200, 3)) * near
        up[:, 2] = 1
        up[0, :2] = 0, near
        up /= np.linalg.norm(up, axis=1, keepdims=True)
        rotation = upright(np.broadcast_to(np.eye(3), (200, 3, 3)), up, np)
        gram = rotation @ rotation.swapaxes(1, 2)
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-5)


def test_the_upright_view_is_the_same_live():
    rays, confidence, stamps_s = some_rays(frames=20)
    rays, up = turned_by(1.2, rays)
    wanted = observe(
        rays, confidence, follow_all(rays, confidence, stamps_s, np), np, up=np.broadcast_to(up, (1, 20, 3))
    )
    viewpoint, intervals_s = Viewpoint(), np.diff(stamps_s[0], prepend=stamps_s[0, 0]).tolist()
    for frame, dt_s in enumerate(intervals_s):
        found = look([viewpoint], rays[:, frame], confidence[:, frame], [dt_s], [up.tolist()])
        for left, right in zip(found, wanted):
            np.testing.assert_allclose(left, right[:, frame], atol=5e-5)
