"""Rotations follow the bones: exactly in direction, without flips in twist, and the same over a clip as in a stream."""
# T frames, S segments, J = 17 joints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dp3d_core.geometry.bone_rotations import HUMANOID, BoneRotations, Segment, about, shortest_turn
from dp3d_core.skeleton import JOINT_NAMES

SOLVER = BoneRotations()
LENGTHS = {"hips": 0.26, "spine": 0.25, "neck": 0.12, "head": 0.12, "Shoulder": 0.17, "Arm": 0.27, "Leg": 0.43}
AT = {name: index for index, name in enumerate(JOINT_NAMES)}


def pose(turns=None):
    """Joints (17, 3) of a body in the T-pose, turned by {segment: rotation (3, 3) in the rest pose's axes}."""
    turns = turns or {}
    joints, rotations = np.zeros((17, 3)), {}
    for segment, rest in zip(HUMANOID, SOLVER.rest):
        above = rotations.get(segment.parent, np.eye(3))
        rotations[segment.name] = rotation = above @ turns.get(segment.name, np.eye(3))
        length = next(value for key, value in LENGTHS.items() if segment.name.endswith(key))
        if segment.name == "hips":
            joints[AT["LHip"]] = rotation @ rest * length / 2
            joints[AT["RHip"]] = -joints[AT["LHip"]]
            joints[AT["Spine"]] = rotation @ (0, 0.2, 0)
        else:
            joints[AT[segment.end]] = joints[AT[segment.start]] + rotation @ rest * length
    return joints


def turned_deg(rotations):
    """Angle (T-1, S) between successive frames."""
    step = rotations[1:] @ rotations[:-1].swapaxes(-1, -2)
    flat = Rotation.from_matrix(step.reshape(-1, 3, 3)).magnitude()
    return np.degrees(flat).reshape(step.shape[:-2])


def around(axis, degrees):
    return Rotation.from_rotvec(np.radians(degrees) * np.asarray(axis, float)).as_matrix()


