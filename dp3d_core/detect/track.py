# N boxes of one frame; a box is (x0, y0, x1, y1) in pixels
"""Which person of the last frames is this? Ids by box overlap with a constant-velocity guess, Hungarian assignment.

Never moves or fills a detection: a missed person is missing, and when two people cross, their ids may swap.
The assignment is that of SORT (Bewley et al., 2016) with its Kalman filter reduced to a running velocity.
"""

from dataclasses import dataclass

import numpy as np

from dp3d_core.detect.people import iou


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    """How far a box may be from its track's guess, and for how long a track waits for a missed person."""

    min_iou: float = 0.15
    max_gap_frames: int = 10
    grow: float = 1.25  # boxes are compared enlarged: a stride changes a tight box's width twofold
    velocity_gain: float = 0.4
    min_rows: int = 4  # shorter tracks are dropped from a recording: a passing mistake of the detector

    def __post_init__(self) -> None:
        if not (0 < self.min_iou < 1 and self.max_gap_frames >= 0 and self.grow >= 1):
            raise ValueError(f"track: expected 0 < min_iou < 1, max_gap_frames >= 0 and grow >= 1, got {self}")
        if not (0 < self.velocity_gain <= 1 and self.min_rows >= 1):
            raise ValueError(f"track: expected 0 < velocity_gain <= 1 and min_rows >= 1, got {self}")


@dataclass(slots=True)
class _Track:
    box: np.ndarray
    velocity_px: np.ndarray  # of the box's centre, per frame
    age_frames: int = 0  # since the box was seen


class Tracker:
    """Gives every box of every frame an id; ids count up from 0 and are never given again."""

    def __init__(self, config: TrackConfig) -> None:
        self._config = config
        self._tracks: dict[int, _Track] = {}
        self._next_id = 0

    def predicted(self) -> np.ndarray:
        """Boxes (M, 4) where the known people should be in the next frame, in the order of their ids."""
        guesses = [
            track.box + np.tile(track.velocity_px, 2) * (track.age_frames + 1) for track in self._tracks.values()
        ]
        return np.array(guesses, np.float64).reshape(-1, 4)

    def update(self, boxes: np.ndarray) -> np.ndarray:
        """Ids (N,) int32 of the next frame's boxes (N, 4); people without a box age and are forgotten after the gap."""
        from scipy.optimize import linear_sum_assignment

        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all():
            raise ValueError("boxes: expected finite pixels, got NaN or infinity")
        known = list(self._tracks)
        overlap = iou(_grown(self.predicted(), self._config.grow), _grown(boxes, self._config.grow))
        ids = np.full(len(boxes), -1, np.int32)
        for track_index, box_index in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[track_index, box_index] >= self._config.min_iou:
                ids[box_index] = known[track_index]
        self._remember(boxes, ids)
        return ids

    def _remember(self, boxes: np.ndarray, ids: np.ndarray) -> None:
        """Move the tracks that were seen, age the others, and give new ids to boxes that have none."""
        for track in self._tracks.values():
            track.age_frames += 1
        for index, box in enumerate(boxes):
            if ids[index] < 0:
                ids[index] = self._next_id
                self._tracks[self._next_id] = _Track(box=box, velocity_px=np.zeros(2))
                self._next_id += 1
                continue
            track = self._tracks[int(ids[index])]
            moved_px = (_centre(box) - _centre(track.box)) / track.age_frames
            track.velocity_px += self._config.velocity_gain * (moved_px - track.velocity_px)
            track.box, track.age_frames = box, 0
        limit = self._config.max_gap_frames
        self._tracks = {key: track for key, track in self._tracks.items() if track.age_frames <= limit}


def long_enough(person: np.ndarray, min_rows: int) -> np.ndarray:
    """Mask (R,) of the rows whose person (R,) has at least `min_rows` rows."""
    _, inverse, counts = np.unique(person, return_inverse=True, return_counts=True)
    return counts[inverse] >= min_rows


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _grown(boxes: np.ndarray, factor: float) -> np.ndarray:
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, factor * (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
