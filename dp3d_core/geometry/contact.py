"""Which feet stand: a probability a foot, from a network or from how the ankle moves, and a state with hysteresis.

An ankle in contact hardly moves across its ray and is not high above the floor or above the other ankle. Speed along
the ray is left out: depth is measured too badly for it. Knows nothing of networks; a network's contact probabilities
replace the kinematic ones where they are given.
"""
# P people

import numpy as np

from dp3d_core.geometry.rows import Rows

ANKLES = (3, 6)
"""Of the 17 joints: right and left; feet come in this order."""
ANKLE_HEIGHT_M = 0.095
"""Of an ankle joint above the floor in a shoe that stands flat."""
SPEED_TIME_S = 0.05
"""Time constant of the ankle's speed: detections jitter from frame to frame."""
STANDING_SPEED_M_S, SPEED_WIDTH_M_S = 0.3, 0.06
"""Speed across the ray at which an ankle is as likely to stand as to move, and how fast that changes."""
HIGHEST_M, HEIGHT_WIDTH_M = 0.15, 0.04
"""The same for its height above the other ankle (or above where ankles stand on a known floor)."""
ON, OFF = 0.6, 0.4
"""A foot begins to stand above the first probability and ends below the second."""


class Contacts(Rows):
    """Contact of the two feet of many people."""

    def __init__(self, people: int):
        super().__init__(people, ankle_m=(2, 3), velocity_m_s=(2, 3), known=(2,), standing=(2,), probability=(2,))

    def move_camera(self, rows, turn: np.ndarray, shift_m: np.ndarray) -> None:
        """Let the camera move, as in `RootFilters.move_camera`."""
        turn = turn.swapaxes(-1, -2)
        shift = shift_m if shift_m.ndim == 1 else shift_m[:, None]
        self.ankle_m[rows] = self.ankle_m[rows] @ turn + shift
        self.velocity_m_s[rows] = self.velocity_m_s[rows] @ turn

    def update(self, rows, ankles_m, seen, height_m, dt_s, probability=None) -> np.ndarray:
        """Take in ankles (P, 2, 3) on their rays in the camera; returns whether each stands (P, 2) bool.

        seen (P, 2) bool; height_m (P, 2) of each ankle above where ankles stand, or above the lower one of the two
        where no floor is known, zeros without gravity; dt_s (P,); probability (P, 2) of a network, or None.
        """
        step_s = np.maximum(dt_s, 1e-3)[:, None, None]
        direction = ankles_m / (np.sqrt((ankles_m * ankles_m).sum(-1, keepdims=True)) + 1e-9)
        velocity = (ankles_m - self.ankle_m[rows]) / step_s
        velocity -= (velocity * direction).sum(-1, keepdims=True) * direction
        known = self.known[rows]
        before = self.velocity_m_s[rows]
        gain = (1 - np.exp(dt_s * (-1 / SPEED_TIME_S)))[:, None] * known
        smooth = before + gain[..., None] * (velocity - before)
        smooth *= seen[..., None]
        if probability is None:
            speed = np.sqrt((smooth * smooth).sum(-1))
            doubt = (speed - STANDING_SPEED_M_S) / SPEED_WIDTH_M_S
            doubt = np.maximum(doubt, (height_m - HIGHEST_M) / HEIGHT_WIDTH_M)
            probability = known / (1 + np.exp(np.minimum(np.maximum(doubt, -20), 20)))
        probability = probability * seen
        standing = probability > np.where(self.standing[rows] > 0, OFF, ON)
        self.ankle_m[rows], self.velocity_m_s[rows], self.known[rows] = ankles_m, smooth, seen
        self.standing[rows], self.probability[rows] = standing, probability
        return standing
