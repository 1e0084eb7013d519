"""What a source hands to a stream, checked and stacked: nothing behind this line sees a NaN or a wild number."""
# P people, K keypoints of the source

import reprlib
from math import isfinite

import numpy as np

LIMIT_PX = 1e6
"""The rays of anything beyond would overflow single-precision squares."""
CROWD = 4
"""Nameless people beyond so many times `max_people` are not even given ids: the assignment would stall the stream."""


class Intake:
    """Checks people against the joint set `source`; `count(cause, number)` is told what was mended."""

    def __init__(self, source, count):
        self.source = source
        self._count = count
        self._tracker = None

    def forget(self):
        """Start the ids of nameless people afresh."""
        self._tracker = None

    def check(self, people):
        """Stack everybody's keypoints: ids, (P, K, 2) float32 and (P, K) float32 in [0, 1], missing ones at 0.

        people {id: (keypoints_px, confidence)}, or any sequence of such pairs, whose places then stand for ids.
        """
        size = len(self.source.keypoints)
        if not isinstance(people, dict):
            try:
                people = dict(enumerate(people))
            except TypeError:
                raise ValueError(
                    "people: expected {id: (keypoints_px, confidence)} or a list of such pairs, got "
                    f"{type(people).__name__}"
                ) from None
        ids, points, trust = list(people), [], []
        for person, pair in people.items():
            try:
                keypoints_px, confidence = pair
                keypoints_px, confidence = np.asarray(keypoints_px), np.asarray(confidence)
            except (TypeError, ValueError):
                raise ValueError(
                    f"person {person}: expected a pair of keypoints ({size}, 2) pixels and confidence ({size},), got "
                    f"{reprlib.repr(pair)}"
                ) from None
            if keypoints_px.dtype.kind not in "fiub" or confidence.dtype.kind not in "fiub":
                raise ValueError(
                    f"person {person}: expected keypoints and confidence as numbers, got {keypoints_px.dtype} and "
                    f"{confidence.dtype}"
                )
            if keypoints_px.shape != (size, 2) or confidence.shape != (size,):
                raise ValueError(
                    f"person {person}: expected keypoints ({size}, 2) pixels and confidence ({size},) for joint set "
                    f"{self.source.name}, got {keypoints_px.shape} and {confidence.shape}"
                )
            points.append(keypoints_px)
            trust.append(confidence)
        if not ids:
            return ids, np.zeros((0, size, 2), np.float32), np.zeros((0, size), np.float32)
        points, trust = np.array(points, np.float32), np.array(trust, np.float32)
        # the usual frame, where nothing is to be mended (no NaN passes a comparison)
        if trust.min() > 0 and trust.max() <= 1 and points.min() > -LIMIT_PX and points.max() < LIMIT_PX:
            return ids, points, trust
        finite = np.isfinite(trust) & (np.abs(points) < LIMIT_PX).all(-1)
        # a missing keypoint may hold anything
        self._count("not_finite", int((~finite & (trust != 0)).sum()))
        trust = np.where(finite, trust, 0)
        outside = (trust < 0) | (trust > 1)
        self._count("confidence_out_of_range", int(outside.sum()))
        trust = np.clip(trust, 0, 1)
        return ids, np.where((trust > 0)[..., None], points, 0), trust

    def assign(self, keypoints_px, confidence, stamp_s, config):
        """Ids for nameless people by the overlap of their boxes, and the keypoints and confidence of those with one.

        Who shows no keypoint has no box and is left out; so is who is too many (`CROWD`). config: the `StreamConfig`.
        """
        from dp3d_core.capture.detect.track import TrackConfig, Tracker

        if self._tracker is None:
            self._tracker = Tracker(TrackConfig(max_gap_s=config.reset_after_s))
        elif self._tracker.config.max_gap_s != config.reset_after_s:
            self._tracker.config = TrackConfig(max_gap_s=config.reset_after_s)
        shown = (confidence > 0).any(1)
        self._count("few_joints", int((~shown).sum()))
        keypoints_px, confidence = keypoints_px[shown], confidence[shown]
        visible = (confidence > 0)[..., None]
        low = np.where(visible, keypoints_px, np.inf).min(1)
        high = np.where(visible, keypoints_px, -np.inf).max(1)
        boxes = np.concatenate([low, high], 1)
        most = CROWD * config.max_people
        if len(boxes) > most:
            best = np.argsort(-confidence.sum(1), kind="stable")[:most]
            chosen = np.union1d(self._tracker.nearest(boxes, stamp_s), best)
            self._count("too_many_people", len(boxes) - len(chosen))
            boxes, keypoints_px, confidence = boxes[chosen], keypoints_px[chosen], confidence[chosen]
        return self._tracker.update(boxes, stamp_s).tolist(), keypoints_px, confidence


def seconds(stamp_s):
    """A stamp as a float; ValueError if it is no finite number."""
    try:
        if isfinite(stamp_s):
            return float(stamp_s)
    except (TypeError, OverflowError):
        pass
    raise ValueError(f"stamp_s: expected finite seconds, got {reprlib.repr(stamp_s)}")
