"""From what a file says to what the lifter needs: ids, stamps and a camera, each known, given or found and said.

Knows no file format and no network.
"""
# F frames, R rows (one person in one frame), K keypoints

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp3d_core.capture import recording as recordings
from dp3d_core.capture.calibrate import Calibration, calibrate
from dp3d_core.files.cameras import read_camera, read_ground
from dp3d_core.files.detections import Detections
from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.live.identify import Identifier, IdentifyConfig
from dp3d_core.skeleton import adapt, joint_set

ASSUMED_FPS = 30.0
ASSUMED_HFOV_DEG = 60.0
COMMON_SIZES_PX = ((640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (7680, 4320))
UNSURE_FOCAL = 0.25
"""An estimate of the focal length with a larger relative deviation is not used."""
LEAST_TILT_STD_DEG = 1.0
"""Of an estimate from people; the deviation that it states knows nothing of wrong assumptions."""
LEAST_PEOPLE = 4
"""An estimate from fewer people rests on the height of the few."""
SURE = 0.3
"""Keypoints with at least this score tell how large the picture is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """What the user knows of the clip; None: not given."""

    fps: float | None = None
    camera: Path | None = None
    camera_name: str | None = None
    hfov_deg: float | None = None
    image_size_px: tuple[int, int] | None = None
    up_cam: tuple[float, float, float] | None = None
    """Against gravity in the camera's optical frame; (0, -1, 0) is a level camera."""
    height_m: float | None = None
    """Of the camera above the floor."""

    def __post_init__(self):
        if self.height_m is not None and self.up_cam is None:
            raise ValueError("--height: expected --up with it; a level camera has --up 0 -1 0")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"--fps: expected frames a second from 0 to 1000, got {self.fps}")
        if self.camera is not None and self.hfov_deg is not None:
            raise ValueError("--camera and --hfov: expected one of the two, got both")
        if self.image_size_px is not None and min(self.image_size_px) < 1:
            raise ValueError(f"--image-size: expected a width and a height in pixels, got {self.image_size_px}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """Keypoints of one camera, ready to be lifted."""

    name: str
    source: str
    format: str
    stamps_s: np.ndarray
    """(F,) float64 seconds, ascending."""
    frame: np.ndarray
    """(R,) ascending."""
    person: np.ndarray
    """(R,)."""
    keypoints_px: np.ndarray
    """(R, K, 2)."""
    confidence: np.ndarray
    """(R, K)."""
    joint_set: str
    camera: Camera
    camera_from: str
    """Where the camera came from, in words."""
    pose: CameraPose | None
    """Gravity and height of the camera, where they are known."""
    ground_from: str
    """Where that is known from, in words; empty where it is not."""
    video: Path | None
    notes: tuple[str, ...]


def prepare(detections: Detections, options: PrepareOptions | None = None) -> Clip:
    """The clip with everything known or found; ValueError names the file and what it should have been."""
    options = options or PrepareOptions()
    notes = list(detections.notes)
    known, size_px = _without_camera(detections, options, notes)
    camera, camera_from, estimated = _camera(detections, options, size_px, known)
    pose, ground_from = _pose(detections, options, estimated)
    _check_fit(detections, camera, known["keypoints_px"], known["confidence"], notes)
    return Clip(
        **known,
        name=detections.name,
        source=detections.source,
        format=detections.format,
        video=detections.video,
        camera=camera,
        camera_from=camera_from,
        pose=pose,
        ground_from=ground_from,
        notes=tuple(notes),
    )


def as_recording(detections: Detections, options: PrepareOptions | None = None) -> recordings.Recording:
    """The clip as a `Recording` with an assumed camera: what `capture.calibrate` takes."""
    options = options or PrepareOptions()
    known, (width, height) = _without_camera(detections, options, [])
    assumed = Camera.from_fov(width=width, height=height, horizontal_fov_deg=ASSUMED_HFOV_DEG)
    return _recording(assumed, detections, known)


def _without_camera(detections: Detections, options: PrepareOptions, notes: list[str]) -> tuple[dict, tuple[int, int]]:
    """Stamps, people and keypoints in pixels, by the names that `Clip` has for them; and the size of the picture."""
    if not len(detections.frame):
        raise ValueError(f"{detections.source}: expected people, got {detections.frames} frames with nobody")
    stamps_s = _stamps(detections, options, notes)
    size_px = _size(detections, options, notes)
    keypoints_px, confidence = detections.keypoints_px, detections.confidence
    if detections.normalised:
        keypoints_px = keypoints_px * size_px
    frame, person = detections.frame, detections.person
    if person is None:
        person = assign_ids(stamps_s, frame, *adapt(keypoints_px, confidence, joint_set(detections.joint_set)))
        named = person >= 0
        frame, person, keypoints_px, confidence = (part[named] for part in (frame, person, keypoints_px, confidence))
        notes.append(f"no ids in the file: {len(np.unique(person))} people were told apart by place, size and pose")
        if not named.all():
            notes.append(f"{(~named).sum()} of {len(named)} bodies are nobody's: too few joints, or one body twice")
        if not len(frame):
            raise ValueError(f"{detections.source}: expected people with at least 3 joints seen, got nobody")
    known = dict(
        stamps_s=stamps_s,
        frame=frame,
        person=person,
        keypoints_px=keypoints_px,
        confidence=confidence,
        joint_set=detections.joint_set,
    )
    return known, size_px


def assign_ids(stamps_s: np.ndarray, frame: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Ids (R,) of people followed from frame to frame by their 17 joints; -1 for a body that is nobody's."""
    identifier, person = Identifier(IdentifyConfig()), np.full(len(frame), -1)
    for index in np.unique(frame):
        rows = np.flatnonzero(frame == index)
        person[rows] = identifier.update(joints_px[rows], confidence[rows], float(stamps_s[index]))
    return person


def _stamps(detections: Detections, options: PrepareOptions, notes: list[str]) -> np.ndarray:
    if options.fps is not None:
        return np.arange(detections.frames) / options.fps
    if detections.stamps_s is None:
        notes.append(f"the file has no times: {ASSUMED_FPS:g} frames a second are assumed; give --fps")
        return np.arange(detections.frames) / ASSUMED_FPS
    stamps_s = np.asarray(detections.stamps_s, np.float64)
    if stamps_s.shape != (detections.frames,) or not np.isfinite(stamps_s).all() or (np.diff(stamps_s) <= 0).any():
        raise ValueError(f"{detections.source}: expected {detections.frames} ascending stamps in seconds, got others")
    interval_s = float(np.median(np.diff(stamps_s))) if len(stamps_s) > 1 else 0
    if interval_s >= 1:
        notes.append(f"stamps are {interval_s:g} apart: frame numbers or milliseconds? give --fps")
    return stamps_s


def _size(detections: Detections, options: PrepareOptions, notes: list[str]) -> tuple[int, int]:
    """Width and height of the picture."""
    known = detections.image_size_px
    if options.image_size_px is not None:
        if known is not None and tuple(known) != tuple(options.image_size_px):
            raise ValueError(f"{detections.source}: --image-size {options.image_size_px}, but the file says {known}")
        return options.image_size_px
    if known is not None:
        return known
    if options.camera is not None:
        camera = read_camera(options.camera, options.camera_name or detections.name, size_px=(1, 1))
        if camera.width > 1:
            return camera.width, camera.height
    if detections.normalised:
        raise ValueError(
            f"{detections.source}: keypoints are shares of the picture, whose size the file does not have; give "
            "--image-size"
        )
    sure = detections.confidence >= SURE
    if not sure.any():
        sure = detections.confidence > 0
    reach = np.percentile(detections.keypoints_px[sure], 99.9, axis=0) if sure.any() else np.zeros(2)
    turned = [(height, width) for width, height in COMMON_SIZES_PX]
    fits = [size for size in [*COMMON_SIZES_PX, *turned] if (reach <= size).all()]
    size = min(fits, key=lambda size: size[0] * size[1], default=(int(np.ceil(reach[0])), int(np.ceil(reach[1]))))
    notes.append(
        f"no picture size in the file: {size[0]} x {size[1]} is assumed, which holds all keypoints; give --image-size"
    )
    return size


def _pose(
    detections: Detections, options: PrepareOptions, estimated: Calibration | None
) -> tuple[CameraPose | None, str]:
    """Gravity and height of the camera if they are known, and where from."""
    if options.up_cam is not None:
        return CameraPose.from_up(np.array(options.up_cam), options.height_m), "given"
    ground, ground_from = detections.ground, "the input"
    if options.camera is not None:
        ground, ground_from = read_ground(options.camera) or ground, str(options.camera)
    if estimated is not None:
        return CameraPose.from_up(
            estimated.ground_normal_cam,
            estimated.ground_distance_m,
            up_sigma_rad=float(np.radians(max(estimated.pitch_std_deg, LEAST_TILT_STD_DEG))),
        ), "estimated with the camera"
    if ground is None:
        return None, ""
    return CameraPose.from_up(ground[0], ground[1]), ground_from


def _camera(
    detections: Detections, options: PrepareOptions, size_px: tuple[int, int], known: dict
) -> tuple[Camera, str, Calibration | None]:
    """The camera, where it came from, and the estimate if it was one."""
    width, height = size_px
    if options.camera is not None:
        camera = read_camera(options.camera, options.camera_name or detections.name, size_px=size_px)
        if (camera.width, camera.height) != (width, height):
            raise ValueError(
                f"{options.camera}: expected a camera of {width} x {height} pixels for {detections.source}, got one of "
                f"{camera.width} x {camera.height}"
            )
        return camera, str(options.camera), None
    if options.hfov_deg is not None:
        camera = Camera.from_fov(width=width, height=height, horizontal_fov_deg=options.hfov_deg)
        return _metric(camera), f"--hfov {options.hfov_deg:g}", None
    if detections.camera is not None:
        return detections.camera, detections.camera_from, None
    assumed = Camera.from_fov(width=width, height=height, horizontal_fov_deg=ASSUMED_HFOV_DEG)
    try:
        fitted = calibrate(_recording(assumed, detections, known))
    except ValueError:
        return assumed, f"assumed, {ASSUMED_HFOV_DEG:g} degrees wide; give --camera or --hfov", None
    focal_px, std_px = fitted.K[0, 0], fitted.focal_std_px
    if std_px > UNSURE_FOCAL * focal_px or fitted.tracks < LEAST_PEOPLE:
        reason = f"{fitted.tracks} people show only {focal_px:.0f} +- {std_px:.0f} px"
        return assumed, f"assumed, {ASSUMED_HFOV_DEG:g} degrees wide ({reason}); give --camera or --hfov", None
    camera = Camera(fx=float(focal_px), fy=float(focal_px), cx=width / 2, cy=height / 2, width=width, height=height)
    return camera, f"estimated from {fitted.tracks} people who stand: {focal_px:.0f} +- {std_px:.0f} px", fitted


def _metric(camera: Camera) -> Camera:
    """The same camera, given by the user and not assumed."""
    return Camera(fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy, width=camera.width, height=camera.height)


def _recording(camera: Camera, detections: Detections, known: dict) -> recordings.Recording:
    """What `calibrate` takes."""
    return recordings.Recording(
        **known | {"stamps_s": known["stamps_s"] - known["stamps_s"][0]},
        distortion=np.zeros(0),
        K=camera.matrix,
        image_size_px=np.array((camera.width, camera.height)),
        intrinsics="assumed",
        source=detections.source,
        provenance=detections.format,
    )


def _check_fit(detections, camera, keypoints_px, confidence, notes) -> None:
    """ValueError where keypoints lie far outside of the camera's picture; a note where they fill only a corner."""
    sure = keypoints_px[confidence >= SURE]
    if not len(sure):
        return
    size = np.array((camera.width, camera.height))
    outside = ((sure < -0.1 * size) | (sure > 1.1 * size)).any(-1).mean()
    high = np.percentile(sure, 99, axis=0)
    if outside > 0.05:
        raise ValueError(
            f"{detections.source}: expected keypoints in the camera's picture of {camera.width} x {camera.height}, but "
            f"{outside:.0%} lie outside (up to {high[0]:.0f}, {high[1]:.0f}); give the camera of this picture"
        )
    if (high < 0.5 * size).all():
        notes.append(
            f"no keypoint is beyond half of the picture of {camera.width} x {camera.height}: are they of a smaller one?"
        )
