"""Each metric against a hand-computed case, an independent implementation, and the invariances it claims."""
# T frames, J joints

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation
from scipy.stats import chi2, multivariate_normal, pearsonr

from dp3d_core.evaluation import metrics as m

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
SEEDS = st.integers(0, 2**32 - 1)


def poses(seed=0, shape=(6, 17), noise_m=0.05):
    """A prediction and a truth of limb-like size: (*shape, 3) metres each."""
    rng = np.random.default_rng(seed)
    truth_m = rng.normal(size=(*shape, 3)) * 0.4 + [0.2, -0.1, 4.0]
    return truth_m + rng.normal(size=truth_m.shape) * noise_m, truth_m


# ---- pose ----


def test_mpjpe_by_hand_counts_the_roots_zero():
    truth_m = np.zeros((1, 17, 3))
    prediction_m = truth_m.copy()
    prediction_m[0, 3] = [0.003, 0.004, 0.0]
    assert m.mpjpe_mm(prediction_m, truth_m) == pytest.approx([5.0 / 17])
    assert m.mpjpe_mm(prediction_m, truth_m, joints=m.JOINTS_14) == pytest.approx([5.0 / 14])
    assert m.mpjpe_mm(prediction_m, truth_m, joints=(3,)) == pytest.approx([5.0])
    # an error of the root alone moves every other joint once the roots are laid together
    prediction_m = truth_m.copy()
    prediction_m[0, 0, 2] = 0.010
    assert m.mpjpe_mm(prediction_m, truth_m) == pytest.approx([10.0 * 16 / 17])
    assert m.mpjpe_mm(prediction_m, truth_m, root=None) == pytest.approx([10.0 / 17])
    assert m.root_error_m(prediction_m, truth_m) == pytest.approx([0.010])


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_mpjpe_equals_loops_and_keeps_leading_axes(seed):
    prediction_m, truth_m = poses(seed, (2, 3, 17))
    expected = np.zeros((2, 3))
    for b in range(2):
        for t in range(3):
            for j in range(17):
                e = (prediction_m[b, t, j] - prediction_m[b, t, 0]) - (truth_m[b, t, j] - truth_m[b, t, 0])
                expected[b, t] += 1000 * float(np.sqrt(e @ e)) / 17
    np.testing.assert_allclose(m.mpjpe_mm(prediction_m, truth_m), expected, rtol=1e-12)
    assert m.mpjpe_mm(prediction_m, truth_m)[1] == pytest.approx(m.mpjpe_mm(prediction_m[1], truth_m[1]))


@given(SEEDS, st.floats(0.1, 10.0))
@settings(max_examples=20, deadline=None)
def test_p_mpjpe_is_zero_under_similarity(seed, scale):
    _, truth_m = poses(seed)
    turn = Rotation.random(rng=seed).as_matrix()
    moved_m = scale * truth_m @ turn.T + np.random.default_rng(seed).normal(size=3)
    assert m.p_mpjpe_mm(moved_m, truth_m).max() < 1e-8
    np.testing.assert_allclose(m.procrustes_align(moved_m, truth_m), truth_m, atol=1e-11)


def test_p_mpjpe_by_hand():
    """A square's corners answered as a rectangle of 1 by 2, turned, twice as large and elsewhere. The best scale back
    is (1 + 2) / (1 + 4); it leaves each corner (0.4, 0.2) m away."""
    square = np.array([[1.0, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]])
    rectangle = square * [1, 2, 1]
    turned = 2 * rectangle[:, [1, 0, 2]] * [-1, 1, 1] + [5, 6, 7]
    assert m.p_mpjpe_mm(turned[None], square[None])[0] == pytest.approx(1000 * np.hypot(0.4, 0.2))


def test_n_mpjpe_by_hand():
    """Least squares scale of (1, 1) onto (2, 4) is 3: one joint 1 m short, one 1 m long, the root's zero counts."""
    truth = np.array([[[0.0, 0, 0], [2, 0, 0], [0, 4, 0]]])
    answer = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    assert m.n_mpjpe_mm(answer, truth)[0] == pytest.approx(2000 / 3)


