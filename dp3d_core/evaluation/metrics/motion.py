"""How a sequence moves: velocity and acceleration errors, lag, jitter and bone lengths over time.

Frames are taken as consecutive: a gap must be cut out by the caller. Knows nothing of cameras, models or files.
"""
# … leading axes, T frames, J joints, C channels, B bones

import numpy as np

from dp3d_core.evaluation.metrics.pose import MM_PER_M, centred, checked_joints, checked_pair, chosen, mean_norm_mm


def _needs_frames(joints_m, least, what):
    if joints_m.shape[-3] < least:
        raise ValueError(
            f"{what}: expected at least {least} frames, got {joints_m.shape[-3]}; leave shorter sequences out"
        )


def checked_stamps(stamps_s, frames, name="stamps_s"):
    """`stamps_s` as float64 (T,), or ValueError unless there is one finite, increasing stamp per frame."""
    stamps_s = np.asarray(stamps_s, dtype=np.float64)
    if stamps_s.shape != (frames,):
        raise ValueError(f"{name}: expected one stamp per frame, ({frames},), got {stamps_s.shape}")
    if not np.isfinite(stamps_s).all() or not (np.diff(stamps_s) > 0).all():
        raise ValueError(
            f"{name}: expected finite, strictly increasing seconds; sort the frames and drop repeated stamps"
        )
    return stamps_s


def _pair(prediction_m, truth_m, joints, root):
    prediction_m, truth_m = checked_pair(prediction_m, truth_m)
    return chosen(centred(prediction_m, root), joints), chosen(centred(truth_m, root), joints)


def mpjve_mm(prediction_m, truth_m, *, joints=None, root=0):
    """Mean per-joint velocity error ‖Δŷ − Δy‖, (…, T−1) mm per frame (Pavllo et al. 2019); root-relative by default."""
    prediction_m, truth_m = _pair(prediction_m, truth_m, joints, root)
    _needs_frames(truth_m, 2, "mpjve_mm")
    return mean_norm_mm(np.diff(prediction_m - truth_m, axis=-3))


def accel_error_mm_per_frame2(prediction_m, truth_m, *, joints=None, root=0):
    """Mean per-joint error of the second difference, (…, T−2) mm per frame² (Kanazawa et al. 2019)."""
    prediction_m, truth_m = _pair(prediction_m, truth_m, joints, root)
    _needs_frames(truth_m, 3, "accel_error_mm_per_frame2")
    return mean_norm_mm(np.diff(prediction_m - truth_m, n=2, axis=-3))


def accel_error_mm_per_s2(prediction_m, truth_m, stamps_s, *, joints=None, root=0):
    """Mean per-joint acceleration error by divided differences over real stamps (T,), (…, T−2) mm/s²."""
    prediction_m, truth_m = _pair(prediction_m, truth_m, joints, root)
    _needs_frames(truth_m, 3, "accel_error_mm_per_s2")
    stamps_s = checked_stamps(stamps_s, truth_m.shape[-3])
    step_s = np.diff(stamps_s)[:, None, None]
    velocity = np.diff(prediction_m - truth_m, axis=-3) / step_s
    return mean_norm_mm(2.0 * np.diff(velocity, axis=-3) / (step_s[1:] + step_s[:-1]))