def test_the_rest_pose_has_no_rotation():
    np.testing.assert_allclose(SOLVER.solve(pose()[None])[0], np.broadcast_to(np.eye(3), (14, 3, 3)), atol=1e-9)


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 1, 0), (0.6, 0, 0.8), (0.1, 0.99, 0.1)])
@pytest.mark.parametrize("bone", ["leftUpperArm", "rightUpperLeg", "leftLowerArm"])
def test_a_bone_that_turns_by_one_degree_turns_its_frame_by_at_most_two(bone, axis):
    axis = np.array(axis) / np.linalg.norm(axis)
    clip = np.stack([pose({bone: around(axis, degrees)}) for degrees in range(720)])
    rotations = SOLVER.solve(clip)
    column = SOLVER.names.index(bone)
    assert turned_deg(rotations)[:, column:].max() <= 2.0
    segment = HUMANOID[column]
    direction = clip[:, AT[segment.end]] - clip[:, AT[segment.start]]
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    np.testing.assert_allclose(rotations[:, column] @ SOLVER.rest[column], direction, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_no_frame_turns_more_than_its_bones_and_its_parent_do(seed):
    generator = np.random.default_rng(seed)
    names = [name for name in SOLVER.names if name not in ("hips", "spine")]
    state = {name: np.eye(3) for name in names}
    clip = []
    for _ in range(60):
        for name in names:
            axis = generator.normal(size=3)
            state[name] = state[name] @ around(axis / np.linalg.norm(axis), generator.uniform(0, 1))
        clip.append(pose(state))
    rotations = SOLVER.solve(np.stack(clip))
    turned = turned_deg(rotations)
    for column, segment in enumerate(HUMANOID):
        if segment.name in names:
            parent = SOLVER.names.index(segment.parent)
            assert (turned[:, column] <= turned[:, parent] + 3.0).all()


def test_a_person_who_turns_around_carries_hanging_arms_along():
    hang = {"leftUpperArm": around((0, 0, 1), -90), "rightUpperArm": around((0, 0, 1), 90)}
    clip = np.stack([pose(hang | {"hips": around((0, 1, 0), degrees)}) for degrees in range(0, 361, 3)])
    turned = turned_deg(SOLVER.solve(clip))
    np.testing.assert_allclose(turned, 3.0, atol=1e-6)


def test_a_bent_forearm_that_swings_twists_the_upper_arm():
    bend = {"leftLowerArm": around((0, 1, 0), -90)}
    clip = np.stack([pose(bend | {"leftUpperArm": around((1, 0, 0), degrees)}) for degrees in range(0, 80, 2)])
    twist = turned_deg(SOLVER.solve(clip))[:, SOLVER.names.index("leftUpperArm")]
    np.testing.assert_allclose(twist, 2.0, atol=0.1)


def test_an_arm_that_circles_for_long_keeps_its_twist():
    loop = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    circle = [around((0, np.cos(a), np.sin(a)), 70) for a in np.tile(loop, 40)]
    rotations = SOLVER.solve(np.stack([pose({"leftUpperArm": turn}) for turn in circle]))
    arm = rotations[:, SOLVER.names.index("leftUpperArm")]
    round_by_round = arm[89::90]
    drift = Rotation.from_matrix(round_by_round @ round_by_round[0].T).magnitude()
    assert np.degrees(drift).max() < 5


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_turning_the_world_turns_all_rotations(seed):
    generator = np.random.default_rng(seed)
    clip = np.cumsum(generator.normal(0, 0.02, (12, 17, 3)), 0) + pose()
    turn = Rotation.random(rng=generator).as_matrix()
    np.testing.assert_allclose(SOLVER.solve(clip @ turn.T)[:, 0], turn @ SOLVER.solve(clip)[:, 0], atol=1e-9)


def test_people_of_one_frame_equal_each_of_them_alone_and_a_new_one_starts_afresh():
    generator = np.random.default_rng(0)
    clips = np.cumsum(generator.normal(0, 0.02, (3, 10, 17, 3)), 1) + pose()
    alone = np.stack([SOLVER.solve(clip) for clip in clips])
    before = None
    for frame in range(10):
        before = SOLVER.step(clips[:, frame], before)
        np.testing.assert_allclose(before, alone[:, frame], atol=1e-12)
    before[1] = np.nan
    again = SOLVER.step(clips[:, 0], before)
    np.testing.assert_allclose(again[1], alone[1, 0], atol=1e-12)


def test_unusable_joints_are_carried_by_their_parent():
    clip = np.stack([pose({"hips": around((0, 1, 0), degrees)}) for degrees in range(4)])
    broken = clip.copy()
    broken[1:, AT["LWrist"]] = np.nan
    broken[1:, AT["RAnkle"]] = broken[1:, AT["RKnee"]]
    rotations = SOLVER.solve(broken)
    assert np.isfinite(rotations).all()
    np.testing.assert_allclose(rotations, SOLVER.solve(clip), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_wild_joints_still_give_proper_rotations(seed):
    clip = np.random.default_rng(seed).normal(0, 1, (6, 17, 3))
    rotations = SOLVER.solve(clip)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-8
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-8)


def test_opposite_vectors_have_a_proper_turn_between_them():
    for axis in np.eye(3):
        np.testing.assert_allclose(shortest_turn(axis, -axis) @ axis, -axis, atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(shortest_turn(axis, -axis)), 1)
    np.testing.assert_allclose(about(np.eye(3)[2], np.radians(30.0)), around((0, 0, 1), 30), atol=1e-12)


def test_a_child_before_its_parent_and_a_wrong_shape_are_refused():
    one = Segment(name="a", parent="b", start="Hip", end="Spine", rest=(0, 1, 0))
    two = Segment(name="b", parent="", start="Hip", end="Spine", rest=(0, 1, 0))
    with pytest.raises(ValueError, match="every parent before"):
        BoneRotations((one, two))
    with pytest.raises(ValueError, match=r"expected \(T, 17, 3\)"):
        SOLVER.solve(np.zeros((17, 3)))
