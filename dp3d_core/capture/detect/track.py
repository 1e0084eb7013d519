# M people known, N boxes of one frame; a box is (x0, y0, x1, y1) in pixels
"""Which person of the last frames is this? Ids by box overlap with a constant-velocity guess, Hungarian assignment.

Never moves or fills a detection: a missed person is missing, and when two people cross, their ids may swap.
The assignment is that of SORT (Bewley et al., 2016) with its Kalman filter reduced to a running velocity; who overlaps
no guess, as a runner at 10 Hz, is the nearest one that nobody else overlaps. Time is the stamps' alone.
"""

from dataclasses import dataclass

import numpy as np

from dp3d_core.capture.detect.people import iou

LEAST_INTERVAL_S = 0.01
"""Frames nearer to each other than this would make a velocity out of noise."""
START_WEIGHT = 0.3
"""How much a first velocity of nought weighs, where a long past weighs 1: one step alone is mostly noise."""
MOST_TRACKS = 256
"""Beyond it, who was unseen longest is forgotten: a detector that sees people everywhere must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    """How far a box may be from its track's guess, and for how long a track waits for a missed person."""

    min_iou: float = 0.15
    max_distance: float = 0.5  # of centres, in sizes of the smaller box: who overlaps no guess but is that near
    max_gap_s: float = 1.0
    grow: float = 1.25  # boxes are compared enlarged: a stride changes a tight box's width twofold
    velocity_time_s: float = 0.3
    min_rows: int = 4  # shorter tracks are dropped from a recording: a passing mistake of the detector

    def __post_init__(self) -> None:
        if not (0 < self.min_iou < 1 and self.max_distance >= 0 and self.max_gap_s >= 0 and self.grow >= 1):
            raise ValueError(
                f"track: expected 0 < min_iou < 1, max_distance >= 0, max_gap_s >= 0 and grow >= 1, got {self}"
            )
        if not (self.velocity_time_s > 0 and self.min_rows >= 1):
            raise ValueError(f"track: expected velocity_time_s > 0 and min_rows >= 1, got {self}")


class Tracker:
    """Gives every box of every frame an id; ids count up from 0 and are never given again."""

    def __init__(self, config: TrackConfig) -> None:
        self.config = config
        """May be exchanged between frames."""
        self._next_id = 0
        self._ids = np.zeros(0, np.int32)
        self._boxes = np.zeros((0, 4))
        self._velocity_px_s = np.zeros((0, 2))  # of the box's centre
        self._weight = np.zeros(0)  # of the past in the velocity
        self._seen_s = np.zeros(0)

    def predicted(self, stamp_s: float) -> np.ndarray:
        """Boxes (M, 4) where the known people should be at `stamp_s`."""
        moved_px = self._velocity_px_s * (stamp_s - self._seen_s)[:, None]
        return self._boxes + np.concatenate([moved_px, moved_px], 1)

    def nearest(self, boxes: np.ndarray, stamp_s: float) -> np.ndarray:
        """Of each known person, the index (M,) of the box (N, 4) that is nearest to where they should be."""
        return _distance_px(self.predicted(stamp_s), boxes).argmin(1)

    def update(self, boxes: np.ndarray, stamp_s: float) -> np.ndarray:
        """Ids (N,) int32 of a frame's boxes (N, 4); whoever is unseen for longer than the gap is forgotten."""
        from scipy.optimize import linear_sum_assignment

        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all():
            raise ValueError("boxes: expected finite pixels, got NaN or infinity")
        self._keep(stamp_s - self._seen_s <= self.config.max_gap_s)
        score = self._score(boxes, stamp_s)
        tracks, columns = linear_sum_assignment(score, maximize=True)
        same = score[tracks, columns] > 0
        tracks, columns = tracks[same], columns[same]
        self._move(tracks, boxes[columns], stamp_s)
        ids = np.full(len(boxes), -1, np.int32)
        ids[columns] = self._ids[tracks]
        new = ids < 0
        if new.any():
            ids[new] = self._add(boxes[new], stamp_s)
        return ids

    def _score(self, boxes: np.ndarray, stamp_s: float) -> np.ndarray:
        """How well boxes (N, 4) fit the known people (M, N); 0: not at all. Any overlap is better than none."""
        config, guesses = self.config, self.predicted(stamp_s)
        overlap = iou(_grown(guesses, config.grow), _grown(boxes, config.grow))
        size = np.minimum(_size(guesses)[:, None], _size(boxes)[None])
        nearness = 1 - _distance_px(guesses, boxes) / np.maximum(config.max_distance * size, 1e-9)
        return np.where(overlap >= config.min_iou, overlap, 1e-3 * nearness.clip(0))

    def _move(self, tracks: np.ndarray, boxes: np.ndarray, stamp_s: float) -> None:
        """Put tracks (their indices) to where they were seen, and follow their velocity."""
        passed_s = np.maximum(stamp_s - self._seen_s[tracks], LEAST_INTERVAL_S)
        velocity_px_s = (_centre(boxes) - _centre(self._boxes[tracks])) / passed_s[:, None]
        kept = np.exp(passed_s * (-1 / self.config.velocity_time_s))
        self._weight[tracks] = weight = self._weight[tracks] * kept + 1 - kept
        change = velocity_px_s - self._velocity_px_s[tracks]
        self._velocity_px_s[tracks] += ((1 - kept) / weight)[:, None] * change
        self._boxes[tracks], self._seen_s[tracks] = boxes, stamp_s

    def _add(self, boxes: np.ndarray, stamp_s: float) -> np.ndarray:
        """Start a track for each of these boxes; their ids."""
        count = len(boxes)
        ids = np.arange(self._next_id, self._next_id + count, dtype=np.int32)
        self._next_id += count
        self._ids = np.concatenate([self._ids, ids])
        self._boxes = np.concatenate([self._boxes, boxes])
        self._velocity_px_s = np.concatenate([self._velocity_px_s, np.zeros((count, 2))])
        self._weight = np.concatenate([self._weight, np.full(count, START_WEIGHT)])
        self._seen_s = np.concatenate([self._seen_s, np.full(count, stamp_s)])
        if len(self._ids) > MOST_TRACKS:
            self._keep(np.argsort(-self._seen_s, kind="stable")[:MOST_TRACKS])
        return ids

    def _keep(self, chosen: np.ndarray) -> None:
        """Forget all tracks but these, a mask or indices."""
        if chosen.dtype == bool and chosen.all():
            return
        for name in ("_ids", "_boxes", "_velocity_px_s", "_weight", "_seen_s"):
            setattr(self, name, getattr(self, name)[chosen])


def _centre(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _size(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)


def _distance_px(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Of the centres of boxes (A, 4) and (B, 4): (A, B)."""
    x, y = _centre(boxes_a).T[:, :, None] - _centre(boxes_b).T[:, None]
    return np.sqrt(x * x + y * y)


def _grown(boxes: np.ndarray, factor: float) -> np.ndarray:
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
