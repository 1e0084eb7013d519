"""What a reader returns: the keypoints of one clip as the file has them, with whatever else the file knows.

Knows no file format.
"""
# F frames, R rows (one person in one frame), K keypoints

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import joint_set

MOST_FRAMES = 10_000_000
"""Frame numbers beyond this are no frame numbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """One clip of one camera. None stands for what the file does not say."""

    name: str
    """For the names of the output files."""
    source: str
    """The file or folder, for messages."""
    format: str
    """One phrase that says what the file was taken for."""
    frames: int
    frame: np.ndarray
    """(R,) int, ascending, 0 to frames - 1."""
    person: np.ndarray | None
    """(R,) int."""
    keypoints_px: np.ndarray
    """(R, K, 2); shares of the picture's width and height where `normalised`."""
    confidence: np.ndarray
    """(R, K) 0 to 1, 0 = missing."""
    joint_set: str
    stamps_s: np.ndarray | None = None
    """(F,) seconds."""
    image_size_px: tuple[int, int] | None = None
    normalised: bool = False
    camera: Camera | None = None
    camera_from: str = ""
    """Where the camera came from, in words."""
    ground: tuple[np.ndarray, float] | None = None
    """Normal (3,) and distance of the ground plane in the camera's optical frame, as in `Recording`."""
    video: Path | None = None
    notes: tuple[str, ...] = ()
    """What the user should know about this file, a sentence each."""


@dataclass(slots=True)
class Rows:
    """Collects the people of a clip, frame by frame in any order, and makes `Detections` of them."""

    source: str
    joint_set: str
    frame: list = field(default_factory=list)
    person: list = field(default_factory=list)
    keypoints: list = field(default_factory=list)
    confidence: list = field(default_factory=list)

    def add(self, frame: int, person: int | None, keypoints: ArrayLike, confidence: ArrayLike) -> None:
        """One person of one frame: (K, 2) and (K,); ValueError names the frame if the numbers do not fit."""
        size = len(joint_set(self.joint_set).keypoints)
        try:
            points = np.asarray(keypoints, np.float64).reshape(-1, 2)
            scores = np.asarray(confidence, np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise ValueError(f"{self.source}: frame {frame}: expected numbers as keypoints, got others") from None
        if len(points) != size or len(scores) != size:
            raise ValueError(
                f"{self.source}: frame {frame}: expected {size} keypoints ({self.joint_set}), got {len(points)} "
                f"with {len(scores)} scores"
            )
        self.frame.append(frame)
        self.person.append(person)
        self.keypoints.append(points)
        self.confidence.append(scores)

    def detections(self, *, name: str, format: str, frames: int | None = None, **known: Any) -> Detections:
        """The clip; ids are used where every row has one, and each once in a frame."""
        size = len(joint_set(self.joint_set).keypoints)
        frame = np.array(self.frame, np.int64)
        if len(frame) and (frame.min() < 0 or frame.max() >= MOST_FRAMES):
            raise ValueError(f"{self.source}: expected frame numbers from 0, got {frame.min()} to {frame.max()}")
        order = np.argsort(frame, kind="stable")
        person = None
        if self.person and all(one is not None for one in self.person):
            person = np.array(self.person, np.int64)[order]
        keypoints = np.array(self.keypoints, np.float64).reshape(-1, size, 2)[order]
        confidence = np.array(self.confidence, np.float64).reshape(-1, size)[order]
        keypoints, confidence, notes = usable(keypoints, confidence)
        frame = frame[order]
        if person is not None and len(np.unique(np.stack([frame, person], 1), axis=0)) < len(frame):
            person = None
            notes += ("an id appears twice in a frame, so the file's ids are not used",)
        return Detections(
            name=name,
            source=self.source,
            format=format,
            frame=frame,
            person=person,
            keypoints_px=keypoints,
            frames=int(frame.max(initial=-1)) + 1 if frames is None else frames,
            confidence=confidence,
            joint_set=self.joint_set,
            notes=(*notes, *known.pop("notes", ())),
            **known,
        )


def usable(keypoints_px: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Keypoints and confidences with everything unusable missing, and what was found out in sentences.

    Missing is what is not finite, what lies at (0, 0), where tools put unseen keypoints, and what has no score.
    """
    notes = ()
    finite = np.isfinite(keypoints_px).all(-1) & np.isfinite(confidence)
    confidence = np.where(finite, confidence, 0)
    highest = confidence.max(initial=0)
    if highest > 10:
        confidence = confidence / 100
        notes = (f"scores reach {highest:g}: taken for percent",)
    origin = (keypoints_px == 0).all(-1)
    there = finite & ~origin & (confidence > 0)
    return np.where(there[..., None], keypoints_px, 0), np.where(there, confidence.clip(0, 1), 0), notes
