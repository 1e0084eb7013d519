"""What is remembered of people from frame to frame for the outputs: the twist of their bones, and their velocity."""
# P people, L links of REP-155

from math import exp

import numpy as np

from dp3d_core.types import Skeletons
from dp3d_ros.messages.tf import LINK_NAMES, SOLVER

VELOCITY_TIME_S = 0.3
"""Time constant with which the velocity follows."""


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


class Velocities:
    """Velocity of everybody's root, smoothed; zero at first. Who is gone is forgotten."""

    def __init__(self):
        self._last: dict[int, tuple[float, np.ndarray, np.ndarray]] = {}

    def follow(self, skeletons: Skeletons) -> np.ndarray:
        """(P, 3) metres per second, in the frame of the skeletons."""
        found = {}
        for person, joints_m in zip(skeletons.ids, np.asarray(skeletons.joints_cam_m, np.float64)):
            root_m, velocity = joints_m[0], np.zeros(3)
            if person in self._last:
                before_s, before_m, velocity = self._last[person]
                past_s = skeletons.stamp_s - before_s
                if past_s > 0:
                    share = 1 - exp(-past_s / VELOCITY_TIME_S)
                    velocity = velocity + share * ((root_m - before_m) / past_s - velocity)
            found[person] = skeletons.stamp_s, root_m, velocity
        self._last = found
        return np.array([velocity for *_, velocity in found.values()]).reshape(-1, 3)
