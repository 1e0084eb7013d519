"""Which feet stand, read from motion capture: the ankle is slow, and no higher than feet stand thereabouts.

Knows no cameras and no networks.
"""
# F frames of all clips, C clips

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

ANKLES = (3, 6)
SPEED_M_S = 0.25
"""A standing foot's ankle is slower than this, also while the heel begins to rise."""
ABOVE_LOWEST_M = 0.05
"""How far a standing foot's ankle may be above the lowest ankle around."""
AROUND_S = 1.0
UNKNOWN_FROM_M = 0.25
"""Slow feet that are higher above the clip's floor may stand on a chair, a stair or nothing."""


def contact_labels(motions):
    """(F, 2) float32 of `Motions`: 1 where the right and the left foot stands, 0 where not, NaN where it is unclear."""
    labels = np.empty((len(motions.pose_m), 2), np.float32)
    for first, last in zip(motions.offsets, motions.offsets[1:]):
        labels[first:last] = clip_contact(
            motions.pose_m[first:last, ANKLES] + motions.root_m[first:last, None], motions.fps
        )
    return labels


def clip_contact(ankles_m, fps):
    """The same of one clip's ankles (T, 2, 3) in the world, metres, Z up."""
    if len(ankles_m) < 3:
        return np.full(ankles_m.shape[:2], np.nan, np.float32)
    speed_m_s = np.linalg.norm(np.gradient(ankles_m.astype(np.float64), 1 / fps, axis=0), axis=-1)
    # a tenth of a second: single frames of marker noise are no steps
    slow = uniform_filter1d(speed_m_s, max(1, round(fps / 10)), axis=0, mode="nearest") < SPEED_M_S
    height_m = ankles_m[..., 2]
    lowest_m = minimum_filter1d(height_m.min(1), 2 * round(AROUND_S * fps / 2) + 1, mode="nearest")
    floor_m = np.percentile(height_m.min(1), 2)
    low = height_m < lowest_m[:, None] + ABOVE_LOWEST_M
    unknown = slow & low & (height_m > floor_m + UNKNOWN_FROM_M)
    return np.where(unknown, np.nan, slow & low).astype(np.float32)
