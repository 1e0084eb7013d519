"""The last step of an answer: seen joints move towards their rays, standing feet stay, bones keep their length.

A joint moves across its ray by the share sigma^2 / (sigma^2 + noise^2) that its own uncertainty and the detector's
noise leave, low-passed so that a detector's jitter stays outside. Knows nothing of networks or cameras' motion.
"""
# P people, J = 17 joints

import numpy as np

from dp3d_core.geometry.contact import ANKLES
from dp3d_core.geometry.proportions import PARENT
from dp3d_core.geometry.rows import Rows

RAY_NOISE_M = 0.03
"""Standard deviation of a sure detection from the joint's centre, metres at the person."""
DOUBTFUL = 2.0
"""A detection this many standard deviations off the answer counts half: outliers and exchanged limbs."""
SHIFT_TIME_S = 0.2
"""Time constant of each of the two low-passes of the move towards the rays."""
ANCHOR_TIME_S = 1.0
"""A standing foot's place is the mean over its stand at first and forgets with this time constant later."""
RELEASE_S = 0.12
"""Time constant with which a foot that lifts off leaves its place."""
FARTHEST_HOLD_M = 0.06
"""A foot that is farther than this from where it stood does not stand there."""
PULL_TIME_S = 0.06
"""Time constant with which two standing feet pull the root along the viewing ray."""
ONE_FOOT = 0.2
"""How much of that one standing foot does: the other one walks, and the body with it."""
_LEAST_M = 1e-9
LEGS = ((1, 2, 3), (4, 5, 6))
_HIPS = np.array([hip for hip, _, _ in LEGS])
_KNEES_AND_ANKLES = np.array([leg[1:] for leg in LEGS])


class Settling(Rows):
    """Shifts towards the rays, and the places of standing feet, of many people, in their cameras."""

    def __init__(self, people: int):
        super().__init__(people, coarse_m=(17, 3), shift_m=(17, 3), anchor_m=(2, 3), stood_s=(2,), held_m=(2, 3))

    def move_camera(self, rows, turn: np.ndarray, shift_m: np.ndarray) -> None:
        """Let the camera move, as in `RootFilters.move_camera`."""
        turn = turn.swapaxes(-1, -2)
        shift = shift_m if shift_m.ndim == 1 else shift_m[:, None]
        self.anchor_m[rows] = self.anchor_m[rows] @ turn + shift
        self.coarse_m[rows], self.shift_m[rows] = self.coarse_m[rows] @ turn, self.shift_m[rows] @ turn
        self.held_m[rows] = self.held_m[rows] @ turn

    def scale(self, rows, factor: np.ndarray) -> None:
        """Make everything farther by factor (P,), as in `RootFilters.scale`."""
        self.anchor_m[rows] *= factor[:, None, None]

    def to_rays(self, rows, joints_m, direction, confidence, sigma_m, dt_s) -> np.ndarray:
        """Joints (P, 17, 3) in the camera, nearer to their rays; roots stay, and bones nearly keep their lengths.

        direction (P, 17, 3) unit vectors of the rays, confidence (P, 17) with 0 = missing, sigma_m (P, 17), dt_s (P,).
        """
        wanted = towards_rays(joints_m, direction, confidence, sigma_m)
        # two low-passes in a row: a detector's jitter would pass one
        gain = (1 - np.exp(dt_s * (-1 / SHIFT_TIME_S)))[:, None, None]
        coarse, shift = self.coarse_m[rows], self.shift_m[rows]
        coarse = coarse + gain * (wanted - coarse)
        shift = shift + gain * (coarse - shift)
        self.coarse_m[rows], self.shift_m[rows] = coarse, shift
        return joints_m + shift

    def pull(self, rows, joints_m, standing, dt_s) -> np.ndarray:
        """(P, 3) metres along the viewing ray by which standing feet ask the root to move. standing (P, 2) bool."""
        held = standing & (self.stood_s[rows] > 0)
        if not held.any():
            return np.zeros((len(joints_m), 3))
        off = self.anchor_m[rows] - joints_m.take(ANKLES, 1)
        near = held & ((off * off).sum(-1) < (2 * FARTHEST_HOLD_M) ** 2)
        direction = joints_m[:, 0] / (np.sqrt((joints_m[:, 0] ** 2).sum(-1, keepdims=True)) + _LEAST_M)
        radial = (off * direction[:, None]).sum(-1) * near
        feet = near.sum(1)
        mean = radial.sum(1) / np.maximum(feet, 1) * np.where(feet == 2, 1, ONE_FOOT)
        return ((1 - np.exp(dt_s / -PULL_TIME_S)) * mean)[:, None] * direction

    def hold(self, rows, joints_m, standing, dt_s) -> np.ndarray:
        """Joints (P, 17, 3) with standing feet (P, 2) bool where they stand: each leg turns about its hip.

        A foot is taken where it is when it begins to stand, and let go of over RELEASE_S: nothing jumps.
        """
        stood_s = self.stood_s[rows]
        if not standing.any() and not stood_s.any() and not self.held_m[rows].any():
            return joints_m
        ankles = joints_m.take(ANKLES, 1)
        anchor, held = self.anchor_m[rows], self.held_m[rows]
        off = anchor - ankles
        begins = standing & ((stood_s == 0) | ((off * off).sum(-1) > FARTHEST_HOLD_M**2))
        # a foot that begins to stand while its last hold still fades stands where it is shown
        anchor = np.where(begins[..., None], ankles + held, anchor)
        stood_s = np.where(standing, np.where(begins, 0, stood_s) + dt_s[:, None], 0)
        gain = dt_s[:, None] / np.minimum(np.maximum(stood_s, 1e-3), ANCHOR_TIME_S)
        gain = np.where(begins, 0, np.minimum(gain, 1)) * standing
        anchor += gain[..., None] * (ankles - anchor)
        fading = np.exp(dt_s / -RELEASE_S)[:, None, None]
        held = np.where(standing[..., None], anchor - ankles, held * fading)
        held *= np.abs(held).max(-1, keepdims=True) > 1e-4
        self.anchor_m[rows], self.stood_s[rows], self.held_m[rows] = anchor, stood_s, held
        out = joints_m.copy()
        out[:, _KNEES_AND_ANKLES] = leg_to(joints_m.take(_HIPS, 1), joints_m.take(_KNEES_AND_ANKLES, 1), held)
        return out


