"""A video, through the project's own detector: in this environment if it has MediaPipe, else in the one of
`make detector`, whose older NumPy does not fit here.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dp3d_core.capture import recording as recordings
from dp3d_core.files.detections import Detections
from dp3d_core.files.readers import ReadOptions
from dp3d_core.files.readers.recording import from_recording

PROJECT = Path(__file__).resolve().parents[3]
UNEVEN = 0.2
"""Frames whose intervals differ by this share of the median make a video of variable rate."""


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """One clip of everybody the detector finds; the detections are kept beside the results."""
    stamps_s, notes = video_stamps(path)
    kept = None if options.keep is None else options.keep / f"{path.stem}.keypoints.npz"
    if kept is not None and kept.is_file() and kept.stat().st_mtime > path.stat().st_mtime:
        recording = recordings.load(kept)
        notes = (*notes, f"keypoints of an earlier run: {kept}")
    else:
        recording = _detect(path, kept)
    clip = from_recording(recording, path)
    frames = min(clip.frames, len(stamps_s))
    seen = clip.frame < frames
    return [
        replace(
            clip, format="a video, keypoints by MediaPipe", frames=frames, stamps_s=stamps_s[:frames], video=path,
            frame=clip.frame[seen], person=recording.person[seen], keypoints_px=clip.keypoints_px[seen],
            confidence=clip.confidence[seen], camera=None, notes=notes,
        )
    ]  # fmt: skip


def video_stamps(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Time of each frame (F,) seconds from 0 as the container has it, and notes; ValueError if it cannot be read."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise ValueError(f"{path}: expected a video, OpenCV cannot read it; convert it to mp4")
        promised, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        turned = capture.get(cv2.CAP_PROP_ORIENTATION_META)
        times = []
        while capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    finally:
        capture.release()
    if not times:
        raise ValueError(f"{path}: expected a video with frames, got none")
    notes = []
    if promised > len(times) + 1:
        notes.append(f"the video ends early: {len(times)} of {int(promised)} frames can be read")
    if turned:
        notes.append(f"turned by its rotation tag of {turned:g} degrees")
    stamps_s = np.array(times) - times[0]
    interval = np.diff(stamps_s)
    if len(times) > 1 and not (interval > 0).all():
        stamps_s = np.arange(len(times)) / (fps if fps > 0 else 30.0)
    elif len(times) > 2 and np.ptp(interval) > UNEVEN * np.median(interval):
        notes.append("its frame rate varies: the stamps of the file are used")
    return stamps_s, tuple(notes)


def detector_python() -> str:
    """The interpreter that has the detector: this one, $DP3D_DETECTOR_PYTHON, or that of .venv-detector in the working
    folder or beside dp3d; ImportError says how to get it."""
    if find_spec("mediapipe") is not None:
        return sys.executable
    given = os.environ.get("DP3D_DETECTOR_PYTHON")
    places = [Path(given)] if given else [folder / ".venv-detector/bin/python" for folder in (Path.cwd(), PROJECT)]
    for python in places:
        if python.is_file():
            return str(python)
    raise ImportError(
        "a video needs the detector, which is not there: run `make detector` in dp3d's folder (or give keypoints of "
        "another tool)"
    )


def _detect(path: Path, kept: Path | None) -> recordings.Recording:
    """Run `python -m dp3d_core.detect` and load what it wrote."""
    command = [detector_python(), "-m", "dp3d_core.detect", str(path), "--progress", "--out"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "keypoints.npz" if kept is None else kept.with_name(f".{kept.name}")
        done = subprocess.run([*command, str(out)], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise ValueError(f"{path}: the detector failed (exit status {done.returncode}); its message stands above")
        recording = recordings.load(out)
        if kept is not None:
            os.replace(out, kept)
    return recording
