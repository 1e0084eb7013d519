"""What a smoother on raw joint trajectories can do without learning: the baselines beside which smoothness is reported.

`OneEuro` is causal: `step(stamp_s, x)` per frame, `reset()` between tracks, `filter_sequence` for a
whole sequence. `savitzky_golay` looks ahead by half its window. Any array of metres will do for x, and time comes in as
real stamps; a stamp of 0 is a stamp like any other. Missing values are refused: fill or cut them first.
"""
# T frames, J joints

from math import pi

import numpy as np


class OneEuro:
    """The 1€ filter: a low pass whose cutoff rises with speed (Casiez, Roussel and Vogel 2012, algorithm 1).

    Each coordinate has its own cutoff, `min_cutoff_hz + beta_hz_per_m_s · |speed|`. Lower `min_cutoff_hz` against
    jitter at rest, raise `beta_hz_per_m_s` against lag in motion. The defaults come within 4 % of the best MPJPE of a
    coarse grid on motion capture (30 Hz, 15 and 30 mm of white noise); a detector's noise is not white: sweep them.
    """

    def __init__(self, *, min_cutoff_hz=1.0, beta_hz_per_m_s=5.0, derivative_cutoff_hz=1.0):
        if not (min_cutoff_hz > 0 and derivative_cutoff_hz > 0 and beta_hz_per_m_s >= 0):
            raise ValueError(
                "OneEuro: expected min_cutoff_hz > 0, beta_hz_per_m_s >= 0, derivative_cutoff_hz > 0, got "
                f"{min_cutoff_hz}, {beta_hz_per_m_s}, {derivative_cutoff_hz}"
            )
        self.min_cutoff_hz = min_cutoff_hz
        self.beta_hz_per_m_s = beta_hz_per_m_s
        self.derivative_cutoff_hz = derivative_cutoff_hz
        self.reset()

    def reset(self):
        """Forget everything; the next step is a first step."""
        self._stamp_s = 0.0
        self._state = None

    def step(self, stamp_s, x):
        """The filtered value at `stamp_s` (seconds, increasing), float64 of x's shape; the first is x itself."""
        x = np.array(x, dtype=np.float64)
        if not np.isfinite(x).all():
            raise ValueError("x: expected finite values, got NaN or infinity; skip the frame, or fill it first")
        if not np.isfinite(stamp_s):
            raise ValueError(f"stamp_s: expected finite seconds, got {stamp_s}")
        if self._state is None:
            state = x, np.zeros_like(x)
        else:
            step_s = float(stamp_s) - self._stamp_s
            if step_s <= 0:
                raise ValueError(
                    f"stamp_s: expected more than the last, {self._stamp_s}, got {stamp_s}; reset() to go back"
                )
            if x.shape != self._state[0].shape:
                raise ValueError(
                    f"x: expected shape {self._state[0].shape} as before, got {x.shape}; reset() to change it"
                )
            state = self._advance(self._state, step_s, x)
        self._stamp_s, self._state = float(stamp_s), state
        return state[0].copy()

    def _advance(self, state, step_s, x):
        """The state (filtered value, speed) after `x`, `step_s` seconds after the last value."""
        previous, speed = state
        # against the last filtered value, as the paper has it; some published codes take the last raw one
        speed = speed + _gain(self.derivative_cutoff_hz, step_s) * ((x - previous) / step_s - speed)
        gain = _gain(self.min_cutoff_hz + self.beta_hz_per_m_s * np.abs(speed), step_s)
        return previous + gain * (x - previous), speed


def _gain(cutoff_hz, step_s):
    """Smoothing factor α = 1 / (1 + τ/Te) with τ = 1/(2π fc), eq. (5)–(6) of the 1€ paper."""
    return 1.0 / (1.0 + 1.0 / (2.0 * pi * cutoff_hz * step_s))


def filter_sequence(causal, stamps_s, joints_m):
    """Run a causal filter over a whole sequence from a fresh start, (T,) and (T, …) to (T, …); leaves it reset."""
    stamps_s, joints_m = np.asarray(stamps_s, dtype=np.float64), np.asarray(joints_m, dtype=np.float64)
    if joints_m.ndim < 1 or stamps_s.shape != joints_m.shape[:1] or len(stamps_s) == 0:
        raise ValueError(f"stamps_s: expected one per frame of {joints_m.shape}, at least one, got {stamps_s.shape}")
    causal.reset()
    try:
        return np.stack([causal.step(stamp_s, x) for stamp_s, x in zip(stamps_s, joints_m, strict=True)])
    finally:
        causal.reset()


def savitzky_golay(stamps_s, joints_m, *, window_frames=9, order=2, spacing_tolerance=0.05):
    """Least-squares polynomial smoothing (Savitzky and Golay 1964), stamps (T,) and (T, …) to (T, …).

    Offline: each frame uses (window_frames − 1)/2 frames of the future. Needs even spacing: ValueError where a step
    differs from the median by more than `spacing_tolerance` of it (0.05 lets stamps in whole milliseconds pass at
    30 Hz); resample such a sequence first. Needs scipy.
    """
    from scipy.signal import savgol_filter

    stamps_s, joints_m = np.asarray(stamps_s, dtype=np.float64), np.asarray(joints_m, dtype=np.float64)
    if joints_m.ndim < 1 or stamps_s.shape != joints_m.shape[:1]:
        raise ValueError(f"stamps_s: expected one per frame of {joints_m.shape}, got {stamps_s.shape}")
    if window_frames % 2 == 0 or not 0 <= order < window_frames <= len(stamps_s):
        raise ValueError(
            f"window_frames: expected odd, above the order {order} and at most the sequence's {len(stamps_s)} frames, "
            f"got {window_frames}"
        )
    if not (np.isfinite(joints_m).all() and np.isfinite(stamps_s).all()):
        raise ValueError(
            "joints_m, stamps_s: expected finite values, got NaN or infinity; fill or cut those frames first"
        )
    if len(stamps_s) > 1:
        steps_s = np.diff(stamps_s)
        middle_s = float(np.median(steps_s))
        if middle_s <= 0 or np.abs(steps_s - middle_s).max() > spacing_tolerance * middle_s:
            raise ValueError(
                f"stamps_s: expected even steps near {middle_s:.4g} s, got {steps_s.min():.4g} to "
                f"{steps_s.max():.4g} s; resample to even stamps (np.interp) first"
            )
    return savgol_filter(joints_m, window_frames, order, axis=0, mode="interp")
