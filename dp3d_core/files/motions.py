"""`dp3d generate`, `complete` and `fit`: motions of the prior, in the forms that `dp3d lift` writes.

Each sample is a person of the result. Generated motions have no place of their own: they stand beside each other, four
metres before a level camera, with their lower foot on the floor.
"""
# H samples, T frames, J = 17 joints

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tyro.conf import Positional

from dp3d_core.drawing.ground import ANKLE_HEIGHT_M, Ground, estimate_ground
from dp3d_core.files.results import Result
from dp3d_core.files.run import RunOptions, lifter, write_result
from dp3d_core.geometry.camera import Camera

CAMERA_HEIGHT_M, DISTANCE_M, APART_M = 1.5, 4.0, 1.2
_ANKLES = [3, 6]
KEYPOINT_SIGMA_PX = 5.0
"""Standard deviation of keypoints that come without a covariance."""


@dataclass(frozen=True, kw_only=True)
class MotionOutput:
    """What all three commands have in common."""

    out: Path
    """Folder for the results."""
    to: tuple[str, ...] = ("npz",)
    """Formats: npz csv json bvh trc c3d coco3d mcap rrd glb."""
    film: bool = False
    """Film the motions (mp4)."""
    samples: int = 1
    """How many motions."""
    seed: int = 0
    """Seed of the samples."""
    weights: str = "small"
    """Weights of a lifter by name or path, or of a prior (dp3d train-denoiser --prior)."""


@dataclass(frozen=True, kw_only=True)
class GenerateCommand(MotionOutput):
    """Generate new human motion from nothing."""

    seconds: float = 2.0
    """Length."""
    fps: float = 30.0
    """Frames a second."""


@dataclass(frozen=True, kw_only=True)
class CompleteCommand(MotionOutput):
    """Fill in joints, limbs or moments of a skeleton in 3D that are missing.

    INPUT is an npz with joints_cam_m (T, 17, 3), metres in the camera's optical frame with NaN where unknown, and
    stamps_s (T,).
    """

    input: Positional[Path]
    """Skeleton (.npz)."""


@dataclass(frozen=True, kw_only=True)
class FitCommand(MotionOutput):
    """Find the motion that explains a detector's heatmaps, or keypoints that have rivals.

    INPUT is an npz with stamps_s (T,), K (3, 3), image_size_px (width, height), and either heatmaps (T, 17, rows,
    columns) of the whole picture or keypoints_px (T, 17, G, 2) with confidence (T, 17, G), several a joint where it has
    rivals. A prior (dp3d train-denoiser --prior) follows the heatmaps' gradient and takes covariance_px
    (T, 17, G, 2, 2); a network that lifts chooses among their peaks.
    """

    input: Positional[Path]
    """Heatmaps (.npz)."""


def generate(options: GenerateCommand) -> None:
    """Write generated motions."""
    if not (0 < options.fps <= 240 and options.seconds * options.fps >= 2):
        raise ValueError(f"--seconds, --fps: expected two frames or more, got {options.seconds} s at {options.fps} Hz")
    stamps_s = np.arange(round(options.seconds * options.fps)) / options.fps
    poses_m = _prior(options).generate(stamps_s, samples=options.samples, seed=options.seed)
    lower = poses_m[:, :, _ANKLES, 1].max(2)
    places = np.zeros((*poses_m.shape[:2], 1, 3))
    places[..., 0, 0] = APART_M * (np.arange(len(poses_m)) - (len(poses_m) - 1) / 2)[:, None]
    places[..., 0, 1] = CAMERA_HEIGHT_M - ANKLE_HEIGHT_M - lower
    places[..., 0, 2] = DISTANCE_M
    ground = Ground(normal_cam=np.array((0.0, -1.0, 0.0)), distance_m=CAMERA_HEIGHT_M)
    camera = Camera.from_fov(width=1280, height=720)
    _write(options, "generated", poses_m + places, stamps_s, camera, ground, f"{options.weights}, seed {options.seed}")


def complete(options: CompleteCommand) -> None:
    """Write a completed skeleton."""
    held = _load(options.input, ("joints_cam_m", "stamps_s"))
    joints_m = _prior(options).complete(
        held["joints_cam_m"], held["stamps_s"], samples=options.samples, seed=options.seed
    )
    camera = Camera.from_fov(width=1280, height=720)
    _write(options, options.input.stem, joints_m, held["stamps_s"], camera, None, str(options.input))


