"""The closed-form root is exact, says honestly how sure it is, and its filter coasts and never loses a number."""

from copy import copy

import numpy as np
import pytest
from helpers import swing

from dp3d_core.geometry.camera import RAY_FARTHEST
from dp3d_core.geometry.root import (
    COAST_S,
    DETECTOR_SIGMA_M,
    HEIGHT_SIGMA,
    MAX_DEPTH_M,
    MIN_DEPTH_M,
    Proportions,
    RootFilter,
    smooth,
    solve,
    stature_m,
)

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


def run_filter(truth_m, noise, dt_s=1 / 30, seen=None, seed=0):
    """Filter noisy roots of one person (T, 3); returns roots (T, 3), sigma (T,)."""
    generator = np.random.default_rng(seed)
    one, out, sigma = RootFilter(), [], []
    for frame, root in enumerate(truth_m):
        visible = seen is None or seen[frame]
        measured = root * (1 + noise * generator.normal())
        one.predict(dt_s if frame else 0.0)
        if visible:
            one.correct(measured, (noise * root[2]) ** 2, dt_s)
        *place, spread = one.root(0.0)
        out.append(place)
        sigma.append(spread)
    return np.array(out), np.array(sigma)


def test_filter_follows_a_constant_velocity_and_is_smoother_than_its_input():
    stamps_s = np.arange(240) / 30
    truth = np.array([-2.0, 0.2, 4.0]) + stamps_s[:, None] * np.array([0.6, 0.0, 0.1])
    out, _ = run_filter(truth, noise=0.02)
    late = slice(90, None)
    assert np.linalg.norm(out - truth, axis=1)[late].mean() < 0.06
    depth_noise = 0.02 * 4.5
    assert np.diff(out[late, 2], 2).std() < depth_noise / 5


def test_filter_coasts_with_growing_doubt_then_recovers():
    stamps_s = np.arange(150) / 30
    truth = np.array([-1.0, 0.0, 4.0]) + stamps_s[:, None] * np.array([0.5, 0.0, 0.0])
    seen = np.ones(150, bool)
    seen[100:115] = False
    out, sigma = run_filter(truth, noise=0.01, seen=seen)
    assert (np.diff(sigma[99:115]) > 0).all()
    assert np.linalg.norm(out[114] - truth[114]) < 0.3
    assert sigma[-1] < sigma[114] and np.linalg.norm(out[-1] - truth[-1]) < 0.1


def test_filter_never_gives_nan_whatever_happens():
    generator = np.random.default_rng(3)
    one = RootFilter()
    for _ in range(2000):
        dt_s = float(generator.choice([0.0, 1e-6, 0.03, 1.0, 60.0]))
        root = (generator.normal(size=3) * generator.choice([1e-3, 1.0, 100.0])).tolist()
        one.predict(dt_s)
        if generator.random() > 0.4:
            one.correct(root, float(generator.choice([0.0, 1e-4, 1e4])), dt_s)
        *place, sigma = one.root(HEIGHT_SIGMA)
        assert np.isfinite(place).all() and np.isfinite(sigma) and sigma >= 0


def test_a_copy_that_runs_ahead_leaves_the_filter_alone():
    one = RootFilter()
    one.correct((0.0, 0.0, 3.0), 0.01, 0.03)
    before, ahead = one.root(0.0), copy(one)
    ahead.predict(1.0)
    ahead.correct((1.0, 1.0, 9.0), 0.01, 0.03)
    assert one.root(0.0) == before != ahead.root(0.0)


def test_filter_sigma_is_honest_for_errors_that_last():
    """Depth errors with the correlation time the filter assumes: its stated sigma covers what happens."""
    generator, dt_s, errors = np.random.default_rng(5), 1 / 30, []
    keep = np.exp(-dt_s / 0.2)
    people = [RootFilter() for _ in range(400)]
    slow = generator.normal(size=400)
    for frame in range(90):
        slow = keep * slow + np.sqrt(1 - keep**2) * generator.normal(size=400)
        for one, error in zip(people, slow.tolist()):
            one.predict(dt_s if frame else 0.0)
            one.correct((0.0, 0.0, 4.0 * np.exp(0.02 * error)), (0.02 * 4) ** 2, dt_s)
            _, _, depth, sigma = one.root(0.0)
            if frame > 30:
                errors.append((depth - 4.0) / sigma)
    assert 0.4 < np.std(errors) < 1.3