def towards_rays(joints_m, direction, confidence, sigma_m):
    """Shift (P, 17, 3) to where each joint is likeliest by its ray and its own uncertainty, bone lengths kept.

    A bone whose length the rays would change moves its far joint back, along the ray rather than across it: Lagrange's
    step for one length, with the joint's variance along its ray and the detector's across it.
    """
    noise = RAY_NOISE_M / np.maximum(confidence, 0.05)
    along, across = sigma_m * sigma_m, noise * noise
    total = along + across
    off = direction * (direction * joints_m).sum(-1, keepdims=True)
    off -= joints_m
    trust = (confidence > 0) * along / (total + (off * off).sum(-1) * DOUBTFUL**-2)
    trust[:, 0] = 0
    off *= trust[..., None]
    bones = joints_m[:, 1:] - joints_m.take(PARENT, 1)
    length = np.sqrt((bones * bones).sum(-1))
    bones += off[:, 1:] - off.take(PARENT, 1)
    moved = np.sqrt((bones * bones).sum(-1)) + _LEAST_M
    bones /= moved[..., None]
    rays, along = direction[:, 1:], along[:, 1:]
    slant = (bones * rays).sum(-1)
    back = (moved - length) / (RAY_NOISE_M**2 + along * slant * slant)
    off[:, 1:] -= (RAY_NOISE_M**2 * back)[..., None] * bones + (along * slant * back)[..., None] * rays
    return off


def leg_to(hip, leg, offset):
    """Knee and ankle (..., 2, 3) turned about the hip (..., 3) so that the ankle points at itself + offset (..., 3)."""
    before = leg[..., 1, :] - hip
    after = before + offset
    length = np.sqrt((before * before).sum(-1, keepdims=True)) + _LEAST_M
    other = np.sqrt((after * after).sum(-1, keepdims=True)) + _LEAST_M
    a, b = before / length, after / other
    # Rodrigues for the turn from a to b
    axis = cross(a, b)[..., None, :]
    cos = (a * b).sum(-1)[..., None, None]
    arms = leg - hip[..., None, :]
    turned = cos * arms + cross(axis, arms) + axis * ((axis * arms).sum(-1, keepdims=True) / (1 + cos + _LEAST_M))
    return turned + hip[..., None, :]


def cross(a, b):
    """Cross product of vectors (..., 3), without the checks that cost `np.cross` most of its time."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)
