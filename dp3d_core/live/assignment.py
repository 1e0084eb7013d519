"""Ids for people of a source that has none: by the overlap of their boxes from frame to frame."""
# P people, K keypoints of the source

from collections.abc import Callable

import numpy as np

from dp3d_core.config import StreamConfig
from dp3d_core.types import Keypoints

CROWD = 4
"""People beyond so many times `max_people` are not even given ids: the assignment would stall the stream."""


class IdAssignment:
    """Remembers the people of one camera; ids count up from 0. count(cause, number) is told who is left out."""

    def __init__(self, count: Callable[[str, int], None]):
        self._count = count
        self._tracker = None

    def forget(self) -> None:
        """Start the ids afresh."""
        self._tracker = None

    def assign(self, keypoints: Keypoints, stamp_s: float, config: StreamConfig) -> Keypoints:
        """The keypoints of those who get an id, with it.

        Who shows no keypoint has no box and is left out; so is who is too many (`CROWD`).
        """
        from dp3d_core.capture.detect.track import TrackConfig, Tracker

        if self._tracker is None:
            self._tracker = Tracker(TrackConfig(max_gap_s=config.reset_after_s))
        elif self._tracker.config.max_gap_s != config.reset_after_s:
            self._tracker.config = TrackConfig(max_gap_s=config.reset_after_s)
        shown = (keypoints.confidence > 0).any(1)
        self._count("few_joints", int((~shown).sum()))
        xy_px, confidence = keypoints.xy_px[shown], keypoints.confidence[shown]
        visible = (confidence > 0)[..., None]
        low = np.where(visible, xy_px, np.inf).min(1)
        high = np.where(visible, xy_px, -np.inf).max(1)
        boxes = np.concatenate([low, high], 1)
        most = CROWD * config.max_people
        if len(boxes) > most:
            best = np.argsort(-confidence.sum(1), kind="stable")[:most]
            chosen = np.union1d(self._tracker.nearest(boxes, stamp_s), best)
            self._count("too_many_people", len(boxes) - len(chosen))
            boxes, xy_px, confidence = boxes[chosen], xy_px[chosen], confidence[chosen]
        ids = tuple(self._tracker.update(boxes, stamp_s).tolist())
        return Keypoints(ids=ids, xy_px=xy_px, confidence=confidence)
