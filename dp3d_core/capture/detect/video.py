# F video frames, R rows (one person in one frame), K keypoints
"""From a video file to raw keypoint rows: read, propose, pose, follow.

The one loop of the detector. Knows nothing of cameras' intrinsics or of the recording's file form.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dp3d_core.capture.detect import extra
from dp3d_core.capture.detect.people import PeopleConfig, PeopleFinder, median_background
from dp3d_core.capture.detect.pose import JOINT_SET, PoseConfig, PoseReader, distinct
from dp3d_core.live.identify import Identifier, IdentifyConfig
from dp3d_core.skeleton import adapt, joint_set

BACKGROUND_IMAGES = 64
BODY_OVER_JOINTS = 0.12  # a body reaches beyond its joints by so much of their height: hair above, feet below
PIXEL_STEP = 1 / 8  # keypoints are rounded to it: far below the detector's jitter, and the file halves


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectConfig:
    """Which frames of the video, and the settings of the three parts."""

    start: int = 0
    max_frames: int | None = None  # None: to the end
    fixed_camera: bool = False  # subtract the median background: many more people found, no vans
    people: PeopleConfig = field(default_factory=PeopleConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    identify: IdentifyConfig = field(default_factory=IdentifyConfig)
    min_rows: int = 4  # people seen in fewer frames are dropped: a passing mistake of the detector

    def __post_init__(self) -> None:
        if self.min_rows < 1:
            raise ValueError(f"detect: expected min_rows >= 1, got {self.min_rows}")
        if self.start < 0 or (self.max_frames is not None and self.max_frames < 1):
            raise ValueError(f"detect: expected start >= 0 and max_frames >= 1, got {self.start}, {self.max_frames}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What was seen in `frame_count` frames: frame (R,), person (R,), keypoints_px (R, K, 2), confidence (R, K)."""

    frame_count: int
    frame: np.ndarray
    person: np.ndarray
    keypoints_px: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What the file says of itself; `fps` and `frame_count` are None where it does not say."""

    width: int
    height: int
    fps: float | None
    frame_count: int | None


def video_info(path: str | Path) -> VideoInfo:
    """Size, rate and length of a video; FileNotFoundError or ValueError if it cannot be opened."""
    cv2 = extra("cv2")
    capture = _open(path)
    try:
        width, height, fps, count = (
            capture.get(key)
            for key in (
                cv2.CAP_PROP_FRAME_WIDTH,
                cv2.CAP_PROP_FRAME_HEIGHT,
                cv2.CAP_PROP_FPS,
                cv2.CAP_PROP_FRAME_COUNT,
            )
        )
    finally:
        capture.release()
    usable_fps = fps if math.isfinite(fps) and fps > 0 else None
    return VideoInfo(
        width=int(width), height=int(height), fps=usable_fps, frame_count=int(count) if count > 0 else None
    )


def images(path: str | Path, start: int, max_frames: int | None) -> Iterator[np.ndarray]:
    """Yield frames (height, width, 3) uint8 BGR from `start` on, at most `max_frames`."""
    capture = _open(path)
    try:
        for _ in range(start):  # decoded one by one: seeking lands on another frame in some formats
            if not capture.grab():
                return
        count = 0
        while max_frames is None or count < max_frames:
            there, image_bgr = capture.read()
            if not there:
                return
            yield image_bgr
            count += 1
    finally:
        capture.release()


def detect(path: str | Path, config: DetectConfig, *, fps: float, progress: bool = False) -> Rows:
    """Find, read and follow everyone in a video of `fps` frames a second; ValueError if the range holds no frame."""
    length = video_info(path).frame_count
    finder = PeopleFinder(config.people, background_bgr=_background(path, config, length))
    identifier = Identifier(config.identify)
    frame, person, keypoints, confidences = [], [], [], []
    frame_count = 0
    with closing(PoseReader(config.pose)) as reader:
        for image_bgr in _with_progress(images(path, config.start, config.max_frames), config, length, progress):
            stamp_s = frame_count / fps
            predicted = body_boxes(identifier.predicted_boxes(stamp_s)[1])
            bodies, visible = read_people(image_bgr, finder, reader, predicted, config.pose)
            for body, seen, number in zip(bodies, visible, identify(identifier, bodies, visible, stamp_s), strict=True):
                if number < 0:
                    continue
                person.append(number)
                frame.append(frame_count)
                keypoints.append(body)
                confidences.append(seen)
            frame_count += 1
    if frame_count == 0:
        raise ValueError(f"video {path}: no frame from {config.start} on; choose a smaller --start")
    rows = Rows(
        frame_count=frame_count,
        frame=np.array(frame, np.int32),
        person=np.array(person, np.int32),
        keypoints_px=(np.round(np.array(keypoints).reshape(-1, 33, 2) / PIXEL_STEP) * PIXEL_STEP).astype(np.float32),
        confidence=np.array(confidences).reshape(-1, 33).astype(np.float32),
    )
    return without_short_tracks(rows, config.min_rows)


def identify(identifier: Identifier, bodies: list[np.ndarray], visible: list[np.ndarray], stamp_s: float) -> np.ndarray:
    """Ids (N,) of one image's bodies, -1 for those without; lists of keypoints (K, 2) px and confidence (K,)."""
    source = joint_set(JOINT_SET)
    size = len(source.keypoints)
    return identifier.update(
        *adapt(np.array(bodies).reshape(-1, size, 2), np.array(visible).reshape(-1, size), source), stamp_s
    )


