"""Bone lengths of people over time, their standing height, and poses rebuilt with them."""
# P people, T frames, J = 17 joints

import numpy as np

from dp3d_core.geometry.contact import ANKLE_HEIGHT_M
from dp3d_core.skeleton import BONES

BONE_TIME_S = 10.0
"""Time constant after which running bone lengths forget."""
STRAIGHT = 0.935
"""Height of the head top above the ankles over the sum of the bones between them: the mean of mocap people who stand
upright, 3 % spread. Bones lead over the nose, and nobody stands as straight as their bones."""

# the bone of joint j is number j - 1: every joint but the root hangs on one
PARENT = np.array([parent for parent, _ in BONES])
_LEAST_M = np.float32(1e-6)
# joints = CHAIN @ bone vectors: every joint is the sum of the bones on its way from the root
CHAIN = np.zeros((17, len(BONES)), np.float32)
for _index, (_from, _to) in enumerate(BONES):
    CHAIN[_to] = CHAIN[_from]
    CHAIN[_to, _index] = 1
_LEG = [_index for _index, (_, _to) in enumerate(BONES) if _to in (2, 3, 5, 6)]
_TRUNK = [_index for _index, (_, _to) in enumerate(BONES) if _to in (7, 8, 9, 10)]


class Proportions:
    """Running bone lengths of each person, so that limbs keep their length."""

    def __init__(self, people):
        self.length_m = np.zeros((people, len(BONES)), np.float32)
        self.weight = np.zeros((people, len(BONES)), np.float32)

    @classmethod
    def of_clip(cls, joints_m, sigma_m):
        """One person's lengths over a whole clip (T, 17, 3), every frame counting by its certainty alone."""
        proportions = cls(1)
        trust = _trust(sigma_m)
        proportions.weight[0] = trust.sum(0)
        proportions.length_m[0] = (_bones(joints_m)[1] * trust).sum(0) / proportions.weight[0]
        return proportions

    def clear(self, row):
        """Forget one person."""
        self.length_m[row], self.weight[row] = 0, 0

    def move(self, source, target):
        """Copy row `source` over row `target`."""
        self.length_m[target], self.weight[target] = self.length_m[source], self.weight[source]

    def follow(self, rows, joints_m, sigma_m, dt_s):
        """Take in poses (P, 17, 3) with sigma_m (P, 17), dt_s (P,) after the last, and return what `apply` does."""
        bones, length = _bones(joints_m)
        trust = _trust(sigma_m)
        trust *= np.maximum(dt_s, 1e-3)[:, None]
        kept = self.weight[rows] * np.exp(dt_s * (-1 / BONE_TIME_S))[:, None]
        total = kept + trust
        wanted = (self.length_m[rows] * kept + length * trust) / total
        self.length_m[rows], self.weight[rows] = wanted, total
        return _rebuilt(bones, length, wanted)

    def apply(self, rows, joints_m):
        """Poses (P, 17, 3) with the running bone lengths, their own before any `follow`."""
        bones, length = _bones(joints_m)
        wanted = np.where(self.weight[rows] > 0, self.length_m[rows], length + _LEAST_M)
        return _rebuilt(bones, length, wanted)


def _bones(joints_m):
    """Bone vectors (P, 16, 3) of poses (P, 17, 3), and their lengths (P, 16)."""
    bones = joints_m[:, 1:] - joints_m.take(PARENT, 1)
    return bones, np.sqrt((bones * bones).sum(-1))


def _trust(sigma_m):
    """How far to trust each bone (P, 16): by the certainty of its far joint. sigma_m (P, 17)."""
    return np.float32(1) / (sigma_m[:, 1:] ** 2 + np.float32(1e-4))


def _rebuilt(bones, length_m, wanted_m):
    """Poses (P, 17, 3) of bones (P, 16, 3) with lengths wanted_m instead of length_m (P, 16)."""
    scale = wanted_m / (length_m + _LEAST_M)
    return CHAIN @ (bones * scale[..., None]).astype(np.float32, copy=False)


def stature_m(bone_lengths_m):
    """Standing height (P,) in metres of bodies with these bone lengths (P, 16).

    Legs, trunk and head, less what a straight line saves on the way over the nose and along the spine, and the ankle's
    height above the floor.
    """
    legs_m, trunk_m = bone_lengths_m[:, _LEG].sum(1) / 2, bone_lengths_m[:, _TRUNK].sum(1)
    return STRAIGHT * (legs_m + trunk_m) + ANKLE_HEIGHT_M
