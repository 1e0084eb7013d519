"""The root filter follows, coasts, says how sure it is, and takes a turning camera for what it is."""

import numpy as np
import pytest

from dp3d_core.geometry.root_filter import COAST_S, MAX_RANGE_M, RootFilters

ALL = slice(None)
YES = np.ones(1, bool)


def push(one, measured, variance, dt_s, known=True, visible=True):
    """One frame of one person; the root (3,) after it."""
    dt_s = np.full(1, dt_s)
    one.predict(ALL, dt_s, np.full(1, known))
    if measured is not None:
        one.correct(ALL, np.array([measured], float), np.full(1, variance), dt_s, np.full(1, visible))
    return one.root_m[0].copy()


def run_filter(truth_m, noise, dt_s=1 / 30, seen=None, known=True):
    """Filter noisy roots of one person (T, 3), depth wrong by `noise` of itself; roots (T, 3), sigma (T,)."""
    generator, one, out, sigma = np.random.default_rng(0), RootFilters(1), [], []
    for frame, root in enumerate(truth_m):
        measured = root * (1 + noise * generator.normal())
        visible = seen is None or seen[frame]
        out.append(push(one, measured, (noise * np.linalg.norm(root)) ** 2, dt_s, known, visible))
        sigma.append(float(one.range_sigma_m(ALL)[0]))
    return np.array(out), np.array(sigma)


@pytest.mark.parametrize("known", (True, False))
def test_it_follows_a_constant_velocity_and_is_smoother_than_its_input(known):
    stamps_s = np.arange(240) / 30
    truth = np.array([-1.0, 0.2, 4.0]) + stamps_s[:, None] * np.array([0.25, 0.0, 0.3])
    out, _ = run_filter(truth, noise=0.02, known=known)
    late = slice(90, None)
    assert np.linalg.norm(out - truth, axis=1)[late].mean() < 0.06
    assert np.diff(np.linalg.norm(out[late], axis=1), 2).std() < 0.02 * 4.5 / 5


def test_it_coasts_with_growing_doubt_then_recovers():
    stamps_s = np.arange(150) / 30
    truth = np.array([-1.0, 0.0, 4.0]) + stamps_s[:, None] * np.array([0.5, 0.0, 0.0])
    seen = np.ones(150, bool)
    seen[100:115] = False
    out, sigma = run_filter(truth, noise=0.01, seen=seen)
    assert (np.diff(sigma[99:115]) > 0).all()
    assert np.linalg.norm(out[114] - truth[114]) < 0.3
    assert sigma[-1] < sigma[114] and np.linalg.norm(out[-1] - truth[-1]) < 0.1


@pytest.mark.parametrize("known", (True, False))
def test_somebody_who_stands_stays_at_their_range_while_the_camera_turns(known):
    """The camera pans by 40 degrees to both sides: the person's bearing moves, the range must not."""
    one, ranges, errors = RootFilters(1), [], []
    angles = np.radians(40) * np.sin(1.7 * np.arange(300) / 30)
    for frame, angle in enumerate(angles):
        turn = lambda a: np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])  # noqa: E731
        if known and frame:
            one.move_camera(ALL, turn(angle) @ turn(angles[frame - 1]).T, np.zeros(3))
        truth = turn(angle) @ (0.3, 0.2, 4.0)
        out = push(one, truth, 0.05**2, 1 / 30, known)
        ranges.append(np.linalg.norm(out))
        errors.append(np.linalg.norm(out - truth))
    assert np.ptp(ranges[30:]) < 0.03
    assert max(errors[30:]) < (1e-6 if known else 0.06)


def test_a_camera_that_drives_leaves_the_world_at_rest():
    one, world = RootFilters(1), np.array([0.5, 0.0, 6.0])
    for frame in range(200):
        step = np.array([0.03, 0.0, 0.01])
        if frame:
            one.move_camera(ALL, np.eye(3), -step)
        out = push(one, world - frame * step, 0.05**2, 1 / 30)
    np.testing.assert_allclose(out, world - frame * step, atol=1e-6)
    np.testing.assert_allclose(one.velocity_m_s, 0, atol=1e-6)


def test_it_never_gives_nan_whatever_happens():
    generator, one = np.random.default_rng(3), RootFilters(3)
    for _ in range(1000):
        dt_s = generator.choice([0.0, 1e-6, 0.03, 1.0, 60.0], 3)
        root = generator.normal(size=(3, 3)) * generator.choice([1e-3, 1.0, 100.0])
        one.predict(ALL, dt_s, generator.random(3) > 0.5)
        one.correct(ALL, root, generator.choice([0.0, 1e-4, 1e4], 3), dt_s, generator.random(3) > 0.4)
        assert np.isfinite(one.root_m).all() and (one.range_sigma_m(ALL) >= 0).all()


def test_a_copy_that_runs_ahead_leaves_the_filter_alone():
    one = RootFilters(2)
    push(one.copy_of(slice(0, 1)), (0.0, 0.0, 3.0), 0.01, 0.03)
    assert not one.started.any()
    one.correct(ALL, np.ones((2, 3)), np.ones(2), np.ones(2), np.ones(2, bool))
    ahead = one.copy_of(np.array([1]))
    push(ahead, (1.0, 1.0, 9.0), 0.01, 1.0)
    np.testing.assert_array_equal(one.root_m, 1)


def test_sigma_is_honest_for_errors_that_last():
    """Depth errors with the correlation time the filter assumes: its stated sigma covers what happens."""
    generator, dt_s, errors = np.random.default_rng(5), np.full(400, 1 / 30), []
    keep, people, slow = np.exp(-5 / 30), RootFilters(400), generator.normal(size=400)
    for frame in range(90):
        slow = keep * slow + np.sqrt(1 - keep**2) * generator.normal(size=400)
        people.predict(ALL, dt_s, np.ones(400, bool))
        depth = np.stack([0 * slow, 0 * slow, 4.0 * np.exp(0.02 * slow)], 1)
        people.correct(ALL, depth, np.full(400, (0.02 * 4) ** 2), dt_s, np.ones(400, bool))
        if frame > 30:
            errors.append((people.root_m[:, 2] - 4.0) / people.range_sigma_m(ALL))
    assert 0.4 < np.std(errors) < 1.3


def test_nobody_goes_on_for_long_or_out_of_reach():
    """A speed from noise, and a clock that steps by a minute: whoever is not measured stands still after COAST_S."""
    one = RootFilters(1)
    for frame in range(10):
        begun = push(one, (0.2 * frame, 0.0, 4.0), 0.01, 1 / 30)
    long, short = one.copy_of(ALL), one.copy_of(ALL)
    push(long, None, 0, 59.0)
    for _ in range(600):
        push(short, None, 0, 0.1)
    np.testing.assert_allclose(long.root_m, short.root_m, rtol=1e-6)
    assert 3 * COAST_S < (long.root_m[0] - begun)[0] < 8 * COAST_S
    push(one, None, 0, 59.0, known=False)
    assert np.linalg.norm(one.root_m) <= MAX_RANGE_M
