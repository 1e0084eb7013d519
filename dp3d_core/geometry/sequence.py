"""Whole sequences of one person in metres: the filters of a stream, looking both ways in time.

The same steps as `placement`, with everything learned before anything is answered: body size from the whole sequence,
roots from both directions (Fraser & Potter, 1969), shifts towards the rays and standing feet smoothed with no delay.
"""
# H hypotheses, T frames, J = 17 joints

from typing import NamedTuple

import numpy as np

from dp3d_core.geometry.camera_pose import CameraPose, jumped, motion_between
from dp3d_core.geometry.placement import Placement, Seen, World, directions, sigmas
from dp3d_core.geometry.proportions import Proportions, stature_m
from dp3d_core.geometry.settle import LEGS, SHIFT_TIME_S, leg_to, towards_rays

FIRST_INTERVAL_S = 1 / 30
"""The first frame has no interval: count it as one of 30 a second."""
HOLD_TIME_S = 0.1
"""Standard deviation of the smoothing with which a standing foot takes and leaves its place."""
LONGEST_STEP_S = 1.0
"""A pause longer than this between frames predicts no farther."""


class Sequence(NamedTuple):
    """One person's sequence in metres, of H hypotheses."""

    joints_cam_m: np.ndarray
    """(H, T, 17, 3) float32."""
    root_sigma_m: np.ndarray
    """(H, T) float32."""
    sigma_lateral_m: np.ndarray
    """(T, 17) float32, of the first hypothesis, as in `Skeletons`."""
    sigma_depth_m: np.ndarray
    """(T, 17) float32."""
    contact: np.ndarray
    """(H, T, 2) float32."""
    stature_m: np.ndarray
    """(H,)."""


def motions(poses: list[CameraPose | None], stamps_s: np.ndarray) -> list:
    """How points move in the camera from each frame to the next because it moved; None where unknown, T entries."""
    found: list[tuple[np.ndarray, np.ndarray] | None] = [None]
    for before, now, dt_s in zip(poses, poses[1:], np.diff(stamps_s)):
        motion = motion_between(before, now)
        found.append(None if motion is None or jumped(*motion, float(dt_s)) else motion)
    return found


def place_sequence(
    poses_m: np.ndarray,
    sigma_m: np.ndarray,
    rotation: np.ndarray,
    rays: np.ndarray,
    confidence: np.ndarray,
    stamps_s: np.ndarray,
    poses: list[CameraPose | None],
    person_height_m: float = 0.0,
) -> Sequence:
    """Put root-relative hypotheses (H, T, 17, 3) of one person where they stand.

    sigma_m (T, 17); rotation (T, 3, 3) from the camera to the virtual cameras, rays (T, 17, 2) in those with
    confidence (T, 17); poses: T of the camera, None where nobody knows.
    """
    count, frames = poses_m.shape[:2]
    bones = [Proportions.of_clip(one, sigma_m) for one in poses_m]
    poses_m = np.stack([one.apply(slice(None), pose) for one, pose in zip(bones, poses_m)])
    network_m = np.concatenate([stature_m(one.length_m) for one in bones])
    known = np.log(person_height_m / np.maximum(network_m, 0.3)) if person_height_m > 0 else None
    moved = motions(poses, stamps_s)
    dt_s = np.minimum(np.diff(stamps_s, prepend=stamps_s[0] - FIRST_INTERVAL_S), LONGEST_STEP_S)
    every = slice(0, count)

    def seen(frame, step_s):
        wide = lambda array: np.broadcast_to(array[frame], (count, *array.shape[1:]))  # noqa: E731
        return Seen(
            poses_m[:, frame], wide(sigma_m), wide(rotation), wide(rays), wide(confidence), np.full(count, step_s)
        )

    def worlds(frame, motion):
        pose = poses[frame]
        given = () if pose is None else (pose.up_cam, pose.up_sigma_rad, pose.height_m)
        # hypotheses are not several people: each is alone on its floor
        return [World(slice(one, one + 1), motion, *given) for one in range(count)]

    placement = Placement(count)
    if any(pose is not None for pose in poses):
        for frame in range(frames):
            placement.step(every, seen(frame, dt_s[frame]), worlds(frame, moved[frame]), known)
    ahead = placement.with_sizes_alone()
    forward = [
        ahead.step(every, seen(frame, dt_s[frame]), worlds(frame, moved[frame]), known, learn=False)
        for frame in range(frames)
    ]
    back, backward = placement.with_sizes_alone(), [None] * frames
    for frame in range(frames - 1, -1, -1):
        step_s = dt_s[frame + 1] if frame + 1 < frames else FIRST_INTERVAL_S
        motion = moved[frame + 1] if frame + 1 < frames else None
        step = back.step(every, seen(frame, step_s), worlds(frame, _inverse(motion)), known, learn=False)
        backward[frame] = step.before
    roots, spread_m = _both_ways(forward, backward)
    return _settled(poses_m, sigma_m, rotation, rays, confidence, stamps_s, poses, roots, spread_m, forward, network_m)


