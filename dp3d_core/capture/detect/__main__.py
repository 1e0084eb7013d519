"""`python -m dp3d_core.detect VIDEO --out FILE.npz`: record the raw 2D keypoints of everyone in a video."""

import argparse
import math
import sys
from collections.abc import Sequence

import numpy as np

from dp3d_core.capture import recording as recordings
from dp3d_core.capture.calibrate import CalibrateConfig, apply, calibrate
from dp3d_core.capture.detect import extra
from dp3d_core.capture.detect.pose import JOINT_SET
from dp3d_core.capture.detect.video import DetectConfig, Rows, VideoInfo, detect, video_info

ASSUMED_FOV_DEG = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status, 2 with one sentence on stderr for a user's mistake."""
    options = _parser().parse_args(arguments)
    try:
        recording = record(options)
        recordings.save(options.out, recording)
    except (ImportError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(summary(recording))
    return 0


def record(options: argparse.Namespace) -> recordings.Recording:
    """Detect as the options say and wrap the rows in a recording with its camera."""
    info = video_info(options.video)
    fps = options.fps if options.fps is not None else info.fps
    if fps is None or not fps > 0:
        raise ValueError(f"video {options.video}: expected a positive frame rate, got {fps}; give --fps")
    K, intrinsics = camera_matrix(options, info)
    config = DetectConfig(start=options.start, max_frames=options.max_frames, fixed_camera=options.fixed_camera)
    rows = detect(options.video, config, fps=fps, progress=options.progress)
    recording = to_recording(rows, info, fps, K, intrinsics, options)
    if not options.estimate_intrinsics:
        return recording
    prior = {} if options.focal_prior_px is None else {"focal_prior_px": options.focal_prior_px}
    return apply(recording, calibrate(recording, CalibrateConfig(**prior)))


def to_recording(
    rows: Rows, info: VideoInfo, fps: float, K: np.ndarray, intrinsics: str, options: argparse.Namespace
) -> recordings.Recording:
    """The recording of `rows`, stamped 1/fps apart from 0."""
    modules = ", ".join(f"{name} {extra(name).__version__}" for name in ("mediapipe", "cv2", "numpy"))
    method = "HOG people" + (", median background" if options.fixed_camera else "") + ", MediaPipe Pose on still crops"
    return recordings.Recording(
        stamps_s=np.arange(rows.frame_count) / fps,
        frame=rows.frame,
        person=rows.person,
        keypoints_px=rows.keypoints_px,
        confidence=rows.confidence,
        joint_set=JOINT_SET,
        image_size_px=np.array((info.width, info.height)),
        K=K,
        distortion=np.zeros(0),
        intrinsics=intrinsics,
        source=options.source or options.video.replace("\\", "/").rsplit("/", 1)[-1],
        provenance=f"{method}; not smoothed; {modules}; frames from {options.start}, stamped {fps:g} a second",
    )


def camera_matrix(options: argparse.Namespace, info: VideoInfo) -> tuple[np.ndarray, str]:
    """K (3, 3) and how it came about, from --fx, --fov-deg or the assumed field of view."""
    if options.fx is not None:
        focal_px, intrinsics = options.fx, "calibrated"
    else:
        fov_deg = ASSUMED_FOV_DEG if options.fov_deg is None else options.fov_deg
        if not 1 <= fov_deg <= 170:
            raise ValueError(f"--fov-deg: expected 1 to 170 degrees, got {fov_deg}")
        focal_px, intrinsics = info.width / 2 / math.tan(math.radians(fov_deg) / 2), "assumed"
    fy = focal_px if options.fy is None else options.fy
    cx = info.width / 2 if options.cx is None else options.cx
    cy = info.height / 2 if options.cy is None else options.cy
    return np.array([[focal_px, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64), intrinsics


def summary(recording: recordings.Recording) -> str:
    """One line on what a recording holds."""
    frames, rows = len(recording.stamps_s), len(recording.frame)
    people = len(np.unique(recording.person))
    empty = frames - len(np.unique(recording.frame))
    return (
        f"{frames} frames, {rows} rows ({rows / frames:.2f} a frame), {people} tracks, {empty} frames with nobody; "
        f"focal length {recording.K[0, 0]:.0f} px ({recording.intrinsics})"
    )


def _parser() -> argparse.ArgumentParser:
    defaults = DetectConfig()
    parser = argparse.ArgumentParser(prog="python -m dp3d_core.detect", description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--out", required=True, help="the npz to write")
    parser.add_argument("--fps", type=float, help="frames a second of the scene; default: what the file says")
    parser.add_argument("--start", type=int, default=defaults.start, help="first frame")
    parser.add_argument("--max-frames", type=int, default=defaults.max_frames)
    parser.add_argument("--fixed-camera", action="store_true", help="use background subtraction (finds more people)")
    parser.add_argument("--source", help="what to write as the recording's source; default: the file's name")
    parser.add_argument("--progress", action="store_true", help="show a progress bar")
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument("--fx", type=float, help="calibrated focal length in pixels (with --fy --cx --cy)")
    camera.add_argument("--fov-deg", type=float, help=f"horizontal field of view, else {ASSUMED_FOV_DEG:g}")
    camera.add_argument("--estimate-intrinsics", action="store_true", help="estimate from the walking people")
    for name in ("--fy", "--cx", "--cy"):
        parser.add_argument(name, type=float)
    parser.add_argument("--focal-prior-px", type=float, help="a weak first guess for --estimate-intrinsics")
    return parser


if __name__ == "__main__":
    sys.exit(main())
