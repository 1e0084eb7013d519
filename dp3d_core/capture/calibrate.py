# R rows (one person in one frame), T tracks
"""Where is the camera, and what is its focal length? Estimated from people who stand and walk on flat ground.

Each upright person shows how large 1.7 m is at one place of the ground; many places tell the camera's height, pitch,
roll and focal length (the idea of Lv, Zhao and Nevatia, "Camera calibration from video of a walking human", 2006,
solved here as one robust least-squares fit). Metric scale rests entirely on the assumed mean height: an error of 1 %
there is 1 % in every distance. Knows no lens distortion: it is taken as zero.
"""

from dataclasses import dataclass, replace
from math import isfinite, radians, tan
from pathlib import Path

import numpy as np
from tyro.conf import OmitArgPrefixes, Positional

from dp3d_core.capture import recording as recordings
from dp3d_core.skeleton import joint_set

# Share of the stature above the ground: tragion (ear canal) as in ANSUR II; ankles 0.039 when standing, and the mean of
# both is lifted by the swinging foot. The head top of h36m17 is at the stature itself.
EAR_SHARE, HEAD_SHARE, ANKLES_SHARE = 0.926, 1.0, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateConfig:
    """What is assumed before looking. The focal prior is weak on purpose: it decides only where people cannot."""

    mean_height_m: float = 1.70
    height_spread_m: float = 0.09  # between people; one value a track is fitted
    focal_prior_px: float | None = None  # None: that of a 50 degree horizontal field of view
    focal_prior_spread: float = 0.4  # standard deviation of log focal length
    roll_spread_deg: float = 3.0  # cameras are mounted about level
    principal_point_px: tuple[float, float] | None = None  # None: the image centre
    noise_share: float = 0.05  # keypoint noise (posture included) over the person's image height
    correlated_rows: float = 5.0  # rows of a track that err together: weights the people against the priors
    min_confidence: float = 0.5
    min_rows: int = 30
    resamples: int = 20  # bootstrap over tracks, for the uncertainties

    def __post_init__(self) -> None:
        positive = (
            self.mean_height_m,
            self.height_spread_m,
            self.focal_prior_spread,
            self.roll_spread_deg,
            self.noise_share,
            self.correlated_rows,
            self.min_rows,
        )
        if not all(isfinite(value) and value > 0 for value in positive) or self.resamples < 2:
            raise ValueError(f"calibrate: expected positive spreads and at least 2 resamples, got {self}")
        if self.focal_prior_px is not None and not (isfinite(self.focal_prior_px) and self.focal_prior_px > 0):
            raise ValueError(f"calibrate: expected a positive focal_prior_px, got {self.focal_prior_px}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A camera over the ground; `_std` fields are bootstrap deviations over tracks, blind to wrong assumptions.

    K (3, 3); ground_normal_cam (3,) unit, up; a point X of the ground has n.X + ground_distance_m = 0.
    residual_share: median distance of seen from expected head points over the person's image height.
    """

    K: np.ndarray
    ground_normal_cam: np.ndarray
    ground_distance_m: float
    pitch_deg: float
    roll_deg: float
    focal_std_px: float
    distance_std_m: float
    pitch_std_deg: float
    residual_share: float
    rows: int
    tracks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _People:
    """Upright rows: ankle centre and head point (R, 2) px, which track (R,) of 0..T-1, and the share of the head."""

    ankles_px: np.ndarray
    head_px: np.ndarray
    track: np.ndarray
    head_share: float


def calibrate(
    recording: recordings.Recording,
    config: CalibrateConfig | None = None,
    *,
    generator: np.random.Generator | None = None,
) -> Calibration:
    """Fit the camera to a recording's people; ValueError if too few stand upright with ears and ankles seen."""
    config = config or CalibrateConfig()
    generator = generator or np.random.default_rng(0)
    people = _upright(recording, config)
    rows, tracks = len(people.track), int(people.track.max(initial=-1)) + 1
    if rows < config.min_rows or tracks < 2:
        raise ValueError(
            f"calibrate: expected at least {config.min_rows} upright rows of 2 or more people with head and ankles "
            f"seen, got {rows} rows of {tracks}; record longer or give --fx"
        )
    width, height = (float(value) for value in recording.image_size_px)
    centre_px = np.array(config.principal_point_px or (width / 2, height / 2))
    prior_px = config.focal_prior_px or width / 2 / tan(radians(25))
    fitted = _fit(people, config, centre_px, prior_px, _first_guess(people, config, centre_px, prior_px))
    again = np.array(
        [_fit(_resampled(people, generator), config, centre_px, prior_px, fitted)[:4] for _ in range(config.resamples)]
    )
    focal_px, distance_m = np.exp(fitted[0]), np.exp(fitted[3])
    miss = np.linalg.norm(_head_error(fitted, people, config, centre_px), axis=1)
    return Calibration(
        K=np.array([[focal_px, 0, centre_px[0]], [0, focal_px, centre_px[1]], [0, 0, 1]]),
        ground_normal_cam=_up(fitted[1], fitted[2]),
        ground_distance_m=float(distance_m),
        pitch_deg=float(np.degrees(fitted[1])),
        roll_deg=float(np.degrees(fitted[2])),
        focal_std_px=float(np.exp(again[:, 0]).std(ddof=1)),
        distance_std_m=float(np.exp(again[:, 3]).std(ddof=1)),
        pitch_std_deg=float(np.degrees(again[:, 1]).std(ddof=1)),
        residual_share=float(np.median(miss)),
        rows=rows,
        tracks=tracks,
    )


def apply(recording: recordings.Recording, calibration: Calibration) -> recordings.Recording:
    """The recording with the estimated camera and ground plane in it, and a line in its provenance."""
    note = (
        f"; camera estimated from {calibration.tracks} tracks: focal {calibration.K[0, 0]:.0f} "
        f"+- {calibration.focal_std_px:.0f} px, {calibration.ground_distance_m:.2f} "
        f"+- {calibration.distance_std_m:.2f} m above the ground, pitch {calibration.pitch_deg:.1f} "
        f"+- {calibration.pitch_std_deg:.1f} deg down"
    )
    return replace(
        recording,
        K=calibration.K,
        distortion=np.zeros(0),
        intrinsics="estimated",
        provenance=recording.provenance.split("; camera estimated from ")[0] + note,
        ground_normal_cam=calibration.ground_normal_cam,
        ground_distance_m=calibration.ground_distance_m,
    )


def ground_positions_m(recording: recordings.Recording, min_confidence: float = 0.5) -> np.ndarray:
    """Where each row's person stands (R, 3), camera frame, from the ankles and the ground plane; NaN if unseen.

    The ankles are taken at the height of a person of mean stature; rays at or above the horizon give NaN.
    """
    if recording.ground_normal_cam is None or recording.ground_distance_m is None:
        raise ValueError("ground: this recording has no ground plane; run `dp3d calibrate FILE --write`")
    ankles_px, seen = _mean_of(recording, _indices(recording, ("ankle",)), min_confidence, need_all=True)
    lift_m = ANKLES_SHARE * CalibrateConfig().mean_height_m
    ray = _rays(ankles_px, recording.K[0, 0], recording.K[1, 1], recording.K[:2, 2])
    descent = ray @ recording.ground_normal_cam
    seen = seen & (descent < -1e-3)
    depth = np.full(len(ray), np.nan)
    depth[seen] = (lift_m - recording.ground_distance_m) / descent[seen]
    return ray * depth[:, None] - lift_m * recording.ground_normal_cam


def walking_speeds_m_s(recording: recordings.Recording, window_s: float = 1.5) -> np.ndarray:
    """Speed of every track over every window that has both ends: net distance on the ground over time; (N,)."""
    position_m, stamp_s = ground_positions_m(recording), recording.stamps_s[recording.frame]
    speeds = []
    for person in np.unique(recording.person):
        rows = np.flatnonzero((recording.person == person) & np.isfinite(position_m[:, 0]))
        if len(rows) < 2:
            continue
        later = np.searchsorted(stamp_s[rows], stamp_s[rows] + window_s - 1e-6)
        has_end = later < len(rows)
        first, last = rows[has_end], rows[later[has_end]]
        moved_m = np.linalg.norm(position_m[last] - position_m[first], axis=1)
        speeds.append(moved_m / (stamp_s[last] - stamp_s[first]))
    return np.concatenate(speeds) if speeds else np.zeros(0)


def _upright(recording: recordings.Recording, config: CalibrateConfig) -> _People:
    """Rows with head and both ankles seen in the image, the head above the ankles; tracks renumbered."""
    ears = _indices(recording, ("ear",))
    head = ears or _indices(recording, ("head",))
    head_px, head_seen = _mean_of(recording, head, config.min_confidence, need_all=False)
    ankles_px, ankles_seen = _mean_of(recording, _indices(recording, ("ankle",)), config.min_confidence, need_all=True)
    keep = head_seen & ankles_seen
    keep &= ankles_px[:, 1] - head_px[:, 1] > 2 * np.abs(ankles_px[:, 0] - head_px[:, 0]) + 1
    _, track = np.unique(recording.person[keep], return_inverse=True)
    share = EAR_SHARE if ears else HEAD_SHARE
    return _People(ankles_px=ankles_px[keep], head_px=head_px[keep], track=track, head_share=share)


def _indices(recording: recordings.Recording, endings: tuple[str, ...]) -> list[int]:
    names = joint_set(recording.joint_set).keypoints
    return [index for index, name in enumerate(names) if name.lower().endswith(endings)]


def _mean_of(
    recording: recordings.Recording, joints: list[int], min_confidence: float, *, need_all: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean pixel (R, 2) of the seen ones of some joints, and whether enough of them were seen (R,)."""
    seen = np.asarray(recording.confidence[:, joints] >= min_confidence)
    points = recording.keypoints_px[:, joints].astype(np.float64)
    mean = (points * seen[..., None]).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)[:, None]
    enough = np.all(seen, axis=1) if need_all else np.any(seen, axis=1)
    return mean, enough


def _up(pitch: float, roll: float) -> np.ndarray:
    """Unit vector (3,) up from the ground in the camera frame of a camera looking `pitch` down, rolled by `roll`."""
    return np.array([np.cos(pitch) * np.sin(roll), -np.cos(pitch) * np.cos(roll), -np.sin(pitch)])


def _rays(points_px: np.ndarray, fx: float, fy: float, centre_px: np.ndarray) -> np.ndarray:
    return np.concatenate([(points_px - centre_px) / (fx, fy), np.ones((len(points_px), 1))], axis=1)


def _head_error(unknowns: np.ndarray, people: _People, config: CalibrateConfig, centre_px: np.ndarray) -> np.ndarray:
    """Expected minus seen head point over its image height (R, 2); unknowns: log f, pitch, roll, log h, statures."""
    focal_px, distance_m, normal = np.exp(unknowns[0]), np.exp(unknowns[3]), _up(unknowns[1], unknowns[2])
    stature_m = config.mean_height_m + config.height_spread_m * unknowns[4 + people.track]
    ray = _rays(people.ankles_px, focal_px, focal_px, centre_px)
    descent = np.minimum(ray @ normal, -1e-3)  # a ray above the horizon meets the ground far away, not behind
    ankles_m = ray * ((ANKLES_SHARE * stature_m - distance_m) / descent)[:, None]
    head_m = ankles_m + normal * ((people.head_share - ANKLES_SHARE) * stature_m)[:, None]
    expected_px = focal_px * head_m[:, :2] / np.maximum(head_m[:, 2:], 0.1) + centre_px
    size_px = np.linalg.norm(people.head_px - people.ankles_px, axis=1, keepdims=True)
    return (expected_px - people.head_px) / size_px


def _first_guess(people: _People, config: CalibrateConfig, centre_px: np.ndarray, prior_px: float) -> np.ndarray:
    """The best of a few pitches and heights at the prior focal length: the fit is then in the right valley."""
    average = np.zeros(people.track.max() + 1)
    starts = [
        np.concatenate([(np.log(prior_px), np.radians(pitch), 0.0, np.log(distance_m)), average])
        for pitch in (2, 8, 15, 25, 40, 60)
        for distance_m in (1.2, 2.0, 3.5, 6.0, 10.0)
    ]
    misses = [np.median(np.abs(_head_error(start, people, config, centre_px)).sum(axis=1)) for start in starts]
    return starts[int(np.argmin(misses))]


def _fit(
    people: _People, config: CalibrateConfig, centre_px: np.ndarray, prior_px: float, start: np.ndarray
) -> np.ndarray:
    """Robust least squares over the camera and one height a track; rows beyond their noise count linearly."""
    from scipy.optimize import least_squares

    def residuals(unknowns: np.ndarray) -> np.ndarray:
        error = _head_error(unknowns, people, config, centre_px) / config.noise_share
        soft = 2 * (np.sqrt(1 + error**2) - 1)  # soft_l1, on the people only: priors stay quadratic
        priors = (
            (unknowns[0] - np.log(prior_px)) / config.focal_prior_spread,
            unknowns[2] / np.radians(config.roll_spread_deg),
        )
        robust = np.sign(error) * np.sqrt(soft / config.correlated_rows)
        return np.concatenate([robust.ravel(), priors, unknowns[4:]])

    tracks = people.track.max() + 1
    lower = np.concatenate([(np.log(50), np.radians(-10), np.radians(-30), np.log(0.3)), np.full(tracks, -5.0)])
    upper = np.concatenate([(np.log(2e4), np.radians(89), np.radians(30), np.log(200)), np.full(tracks, 5.0)])
    first = np.concatenate([start[:4], np.zeros(tracks)]).clip(lower + 1e-6, upper - 1e-6)
    return least_squares(residuals, first, bounds=(lower, upper)).x


def _resampled(people: _People, generator: np.random.Generator) -> _People:
    """As many tracks, drawn with replacement; a track drawn twice counts as two people."""
    tracks = people.track.max() + 1
    chosen = [np.flatnonzero(people.track == track) for track in generator.integers(0, tracks, tracks)]
    rows = np.concatenate(chosen)
    track = np.repeat(np.arange(tracks), [len(part) for part in chosen])
    return replace(people, ankles_px=people.ankles_px[rows], head_px=people.head_px[rows], track=track)


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """Estimate a camera's focal length, height and tilt from people who stand and walk before it.

    INPUT is anything that `dp3d lift` takes. The camera file that --yaml writes is what `dp3d lift --camera` and ROS'
    camera_info_manager read.
    """

    input: Positional[Path]
    """Recording (.npz), keypoints of another tool, or a video."""
    write: bool = False
    """Store the camera and the ground plane in the recording."""
    yaml: Path | None = None
    """Write the camera as ROS YAML to this file, with ground plane and uncertainties."""
    fps: float | None = None
    """Frames a second, where the input has no times."""
    image_size: tuple[int, int] | None = None
    """Width and height of the picture in pixels, where the input does not have them."""
    fit: OmitArgPrefixes[CalibrateConfig] = CalibrateConfig()
    """What is known beforehand."""


def command(options: CalibrateOptions) -> None:
    """Calibrate, print the camera and, with --write or --yaml, store it."""
    recording = _input(options)
    fitted = calibrate(recording, options.fit)
    calibrated = apply(recording, fitted)
    if options.write:
        recordings.save(options.input, calibrated)
    if options.yaml is not None:
        write_yaml(options.yaml, fitted, recording)
    speeds = walking_speeds_m_s(calibrated)
    print(f"focal_px {fitted.K[0, 0]:.0f} +- {fitted.focal_std_px:.0f}, centre {fitted.K[:2, 2].tolist()}")
    print(f"height_m {fitted.ground_distance_m:.2f} +- {fitted.distance_std_m:.2f}")
    print(f"pitch_deg {fitted.pitch_deg:.2f} +- {fitted.pitch_std_deg:.2f}, roll_deg {fitted.roll_deg:.2f}")
    print(f"from {fitted.rows} rows of {fitted.tracks} tracks; median miss {fitted.residual_share:.1%} of height")
    if len(speeds):
        print(f"speed_m_s over 1.5 s, quartiles {np.round(np.percentile(speeds, (25, 50, 75)), 2).tolist()}")


def write_yaml(path: Path, fitted: Calibration, recording: recordings.Recording) -> None:
    """A ROS camera file with the ground plane; the uncertainties stand in comments."""
    from dp3d_core.files.cameras import write_ros_yaml
    from dp3d_core.geometry.camera import Camera

    width, height = (int(value) for value in recording.image_size_px)
    K = fitted.K
    camera = Camera(fx=K[0, 0], fy=K[1, 1], cx=K[0, 2], cy=K[1, 2], width=width, height=height)
    comments = (
        f"Estimated by dp3d calibrate from {fitted.rows} rows of {fitted.tracks} people in {recording.source}",
        f"focal length {K[0, 0]:.0f} +- {fitted.focal_std_px:.0f} px, camera {fitted.ground_distance_m:.2f} +- "
        f"{fitted.distance_std_m:.2f} m above the ground",
        f"pitch {fitted.pitch_deg:.2f} +- {fitted.pitch_std_deg:.2f} degrees down, roll {fitted.roll_deg:.2f}; no lens "
        "distortion was estimated",
    )
    ground = fitted.ground_normal_cam, fitted.ground_distance_m
    write_ros_yaml(path, camera, name=path.stem, comments=comments, ground=ground)


def _input(options: CalibrateOptions) -> recordings.Recording:
    """The recording, or another tool's keypoints as one."""
    from dp3d_core.files import readers
    from dp3d_core.files.prepare import PrepareOptions, as_recording

    if readers.recognise(options.input) == "recording":
        return recordings.load(options.input)
    if options.write:
        raise ValueError(f"--write: expected a dp3d recording, got {options.input}; give --yaml FILE")
    clips = readers.read(options.input)
    if len(clips) > 1:
        raise ValueError(
            f"{options.input}: expected one clip of one camera, got {', '.join(clip.name for clip in clips)}"
        )
    return as_recording(clips[0], PrepareOptions(fps=options.fps, image_size_px=options.image_size))