def fit(options: FitCommand) -> None:
    """Write the motion that explains heatmaps or keypoints."""
    held = _load(options.input, ("stamps_s", "K", "image_size_px"))
    width, height = (int(side) for side in np.ravel(held["image_size_px"]))
    K = held["K"]
    camera = Camera(fx=K[0, 0], fy=K[1, 1], cx=K[0, 2], cy=K[1, 2], width=width, height=height)
    joints_m = _fitted(_prior(options), held, camera=camera, samples=options.samples, seed=options.seed)
    _write(options, options.input.stem, joints_m, held["stamps_s"], camera, None, str(options.input))


def _fitted(prior, held: dict[str, np.ndarray], *, camera: Camera, **options) -> np.ndarray:
    """Motions (H, T, 17, 3) that explain the evidence of an input."""
    from dp3d_core.prior.evidence import Modes, modes_from_heatmaps
    from dp3d_core.prior.motion_prior import MotionPrior

    guided = isinstance(prior, MotionPrior)
    if "covariance_px" in held:
        if not guided:
            raise ValueError("covariance_px: expected a prior as --weights (dp3d train-denoiser --prior), got a lifter")
        options["covariance_px"] = held["covariance_px"]
    if "heatmaps" in held and guided:
        return prior.fit_heatmaps(held["heatmaps"], held["stamps_s"], camera=camera, **options)
    if "heatmaps" in held:
        modes = modes_from_heatmaps(held["heatmaps"], (camera.width, camera.height))
    elif {"keypoints_px", "confidence"} <= set(held):
        keypoints_px, confidence = held["keypoints_px"], held["confidence"]
        there = np.isfinite(keypoints_px).all(-1) & (confidence > 0)
        modes = Modes(
            np.where(there[..., None], keypoints_px, 0.0),
            np.full(there.shape, KEYPOINT_SIGMA_PX),
            np.where(there, confidence, 0.0),
        )
    else:
        raise ValueError(f"input: expected heatmaps, or keypoints_px and confidence, found {sorted(held)}")
    return prior.fit(modes, held["stamps_s"], camera=camera, **options)


def result_of(
    joints_cam_m: np.ndarray, stamps_s: np.ndarray, *, name: str, source: str, camera: Camera, ground: Ground | None
) -> Result:
    """Motions (H, T, 17, 3) in the camera's optical frame as a `Result`; sigma_m is the spread of the samples."""
    samples, frames = joints_cam_m.shape[:2]
    rows = joints_cam_m.swapaxes(0, 1).reshape(-1, 17, 3).astype(np.float32)
    spread_m = np.sqrt((joints_cam_m - joints_cam_m[:, :, :1]).var(0).mean(-1))
    spread_m = np.repeat(spread_m, samples, 0).astype(np.float32)
    zero = np.zeros((len(rows), 17, 2), np.float32)
    return Result(
        name=name,
        source=source,
        format="the prior of motion",
        stamps_s=np.asarray(stamps_s, np.float64),
        frame=np.repeat(np.arange(frames), samples),
        person=np.tile(np.arange(samples), frames),
        stay=np.zeros(len(rows), int),
        joints_cam_m=rows,
        sigma_m=spread_m,
        sigma_lateral_m=spread_m,
        sigma_depth_m=spread_m,
        root_sigma_m=zero[:, 0, 0],
        stature_m=zero[:, 0, 0],
        contact=zero[:, 0],
        joints_px=zero,
        confidence=zero[..., 0],
        keypoints_px=zero,
        keypoint_confidence=zero[..., 0],
        joint_set="h36m17",
        camera=camera,
        camera_from="given",
        metric=True,
        ground=ground or estimate_ground(rows),
        ground_from="given" if ground is not None else "estimated from the people",
    )


def _prior(options: MotionOutput):
    from dp3d_core.model import motion_weights
    from dp3d_core.prior.guidance import Prior
    from dp3d_core.prior.motion_prior import MotionPrior

    if options.samples < 1:
        raise ValueError(f"--samples: expected at least 1, got {options.samples}")
    if motion_weights.holds_motion(options.weights):
        return MotionPrior(motion_weights.load(options.weights).prior)
    return Prior(lifter(options.weights))


def _load(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected an npz with {', '.join(keys)}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: expected an npz without pickles, could not read it ({error})") from error
    missing = [key for key in keys if key not in held]
    if missing:
        raise ValueError(f"{path}: expected arrays {', '.join(keys)}, found no {missing[0]} among {sorted(held)}")
    return held


def _write(options: MotionOutput, name: str, joints_cam_m, stamps_s, camera, ground, source: str) -> None:
    result = result_of(joints_cam_m, stamps_s, name=name, source=source, camera=camera, ground=ground)
    facts = write_result(result, RunOptions(out=options.out, to=options.to, film=options.film))
    print(f"wrote {', '.join(facts['files'])} to {options.out}")
    for text in facts["warnings"]:
        print(f"warning: {text}")
