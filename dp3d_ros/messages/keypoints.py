"""What every input conversion returns, and how it refuses a message. Knows nothing of ROS.

Conversions pack a message's keypoints as they come. What is a pixel and what is a confidence, the core alone judges.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from dp3d_core.types import Keypoints

Oddities = Counter[str]
"""What was odd about a message that is used all the same, by cause."""


class BadMessage(ValueError):
    """A message that cannot be used at all; `cause` is the name of its counter in the diagnostics."""

    def __init__(self, cause: str, text: str):
        super().__init__(text)
        self.cause = cause


class Converted(NamedTuple):
    """The people of one frame."""

    keypoints: Keypoints
    oddities: Oddities


def packed(ids, people: list[np.ndarray], keypoint_count: int) -> Keypoints:
    """`Keypoints` of people (K, 3) float32 as x, y, confidence; ids: one for each, or None."""
    points = np.array(people, np.float32).reshape(-1, keypoint_count, 3)
    return Keypoints(ids=None if ids is None else tuple(ids), xy_px=points[..., :2], confidence=points[..., 2])


def stamp_ns(stamp) -> int:
    """builtin_interfaces/Time as integer nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec
