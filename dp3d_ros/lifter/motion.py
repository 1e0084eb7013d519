"""What is remembered of people from frame to frame for the outputs: the twist of their bones, and their velocity."""
# P people, L links of REP-155

from math import exp
from typing import NamedTuple

import numpy as np

from dp3d_core.types import Skeletons
from dp3d_ros.messages.tf import LINK_NAMES, SOLVER

VELOCITY_TIME_S = 0.3
"""Time constant with which the velocity follows, and with which its scatter is measured."""
SPEED_SIGMA_M_S = 1.0
"""Standard deviation per axis of the velocity of somebody who has just come."""
RAY_SIGMA_RAD = 0.005
"""Standard deviation of the direction to a root: three to five pixels of a detector in an ordinary lens."""


class LinkTurns:
    """Rotations of the links of everybody, without flips; who is gone is forgotten."""

    def __init__(self):
        self._before: dict[int, np.ndarray] = {}

    def follow(self, skeletons: Skeletons) -> np.ndarray:
        """(P, L, 3, 3), each link's axes, see `dp3d_ros.messages.tf`."""
        new = np.full((len(LINK_NAMES), 3, 3), np.nan)
        before = [self._before.get(person, new) for person in skeletons.ids]
        if not before:
            self._before = {}
            return np.zeros((0, len(LINK_NAMES), 3, 3))
        found = SOLVER.step(np.asarray(skeletons.joints_cam_m, np.float64), np.stack(before))
        self._before = dict(zip(skeletons.ids, found))
        return found


class Motion(NamedTuple):
    """Of the roots of everybody in a frame, in the frame of the skeletons."""

    velocity_m_s: np.ndarray
    """(P, 3)."""
    velocity_covariance: np.ndarray
    """(P, 3, 3) in (m/s)^2: from the scatter of single steps about the smoothed velocity. It is 1.2 to 2 times too
    large in sigma where errors last 0.1 to 0.8 s, as those of smoothed skeletons do, and 3 times with pure jitter."""
    place_covariance: np.ndarray
    """(P, 3, 3) in m^2: `root_sigma_m` along the viewing ray, little across it."""


class Velocities:
    """Velocity of everybody's root, smoothed; zero at first. Who is gone is forgotten."""

    def __init__(self):
        self._last: dict[int, tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = {}

    def follow(self, skeletons: Skeletons, place_covariance: np.ndarray) -> Motion:
        """The motion, with the place's covariance (P, 3, 3) as given."""
        found = {}
        for person, joints_m in zip(skeletons.ids, np.asarray(skeletons.joints_cam_m, np.float64)):
            root_m, velocity, scatter = joints_m[0], np.zeros(3), np.eye(3) * SPEED_SIGMA_M_S**2
            covariance = scatter
            if person in self._last:
                before_s, before_m, velocity, scatter, covariance = self._last[person]
                past_s = skeletons.stamp_s - before_s
                if past_s > 0:
                    share = 1 - exp(-past_s / VELOCITY_TIME_S)
                    off = (root_m - before_m) / past_s - velocity
                    scatter = scatter + share * (np.outer(off, off) - scatter)
                    velocity = velocity + share * off
                    covariance = scatter * (share / (2 - share))  # of a mean with weights that fall off so
            found[person] = skeletons.stamp_s, root_m, velocity, scatter, covariance
        self._last = found
        return Motion(
            np.array([item[2] for item in found.values()]).reshape(-1, 3),
            np.array([item[4] for item in found.values()]).reshape(-1, 3, 3),
            place_covariance,
        )


def place_covariance(skeletons: Skeletons) -> np.ndarray:
    """(P, 3, 3) m^2 of the roots of skeletons in the camera's own frame."""
    roots_m = np.asarray(skeletons.joints_cam_m[:, 0], np.float64)
    ranges_m = np.linalg.norm(roots_m, axis=-1)
    rays = roots_m / np.maximum(ranges_m, 1e-6)[:, None]
    along = rays[:, :, None] * rays[:, None, :]
    across_m2 = ((RAY_SIGMA_RAD * ranges_m) ** 2)[:, None, None]
    return across_m2 * (np.eye(3) - along) + (np.asarray(skeletons.root_sigma_m, float) ** 2)[:, None, None] * along
