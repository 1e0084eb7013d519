"""Hints that a source means something else than it was said to: another picture size, another joint set.

Looks at few frames, and never changes what is lifted.
"""
# P people, J = 17 joints

from collections import deque
from collections.abc import Callable

import numpy as np

from dp3d_core.skeleton import JOINT_NAMES

LOOK_EVERY = 8
"""Frames from one look to the next."""
ENOUGH_LOOKS = 10
"""So many looks at places in the picture are enough to speak."""
BONE_LOOKS = 30
"""Bodies whose bones are compared before anything is said of them, and kept."""
ODD_BONES = 0.4
"""Median of `bone_contradiction` beyond which the joint set is doubted: of real people with the right one 5 % reach 0.4
over 24 bodies (half of them 0.16); read by another set, 0.44 or more in nearly all pairs of sets."""
_LIMBS = ("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle")
_FROM, _TO = (
    np.array([JOINT_NAMES.index(side + limb[part + end]) for limb in _LIMBS for part in (0, 1) for side in "LR"])
    for end in (0, 1)
)
# of the bones above, those that are about equally long: left and right, upper and lower
_ONE, _OTHER = np.array([0, 2, 4, 6, 0, 1, 4, 5]), np.array([1, 3, 5, 7, 2, 3, 6, 7])


class Hints:
    """Of one camera; `count(cause, number)` is called for each finding."""

    def __init__(self, count: Callable[[str, int], None]):
        self._count = count
        self._looks = 0
        self._extent = np.zeros(2)
        """How far to the right and down joints were seen, as a share of the picture."""
        self._bones: deque[float] = deque(maxlen=BONE_LOOKS)

    def look(self, joints_px: np.ndarray, confidence: np.ndarray, size_px: tuple[int, int]) -> None:
        """Look at joints (P, 17, 2) with confidence (P, 17) in a picture of this width and height."""
        shown = confidence > 0
        if not shown.any():
            return
        self._looks += 1
        places = joints_px[shown] / size_px
        self._extent = np.maximum(self._extent, places.max(0))
        if self._looks >= ENOUGH_LOOKS and (self._extent <= 0.5).all():
            self._count("within_half_picture", 1)
        inside = ((places >= 0) & (places <= 1)).all(1)
        self._count("outside_picture", int(np.mean(inside) < 0.5))
        self._bones.extend(bone_contradiction(joints_px, confidence).tolist())
        if len(self._bones) == BONE_LOOKS and np.median(self._bones) > ODD_BONES:
            self._count("odd_bones", 1)


def bone_contradiction(joints_px: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """(P',) of the people who show all limbs: mean absolute log ratio of bones that should be about equally long."""
    whole = (confidence[:, _FROM] > 0).all(1) & (confidence[:, _TO] > 0).all(1)
    bones_px = np.linalg.norm(joints_px[whole][:, _FROM] - joints_px[whole][:, _TO], axis=-1)
    length = np.log(np.maximum(bones_px, 1.0))
    return np.abs(length[:, _ONE] - length[:, _OTHER]).mean(1)
