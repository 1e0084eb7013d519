"""How large each person is, and where the floor is: what standing feet, a known camera height and a prior say together.

The network answers with a body of ordinary size; a person's log size is the logarithm of how much larger the true body
is. Everything scales about the camera with it, so a foot that stands on a floor at a known depth below the camera
gives the size: log size = log(depth of the floor below the camera / depth of the foot in the network's metres). With a
floor that nobody knows, the feet of several people give its depth, each person as sure as the prior on body size.
"""
# P people

from typing import NamedTuple

import numpy as np

from dp3d_core.geometry.contact import ANKLE_HEIGHT_M
from dp3d_core.geometry.rows import Rows

SIZE_SIGMA = 0.25
"""Standard deviation of the log size of people nobody measured, 1.0 m children to 2.1 m athletes."""
KNOWN_SIZE_SIGMA = 0.015
"""The same once `person_height_m` is given: posture and joint definitions remain."""
LEAST_LOG_SIZE, MOST_LOG_SIZE = -0.8, 0.35
"""Nobody is smaller than 0.8 m or taller than 2.4 m, the network's error included: a floor that asks for it is not what
that person stands on."""
MEMORY_S = 20.0
"""Evidence is forgotten with this time constant."""
ERROR_TIME_S = 0.6
"""One such time of frames counts as one measurement: errors of the pose last."""
FOOT_SIGMA_M = 0.02
"""Standard deviation of an ankle's height when it stands, with other shoes and joint definitions."""
LASTING_SIGMA = 0.015
"""Error of a person's size that no time averages out."""
SURPRISE, SURPRISED_S = 3.0, 3.0
"""Evidence this many sigma off what was learned is left out (stairs, a chair, a jump); if it stays for so long, what
was learned is forgotten."""
LEAST_DROP_M = 0.15
"""A foot less far below the camera says nothing."""
FLOOR_LOG_M, FLOOR_LOG_SIGMA = 0.2, 2.0
"""Prior of an unknown camera's height above the standing ankles: 1.2 m, and hardly anything is sure of that."""


class Floor(NamedTuple):
    """The floor below a camera, as given, or estimated from the people's feet."""

    height_m: float
    """Of the optical centre above it."""
    sigma_m: float
    given: bool
    """The pose said so; False: an estimate from feet in contact."""


class BodySizes(Rows):
    """Log size of many people, with what standing feet have said of it."""

    def __init__(self, people: int):
        super().__init__(people, log_drop=(), weight=(), against_s=(), log_size=(), variance=(), size=())
        self.variance += SIZE_SIGMA**2
        self.size += 1

    def clear(self, row) -> None:
        """Forget one person."""
        super().clear(row)
        self.variance[row], self.size[row] = SIZE_SIGMA**2, 1

    def observe(self, rows, feet_m, standing, up_cam, up_sigma_rad, depth_log_variance, dt_s) -> None:
        """Take in standing feet.

        feet_m (P, 2, 3) ankles in the camera in the network's metres, standing (P, 2) bool, up_cam (P, 3) or (3,),
        up_sigma_rad its error (or (P,)), depth_log_variance (P,) of the root's depth, dt_s (P,).
        """
        drop = -(feet_m @ up_cam[..., None])[..., 0] if up_cam.ndim == 1 else -(feet_m * up_cam[:, None]).sum(-1)
        used = standing & (drop > LEAST_DROP_M)
        if not used.any():
            return
        below = np.maximum(drop, LEAST_DROP_M)
        away = np.sqrt(np.maximum((feet_m * feet_m).sum(-1) - drop * drop, 0))
        tilt = np.reshape(up_sigma_rad, (-1, 1)) * away / below
        variance = tilt * tilt + (FOOT_SIGMA_M / below) ** 2 + depth_log_variance[:, None]
        weight = np.where(used, 1 / variance, 0)
        total = weight.sum(1)
        said = (weight * np.log(below)).sum(1) / np.maximum(total, 1e-9)
        any_used = total > 0
        # what stays off what was learned is another floor: a step, a chair, a jump
        kept = self.weight[rows] * np.exp(dt_s / -MEMORY_S)
        mean, against_s = self.log_drop[rows], self.against_s[rows]
        doubt = ERROR_TIME_S / np.maximum(kept, 1e-9) + 1 / np.maximum(total, 1e-9) + LASTING_SIGMA**2
        off = any_used & (kept > 0) & (np.abs(said - mean) > SURPRISE * np.sqrt(doubt))
        against_s = np.where(off, against_s + dt_s, np.where(any_used, 0, against_s))
        forget = against_s > SURPRISED_S
        kept = np.where(forget, 0, kept)
        gain = np.where(any_used & (~off | forget), total * np.maximum(dt_s, 1e-3), 0)
        weight = kept + gain
        self.log_drop[rows] = mean + gain * (said - mean) / np.maximum(weight, 1e-9)
        self.weight[rows], self.against_s[rows] = weight, np.where(forget, 0, against_s)

    def estimate(self, rows, height_m=None, known_log_size=None):
        """Settle the sizes of one camera's people; returns a `Floor` or None, and how many contradict a given floor.

        height_m: of the camera above the floor, None where nobody says; known_log_size (P,) of people whose height is
        known, or None. Fills `log_size`, `variance` and `size` of these rows.
        """
        weight = self.weight[rows]
        prior, prior_variance = (
            (0.0, SIZE_SIGMA**2) if known_log_size is None else (known_log_size, KNOWN_SIZE_SIGMA**2)
        )
        has = weight > 0
        if not has.any():
            self._take(rows, prior + 0 * weight, prior_variance)
            return (None if height_m is None else Floor(height_m, 0.0, True)), 0
        # log depth of the floor below the camera that each person would have with the network's size, and its variance
        own_variance = np.where(has, ERROR_TIME_S / np.maximum(weight, 1e-9) + LASTING_SIGMA**2, 1e9)
        drop = self.log_drop[rows]
        contradicted = 0
        if height_m is not None:
            above_m = height_m - ANKLE_HEIGHT_M
            log_size, log_variance, floor = np.log(max(above_m, 1e-3)), 0.0, Floor(height_m, 0.0, True)
            has &= above_m > LEAST_DROP_M
            outside = has & ((log_size - drop < LEAST_LOG_SIZE) | (log_size - drop > MOST_LOG_SIZE))
            contradicted = int(outside.sum())
            has &= ~outside
        else:
            log_size, log_variance, floor = _common_floor(prior + drop, prior_variance + own_variance)
        variance = log_variance + own_variance
        share = np.where(has, prior_variance / (prior_variance + variance), 0)
        self._take(rows, prior + share * (log_size - drop - prior), prior_variance * (1 - share))
        return floor, contradicted

    def _take(self, rows, log_size, variance):
        self.log_size[rows], self.variance[rows], self.size[rows] = log_size, variance, np.exp(log_size)


def _common_floor(logs, variances):
    """Log depth (P,) and variance (P,) of the floor for each person by the prior and all others, and the `Floor`."""
    precision = 1 / variances
    total, weighted = (
        precision.sum() + FLOOR_LOG_SIGMA**-2,
        (precision * logs).sum() + FLOOR_LOG_M * FLOOR_LOG_SIGMA**-2,
    )
    others, others_weighted = total - precision, weighted - precision * logs
    depth_m = float(np.exp(weighted / total))
    return others_weighted / others, 1 / others, Floor(depth_m + ANKLE_HEIGHT_M, depth_m * float(total**-0.5), False)
