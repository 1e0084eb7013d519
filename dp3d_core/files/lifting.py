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
_ANKLES = [3, 6]


def lift_clip(lifter, clip: Clip, *, progress=None, **options) -> Result:
    """All people of a clip; options go to `Lifter.lift`; progress is called with the frames of each finished stay."""
    parts, short = [], 0
    for person, stay, rows in stays_of(clip):
        try:
            if len(rows) < LEAST_FRAMES:
                raise ValueError("too short")
            lifted = lifter.lift(
                clip.keypoints_px[rows], clip.confidence[rows], clip.stamps_s[clip.frame[rows]], camera=clip.camera,
                joint_set=clip.joint_set, **options,
            )  # fmt: skip
        except ValueError as error:
            if len(rows) >= LEAST_FRAMES and "visible joint" not in str(error):
                raise ValueError(f"{clip.source}: person {person}: {error}") from error
            short += 1
            continue
        finally:
            if progress is not None:
                progress(len(rows))
        parts.append((rows, np.full(len(rows), stay), lifted.joints_cam_m, lifted.sigma_m, lifted.root_sigma_m))
    if not parts:
        raise ValueError(
            f"{clip.source}: expected somebody for {LEAST_FRAMES} frames or more, got {short} shorter glimpses"
        )
    notes = clip.notes
    if short:
        notes += (f"{short} glimpses of fewer than {LEAST_FRAMES} frames are left out",)
    rows, stay, joints_cam_m, sigma_m, root_sigma_m = (np.concatenate(part) for part in zip(*parts))
    order = np.argsort(rows)
    rows = rows[order]
    ground, ground_from = _ground(clip, joints_cam_m)
    joints_px, confidence = adapt(clip.keypoints_px[rows], clip.confidence[rows], joint_set(clip.joint_set))
    return Result(
        name=clip.name, source=clip.source, format=clip.format, stamps_s=clip.stamps_s, frame=clip.frame[rows],
        person=clip.person[rows], stay=stay[order], joints_cam_m=joints_cam_m[order], sigma_m=sigma_m[order],
        root_sigma_m=root_sigma_m[order], joints_px=joints_px, confidence=confidence,
        keypoints_px=clip.keypoints_px[rows], keypoint_confidence=clip.confidence[rows], joint_set=clip.joint_set,
        camera=clip.camera, camera_from=clip.camera_from, metric=not clip.camera.assumed, ground=ground,
        ground_from=ground_from, video=clip.video, notes=notes,
    )  # fmt: skip


def stays_of(clip: Clip) -> list[tuple[int, int, np.ndarray]]:
    """(person, number of the stay, rows (T,)) of every stay."""
    stays = []
    for person in np.unique(clip.person):
        rows = np.flatnonzero(clip.person == person)
        away = np.flatnonzero(np.diff(clip.stamps_s[clip.frame[rows]]) > STAY_GAP_S) + 1
        stays += [(int(person), number, part) for number, part in enumerate(np.split(rows, away))]
    return stays


def _ground(clip: Clip, joints_cam_m: np.ndarray) -> tuple[Ground, str]:
    """The ground under the people: its tilt known or estimated, its distance always from the lifted feet.

    Heights of people are never known exactly, and an error in them moves the feet and the ground alike.
    """
    if clip.ground is None:
        return estimate_ground(joints_cam_m), "estimated from the people"
    level = Ground(normal_cam=clip.ground.normal_cam, distance_m=0.0)
    lower = level.to_world(joints_cam_m[:, _ANKLES])[..., 2].min(1)
    ground = Ground(normal_cam=level.normal_cam, distance_m=ANKLE_HEIGHT_M - np.nanmedian(lower))
    return ground, f"tilt known ({clip.ground.distance_m:.2f} m below the camera there), height from the feet"
