"""Where people stand, over time: a constant-velocity filter on each person's root that a turning camera does not fool.

The state lies in the camera's optical frame. Where the camera's own motion is known, the state is moved by it first, so
that the filter sees the world at rest. Where it is not known, what looks like walking sideways may be turning: range
and bearing are then predicted apart, and the bearing may change fast. Covariances are of the
viewing direction (depth is measured badly) and across it (measured well), each a variance of place, a covariance and a
variance of speed. Knows nothing of networks, floors or body sizes.
"""
# P people

from typing import NamedTuple

import numpy as np

from dp3d_core.geometry.rows import Rows

DETECTOR_SIGMA_M = 0.02
"""How far a detected joint is from the joint centre at the person, metres (recipes/detector_noise.md)."""
ACCELERATION_M_S2 = 2.0
"""Standard deviation of a walking person's root acceleration: the process noise of the filter."""
TURNING_M_S2 = 12.0
"""The same across the viewing direction where the camera's motion is not known: it may be the camera that turns."""
ERROR_TIME_S = 0.6
"""Pose and detector errors last this long; a frame is therefore worth less than an independent measurement."""
FIRST_SPEED_M_S = 1.5
"""Standard deviation of a new person's speed."""
MIN_RANGE_M, MAX_RANGE_M = 0.3, 100.0
COAST_S = 5.0
"""Without a measurement, speed moves a person for no longer: the most that `predict_for_s` may ask for."""


class Belief(NamedTuple):
    """Where P people are believed to stand."""

    root_m: np.ndarray
    """(P, 3)."""
    radial: np.ndarray
    """(P,) variance along the viewing ray, without that of the body's size, ..."""
    lateral: np.ndarray
    """... and across it."""


class RootFilters(Rows):
    """The filters of many people, one row each."""

    def __init__(self, people: int):
        super().__init__(people, root_m=(3,), velocity_m_s=(3,), lateral=(3,), radial=(3,), coasted_s=(), started=())

    def move_camera(self, rows, turn: np.ndarray, shift_m: np.ndarray) -> None:
        """Let the camera move: p -> turn @ p + shift_m for turn (3, 3) or (P, 3, 3) and shift_m (3,) or (P, 3)."""
        self.root_m[rows] = _turned(turn, self.root_m[rows]) + shift_m
        self.velocity_m_s[rows] = _turned(turn, self.velocity_m_s[rows])

    def scale(self, rows, factor: np.ndarray) -> None:
        """Make everything farther by factor (P,): the body turned out to be that much larger."""
        self.root_m[rows] *= factor[:, None]

    def predict(self, rows, dt_s: np.ndarray, motion_known: np.ndarray) -> None:
        """Let dt_s (P,) seconds pass; motion_known (P,) bool: whether `move_camera` has said how the camera moved."""
        root, velocity, coasted_s = self.root_m[rows], self.velocity_m_s[rows], self.coasted_s[rows]
        moving_s = np.minimum(np.maximum(COAST_S - coasted_s, 0), dt_s)[:, None]
        ahead = root + moving_s * velocity
        if not motion_known.all():
            polar_root, polar_velocity = _along_the_circle(root, velocity, ahead, moving_s)
            known = motion_known[:, None]
            ahead, velocity = np.where(known, ahead, polar_root), np.where(known, velocity, polar_velocity)
            self.velocity_m_s[rows] = velocity
        self.root_m[rows] = ahead
        self.coasted_s[rows] = coasted_s + dt_s
        across_m_s2 = np.where(motion_known, ACCELERATION_M_S2, TURNING_M_S2)
        self.lateral[rows] = _later(self.lateral[rows], dt_s, across_m_s2)
        self.radial[rows] = _later(self.radial[rows], dt_s, ACCELERATION_M_S2)

    def correct(self, rows, measured_m, range_variance, dt_s, usable) -> None:
        """Blend in measured roots (P, 3) with the variance of their range (P,), where usable (P,) bool.

        dt_s (P,) is the time since each one's last frame.
        """
        began = self.started[rows] > 0
        if not (usable & began).all():
            self._start(rows, measured_m, range_variance, dt_s, usable & ~began)
            if not began.any():
                return
        taken = usable & began
        root = self.root_m[rows]
        distance = np.sqrt((measured_m * measured_m).sum(1)) + 1e-9
        direction = measured_m / distance[:, None]
        off = measured_m - root
        off_radial = (off * direction).sum(1)[:, None] * direction
        off_lateral = off - off_radial
        # correlated errors: inflate so that one ERROR_TIME_S of frames counts as one measurement
        along = range_variance * (1 + ERROR_TIME_S / np.maximum(dt_s, 1e-3))
        lateral = self.lateral[rows]
        across = (DETECTOR_SIGMA_M / 2) ** 2
        new_radial, place_r, speed_r = _corrected(self.radial[rows], along)
        new_lateral, place_l, speed_l = _corrected(lateral, across)
        weight = taken[:, None] * 1.0
        self.root_m[rows] = root + weight * (place_r * off_radial + place_l * off_lateral)
        self.velocity_m_s[rows] += weight * (speed_r * off_radial + speed_l * off_lateral)
        if taken.all():
            self.radial[rows], self.lateral[rows], self.coasted_s[rows] = new_radial, new_lateral, 0
            return
        self.radial[rows] = np.where(taken[:, None], new_radial, self.radial[rows])
        self.lateral[rows] = np.where(taken[:, None], new_lateral, self.lateral[rows])
        self.coasted_s[rows] = np.where(taken, 0, self.coasted_s[rows])

    def _start(self, rows, measured_m, range_variance, dt_s, new):
        """Begin where the first measurement is. new (P,) bool."""
        if not new.any():
            return
        first = new[:, None]
        along = range_variance * (1 + ERROR_TIME_S / np.maximum(dt_s, 1e-3))
        triple = np.zeros((len(new), 3))
        triple[:, 0], triple[:, 2] = along, FIRST_SPEED_M_S**2
        self.radial[rows] = np.where(first, triple, self.radial[rows])
        triple = np.array([[(DETECTOR_SIGMA_M / 2) ** 2, 0.0, FIRST_SPEED_M_S**2]])
        self.lateral[rows] = np.where(first, triple, self.lateral[rows])
        self.root_m[rows] = np.where(first, measured_m, self.root_m[rows])
        self.velocity_m_s[rows] = np.where(first, 0.0, self.velocity_m_s[rows])
        self.coasted_s[rows] = np.where(new, 0.0, self.coasted_s[rows])
        self.started[rows] = np.where(new, 1.0, self.started[rows])

    def belief(self, rows) -> Belief:
        """What the filters believe now; a person who has not started is believed anywhere."""
        unknown = np.where(self.started[rows] > 0, 0, 1e6)
        return Belief(self.root_m[rows].copy(), self.radial[rows][:, 0] + unknown, self.lateral[rows][:, 0] + unknown)

    def range_sigma_m(self, rows) -> np.ndarray:
        """(P,) standard deviation along the viewing ray from the filter alone, without that of the body's size."""
        return np.sqrt(np.maximum(self.radial[rows][:, 0], 0))


