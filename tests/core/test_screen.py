"""Broken clips are named and left out; sound ones are left as they are."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import walking_motions

from dp3d_core.data.motions import JOINT_NAMES
from dp3d_core.data.screen import faults, screened

LEGS_R, LEGS_L = (1, 2, 3), (4, 5, 6)


def spoilt(kind):
    """`walking_motions` with its first clip broken."""
    motions = walking_motions()
    pose_m, root_m = motions.pose_m.copy(), motions.root_m.copy()
    span = slice(0, motions.offsets[1])
    if kind == "jump":
        root_m[40:60] += 3
    elif kind == "floor":
        root_m[span, 2] -= 1
    elif kind == "unit":
        pose_m[span] *= 0.1
    elif kind == "mirrored":
        pose_m[span] = pose_m[span][:, [0, *LEGS_L, *LEGS_R, *range(7, 17)]]
    elif kind == "flicker":
        pose_m[30:32] = pose_m[30:32][:, [0, *LEGS_L, *LEGS_R, *range(7, 10), 10, 14, 15, 16, 11, 12, 13]]
    elif kind == "T-pose":
        for side in "LR":
            shoulder, elbow, wrist = (JOINT_NAMES.index(side + part) for part in ("Shoulder", "Elbow", "Wrist"))
            other = JOINT_NAMES.index("RL"["LR".index(side)] + "Shoulder")
            out = pose_m[span, shoulder] - pose_m[span, other]
            out[:, 2] = 0
            out /= np.linalg.norm(out, axis=-1, keepdims=True)
            pose_m[span, elbow] = pose_m[span, shoulder] + 0.28 * out
            pose_m[span, wrist] = pose_m[span, shoulder] + 0.53 * out
    return replace(motions, pose_m=pose_m, root_m=root_m)


def test_sound_clips_are_left_as_they_are():
    motions = walking_motions()
    said = []
    assert screened(motions, say=said.append) is motions and not said


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("jump", "m/s"),
        ("floor", "floor at -"),
        ("unit", "the unit is no metre"),
        ("mirrored", "opposite sides in 100%"),
        ("flicker", "change sides 2 times"),
        ("T-pose", "a T-pose in"),
    ],
)
def test_a_broken_clip_is_named_and_left_out(kind, words):
    motions, said = spoilt(kind), []
    kept = screened(motions, say=said.append)
    assert kept.names == motions.names[1:]
    assert len(said) == 1 and repr(motions.names[0]) in said[0] and words in said[0]


def test_a_file_of_broken_clips_only_is_one_error():
    motions = spoilt("floor").select([0])
    assert faults(motions.clip(0))
    with pytest.raises(ValueError, match="got 1 broken ones of 1"):
        screened(motions, say=lambda line: None)