def test_p_mpjpe_never_reflects():
    _, truth_m = poses()
    mirrored_m = truth_m * [-1.0, 1.0, 1.0]
    assert m.p_mpjpe_mm(mirrored_m, truth_m).min() > 20.0
    # a flat pose may be turned over, which is a rotation
    flat_m = truth_m * [1.0, 1.0, 0.0]
    assert m.p_mpjpe_mm(flat_m * [-1.0, 1.0, 1.0], flat_m).max() < 1e-8


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_p_mpjpe_equals_scipys_rotation_fit(seed):
    prediction_m, truth_m = poses(seed, (4, 17), noise_m=0.3)
    for frame in range(4):
        p, t = prediction_m[frame] - prediction_m[frame].mean(0), truth_m[frame] - truth_m[frame].mean(0)
        turned = Rotation.align_vectors(t, p)[0].apply(p)
        scale = (turned * t).sum() / (turned**2).sum()
        expected = 1000 * np.linalg.norm(scale * turned - t, axis=-1).mean()
        assert m.p_mpjpe_mm(prediction_m, truth_m)[frame] == pytest.approx(expected, rel=1e-7)


def test_procrustes_equals_scipys_disparity_where_no_reflection_helps():
    prediction_m, truth_m = poses(noise_m=0.02)
    aligned_m = m.procrustes_align(prediction_m, truth_m)
    for frame in range(len(truth_m)):
        spread = ((truth_m[frame] - truth_m[frame].mean(0)) ** 2).sum()
        disparity = procrustes(truth_m[frame], prediction_m[frame])[2]
        assert ((aligned_m[frame] - truth_m[frame]) ** 2).sum() / spread == pytest.approx(disparity, rel=1e-9)


def test_p_mpjpe_of_a_collapsed_prediction_is_the_truths_spread():
    _, truth_m = poses()
    expected = 1000 * np.linalg.norm(truth_m - truth_m.mean(axis=1, keepdims=True), axis=-1).mean(axis=-1)
    assert m.p_mpjpe_mm(np.zeros_like(truth_m), truth_m) == pytest.approx(expected)


@given(SEEDS, st.floats(0.1, 10.0))
@settings(max_examples=20, deadline=None)
def test_n_mpjpe_is_zero_under_scale(seed, scale):
    _, truth_m = poses(seed)
    assert m.n_mpjpe_mm(scale * truth_m, truth_m).max() < 1e-8


def test_n_mpjpe_takes_the_least_squares_scale_but_no_mirror():
    prediction_m, truth_m = poses(noise_m=0.2)
    for frame in range(len(truth_m)):
        p, t = prediction_m[frame] - prediction_m[frame, 0], truth_m[frame] - truth_m[frame, 0]
        scale = np.linalg.lstsq(p.reshape(-1, 1), t.ravel(), rcond=None)[0][0]
        expected = 1000 * np.linalg.norm(scale * p - t, axis=-1).mean()
        assert m.n_mpjpe_mm(prediction_m, truth_m)[frame] == pytest.approx(expected)
    relative_m = truth_m - truth_m[:, :1]
    assert m.n_mpjpe_mm(-relative_m, relative_m) == pytest.approx(1000 * np.linalg.norm(relative_m, axis=-1).mean(-1))