def body_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes (M, 4) of joints, made as tall as the bodies."""
    beyond = BODY_OVER_JOINTS / 2 * (boxes[:, 3] - boxes[:, 1])
    return boxes + np.stack([0 * beyond, -beyond, 0 * beyond, beyond], 1)


def read_people(
    image_bgr: np.ndarray, finder: PeopleFinder, reader: PoseReader, predicted: np.ndarray, config: PoseConfig
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The different bodies of one image: lists of keypoints (K, 2) px and confidence (K,)."""
    found = [reader.read(image_bgr, box) for box in finder.propose(image_bgr, predicted)]
    bodies = [body for body in found if body is not None and body[1].any()]
    kept = distinct([body[0] for body in bodies], [body[1] for body in bodies], config.same_body_distance)
    return [bodies[index][0] for index in kept], [bodies[index][1] for index in kept]


def long_enough(person: np.ndarray, min_rows: int) -> np.ndarray:
    """Mask (R,) of the rows whose person (R,) has at least `min_rows` rows."""
    _, inverse, counts = np.unique(person, return_inverse=True, return_counts=True)
    return counts[inverse] >= min_rows


def without_short_tracks(rows: Rows, min_rows: int) -> Rows:
    """The same rows without those of people seen in fewer than `min_rows` frames, ids renumbered from 0."""
    keep = long_enough(rows.person, min_rows)
    _, person = np.unique(rows.person[keep], return_inverse=True)
    return replace(
        rows,
        frame=rows.frame[keep],
        person=person.astype(np.int32),
        keypoints_px=rows.keypoints_px[keep],
        confidence=rows.confidence[keep],
    )


def _background(path: str | Path, config: DetectConfig, length: int | None) -> np.ndarray | None:
    """Median of images spread over the range, or None for a moving camera."""
    if not config.fixed_camera:
        return None
    known = [count for count in (config.max_frames, length and length - config.start) if count]
    step = max(1, min(known, default=BACKGROUND_IMAGES) // BACKGROUND_IMAGES)
    chosen = [image for index, image in enumerate(images(path, config.start, config.max_frames)) if index % step == 0]
    if not chosen:
        raise ValueError(f"video {path}: no frame from {config.start} on; choose a smaller --start")
    return median_background(chosen)


def _with_progress(
    frames: Iterator[np.ndarray], config: DetectConfig, length: int | None, progress: bool
) -> Iterator[np.ndarray]:
    if not progress:
        return frames
    known = [count for count in (config.max_frames, length and length - config.start) if count]
    return extra("tqdm").tqdm(frames, total=min(known, default=None), unit="frame", desc="detect")


def _open(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"video: no file at {path}")
    capture = extra("cv2").VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError(f"video {path}: OpenCV cannot read it; convert it to mp4 or avi")
    return capture