def _turned(turn, vectors):
    """turn (3, 3) or (P, 3, 3) times vectors (P, 3)."""
    return vectors @ turn.T if turn.ndim == 2 else (turn @ vectors[..., None])[..., 0]


def _along_the_circle(root, velocity, ahead, moving_s):
    """Root and velocity after moving_s (P, 1) seconds where range and bearing change at constant rates."""
    distance = np.sqrt((root * root).sum(1, keepdims=True)) + 1e-9
    outward = root / distance
    speed = (velocity * outward).sum(1, keepdims=True)
    around = velocity - speed * outward
    ahead = ahead - moving_s * speed * outward
    new_outward = ahead / (np.sqrt((ahead * ahead).sum(1, keepdims=True)) + 1e-9)
    range_m = np.minimum(np.maximum(distance + moving_s * speed, MIN_RANGE_M), MAX_RANGE_M)
    new_around = around - (around * new_outward).sum(1, keepdims=True) * new_outward
    length = np.sqrt((around * around).sum(1, keepdims=True))
    new_around *= length / (np.sqrt((new_around * new_around).sum(1, keepdims=True)) + 1e-9)
    return range_m * new_outward, speed * new_outward + new_around


def _later(covariance, dt_s, acceleration_m_s2):
    """(P, 3) variance of place, covariance, variance of speed after dt_s (P,) seconds of acceleration noise."""
    a, b, c = covariance.T
    noise = (acceleration_m_s2 * dt_s) ** 2
    out = np.empty_like(covariance)
    out[:, 0] = a + dt_s * (2 * b + dt_s * (c + noise / 4))
    out[:, 1] = b + dt_s * (c + noise / 2)
    out[:, 2] = c + noise
    return out


def _corrected(covariance, variance):
    """The covariance (P, 3) after a measurement of `variance` (P,), and the gains (P, 1) of place and speed."""
    a, b, c = covariance.T
    total = a + variance + 1e-12
    place, speed = a / total, b / total
    out = np.empty_like(covariance)
    out[:, 0], out[:, 1], out[:, 2] = a * (1 - place), b * (1 - place), c - speed * b
    return out, place[:, None], speed[:, None]