def test_pck_and_auc_by_hand_are_strict():
    truth_m = np.zeros((1, 5, 3))
    prediction_m = truth_m.copy()
    prediction_m[0, 1:, 0] = [0.125, 0.149, 0.1505, 0.3]
    assert m.pck(prediction_m, truth_m) == pytest.approx([3 / 5])
    assert m.pck(prediction_m, truth_m, threshold_mm=125.0) == pytest.approx([1 / 5])
    # 0 mm is under 30 thresholds of 31, 125 under five (130…150), 149 under one
    assert m.auc(prediction_m, truth_m) == pytest.approx([(30 + 5 + 1) / 31 / 5])
    assert len(m.AUC_THRESHOLDS_MM) == 31


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_auc_is_the_mean_of_pck(seed):
    prediction_m, truth_m = poses(seed, noise_m=0.08)
    curve = [m.pck(prediction_m, truth_m, threshold_mm=t, joints=m.JOINTS_14) for t in range(0, 151, 5)]
    np.testing.assert_allclose(m.auc(prediction_m, truth_m, joints=m.JOINTS_14), np.mean(curve, axis=0), atol=1e-12)


@pytest.mark.parametrize("metric", [m.mpjpe_mm, m.p_mpjpe_mm, m.n_mpjpe_mm, m.mpjve_mm, m.pck, m.auc, m.root_error_m])
def test_bad_input_says_what_and_what_to_do(metric):
    prediction_m, truth_m = poses()
    with pytest.raises(ValueError, match="cut both to the same frames"):
        metric(prediction_m[:-1], truth_m)
    with pytest.raises(ValueError, match=r"expected \(…, T, J, 3\)"):
        metric(prediction_m[0], truth_m[0])
    with pytest.raises(ValueError, match="at least one frame"):
        metric(prediction_m[:0], truth_m[:0])
    truth_m[2, 5] = np.nan
    with pytest.raises(ValueError, match="infinity in 1 frames"):
        metric(prediction_m, truth_m)


# ---- motion ----


def test_velocity_and_acceleration_errors_by_hand():
    truth_m = np.zeros((4, 2, 3))
    prediction_m = truth_m.copy()
    prediction_m[:, 1, 0] = [0.0, 0.001, 0.003, 0.006]
    assert m.mpjve_mm(prediction_m, truth_m, joints=(1,)) == pytest.approx([1.0, 2.0, 3.0])
    assert m.mpjve_mm(prediction_m, truth_m) == pytest.approx([0.5, 1.0, 1.5])
    assert m.accel_error_mm_per_frame2(prediction_m, truth_m, joints=(1,)) == pytest.approx([1.0, 1.0])
    assert m.accel_error_mm_per_s2(prediction_m, truth_m, np.arange(4) / 10.0, joints=(1,)) == pytest.approx(
        [100.0] * 2
    )


def test_velocity_error_equals_loops():
    prediction_m, truth_m = poses()
    for t in range(len(truth_m) - 1):
        total = 0.0
        for j in range(17):
            p = (prediction_m[t + 1, j] - prediction_m[t + 1, 0]) - (prediction_m[t, j] - prediction_m[t, 0])
            g = (truth_m[t + 1, j] - truth_m[t + 1, 0]) - (truth_m[t, j] - truth_m[t, 0])
            total += 1000 * np.linalg.norm(p - g) / 17
        assert m.mpjve_mm(prediction_m, truth_m)[t] == pytest.approx(total)


def test_acceleration_over_irregular_stamps_is_exact_for_a_parabola():
    stamps_s = np.array([0.0, 0.03, 0.07, 0.1, 0.2])
    truth_m = np.zeros((5, 3, 3))
    prediction_m = truth_m.copy()
    prediction_m[:, 2, 1] = 0.5 * 9.81 * stamps_s**2
    error = m.accel_error_mm_per_s2(prediction_m, truth_m, stamps_s, joints=(2,))
    assert error == pytest.approx([9810.0] * 3)
    with pytest.raises(ValueError, match="strictly increasing"):
        m.accel_error_mm_per_s2(prediction_m, truth_m, np.zeros(5))
    with pytest.raises(ValueError, match="one stamp per frame"):
        m.accel_error_mm_per_s2(prediction_m, truth_m, stamps_s[:4])


def test_too_short_sequences_are_refused():
    prediction_m, truth_m = poses(shape=(2, 17))
    with pytest.raises(ValueError, match="at least 3 frames, got 2"):
        m.accel_error_mm_per_frame2(prediction_m, truth_m)
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        m.mpjve_mm(prediction_m[:1], truth_m[:1])


def wave(t, seed=3):
    """A smooth, aperiodic motion with a trend at times `t` (frames): (T, 2, 3)."""
    rng = np.random.default_rng(seed)
    rate, phase, size = rng.uniform(0.05, 0.5, (7, 6)), rng.uniform(0, 6.3, (7, 6)), rng.uniform(0.02, 0.2, (7, 6))
    return (0.01 * t[:, None] + (size * np.sin(rate * t[:, None, None] + phase)).sum(axis=1)).reshape(-1, 2, 3)


@pytest.mark.parametrize("lag", [0.0, 1.0, 2.5, -3.25, 7.8, -12.0])
def test_lag_of_a_shifted_signal_is_recovered(lag):
    t = np.arange(300.0)
    assert m.algorithmic_lag_frames(wave(t - lag), wave(t)) == pytest.approx(lag, abs=0.05)
    noisy = wave(t - lag) + np.random.default_rng(0).normal(size=(300, 2, 3)) * 0.01
    assert m.algorithmic_lag_frames(noisy, wave(t)) == pytest.approx(lag, abs=0.3)


def test_lag_peak_agrees_with_pearson_by_scipy():
    t = np.arange(200.0)
    late, early = np.diff(wave(t - 4)[:, 0, 0]), np.diff(wave(t)[:, 0, 0])
    by_scipy = [pearsonr(late[k:], early[: len(early) - k])[0] for k in range(12)]
    assert int(np.argmax(by_scipy)) == round(m.algorithmic_lag_frames(wave(t - 4)[:, 0, 0], wave(t)[:, 0, 0])) == 4


def test_lag_without_an_answer_is_an_error():
    t = np.arange(300.0)
    with pytest.raises(ValueError, match="never changes"):
        m.algorithmic_lag_frames(np.full((300, 3), 0.3), wave(t).reshape(300, 6)[:, :3])
    with pytest.raises(ValueError, match="raise max_lag_frames"):
        m.algorithmic_lag_frames(wave(t - 9), wave(t), max_lag_frames=5)
    with pytest.raises(ValueError, match="at least 64 frames"):
        m.algorithmic_lag_frames(wave(t)[:50], wave(t)[:50])


def test_bone_length_deviation_by_hand():
    joints_m = np.zeros((2, 3, 3))
    joints_m[:, 1, 0] = [0.40, 0.42]
    joints_m[:, 2, 0] = [0.40, 0.42]
    joints_m[:, 2, 1] = 0.3
    assert m.bone_length_std_mm(joints_m, (-1, 0, 1)) == pytest.approx([10.0, 0.0], abs=1e-9)
    assert m.bone_length_std_mm(poses()[1], PARENTS).shape == (16,)
    with pytest.raises(ValueError, match="one per joint"):
        m.bone_length_std_mm(joints_m, PARENTS)


def test_static_jitter_is_the_rms_about_the_mean():
    joints_m = np.zeros((4, 2, 3))
    joints_m[:, 1, 0] = 2.0 + np.array([0.003, -0.003, 0.003, -0.003])
    joints_m[:, 1, 2] = 5.0 + np.array([0.004, 0.004, -0.004, -0.004])
    assert m.static_jitter_rms_mm(joints_m) == pytest.approx([0.0, 5.0])


@pytest.mark.parametrize("frames", [240, 241])
def test_power_above_the_cutoff_counts_only_what_is_above_it(frames):
    t_s = np.arange(frames) / 30.0
    joints_m = np.zeros((frames, 2, 3))
    joints_m[:, 0, 1] = 0.010 * np.sin(2 * np.pi * 9.0 * t_s) + 0.200 * np.sin(2 * np.pi * 1.0 * t_s) + 3.0
    joints_m[:, 1, 0] = 0.200 * np.sin(2 * np.pi * 1.0 * t_s)
    power = m.power_above_mm2(joints_m, 30.0)
    assert power[0] == pytest.approx(50.0, rel=0.02)
    assert power[1] < 0.05
    with pytest.raises(ValueError, match="half the rate"):
        m.power_above_mm2(joints_m, 10.0)


