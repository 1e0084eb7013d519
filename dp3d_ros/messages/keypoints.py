"""What every input conversion returns, and how it refuses a message. Knows nothing of ROS."""
# K keypoints of the detector's joint set

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

MAX_PIXEL = 1e6
"""Coordinates beyond this are no pixels of any camera: they count as missing."""


class BadMessage(ValueError):
    """A message that cannot be used at all; `cause` is the name of its counter in the diagnostics."""

    def __init__(self, cause, text):
        super().__init__(text)
        self.cause = cause


@dataclass(slots=True, kw_only=True)
class People:
    """The people of one frame: pixels and confidences by person, and what was odd about the message, by cause."""

    keypoints: dict | list = field(default_factory=dict)
    """{person id: (keypoints_px (K, 2) float32, confidence (K,) float32)}; confidence 0 = missing. Or a list of such
    pairs where the source has no ids: the stream then assigns them."""
    oddities: Counter = field(default_factory=Counter)


def usable(points_px, scores):
    """Which of the points have a finite, believable pixel and a finite score above 0: (N,) bool."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(scores) & (scores > 0) & (np.abs(points_px) <= MAX_PIXEL).all(axis=-1)


def stamp_ns(stamp):
    """builtin_interfaces/Time as integer nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec
