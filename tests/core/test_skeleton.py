"""The skeleton's tree and mirror, and that every adapter puts every joint where it belongs or marks it missing."""

import re

import numpy as np
import pytest
import torch

from dp3d_core.skeleton import BONES, JOINT_NAMES, JOINT_SETS, LEFT, MIRROR, PARENTS, RIGHT, adapt, joint_set, mirror

NEVER_DETECTED = {"Spine", "Head"}
"""Joints of ours that no common detector has."""


def expected_sources(name, keypoints):
    """By hand: the keypoints that make one of our joints."""
    side = {"R": "right", "L": "left"}.get(name[0]) if name[1:2].isupper() else None
    if side:
        return [f"{side}_{name[1:].lower()}"]
    if name == "Hip":
        return ["mid_hip"] if "mid_hip" in keypoints else ["left_hip", "right_hip"]
    if name == "Thorax":  # a neck is halfway between the shoulders in OpenPose's sets only
        return ["neck"] if keypoints[:2] == ("nose", "neck") else ["left_shoulder", "right_shoulder"]
    return {"Nose": ["nose"]}.get(name, [])


def test_double_mirror_is_identity():
    assert [MIRROR[MIRROR[joint]] for joint in range(17)] == list(range(17))
    joints = np.random.default_rng(0).normal(size=(2, 5, 17, 3))
    before = joints.copy()
    np.testing.assert_array_equal(mirror(mirror(joints)), joints)
    np.testing.assert_array_equal(joints, before)
    np.testing.assert_array_equal(mirror(torch.from_numpy(joints)).numpy(), mirror(joints))
    right, left = JOINT_NAMES.index("RWrist"), JOINT_NAMES.index("LWrist")
    np.testing.assert_array_equal(mirror(joints)[..., left, :], joints[..., right, :] * [-1, 1, 1])


def test_mirror_swaps_sides_and_keeps_the_tree():
    for joint, name in enumerate(JOINT_NAMES):
        swapped = JOINT_NAMES[MIRROR[joint]]
        if joint in LEFT + RIGHT:
            assert {name[0], swapped[0]} == {"L", "R"} and name[1:] == swapped[1:]
        else:
            assert swapped == name
        if PARENTS[joint] >= 0:
            assert PARENTS[MIRROR[joint]] == MIRROR[PARENTS[joint]]


def test_parents_come_before_children_and_bones_span_the_tree():
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert sorted(child for _, child in BONES) == list(range(1, 17))


@pytest.mark.parametrize("name", [name for name in JOINT_SETS if name != "h36m17"])
def test_adapter_puts_each_joint_at_the_mean_of_its_sources(name):
    source = joint_set(name)
    generator = np.random.default_rng(0)
    keypoints_px = generator.uniform(0, 1000, (3, len(source.keypoints), 2)).astype(np.float32)
    confidence = generator.uniform(0.1, 1, keypoints_px.shape[:2]).astype(np.float32)
    joints_px, trust = adapt(keypoints_px, confidence, source)
    for joint, joint_name in enumerate(JOINT_NAMES):
        rows = [source.keypoints.index(key) for key in expected_sources(joint_name, source.keypoints)]
        if joint_name in NEVER_DETECTED:
            assert not rows and (trust[:, joint] == 0).all() and (joints_px[:, joint] == 0).all()
            continue
        np.testing.assert_allclose(joints_px[:, joint], keypoints_px[:, rows].mean(1), rtol=1e-5)
        np.testing.assert_allclose(trust[:, joint], confidence[:, rows].min(1))


def test_h36m_passes_through():
    keypoints_px = np.arange(34, dtype=np.float32).reshape(17, 2)
    joints_px, trust = adapt(keypoints_px, np.ones(17, np.float32), joint_set("h36m17"))
    np.testing.assert_array_equal(joints_px, keypoints_px)
    np.testing.assert_array_equal(trust, 1)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_joint_with_one_missing_source_is_missing(name):
    source = joint_set(name)
    size = len(source.keypoints)
    for lost in range(size):
        confidence = np.ones(size, np.float32)
        confidence[lost] = 0
        keypoints_px = np.ones((size, 2), np.float32)
        keypoints_px[lost] = np.nan
        joints_px, trust = adapt(keypoints_px, confidence, source)
        made_of = source.weights_JK[:, lost] > 0
        assert (trust[made_of] == 0).all() and (joints_px[made_of] == 0).all()
        assert (trust[~made_of] == (source.weights_JK[~made_of].sum(1) > 0)).all()
        assert np.isfinite(joints_px).all()


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_set_has_as_many_keypoints_as_its_name_says_and_both_sides_of_each(name):
    keypoints = joint_set(name).keypoints
    assert len(keypoints) == int(re.search(r"\d+$", name)[0])
    for left, right in (("left_", "right_"), ("_left", "_right")):
        assert {key.replace(left, right) for key in keypoints if left in key} == {
            key for key in keypoints if right in key
        }


@pytest.mark.parametrize("name", JOINT_SETS)
def test_keypoint_names_are_unique_and_limbs_name_keypoints(name):
    source = joint_set(name)
    assert source.name == name and len(set(source.keypoints)) == len(source.keypoints)
    assert len(source.limbs) >= 12 and all(0 <= end < len(source.keypoints) for limb in source.limbs for end in limb)
    totals = source.weights_JK.sum(1)
    assert np.isin(totals.round(6), (0, 1)).all()


@pytest.mark.parametrize(
    ("name", "keypoint", "index"),
    [
        ("coco17", "left_hip", 11), ("coco17", "right_ankle", 16), ("openpose18", "right_hip", 8),
        ("openpose18", "left_ear", 17), ("openpose25", "mid_hip", 8), ("openpose25", "left_ankle", 14),
        ("openpose25", "right_heel", 24), ("mediapipe33", "left_shoulder", 11), ("mediapipe33", "right_ankle", 28),
        ("mediapipe33", "right_foot_index", 32), ("hri18", "left_eye", 14), ("hri18", "right_ear", 17),
        ("rtmpose17", "right_ankle", 16), ("rtmpose26", "left_big_toe", 20), ("halpe26", "head", 17),
        ("halpe26", "neck", 18), ("halpe26", "hip", 19), ("halpe26", "right_big_toe", 21),
        ("halpe26", "left_small_toe", 22), ("halpe26", "right_heel", 25), ("wholebody133", "left_big_toe", 17),
        ("wholebody133", "left_heel", 19), ("wholebody133", "right_heel", 22), ("wholebody133", "face_0", 23),
        ("wholebody133", "face_67", 90), ("wholebody133", "left_hand_root", 91), ("wholebody133", "left_thumb_1", 92),
        ("wholebody133", "left_pinky_finger_4", 111), ("wholebody133", "right_hand_root", 112),
        ("wholebody133", "right_pinky_finger_4", 132), ("zed18", "neck", 1), ("zed18", "right_hip", 8),
        ("zed18", "right_eye", 14), ("zed18", "left_ear", 17), ("zed34", "spine_navel", 1), ("zed34", "neck", 3),
        ("zed34", "left_clavicle", 4), ("zed34", "left_wrist", 7), ("zed34", "right_clavicle", 11),
        ("zed34", "right_thumb", 17), ("zed34", "left_hip", 18), ("zed34", "right_hip", 22), ("zed34", "head", 26),
        ("zed34", "right_ear", 31), ("zed34", "left_heel", 32), ("zed34", "right_heel", 33), ("zed38", "spine_3", 3),
        ("zed38", "nose", 5), ("zed38", "right_ear", 9), ("zed38", "left_clavicle", 10), ("zed38", "left_shoulder", 12),
        ("zed38", "right_wrist", 17), ("zed38", "left_hip", 18), ("zed38", "right_ankle", 23),
        ("zed38", "left_big_toe", 24), ("zed38", "right_heel", 29), ("zed38", "left_thumb_tip", 30),
        ("zed38", "right_pinky_knuckle", 37), ("kinect32", "spine_chest", 2), ("kinect32", "left_shoulder", 5),
        ("kinect32", "left_hand", 8), ("kinect32", "right_shoulder", 12), ("kinect32", "right_ankle", 24),
        ("kinect32", "right_foot", 25), ("kinect32", "nose", 27), ("kinect32", "left_ear", 29),
        ("kinect32", "right_eye", 30),
    ],
)  # fmt: skip
def test_published_index_of_a_keypoint(name, keypoint, index):
    assert joint_set(name).keypoints.index(keypoint) == index


def test_unknown_joint_set_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"joint_set: expected one of .*coco17.*got 'coco'"):
        joint_set("coco")