def test_power_of_white_noise_is_its_share_of_the_band():
    joints_m = np.random.default_rng(0).normal(size=(4000, 5, 3)) * 0.010
    assert m.power_above_mm2(joints_m, 30.0) == pytest.approx([300.0 * (15 - 6) / 15] * 5, rel=0.08)


# ---- oracle ----


def test_oracles_by_hand_and_their_order():
    truth_m = np.zeros((1, 3, 3))
    hypotheses_m = np.zeros((2, 1, 3, 3))
    hypotheses_m[0, 0, 1:, 0] = [0.010, 0.050]
    hypotheses_m[1, 0, 1:, 0] = [0.040, 0.002]
    assert m.oracle_best_pose_mpjpe_mm(hypotheses_m, truth_m) == pytest.approx([42.0 / 3])
    assert m.oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m) == pytest.approx([12.0 / 3])
    assert m.oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m, joints=(1,)) == pytest.approx([10.0])


def test_the_best_of_a_clip_is_one_motion():
    truth_m = np.zeros((2, 3, 3))
    hypotheses_m = np.zeros((2, 2, 3, 3))
    hypotheses_m[0, :, 1, 0] = [0.003, 0.060]
    hypotheses_m[1, :, 1, 0] = [0.030, 0.012]
    assert m.oracle_best_clip_mpjpe_mm(hypotheses_m, truth_m) == pytest.approx([10.0, 4.0])
    assert m.oracle_best_pose_mpjpe_mm(hypotheses_m, truth_m) == pytest.approx([1.0, 4.0])


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_oracle_never_loses_to_any_hypothesis(seed):
    rng = np.random.default_rng(seed)
    _, truth_m = poses(seed)
    hypotheses_m = truth_m + rng.normal(size=(4, *truth_m.shape)) * 0.1
    each = np.stack([m.mpjpe_mm(h, truth_m) for h in hypotheses_m])
    pose, joint = (
        m.oracle_best_pose_mpjpe_mm(hypotheses_m, truth_m),
        m.oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m),
    )
    np.testing.assert_allclose(pose, each.min(axis=0))
    assert (joint <= pose + 1e-9).all()
    aligned = np.stack([m.p_mpjpe_mm(h, truth_m) for h in hypotheses_m])
    np.testing.assert_allclose(m.oracle_best_pose_mpjpe_mm(hypotheses_m, truth_m, procrustes=True), aligned.min(axis=0))
    clip = m.oracle_best_clip_mpjpe_mm(hypotheses_m, truth_m, procrustes=True)
    assert clip.mean() == pytest.approx(aligned.mean(axis=-1).min())
    joint = m.oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m, procrustes=True)
    assert (joint <= aligned.min(axis=0) + 1e-9).all()


def test_whatever_looks_at_the_truth_to_choose_is_called_oracle():
    with pytest.raises(ValueError, match="hypotheses come first"):
        m.oracle_best_pose_mpjpe_mm(np.zeros((4, 3, 17, 3)), np.zeros((2, 17, 3)))
    assert [name for name in m.__all__ if "best" in name and not name.startswith("oracle_")] == []


# ---- calibration ----


@given(st.floats(0.001, 0.9999))
def test_radial_quantile_equals_scipys_chi_squared(probability):
    assert m.radial_quantile(probability) == pytest.approx(np.sqrt(chi2.ppf(probability, 3)), rel=1e-7)


def test_radial_quantile_ends_and_known_value():
    assert m.radial_quantile(0.0) == 0.0
    assert m.radial_quantile(1.0) == np.inf
    assert m.radial_quantile(0.9) ** 2 == pytest.approx(6.251388631170325)
    with pytest.raises(ValueError, match="0 to 1"):
        m.radial_quantile(90)


