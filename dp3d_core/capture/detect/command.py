"""`dp3d detect VIDEO --out FILE.npz`: record the raw 2D keypoints of everyone in a video."""

import math
from dataclasses import dataclass

import numpy as np
from tyro.conf import Positional

from dp3d_core.capture import recording as recordings
from dp3d_core.capture.calibrate import CalibrateConfig, apply, calibrate
from dp3d_core.capture.detect import extra
from dp3d_core.capture.detect.pose import JOINT_SET
from dp3d_core.capture.detect.video import DetectConfig, Rows, VideoInfo, detect, video_info

ASSUMED_FOV_DEG = 60.0
DEFAULTS = DetectConfig()


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """Record the raw 2D keypoints of everyone in a video.

    The camera: give --fx (calibrated), or --fov-deg, or --estimate-intrinsics. Default: a field of view of 60 degrees.
    """

    video: Positional[str]
    """Video file."""
    out: str
    """Recording to write (.npz)."""
    fps: float | None = None
    """Frames per second of the scene (default: what the file says)."""
    start: int = DEFAULTS.start
    """First frame."""
    max_frames: int | None = DEFAULTS.max_frames
    """Most frames to read (default: all)."""
    fixed_camera: bool = DEFAULTS.fixed_camera
    """Subtract the background, which finds more people."""
    source: str | None = None
    """What to write as the source (default: the name of the file)."""
    progress: bool = False
    """Show a progress bar."""
    fx: float | None = None
    """Calibrated focal length in pixels."""
    fy: float | None = None
    """Vertical focal length in pixels (default: fx)."""
    cx: float | None = None
    """Column of the principal point in pixels (default: centre)."""
    cy: float | None = None
    """Row of the principal point in pixels (default: centre)."""
    fov_deg: float | None = None
    """Horizontal field of view in degrees."""
    estimate_intrinsics: bool = False
    """Estimate the focal length and the ground from people who walk."""
    focal_prior_px: float | None = None
    """A weak first guess of the focal length for --estimate-intrinsics."""

    def __post_init__(self) -> None:
        given = [name for name in ("fx", "fov_deg", "estimate_intrinsics") if getattr(self, name)]
        if len(given) > 1:
            names = " and ".join("--" + name.replace("_", "-") for name in given)
            raise ValueError(f"expected one of --fx, --fov-deg and --estimate-intrinsics, got {names}")


def command(options: DetectOptions) -> None:
    """Detect, write the recording and print one line about it."""
    recording = record(options)
    recordings.save(options.out, recording)
    print(summary(recording))


def record(options: DetectOptions) -> recordings.Recording:
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
    return apply(recording, calibrate(recording, CalibrateConfig(focal_prior_px=options.focal_prior_px)))


def to_recording(
    rows: Rows, info: VideoInfo, fps: float, K: np.ndarray, intrinsics: str, options: DetectOptions
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


def camera_matrix(options: DetectOptions, info: VideoInfo) -> tuple[np.ndarray, str]:
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