def _inverse(motion):
    """The motion backwards in time."""
    return None if motion is None else (motion[0].T, -motion[0].T @ motion[1])


def _both_ways(forward, backward):
    """Roots (H, T, 3) and their deviation along the ray (H, T) without that of the body's size.

    Only the forward pass has taken in a frame's own measurement: counted twice, it would pull each root to its noise.
    """
    root = np.stack([step.after.root_m for step in forward], 1)
    other = np.stack([step.root_m for step in backward], 1)
    (radial, lateral), (radial_back, lateral_back) = (
        (np.stack([step.radial for step in steps], 1), np.stack([step.lateral for step in steps], 1))
        for steps in ([step.after for step in forward], backward)
    )
    direction = root / (np.linalg.norm(root, axis=-1, keepdims=True) + 1e-9)
    off = other - root
    off_radial = (off * direction).sum(-1, keepdims=True) * direction
    share = (radial / (radial + radial_back))[..., None]
    share_lateral = (lateral / (lateral + lateral_back))[..., None]
    blended = root + share * off_radial + share_lateral * (off - off_radial)
    return blended, np.sqrt(radial * radial_back / (radial + radial_back))


def _settled(poses_m, sigma_m, rotation, rays, confidence, stamps_s, poses, roots, spread_m, forward, network_m):
    """Joints on their rays with standing feet where they stand, and everything that is published."""
    frames = poses_m.shape[1]
    size = forward[-1].size
    joints = roots[:, :, None] + size[:, None, None, None] * np.einsum("htki,tij->htkj", poses_m, rotation)
    rate_hz = (frames - 1) / max(stamps_s[-1] - stamps_s[0], 1e-6) if frames > 1 else 1 / FIRST_INTERVAL_S
    toward = directions(rays, rotation)
    for one in joints:
        shift = towards_rays(one, toward, confidence, sigma_m)
        one += _blurred(shift, SHIFT_TIME_S * rate_hz)
    contact = np.stack([step.contact for step in forward], 1)
    for one, standing in zip(joints, contact > 0.5):
        _hold(one, standing, poses, HOLD_TIME_S * rate_hz)
    distance = np.linalg.norm(joints[:, :, 0], axis=-1)
    variance = np.stack([step.size_variance for step in forward], 1)[:, -1:]
    root_sigma_m = np.sqrt(spread_m**2 + distance**2 * variance)
    _, lateral, depth = sigmas(sigma_m, confidence, size[:1])
    return Sequence(
        joints.astype(np.float32), root_sigma_m.astype(np.float32), lateral, depth, contact, network_m * size
    )


def _hold(joints, standing, poses, blur):
    """Let standing feet (T, 2) of joints (T, 17, 3), changed in place, stay where they stand on average."""
    fixed = all(pose is not None and pose.rotation is not None for pose in poses)
    turn = np.stack([pose.rotation for pose in poses]) if fixed else np.broadcast_to(np.eye(3), (len(joints), 3, 3))
    place = np.stack([pose.translation_m for pose in poses]) if fixed else np.zeros((len(joints), 3))
    for foot, (hip, knee, ankle) in enumerate(LEGS):
        where = np.einsum("tij,tj->ti", turn, joints[:, ankle]) + place
        edges = np.flatnonzero(np.diff(standing[:, foot].astype(int), prepend=0, append=0))
        off = np.zeros_like(where)
        for first, last in zip(edges[::2], edges[1::2]):
            off[first:last] = where[first:last].mean(0) - where[first:last]
        # a foot that slides by as much does not stand
        off *= np.linalg.norm(off, axis=1, keepdims=True) < 0.15
        off = _blurred(off, blur)
        off = np.einsum("tji,tj->ti", turn, off)
        joints[:, knee : ankle + 1] = leg_to(joints[:, hip], joints[:, knee : ankle + 1], off)


def _blurred(values, frames):
    """values (T, ...) smoothed over time by a Gaussian of so many frames; the ends go on as they are."""
    reach = int(np.ceil(3 * frames))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(frames, 1e-6)) ** 2)
    wide = np.concatenate([values[:1].repeat(reach, 0), values, values[-1:].repeat(reach, 0)])
    return sum(weight * wide[first : first + len(values)] for first, weight in enumerate(weights / weights.sum()))