def test_nll_equals_scipys_gaussian():
    errors_m = np.array([[0.01, -0.02, 0.03], [0.0, 0.0, 0.05]])
    sigma_m = np.array([0.02, 0.04])
    expected = [-multivariate_normal(np.zeros(3), s**2).logpdf(e) for e, s in zip(errors_m, sigma_m, strict=True)]
    assert m.gaussian_nll(np.linalg.norm(errors_m, axis=-1), sigma_m) == pytest.approx(expected)


def gaussian(frames=20000, joints=6, factor=1.0, seed=0):
    """Radial errors of true spread `factor` times the claimed sigma, (T, J) metres each."""
    rng = np.random.default_rng(seed)
    sigma_m = rng.uniform(0.005, 0.1, (frames, joints))
    return np.linalg.norm(rng.normal(size=(frames, joints, 3)) * sigma_m[..., None] * factor, axis=-1), sigma_m


def test_an_honest_sigma_is_found_calibrated():
    error_m, sigma_m = gaussian()
    assert m.coverage(error_m, sigma_m) == pytest.approx(0.9, abs=0.005)
    assert m.coverage(error_m, sigma_m, probability=0.5) == pytest.approx(0.5, abs=0.005)
    assert m.expected_calibration_error(error_m, sigma_m) < 0.005
    assert m.expected_calibration_error(error_m, sigma_m, across_joints="mean") < 0.01
    assert m.fit_temperature(error_m, sigma_m) == pytest.approx(1.0, abs=0.01)
    # the mean NLL of an honest sigma is its entropy
    assert m.gaussian_nll(error_m, sigma_m).mean() == pytest.approx(
        np.mean([multivariate_normal(np.zeros(3), s**2).entropy() for s in sigma_m[:300].ravel()]), abs=0.05
    )


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_temperature_repairs_a_wrong_sigma(factor):
    error_m, sigma_m = gaussian(factor=factor)
    assert abs(m.coverage(error_m, sigma_m) - 0.9) > 0.08
    assert m.expected_calibration_error(error_m, sigma_m) > 0.2
    for fit in (m.fit_temperature, m.fit_temperature_to_coverage):
        temperature = fit(error_m, sigma_m)
        assert temperature == pytest.approx(factor, rel=0.01)
        assert m.coverage(error_m, temperature * sigma_m) == pytest.approx(0.9, abs=0.005)
        assert m.expected_calibration_error(error_m, temperature * sigma_m) < 0.006


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_temperature_minimises_the_nll(seed):
    rng = np.random.default_rng(seed)
    error_m, sigma_m = rng.exponential(0.05, (30, 4)), rng.uniform(0.01, 0.1, (30, 4))
    best = m.fit_temperature(error_m, sigma_m)
    at_best = m.gaussian_nll(error_m, best * sigma_m).mean()
    for factor in (0.5, 0.99, 1.01, 2.0):
        assert m.gaussian_nll(error_m, factor * best * sigma_m).mean() > at_best
    fitted = m.fit_temperature_to_coverage(error_m, sigma_m)
    assert m.coverage(error_m, fitted * (1 + 1e-9) * sigma_m) >= 0.9


def test_ece_equals_scipys_probability_transform():
    error_m, sigma_m = gaussian(frames=400, factor=1.4)
    level_of = chi2.cdf((error_m / sigma_m) ** 2, 3)
    curves = np.array([[(level_of[:, j] < q).mean() for j in range(6)] for q in np.arange(21) / 20])
    curves[-1] = 1.0
    diagonal = np.arange(21) / 20
    assert m.expected_calibration_error(error_m, sigma_m) == pytest.approx(
        np.mean(np.abs(np.median(curves, axis=1) - diagonal)), abs=1e-9
    )
    assert m.expected_calibration_error(error_m, sigma_m, across_joints="mean") == pytest.approx(
        np.mean(np.abs(curves - diagonal[:, None])), abs=1e-9
    )


