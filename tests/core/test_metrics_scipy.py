"""Every metric beside one that somebody else wrote (scipy) and, where test_metrics.py has none, a case by hand."""
# T frames, J = 17 joints, H hypotheses

import numpy as np
import pytest
from scipy.ndimage import convolve1d
from scipy.spatial.distance import cdist
from scipy.stats import chi2, ecdf

from dp3d_core.evaluation import metrics as m


def poses(frames=12, noise_m=0.1, seed=0):
    """Answers and truth (T, 17, 3)."""
    rng = np.random.default_rng(seed)
    truth_m = np.cumsum(rng.normal(scale=0.03, size=(frames, 17, 3)), 0) + rng.normal(size=(17, 3))
    return truth_m + rng.normal(scale=noise_m, size=truth_m.shape), truth_m


def about_root(joints_m):
    return joints_m - joints_m[..., :1, :]


def distances_mm(left_m, right_m):
    """Distances (T, J) of joints to their namesakes, by scipy."""
    return np.array([np.diag(cdist(left, right)) for left, right in zip(left_m, right_m, strict=True)]) * 1000


def test_position_errors_equal_scipys_distances():
    answer_m, truth_m = poses()
    expected = distances_mm(about_root(answer_m), about_root(truth_m))
    np.testing.assert_allclose(m.mpjpe_mm(answer_m, truth_m), expected.mean(1))
    np.testing.assert_allclose(m.root_error_m(answer_m, truth_m), distances_mm(answer_m, truth_m)[:, 0] / 1000)


def test_velocity_and_acceleration_errors_equal_scipys_filters():
    answer_m, truth_m = (about_root(joints_m) for joints_m in poses())
    for kernel, metric in (([1, -1], m.mpjve_mm), ([1, -2, 1], m.accel_error_mm_per_frame2)):
        frames = len(answer_m) + 1 - len(kernel)
        first = (len(kernel) - 1) // 2  # where the kernel lies wholly inside
        left, right = (convolve1d(joints_m, kernel, axis=0)[first : first + frames] for joints_m in (answer_m, truth_m))
        np.testing.assert_allclose(metric(answer_m, truth_m), distances_mm(left, right).mean(1))


def test_pck_and_auc_are_scipys_distribution_of_the_errors():
    answer_m, truth_m = poses(noise_m=0.06)
    for frame, errors_mm in enumerate(distances_mm(about_root(answer_m), about_root(truth_m))):
        below = ecdf(errors_mm).cdf.evaluate
        assert m.pck(answer_m, truth_m)[frame] == pytest.approx(float(below(150 - 1e-9)))
        curve = [0.0, *(float(below(threshold - 1e-9)) for threshold in range(5, 151, 5))]
        assert m.auc(answer_m, truth_m)[frame] == pytest.approx(np.mean(curve))


def test_oracles_equal_scipys_nearest_hypotheses():
    truth_m = poses(frames=4)[1]
    hypotheses_m = np.stack([poses(frames=4, seed=seed)[0] for seed in range(5)])
    each = np.stack([distances_mm(about_root(one), about_root(truth_m)) for one in hypotheses_m])
    np.testing.assert_allclose(m.oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m), each.min(0).mean(1))
    np.testing.assert_allclose(m.oracle_best_pose_mpjpe_mm(hypotheses_m, truth_m), each.mean(2).min(0))


def test_coverage_and_calibration_error_by_hand():
    """The 90 % ball of three coordinates has a radius of 2.50 sigma, the 50 % ball one of 1.54."""
    sigma_m = np.full((10, 1), 0.1)
    error_m = np.array([[0.0, 0.05, 0.1, 0.14, 0.15, 0.16, 0.2, 0.24, 0.26, 0.9]]).T
    assert m.coverage(error_m, sigma_m) == pytest.approx(0.8)
    assert m.coverage(error_m, sigma_m, probability=0.5) == pytest.approx(0.5)
    # levels 0, 0.5 and 1: observed 0, 0.5, 1; never an error: observed 0, 1, 1
    levels = np.array([0.0, 0.5, 1.0])
    assert m.expected_calibration_error(error_m, sigma_m, levels=levels) == pytest.approx(0)
    assert m.expected_calibration_error(0 * error_m, sigma_m, levels=levels) == pytest.approx(0.5 / 3)


def test_likelihood_by_hand():
    """A joint hit exactly with sigma 1 m costs 3/2 ln 2 pi nats; one sigma off, half a nat more."""
    found = m.gaussian_nll(np.array([0.0, 1.0]), np.ones(2))
    np.testing.assert_allclose(found, [2.7568155996, 3.2568155996])


def test_coverage_equals_scipys_chi_squared():
    rng = np.random.default_rng(0)
    sigma_m = rng.uniform(0.01, 0.1, (200, 16))
    error_m = np.abs(rng.normal(size=sigma_m.shape)) * 2 * sigma_m
    inside = chi2.cdf((error_m / sigma_m) ** 2, 3) <= 0.9
    assert m.coverage(error_m, sigma_m) == pytest.approx(inside.mean())
