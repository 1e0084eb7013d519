"""What a source hands to a stream, checked and stacked: nothing behind this line sees a NaN or a wild number."""
# P people, K keypoints of the source

import numpy as np

LIMIT_PX = 1e6
"""The rays of anything beyond would overflow single-precision squares."""


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
        """Stack everybody's keypoints: ids, (P, K, 2) float32 and (P, K) float32 in [0, 1], missing ones at 0."""
        size = len(self.source.keypoints)
        ids, points, trust = list(people), [], []
        for person, (keypoints_px, confidence) in people.items():
            keypoints_px, confidence = np.asarray(keypoints_px), np.asarray(confidence)
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

    def assign(self, keypoints_px, confidence):
        """Ids for nameless people by the overlap of their boxes; who shows no keypoint has no box and is left out."""
        from dp3d_core.detect.track import TrackConfig, Tracker

        if self._tracker is None:
            self._tracker = Tracker(TrackConfig())
        seen = (confidence > 0).any(1)
        self._count("few_joints", int((~seen).sum()))
        keypoints_px, confidence = keypoints_px[seen], confidence[seen]
        visible = (confidence > 0)[..., None]
        low = np.where(visible, keypoints_px, np.inf).min(1)
        high = np.where(visible, keypoints_px, -np.inf).max(1)
        return self._tracker.update(np.concatenate([low, high], 1)).tolist(), keypoints_px, confidence
