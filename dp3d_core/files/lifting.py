"""A clip through the lifter: every stay of every person is one sequence, lifted with a look both ways in time."""
# F frames, R rows (one person in one frame), T frames of one stay

import numpy as np

from dp3d_core.drawing.ground import ANKLE_HEIGHT_M, Ground, estimate_ground
from dp3d_core.files.prepare import Clip
from dp3d_core.files.results import Result
from dp3d_core.skeleton import adapt, joint_set

STAY_GAP_S = 1.0
"""A person away for longer comes back as another stay."""
LEAST_FRAMES = 4
"""Shorter stays are mistakes of the detector."""
PER_ROW = ("joints_cam_m", "sigma_m", "sigma_lateral_m", "sigma_depth_m", "root_sigma_m", "contact")
"""What `Lifted` has for each frame."""
_ANKLES = [3, 6]


def lift_clip(lifter, clip: Clip, *, progress=None, **options) -> Result:
    """All people of a clip; options go to `Lifter.lift`; progress is called with the frames of each finished stay."""
    parts, short = [], 0
    for person, stay, rows in stays_of(clip):
        try:
            if len(rows) < LEAST_FRAMES:
                raise ValueError("too short")
            lifted = lifter.lift(
                clip.keypoints_px[rows],
                clip.confidence[rows],
                clip.stamps_s[clip.frame[rows]],
                camera=clip.camera,
                joint_set=clip.joint_set,
                pose=clip.pose,
                **options,
            )
        except ValueError as error:
            if len(rows) >= LEAST_FRAMES and "visible joint" not in str(error):
                raise ValueError(f"{clip.source}: person {person}: {error}") from error
            short += 1
            continue
        finally:
            if progress is not None:
                progress(len(rows))
        lifted_rows = {name: getattr(lifted, name) for name in PER_ROW}
        parts.append({"rows": rows, "stay": np.full(len(rows), stay), **lifted_rows,
                      "stature_m": np.full(len(rows), lifted.stature_m, np.float32)})  # fmt: skip
    if not parts:
        raise ValueError(
            f"{clip.source}: expected somebody for {LEAST_FRAMES} frames or more, got {short} shorter glimpses"
        )
    notes = clip.notes
    if short:
        notes += (f"{short} glimpses of fewer than {LEAST_FRAMES} frames are left out",)
    order = np.argsort(np.concatenate([part["rows"] for part in parts]))
    lifted_rows = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    rows = lifted_rows.pop("rows")
    ground, ground_from = _ground(clip, lifted_rows["joints_cam_m"])
    joints_px, confidence = adapt(clip.keypoints_px[rows], clip.confidence[rows], joint_set(clip.joint_set))
    return Result(
        **lifted_rows,
        name=clip.name,
        source=clip.source,
        format=clip.format,
        stamps_s=clip.stamps_s,
        frame=clip.frame[rows],
        person=clip.person[rows],
        joints_px=joints_px,
        confidence=confidence,
        keypoints_px=clip.keypoints_px[rows],
        keypoint_confidence=clip.confidence[rows],
        joint_set=clip.joint_set,
        camera=clip.camera,
        camera_from=clip.camera_from,
        metric=not clip.camera.assumed,
        ground=ground,
        ground_from=ground_from,
        video=clip.video,
        notes=notes,
    )


def stays_of(clip: Clip) -> list[tuple[int, int, np.ndarray]]:
    """(person, number of the stay, rows (T,)) of every stay."""
    stays = []
    for person in np.unique(clip.person):
        rows = np.flatnonzero(clip.person == person)
        away = np.flatnonzero(np.diff(clip.stamps_s[clip.frame[rows]]) > STAY_GAP_S) + 1
        stays += [(int(person), number, part) for number, part in enumerate(np.split(rows, away))]
    return stays


def _ground(clip: Clip, joints_cam_m: np.ndarray) -> tuple[Ground, str]:
    """The ground under the people: known, or its tilt known and its distance from the lifted feet, or estimated."""
    if clip.pose is None:
        return estimate_ground(joints_cam_m), "estimated from the people"
    if clip.pose.height_m is not None:
        return Ground(normal_cam=clip.pose.up_cam, distance_m=clip.pose.height_m), clip.ground_from
    level = Ground(normal_cam=clip.pose.up_cam, distance_m=0.0)
    lower = level.to_world(joints_cam_m[:, _ANKLES])[..., 2].min(1)
    ground = Ground(normal_cam=level.normal_cam, distance_m=ANKLE_HEIGHT_M - np.nanmedian(lower))
    return ground, f"tilt known ({clip.ground_from}), height from the feet"
