"""The closed-form root is exact and says honestly how sure it is; bone lengths hold."""

import numpy as np
import pytest
from helpers import swing

from dp3d_core.geometry.contact import ANKLE_HEIGHT_M
from dp3d_core.geometry.proportions import STRAIGHT, Proportions, stature_m
from dp3d_core.geometry.root import MAX_DEPTH_M, MIN_DEPTH_M, solve
from dp3d_core.geometry.root_filter import DETECTOR_SIGMA_M

ALL = slice(None)


def standing_at(roots, pose=None):
    """Poses (P, 17, 3), exact rays (P, 17, 2) and full confidence of people at `roots` (P, 3)."""
    pose = swing(np.linspace(0, 1, len(roots))) if pose is None else np.broadcast_to(pose, (len(roots), 17, 3))
    points = pose + np.asarray(roots)[:, None]
    return pose, points[..., :2] / points[..., 2:], np.ones((len(roots), 17))


def test_root_is_exact_on_noise_free_projections():
    roots = np.random.default_rng(0).uniform((-1, -1, 1.5), (1, 1, 30), (200, 3))
    pose, rays, confidence = standing_at(roots)
    found, variance, solved = solve(pose, rays, confidence, np.full((200, 17), 0.03))
    np.testing.assert_allclose(found, roots, rtol=1e-9)
    assert solved.all() and (variance > 0).all()


def test_root_is_exact_from_any_three_joints_that_spread():
    roots = np.array([[0.3, 0.2, 4.0]] * 3)
    pose, rays, _ = standing_at(roots)
    confidence = np.zeros((3, 17))
    for person, joints in enumerate(((3, 10, 13), (0, 2, 16), (8, 11, 6))):
        confidence[person, list(joints)] = (0.2, 0.9, 0.5)
    rays = np.where(confidence[..., None] > 0, rays, 77.0)  # what is missing must not matter
    found, _, solved = solve(pose, rays, confidence, np.full((3, 17), 0.03))
    np.testing.assert_allclose(found, roots, rtol=1e-9)
    assert solved.all()


def test_too_few_or_coincident_rays_and_people_behind_are_unsolved_and_finite():
    pose, rays, confidence = standing_at(np.array([[0.0, 0.0, 4.0]] * 4))
    rays = rays.copy()
    confidence[0] = 0
    confidence[1, 2:] = 0
    rays[2] = 0.1
    rays[3] = -rays[3]  # upside down: only a person behind the camera looks like this
    found, variance, solved = solve(pose, rays, confidence, np.full((4, 17), 0.03))
    assert not solved.any()
    assert np.isfinite(found).all() and np.isfinite(variance).all()
    assert ((found[:, 2] >= MIN_DEPTH_M) & (found[:, 2] <= MAX_DEPTH_M)).all()


def test_depth_variance_is_honest_by_monte_carlo():
    """Errors of the pose (its sigma) and of the detector: the stated standard deviation is the one found."""
    generator = np.random.default_rng(1)
    for depth, sigma in ((2.5, 0.03), (5.0, 0.05), (9.0, 0.02)):
        roots = np.tile([0.0, 0.0, depth], (4000, 1))
        pose, rays, _ = standing_at(roots, swing(np.array([0.2]))[0])
        confidence = np.tile(generator.uniform(0.3, 1, 17), (4000, 1))
        wrong_pose = pose + sigma * generator.normal(size=pose.shape)
        wrong_rays = rays + DETECTOR_SIGMA_M / depth * generator.normal(size=rays.shape)
        found, variance, solved = solve(wrong_pose, wrong_rays, confidence, np.full((4000, 17), sigma))
        assert solved.all()
        assert found[:, 2].std() == pytest.approx(np.sqrt(variance).mean(), rel=0.15)
        assert found[:, 2].mean() == pytest.approx(depth, rel=0.02)


def test_depth_scales_with_the_body():
    pose, rays, confidence = standing_at(np.array([[0.3, 0.2, 4.0]]))
    found = [solve(pose * scale, rays, confidence, np.full((1, 17), 0.03))[0][0] for scale in (1.0, 1.2)]
    np.testing.assert_allclose(found[1], 1.2 * found[0])


def test_running_bone_lengths_converge_and_hold():
    generator = np.random.default_rng(6)
    truth = swing(np.array([0.3]))
    people = Proportions(1)
    lengths = []
    for _ in range(200):
        pose = (truth + 0.03 * generator.normal(size=truth.shape)).astype(np.float32)
        pose -= pose[:, :1]
        held = people.follow(ALL, pose, np.full((1, 17), 0.03, np.float32), np.full(1, 1 / 30, np.float32))
        np.testing.assert_allclose(held, people.apply(ALL, pose), atol=1e-6)
        lengths.append(np.linalg.norm(held[0, 2] - held[0, 1]))
        assert held.dtype == np.float32 and (held[:, 0] == 0).all()
    assert np.std(lengths[100:]) < 0.003 and abs(np.mean(lengths[100:]) - 0.44) < 0.01


def test_stature_of_a_straight_figure_is_what_its_bones_would_measure_in_a_real_body():
    pose = swing(np.array([0.0]), yaw=0.0).astype(np.float32)  # legs straight, arms hanging
    people = Proportions(1)
    people.follow(ALL, pose, np.full((1, 17), 0.03, np.float32), np.full(1, 1 / 30, np.float32))
    head_to_ankle = pose[0, 3, 1] - pose[0, 10, 1]
    assert stature_m(people.length_m)[0] == pytest.approx(STRAIGHT * head_to_ankle + ANKLE_HEIGHT_M, abs=0.015)