def test_smoothing_is_exact_on_exact_roots_and_finite_without_any():
    stamps_s = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.08, 40))
    truth = np.array([-1.0, 0.1, 4.0]) + stamps_s[:, None] * np.array([0.3, 0.0, 0.0])
    out, sigma = smooth(truth, np.full(40, 1e-4), np.ones(40, bool), stamps_s)
    np.testing.assert_allclose(out, truth, atol=0.01)
    assert (sigma > 0).all()
    out, sigma = smooth(truth, np.full(40, 1e-4), np.zeros(40, bool), stamps_s)
    assert np.isfinite(out).all() and (sigma > 100).all()


def test_smoothing_bridges_a_gap_from_both_sides():
    stamps_s = np.arange(60) / 30
    truth = np.array([-1.0, 0.1, 4.0]) + stamps_s[:, None] * np.array([0.5, 0.0, -0.2])
    solved = np.ones(60, bool)
    solved[25:35] = False
    measured = np.where(solved[:, None], truth, 50.0)
    out, sigma = smooth(measured, np.full(60, 1e-4), solved, stamps_s)
    assert np.linalg.norm(out - truth, axis=1).max() < 0.1
    assert sigma[30] > sigma[10]


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


def test_known_height_sets_the_stature_and_keeps_the_directions():
    pose = swing(np.array([0.3, 0.8])).astype(np.float32)
    people = Proportions(2)
    people.follow(ALL, pose, np.full((2, 17), 0.03, np.float32), np.full(2, 1 / 30, np.float32))
    tall = people.apply(ALL, pose, person_height_m=2.0)
    bones = Proportions(2)
    bones.follow(ALL, tall, np.full((2, 17), 0.03, np.float32), np.full(2, 1 / 30, np.float32))
    scale = np.linalg.norm(tall, axis=-1)[:, 1:] / np.linalg.norm(pose, axis=-1)[:, 1:]
    np.testing.assert_allclose(scale, 2.0 / stature_m(people.length_m)[0], rtol=1e-4)


def test_stature_of_a_standing_figure_is_its_height():
    pose = swing(np.array([0.0]), yaw=0.0).astype(np.float32)  # legs straight, arms hanging
    people = Proportions(1)
    people.follow(ALL, pose, np.full((1, 17), 0.03, np.float32), np.full(1, 1 / 30, np.float32))
    head_to_ankle = pose[0, 3, 1] - pose[0, 10, 1]
    assert stature_m(people.length_m)[0] == pytest.approx(head_to_ankle + 0.08, abs=0.01)


def test_a_frames_own_measurement_counts_once_in_smoothing():
    """One wrong depth bends the way; counted in both passes it would leave a spike on it."""
    stamps_s = np.arange(61) / 30
    root = np.tile([0.3, 0.1, 4.0], (61, 1))
    root[30] *= 1.2
    smoothed, _ = smooth(root, np.full(61, 0.1**2), np.ones(61, bool), stamps_s)
    spike = smoothed[30, 2] - (smoothed[29, 2] + smoothed[31, 2]) / 2
    assert abs(spike) < 0.1 * (smoothed[30, 2] - 4)


def test_nobody_goes_on_for_long_or_out_of_sight():
    """A speed from noise, and a clock that steps by a minute: whoever is not measured stands still after COAST_S."""
    one = RootFilter()
    for frame in range(10):
        one.predict(1 / 30)
        one.correct((0.2 * frame, 0.0, 4.0), 0.01, 1 / 30)
    begun = np.array(one.root(0.0)[:3])
    steps = [copy(one) for _ in range(2)]
    steps[0].predict(59.0)
    for _ in range(600):
        steps[1].predict(0.1)
    ends = np.array([step.root(0.0)[:3] for step in steps])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)
    assert 1.1 * COAST_S < (ends[0] - begun)[0] < 8 * COAST_S
    one.correct((90.0, -90.0, 0.3), 0.01, 1 / 30)
    one.predict(59.0)
    assert np.abs(one.mean[:2]).max() <= RAY_FARTHEST and one.root(0.0)[2] <= MAX_DEPTH_M
