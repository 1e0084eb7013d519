"""The baselines: what they smooth, what they remember, and that time zero is a time."""
# T frames, J joints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from dp3d_core.evaluation.filters import OneEuro, filter_sequence, savitzky_golay
from dp3d_core.evaluation.metrics import algorithmic_lag_frames, static_jitter_rms_mm


def noisy(frames=60, seed=0, start_s=0.0):
    rng = np.random.default_rng(seed)
    stamps_s = start_s + np.concatenate([[0.0], np.cumsum(rng.uniform(0.01, 0.08, frames - 1))])
    slow = np.sin(2 * np.pi * 0.7 * stamps_s)[:, None, None] * np.linspace(0, 0.3, 17)[:, None]
    return stamps_s, slow + rng.normal(size=(frames, 17, 3)) * 0.01


def one_euro_by_the_paper(stamps_s, values, min_cutoff, beta, d_cutoff):
    """Algorithm 1 of Casiez et al. (2012), scalar, one coordinate at a time."""
    out, previous, speed, last = [], None, 0.0, None
    for stamp, value in zip(stamps_s, values, strict=True):
        if previous is None:
            filtered = value
        else:
            rate = 1.0 / (stamp - last)
            slope = (value - previous) * rate
            a = 1.0 / (1.0 + (1.0 / (2 * np.pi * d_cutoff)) * rate)
            speed = a * slope + (1 - a) * speed
            cutoff = min_cutoff + beta * abs(speed)
            a = 1.0 / (1.0 + (1.0 / (2 * np.pi * cutoff)) * rate)
            filtered = a * value + (1 - a) * previous
        out.append(filtered)
        previous, last = filtered, stamp
    return np.array(out)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5.0), st.floats(0.0, 20.0))
@settings(max_examples=15, deadline=None)
def test_one_euro_equals_the_paper_on_irregular_stamps(seed, min_cutoff, beta):
    stamps_s, joints_m = noisy(20, seed)
    causal = OneEuro(min_cutoff_hz=min_cutoff, beta_hz_per_m_s=beta, derivative_cutoff_hz=0.8)
    got = filter_sequence(causal, stamps_s, joints_m)
    for joint, axis in ((0, 0), (5, 1), (16, 2)):
        expected = one_euro_by_the_paper(stamps_s, joints_m[:, joint, axis], min_cutoff, beta, 0.8)
        np.testing.assert_allclose(got[:, joint, axis], expected, atol=1e-12)


def test_one_euro_by_hand():
    causal = OneEuro(min_cutoff_hz=1 / (2 * np.pi), beta_hz_per_m_s=0.0)
    assert causal.step(0.0, 0.0) == 0.0
    # τ = 1 s and Te = 1 s: half way
    assert causal.step(1.0, 1.0) == pytest.approx(0.5)
    assert causal.step(2.0, 1.0) == pytest.approx(0.75)


def test_reset_equals_fresh():
    stamps_s, joints_m = noisy()
    used = OneEuro()
    for stamp_s, x in zip(*noisy(seed=7, start_s=100.0), strict=True):
        used.step(stamp_s, x * 5)
    used.reset()
    fresh = OneEuro()
    for stamp_s, x in zip(stamps_s, joints_m, strict=True):
        np.testing.assert_array_equal(used.step(stamp_s, x), fresh.step(stamp_s, x))


def test_the_stamp_zero_is_used():
    stamps_s, joints_m = noisy()
    assert stamps_s[0] == 0.0
    from_zero = filter_sequence(OneEuro(), stamps_s, joints_m)
    later = filter_sequence(OneEuro(), stamps_s + 8.0, joints_m)
    np.testing.assert_allclose(from_zero, later, atol=1e-12)
    # also where it comes in the middle
    np.testing.assert_allclose(filter_sequence(OneEuro(), stamps_s - stamps_s[3], joints_m), later, atol=1e-12)


def test_steps_equal_the_whole_sequence_and_share_no_memory():
    stamps_s, joints_m = noisy()
    whole = filter_sequence(OneEuro(), stamps_s, joints_m)
    causal = OneEuro()
    for t, stamp_s in enumerate(stamps_s):
        x = joints_m[t].copy()
        out = causal.step(stamp_s, x)
        np.testing.assert_array_equal(out, whole[t])
        x[:] = 99.0
        out[:] = 99.0


