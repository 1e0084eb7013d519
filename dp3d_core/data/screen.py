"""Broken clips of a motion file, told by what no body does; they are not trained on.

The limits lie well outside what 795 clips of five sources hold: 13.5 m/s, arms level in 9 % of a clip's frames, hips
and shoulders crossed in 9 %, bones that vary by 10 %, the lowest joint 0.03 m under the floor to 0.74 m above it (on a
playground).
Knows no networks.
"""
# T frames, J = 17 joints

import numpy as np

from dp3d_core.data.motions import Clip, Motions
from dp3d_core.data.sequences import BONE_M, LIMBS
from dp3d_core.skeleton import BONES, JOINT_NAMES

FASTEST_M_S = 20.0
"""Of any joint: beyond it the body is teleported."""
FLOOR_M = (-0.2, 1.0)
"""Of the lowest joint, as a median over the clip's frames."""
MOST_T_POSE = 0.5
"""Share of frames with both arms straight out and level, which is a calibration and no act."""
LEVEL = 0.2
STRETCHED = 0.97
MOST_CROSSED = 0.5
"""Share of frames in which hips and shoulders point to opposite sides: the left and right of one are exchanged."""
MOST_BONE_CHANGE = 0.2
"""Standard deviation of a limb's bone over its mean."""
SLOWEST_FPS = 15.0
"""At lower rates people may turn round between two frames."""


def screened(motions: Motions, *, say=print) -> Motions:
    """The sound clips; `say` gets a line for each broken one. ValueError where none is sound."""
    sound, broken = [], 0
    for index in range(len(motions)):
        clip = motions.clip(index)
        found = faults(clip)
        if found:
            broken += 1
            say(f"left out {clip.name!r} ({len(clip.pose_m)} frames): {'; '.join(found)}")
        else:
            sound.append(index)
    if not sound:
        raise ValueError(f"motions: expected clips of people, got {broken} broken ones of {len(motions)}, see above")
    return motions.select(sound) if broken else motions


def faults(clip: Clip) -> list[str]:
    """What is wrong with a clip, in words; nothing where it is sound."""
    return [fault for fault in _faults(clip.joints_m, clip.fps) if fault]


def _faults(joints_m, fps):
    """Each fault, or None."""
    vector = lambda start, end: joints_m[:, JOINT_NAMES.index(end)] - joints_m[:, JOINT_NAMES.index(start)]  # noqa: E731
    if len(joints_m) > 1:
        fastest = float(np.linalg.norm(np.diff(joints_m, axis=0), axis=-1).max() * fps)
        yield f"a joint at {fastest:.0f} m/s (at most {FASTEST_M_S:g}): a jump" if fastest > FASTEST_M_S else None
    lowest = float(np.median(joints_m[..., 2].min(1)))
    if not FLOOR_M[0] <= lowest <= FLOOR_M[1]:
        yield f"its floor at {lowest:.2f} m (expected z = 0, up is z)"
    for parent, child in BONES:
        name = JOINT_NAMES[child]
        if name[1:] not in LIMBS:
            continue
        length_m = np.linalg.norm(joints_m[:, child] - joints_m[:, parent], axis=-1)
        mean_m, shortest_m = float(length_m.mean()), 0.5 * BONE_M[name][0]  # half an adult's: children
        if not shortest_m <= mean_m <= BONE_M[name][1]:
            yield f"{mean_m:.2f} m from {JOINT_NAMES[parent]} to {name}: the unit is no metre"
        elif length_m.std() > MOST_BONE_CHANGE * mean_m:
            yield f"a bone to {name} whose length changes by {length_m.std() / mean_m:.0%}"
    hips, shoulders = vector("RHip", "LHip"), vector("RShoulder", "LShoulder")
    crossed = float(((hips * shoulders).sum(-1) < 0).mean())
    if crossed > MOST_CROSSED:
        yield f"hips and shoulders of opposite sides in {crossed:.0%} of its frames: mirrored limbs"
    if fps >= SLOWEST_FPS:
        turned = int(((hips[1:] * hips[:-1]).sum(-1) < 0).sum())
        yield f"hips that change sides {turned} times within a frame: mirrored" if turned else None
    t_pose = float(_t_pose(vector, joints_m).mean())
    if t_pose > MOST_T_POSE:
        yield f"a T-pose in {t_pose:.0%} of its frames"


def _t_pose(vector, joints_m):
    """In which frames (T,) both arms are straight, level, and in line with the shoulders."""
    left, right = vector("LShoulder", "LWrist"), vector("RShoulder", "RWrist")
    reach = [np.linalg.norm(arm, axis=-1).clip(1e-9) for arm in (left, right)]
    level = np.maximum(*(np.abs(arm[:, 2]) / length for arm, length in zip((left, right), reach))) < LEVEL
    whole = sum(reach) + np.linalg.norm(vector("RShoulder", "LShoulder"), axis=-1)
    return level & (np.linalg.norm(vector("RWrist", "LWrist"), axis=-1) > STRETCHED * whole)
