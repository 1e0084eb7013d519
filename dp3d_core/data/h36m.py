"""Human3.6M in the npz files of VideoPose3D (Pavllo et al. 2019): evaluation sequences and training motions.

The data is licensed and comes from you. `data_3d_h36m.npz` (made by VideoPose3D's prepare_data_h36m.py) holds
positions_3d: {subject: {action: (T, 32, 3) metres, world axes, Z up}}; `data_2d_h36m_*.npz` holds positions_2d:
{subject: {action: [4 cameras of (T', 17, 2) pixels]}} with T' ≥ T, and metadata. Cameras come from a file of yours too
(h36m_cameras.read_cameras), for extrinsics must be exact. Protocols: train S1, 5, 6, 7, 8, test S9, 11; 50 Hz;
"Walking 1" counts as Walking; all four cameras; 17 joints, or dp3d_core.evaluation.metrics.JOINTS_14.

    dp3d h36m data_3d_h36m.npz --out h36m.npz

writes the training subjects' motion for dp3d_core.train, S8 held back to watch the training by; never the test's.

Knows nothing of images, networks or error metrics.

# T frames, J = 17 joints, 32 joints of the original
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tyro.conf import Positional

from dp3d_core.cli import run
from dp3d_core.data.h36m_cameras import PlacedCamera, read_cameras
from dp3d_core.data.motions import Motions, join_motions, save_motions
from dp3d_core.data.sequences import FARTHEST_PX, EvalSequence, check_joint_order
from dp3d_core.data.vp3d_npz import read_vp3d
from dp3d_core.skeleton import JOINT_NAMES, LEFT, RIGHT

FPS = 50.0
TRAIN_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
ACTIONS_15 = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "WalkTogether", "Walking",
)  # fmt: skip
OTHER_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
# Of the 32 joints these remain, in order; the others are fingers, toes and doubles that never move on their own.
KEPT_JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
# Joints in the file -> their order, for messages.
ORDERS = {
    17: ", ".join(JOINT_NAMES),
    32: f"of Human3.6M's 32, of which {KEPT_JOINTS} are {', '.join(JOINT_NAMES)}",
}
CAMERAS = 4
TAKES = 2
"""Videos of each action by each subject and camera."""
# Its video is corrupted; every published protocol leaves it out.
LEFT_OUT = {("S11", "Directions")}


def load_h36m(
    data_3d: str | Path,
    data_2d: str | Path | None,
    cameras: str | Path | dict[str, list[PlacedCamera]],
    *,
    subjects: tuple[str, ...] = TEST_SUBJECTS,
    actions: tuple[str, ...] = ACTIONS_15,
) -> list[EvalSequence]:
    """Every video of these subjects and actions as one sequence: subject, action and camera in that order.

    data_2d None takes the projected truth as 2D (the papers' "GT"). Detections carry no confidence in these
    files: it is 1. Frames beyond the motion capture are cut, as published. ValueError names file, subject and action,
    also where a subject has no such video; a part of the 15 actions, their takes or the cameras is loaded as it is.
    """
    cameras_from = "cameras"
    if not isinstance(cameras, dict):
        cameras_from, cameras = cameras, read_cameras(cameras)
    _check_choice(subjects, actions)
    positions = _positions(data_3d, subjects)
    detections = None if data_2d is None else _detections(data_2d)
    sequences = []
    for subject in subjects:
        placed = cameras.get(subject)
        if not placed:
            known = sorted(map(str, cameras))
            raise ValueError(f"{cameras_from}: expected the cameras of {subject}, got those of {known}")
        chosen = {
            name: world_m
            for name, world_m in positions[subject].items()
            if _action(name, data_3d, subject) in actions and (subject, name) not in LEFT_OUT
        }
        if not chosen:
            raise ValueError(
                f"{data_3d}: expected videos of {', '.join(actions)} by {subject}, got none; there are "
                f"{', '.join(positions[subject])}"
            )
        for name, world_m in chosen.items():
            seen_px = None if detections is None else _seen(data_2d, detections, subject, name, len(placed))
            for index, camera in enumerate(placed):
                title = f"{subject}/{name}/{camera.id}"
                joints_cam_m = camera.to_camera(world_m)
                nearest_m = float(joints_cam_m[..., 2].min())
                if nearest_m <= 0:
                    raise ValueError(
                        f"{cameras_from}: camera {camera.id} of {subject}: expected the person before it, "
                        f"got joints {-nearest_m:.2f} m behind it in {data_3d}: {subject}/{name}; are "
                        "these the cameras of this file, their translation in millimetres?"
                    )
                if seen_px is None:
                    keypoints_px = camera.project_px(joints_cam_m)
                else:
                    keypoints_px = _cut(seen_px[index], len(world_m), f"{data_2d}: {title}")
                action = _action(name, data_3d, subject)
                sequences.append(_sequence(title, action, subject, keypoints_px, joints_cam_m, camera))
    return sequences


def _check_choice(subjects: tuple[str, ...], actions: tuple[str, ...]) -> None:
    """ValueError for no, repeated or unknown names."""
    for field, values in (("subjects", subjects), ("actions", actions)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{field}: expected at least one and each once, got {values}")
    for action in actions:
        if action not in ACTIONS_15:
            raise ValueError(f"actions: expected some of {', '.join(ACTIONS_15)}; got {action!r}")


def _sequence(title, action, subject, keypoints_px, joints_cam_m, placed: PlacedCamera) -> EvalSequence:
    """One video (T frames) as a sequence; detections carry no confidence in these files, so it is 1."""
    return EvalSequence(
        name=title,
        action=action,
        subject=subject,
        fps=FPS,
        stamps_s=np.arange(len(joints_cam_m)) / FPS,
        keypoints_px=keypoints_px.astype(np.float32),
        confidence=np.ones(keypoints_px.shape[:2], np.float32),
        joints_cam_m=joints_cam_m.astype(np.float32),
        camera=placed.camera,
    )


def load_h36m_motions(data_3d: str | Path, *, subjects: tuple[str, ...] = TRAIN_SUBJECTS, split: str) -> Motions:
    """The motion alone, world axes, 50 fps, for training through synthetic cameras as with any other capture."""
    poses, roots, names, actions, owners = [], [], [], [], []
    for subject, group in _positions(data_3d, subjects).items():
        for name, world_m in group.items():
            poses.append((world_m - world_m[:, :1]).astype(np.float32))
            roots.append(world_m[:, 0].astype(np.float32))
            names.append(f"h36m/{subject}/{name}")
            actions.append(_action(name, data_3d, subject))
            owners.append(subject)
    clips = len(names)
    return Motions(
        pose_m=np.concatenate(poses),
        root_m=np.concatenate(roots),
        fps=FPS,
        names=tuple(names),
        actions=tuple(actions),
        offsets=np.concatenate([[0], np.cumsum([len(pose) for pose in poses])]).astype(np.int64),
        styles=("h36m",) * clips,
        subjects=tuple(owners),
        splits=(split,) * clips,
        sources=("h36m",) * clips,
        licences=("Human3.6M: academic use only",) * clips,
    )


def _action(name, path, subject) -> str:
    action = str(name).split(" ")[0]
    action = OTHER_NAMES.get(action, action)
    if action not in ACTIONS_15:
        raise ValueError(
            f"{path}: {subject}: action: expected one of {', '.join(ACTIONS_15)}, with or without a "
            f"number, got {name!r}"
        )
    return action


def _positions(path, subjects) -> dict[str, dict[str, np.ndarray]]:
    held = read_vp3d(path, keys=("positions_3d",))["positions_3d"]
    if not isinstance(held, dict):
        raise ValueError(f"{path}: positions_3d: expected {{subject: {{action: array}}}}, got {type(held).__name__}")
    chosen = {}
    for subject in subjects:
        if not isinstance(held.get(subject), dict):
            raise ValueError(f"{path}: positions_3d: expected subject {subject}, got {sorted(map(str, held))}")
        if not held[subject]:
            raise ValueError(f"{path}: positions_3d: {subject}: expected {{action: array}}, got no action")
        chosen[subject] = {}
        for name, world_m in held[subject].items():
            title = f"{path}: {subject}/{name}"
            if not _is_array(world_m) or world_m.shape[1:] not in ((32, 3), (17, 3)):
                raise ValueError(f"{title}: expected (T, 32, 3) metres, got {_form(world_m)}")
            if not len(world_m) or not np.isfinite(world_m).all():
                raise ValueError(f"{title}: expected finite metres, got NaN, infinity or no frame")
            if np.abs(world_m).max() > 50:
                raise ValueError(
                    f"{title}: expected metres, got values up to {np.abs(world_m).max():.0f}; "
                    "divide millimetres by 1000"
                )
            kept = (world_m[:, KEPT_JOINTS] if world_m.shape[1] == 32 else world_m).astype(np.float64)
            _action(name, path, subject)
            check_joint_order(kept, title=title, order=ORDERS[world_m.shape[1]])
            chosen[subject][name] = kept
    return chosen


def _detections(path) -> dict:
    held = read_vp3d(path, keys=("positions_2d", "metadata"))
    positions, metadata = held["positions_2d"], held["metadata"]
    if not isinstance(positions, dict) or not isinstance(metadata, dict):
        raise ValueError(
            f"{path}: expected dicts positions_2d and metadata, got {type(positions).__name__} and "
            f"{type(metadata).__name__}"
        )
    try:
        left, right = (tuple(int(joint) for joint in side) for side in metadata["keypoints_symmetry"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path}: metadata: expected keypoints_symmetry, two lists of joints, got {metadata}"
        ) from error
    if (left, right) != (LEFT, RIGHT):
        raise ValueError(
            f"{path}: expected Human3.6M's 17 joints (left {LEFT}, right {RIGHT}), got left {left}, "
            f"right {right}; take detections fine-tuned on Human3.6M (cpn_ft_h36m_dbb)"
        )
    return positions


def _seen(path, detections, subject, name, count) -> list:
    group = detections.get(subject)
    views = group.get(name) if isinstance(group, dict) else None
    if not isinstance(views, list) or len(views) != count:
        got = len(views) if isinstance(views, list) else "none"
        raise ValueError(f"{path}: {subject}/{name}: expected 2D of {count} cameras, got {got}")
    return views


def _cut(keypoints_px, frames, title) -> np.ndarray:
    if not _is_array(keypoints_px) or keypoints_px.shape[1:] != (17, 2):
        raise ValueError(f"{title}: expected (T, 17, 2) pixels, got {_form(keypoints_px)}")
    if len(keypoints_px) < frames:
        raise ValueError(f"{title}: expected at least the {frames} frames of the motion, got {len(keypoints_px)}")
    keypoints_px = keypoints_px[:frames]
    bad = np.flatnonzero(~(np.abs(keypoints_px) < FARTHEST_PX).all(axis=(1, 2)))  # also where it is NaN
    if len(bad):
        raise ValueError(
            f"{title}: expected finite pixels, for these files mark no keypoint as missing; got NaN, "
            f"infinity or the like in {len(bad)} of {frames} frames, first frame {bad[0]}"
        )
    return keypoints_px


def _is_array(value) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 3 and value.dtype.kind in "fiu"


def _form(value) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


@dataclass(frozen=True, kw_only=True)
class H36mOptions:
    """Make a motion file from the training subjects of Human3.6M."""

    data_3d: Positional[str]
    """VideoPose3D's data_3d_h36m.npz."""
    out: str
    """Motion file to write (.npz)."""
    dev: Literal["S1", "S5", "S6", "S7", "S8"] = "S8"
    """Subject held back as the development split."""


def command(options: H36mOptions) -> None:
    """Load, join and write the motions."""
    kept = tuple(subject for subject in TRAIN_SUBJECTS if subject != options.dev)
    motions = join_motions(
        [
            load_h36m_motions(options.data_3d, subjects=kept, split="train"),
            load_h36m_motions(options.data_3d, subjects=(options.dev,), split="dev"),
        ]
    )
    save_motions(options.out, motions, half=True)
    print(f"{options.out}: {len(motions)} clips, {motions.minutes:.2f} minutes at {FPS:g} fps")


if __name__ == "__main__":
    run("h36m")