def algorithmic_lag_frames(signal, reference, *, max_lag_frames=30):
    """Frames by which `signal` comes after `reference`, both (T, …); negative where it comes before.

    The peak of the normalised cross-correlation of the velocities, all channels pooled, refined by a parabola through
    the peak and its neighbours. Velocities, because positions with a trend correlate at every lag. ValueError where
    nothing moves, and where the peak lies at the edge of the search.
    """
    signal, reference = np.asarray(signal, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if signal.shape != reference.shape or signal.ndim < 1:
        raise ValueError(f"signal: expected the reference's shape {reference.shape}, got {signal.shape}")
    frames = len(signal)
    if frames < 2 * max_lag_frames + 4:
        raise ValueError(
            f"signal: expected at least {2 * max_lag_frames + 4} frames, got {frames}; lower max_lag_frames"
        )
    if not (np.isfinite(signal).all() and np.isfinite(reference).all()):
        raise ValueError("signal, reference: expected finite values; cut the sequence at missing frames")
    late = np.diff(signal.reshape(frames, -1), axis=0)
    early = np.diff(reference.reshape(frames, -1), axis=0)
    for name, velocity in (("signal", late), ("reference", early)):
        # differences of equal numbers leave rounding, not zero
        if (velocity - velocity.mean(axis=0)).std() < 1e-12:
            raise ValueError(
                f"{name}: its velocity never changes, so there is no lag to measure; use a sequence with motion"
            )
    lags = np.arange(-max_lag_frames, max_lag_frames + 1)
    correlation = np.array([_correlation(late, early, int(lag)) for lag in lags])
    best = int(correlation.argmax())
    if best in (0, len(lags) - 1):
        raise ValueError(f"signal: no correlation peak within ±{max_lag_frames} frames; raise max_lag_frames")
    before, peak, after = correlation[best - 1 : best + 2]
    curvature = before - 2.0 * peak + after
    return float(lags[best] + (0.5 * (before - after) / curvature if curvature < 0 else 0.0))


def _correlation(late, early, lag):
    """Pearson's correlation of late[t + lag] with early[t] over their overlap, (T, C) each."""
    size = len(late) - abs(lag)
    late = late[max(lag, 0) :][:size]
    early = early[max(-lag, 0) :][:size]
    late, early = late - late.mean(axis=0), early - early.mean(axis=0)
    energy = np.sqrt((late**2).sum() * (early**2).sum())
    return (late * early).sum() / energy if energy > 0 else 0.0


def bone_length_std_mm(joints_m, parents):
    """Standard deviation over time of each bone's length, (…, T, J, 3) metres to (…, B) mm, B in joint order, no root.

    `parents` (J,) holds each joint's parent index, negative for the root.
    """
    joints_m = checked_joints("joints_m", joints_m)
    parents = np.asarray(parents)
    if parents.shape != joints_m.shape[-2:-1]:
        raise ValueError(f"parents: expected one per joint, ({joints_m.shape[-2]},), got {parents.shape}")
    child = np.flatnonzero(parents >= 0)
    lengths_m = np.linalg.norm(joints_m[..., child, :] - joints_m[..., parents[child], :], axis=-1)
    return lengths_m.std(axis=-2) * MM_PER_M


def static_jitter_rms_mm(joints_m):
    """Root mean square distance of each joint from its mean place, (…, T, J, 3) metres to (…, J) mm.

    Of a subject who stands still this is jitter; of one who moves it is motion, so pass `prediction − truth` there.
    """
    joints_m = checked_joints("joints_m", joints_m)
    _needs_frames(joints_m, 2, "static_jitter_rms_mm")
    return np.sqrt(joints_m.var(axis=-3).sum(axis=-1)) * MM_PER_M


def power_above_mm2(joints_m, rate_hz, *, cutoff_hz=6.0):
    """Variance of each joint above `cutoff_hz`, x, y and z summed: (…, T, J, 3) metres at `rate_hz` to (…, J) mm².

    Hann-windowed periodogram scaled so that white noise gives its variance and a sine half its squared amplitude. Human
    motion has almost nothing above 6 Hz (Winter 2009), so what is left is jitter.
    """
    joints_m = checked_joints("joints_m", joints_m)
    _needs_frames(joints_m, 8, "power_above_mm2")
    if not 0 < cutoff_hz < rate_hz / 2:
        raise ValueError(f"cutoff_hz: expected between 0 and half the rate {rate_hz} Hz, got {cutoff_hz}")
    frames = joints_m.shape[-3]
    window = np.hanning(frames + 2)[1:-1]
    moving_mm = (joints_m - joints_m.mean(axis=-3, keepdims=True)) * MM_PER_M
    spectrum = np.abs(np.fft.rfft(moving_mm * window[:, None, None], axis=-3)) ** 2
    sides = np.full(len(window) // 2 + 1, 2.0)
    sides[0] = 1.0
    if frames % 2 == 0:
        sides[-1] = 1.0
    kept = sides * (np.fft.rfftfreq(frames, 1.0 / rate_hz) > cutoff_hz)
    power = (spectrum * kept[:, None, None]).sum(axis=-3) / (frames * (window**2).sum())
    return power.sum(axis=-1)