def test_mean_ece_sees_opposite_faults_that_the_median_hides():
    error_m, sigma_m = gaussian(joints=4)
    sigma_m = sigma_m * [0.5, 0.9, 1.1, 2.0]
    assert m.expected_calibration_error(error_m, sigma_m, across_joints="mean") > 0.15
    assert m.expected_calibration_error(error_m, sigma_m) < 0.02
    with pytest.raises(ValueError, match="'median' or 'mean'"):
        m.expected_calibration_error(error_m, sigma_m, across_joints="best")


def test_calibration_refuses_what_it_cannot_judge():
    with pytest.raises(ValueError, match="lengths"):
        m.coverage(np.ones((5, 17, 3)), np.ones((5, 17)))
    with pytest.raises(ValueError, match="above 0"):
        m.gaussian_nll(np.ones(3), np.array([1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="leave the root joint out"):
        m.fit_temperature(np.zeros(3), np.ones(3))


# ---- summary ----


def test_summary_of_one_sequence_equals_the_functions():
    prediction_m, truth_m = poses(shape=(20, 17))
    sigma_m = np.full((20, 17), 0.07)
    summary = m.Summary()
    summary.add(prediction_m, truth_m, sigma_m=sigma_m, group="walk")
    row = summary.result()["overall"]
    error_m = m.joint_errors_mm(prediction_m, truth_m)[:, 1:] / 1000
    expected = {
        "mpjpe_mm": m.mpjpe_mm(prediction_m, truth_m).mean(),
        "p_mpjpe_mm": m.p_mpjpe_mm(prediction_m, truth_m).mean(),
        "n_mpjpe_mm": m.n_mpjpe_mm(prediction_m, truth_m).mean(),
        "mpjve_mm": m.mpjve_mm(prediction_m, truth_m).mean(),
        "accel_error_mm_per_frame2": m.accel_error_mm_per_frame2(prediction_m, truth_m).mean(),
        "root_error_m": m.root_error_m(prediction_m, truth_m).mean(),
        "coverage_90": m.coverage(error_m, sigma_m[:, 1:]),
        "ece": m.expected_calibration_error(error_m, sigma_m[:, 1:]),
        "nll": m.gaussian_nll(error_m, sigma_m[:, 1:]).mean(),
        "pck_150mm": m.pck(prediction_m, truth_m).mean(),
        "auc": m.auc(prediction_m, truth_m).mean(),
        "frames": 20,
    }
    assert tuple(row) == tuple(expected) == m.KEYS
    assert row == pytest.approx(expected)
    assert summary.result()["groups"]["walk"] == row


def test_summary_weighs_by_frames_and_groups_alike():
    truth_m = np.zeros((30, 17, 3))
    near_m, far_m = truth_m.copy(), truth_m.copy()
    near_m[:, 1:, 0], far_m[:, 1:, 0] = 0.017, 0.034
    summary = m.Summary()
    summary.add(near_m, truth_m, group="sit")
    summary.add(far_m[:10], truth_m[:10], group="walk")
    result = summary.result()
    assert result["groups"]["sit"]["mpjpe_mm"] == pytest.approx(16.0)
    assert result["groups"]["walk"]["mpjpe_mm"] == pytest.approx(32.0)
    assert result["overall"]["mpjpe_mm"] == pytest.approx((30 * 16 + 10 * 32) / 40)
    assert result["mean_of_groups"]["mpjpe_mm"] == pytest.approx(24.0)
    assert result["overall"]["frames"] == 40
    assert np.isnan(result["overall"]["nll"])


@given(SEEDS, st.integers(1, 19))
@settings(max_examples=15, deadline=None)
def test_summary_does_not_depend_on_how_frames_are_cut(seed, cut):
    prediction_m, truth_m = poses(seed, (20, 17))
    sigma_m = np.random.default_rng(seed).uniform(0.02, 0.1, (20, 17))
    whole, parts = m.Summary(joints=m.JOINTS_14), m.Summary(joints=m.JOINTS_14)
    whole.add(prediction_m, truth_m, sigma_m=sigma_m)
    for part in (slice(cut, None), slice(None, cut)):
        parts.add(prediction_m[part], truth_m[part], sigma_m=sigma_m[part])
    one, two = whole.result()["overall"], parts.result()["overall"]
    for key in set(m.KEYS) - {"mpjve_mm", "accel_error_mm_per_frame2"}:
        assert one[key] == pytest.approx(two[key]), key


def test_masked_and_unknown_frames_are_left_out_and_counted():
    prediction_m, truth_m = poses(shape=(10, 17))
    valid = np.ones(10, bool)
    valid[:2] = False
    broken_m, missing_m = truth_m.copy(), prediction_m.copy()
    broken_m[6, 4] = np.nan
    missing_m[0] = np.nan  # masked, so nobody asks
    summary, by_hand = m.Summary(), m.Summary()
    summary.add(missing_m, broken_m, valid=valid)
    by_hand.add(prediction_m[2:6], truth_m[2:6])
    by_hand.add(prediction_m[7:], truth_m[7:])
    assert summary.result()["overall"] == pytest.approx(by_hand.result()["overall"], nan_ok=True)
    assert summary.excluded == {"masked": 2, "truth not finite": 1}
    # a joint that nobody evaluates may be missing
    subset = m.Summary(joints=(1, 2, 3))
    subset.add(prediction_m, broken_m)
    assert subset.result()["overall"]["frames"] == 10


def test_a_method_may_not_choose_its_frames():
    prediction_m, truth_m = poses()
    prediction_m[3, 2] = np.nan
    summary = m.Summary()
    with pytest.raises(ValueError, match="in 1 of 6"):
        summary.add(prediction_m, truth_m)
    with pytest.raises(ValueError, match="no frame was scored"):
        summary.result()


def test_short_sequences_and_empty_groups_give_nan_not_zero():
    prediction_m, truth_m = poses()
    summary = m.Summary()
    summary.add(prediction_m[:2], truth_m[:2], group="short", metric=False)
    summary.add(prediction_m, truth_m, group="empty", valid=np.zeros(6, bool), metric=False)
    result = summary.result()
    assert result["groups"]["short"]["mpjve_mm"] > 0
    assert np.isnan(result["groups"]["short"]["accel_error_mm_per_frame2"])
    assert np.isnan(result["overall"]["root_error_m"])
    assert result["groups"]["empty"]["frames"] == 0
    assert np.isnan(result["groups"]["empty"]["mpjpe_mm"])
    assert result["mean_of_groups"]["mpjpe_mm"] == result["groups"]["short"]["mpjpe_mm"]


def test_summary_refuses_mixtures_and_wrong_shapes():
    prediction_m, truth_m = poses()
    summary = m.Summary()
    summary.add(prediction_m, truth_m)
    with pytest.raises(ValueError, match="one Summary for each kind"):
        summary.add(prediction_m, truth_m, sigma_m=np.ones((6, 17)))
    with pytest.raises(ValueError, match="one Summary for each kind"):
        summary.add(prediction_m, truth_m, metric=False)
    with pytest.raises(ValueError, match="same frames"):
        summary.add(prediction_m[:4], truth_m)
    with pytest.raises(ValueError, match="bool"):
        summary.add(prediction_m, truth_m, valid=np.ones(6))
    with pytest.raises(TypeError, match="string"):
        summary.add(prediction_m, truth_m, group=None)
    with pytest.raises(ValueError, match="sigma_m: expected"):
        m.Summary().add(prediction_m, truth_m, sigma_m=np.ones((6, 16)))
    with pytest.raises(ValueError, match="besides the root"):
        m.Summary(joints=(0,))
    assert summary.result()["overall"]["frames"] == 6


def test_metrics_import_neither_torch_nor_scipy():
    modules = "dp3d_core.evaluation.metrics, dp3d_core.evaluation.filters"
    code = f"import sys, {modules}; print(*{{'torch', 'scipy', 'cv2'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