def test_the_present_does_not_depend_on_the_future():
    stamps_s, joints_m = noisy()
    changed_m = joints_m.copy()
    changed_m[30:] += 1.0
    one, two = (filter_sequence(OneEuro(), stamps_s, x) for x in (joints_m, changed_m))
    np.testing.assert_array_equal(one[:30], two[:30])
    assert np.abs(one[30:] - two[30:]).max() > 0.1


def test_still_input_stays_and_jitter_shrinks():
    stamps_s = np.arange(200) / 30.0
    np.testing.assert_array_equal(filter_sequence(OneEuro(), stamps_s, np.full((200, 17, 3), 1.25)), 1.25)
    jitter_m = np.random.default_rng(0).normal(size=(200, 17, 3)) * 0.003
    smooth_m = filter_sequence(OneEuro(), stamps_s, jitter_m)
    assert static_jitter_rms_mm(smooth_m[60:]).max() < 0.7 * static_jitter_rms_mm(jitter_m[60:]).min()


def test_beta_trades_smoothness_for_lag():
    t = np.arange(400)
    # two tones, for one alone would match itself a period later
    truth = (0.3 * np.sin(2 * np.pi * 0.8 * t / 30) + 0.2 * np.sin(2 * np.pi * 0.31 * t / 30))[:, None]
    slow, fast = (
        algorithmic_lag_frames(filter_sequence(OneEuro(beta_hz_per_m_s=beta), t / 30, truth), truth)
        for beta in (0.0, 20.0)
    )
    assert slow > 2.0 > 1.0 > fast > 0.0


def test_bad_steps_are_refused_and_change_nothing():
    causal, twin = OneEuro(), OneEuro()
    for each in (causal, twin):
        each.step(0.0, np.zeros((17, 3)))
    with pytest.raises(ValueError, match="reset"):
        causal.step(0.0, np.ones((17, 3)))
    with pytest.raises(ValueError, match="reset"):
        causal.step(-0.1, np.ones((17, 3)))
    with pytest.raises(ValueError, match="fill it first"):
        causal.step(0.1, np.full((17, 3), np.nan))
    with pytest.raises(ValueError, match="shape"):
        causal.step(0.1, np.ones((18, 3)))
    with pytest.raises(ValueError, match="finite seconds"):
        causal.step(np.nan, np.ones((17, 3)))
    np.testing.assert_array_equal(causal.step(0.1, np.ones((17, 3))), twin.step(0.1, np.ones((17, 3))))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="min_cutoff_hz > 0"):
        OneEuro(min_cutoff_hz=0.0)
    with pytest.raises(ValueError, match="one per frame"):
        filter_sequence(OneEuro(), np.arange(3.0), np.zeros((4, 17, 3)))


def test_savitzky_golay_keeps_polynomials_of_its_order():
    t_s = np.arange(40) / 30.0
    joints_m = np.stack([t_s, 1 + t_s**2, 3 - t_s], axis=-1)[:, None]
    np.testing.assert_allclose(savitzky_golay(t_s, joints_m, window_frames=9, order=2), joints_m, atol=1e-10)


def test_savitzky_golay_equals_local_least_squares():
    rng = np.random.default_rng(0)
    joints_m = rng.normal(size=(30, 2, 3))
    got = savitzky_golay(np.arange(30) / 30.0, joints_m, window_frames=7, order=2)
    for t in range(3, 27):
        fit = np.polyfit(np.arange(-3, 4), joints_m[t - 3 : t + 4, 1, 2], 2)
        assert got[t, 1, 2] == pytest.approx(np.polyval(fit, 0.0))
    np.testing.assert_array_equal(got, savgol_filter(joints_m, 7, 2, axis=0))


def test_savitzky_golay_needs_even_stamps():
    joints_m = np.zeros((30, 17, 3))
    savitzky_golay(np.round(np.arange(30) / 30.0, 3), joints_m)
    stamps_s = np.arange(30) / 30.0
    stamps_s[10:] += 1 / 30.0
    with pytest.raises(ValueError, match="resample to even stamps"):
        savitzky_golay(stamps_s, joints_m)
    with pytest.raises(ValueError, match="resample to even stamps"):
        savitzky_golay(np.zeros(30), joints_m)
    with pytest.raises(ValueError, match="window_frames"):
        savitzky_golay(np.arange(5.0), joints_m[:5])
    with pytest.raises(ValueError, match="window_frames"):
        savitzky_golay(np.arange(30.0), joints_m, window_frames=8)
    with pytest.raises(ValueError, match="fill or cut"):
        savitzky_golay(np.arange(30.0), joints_m * np.nan)
