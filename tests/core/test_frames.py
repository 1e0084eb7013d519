"""A frame goes in as a dict, a list or packed, named or as a tuple; its tag and what became of it come back."""

import numpy as np
import pytest
from helpers import CAMERA, random_lifter, seen, walk

from dp3d_core.types import Frame, Keypoints

LIFTER = random_lifter()
STAMPS_S = np.arange(12) / 30
PIXELS, CONFIDENCE = seen(walk(STAMPS_S))
OPTIONS = {"camera": CAMERA, "joint_set": "h36m17"}


def person(frame):
    return PIXELS[frame], CONFIDENCE[frame]


def packed(frame, ids=(1,)):
    return Keypoints(ids=ids, xy_px=PIXELS[frame : frame + 1], confidence=CONFIDENCE[frame : frame + 1])


def test_packed_keypoints_are_a_dict_or_a_list_of_them():
    as_dict, as_packed, as_list, nameless = (LIFTER.stream(**OPTIONS) for _ in range(4))
    for frame, stamp_s in enumerate(STAMPS_S):
        want, got = as_dict.push(stamp_s, {1: person(frame)}), as_packed.push(stamp_s, packed(frame))
        np.testing.assert_array_equal(got.joints_cam_m, want.joints_cam_m)
        assert got.ids == want.ids == (1,)
        want, got = as_list.push(stamp_s, [person(frame)]), nameless.push(stamp_s, packed(frame, None))
        np.testing.assert_array_equal(got.joints_cam_m, want.joints_cam_m)
        assert got.ids == want.ids == (0,)
    assert nameless.keypoints.ids == (0,) and len(nameless.keypoints) == 1
    assert LIFTER.stream(**OPTIONS).keypoints is None


@pytest.mark.parametrize("shape", [(1, 16, 2), (1, 17, 3), (2, 17, 2), (17, 2)])
def test_packed_keypoints_of_another_shape_are_one_clear_error(shape):
    wrong = Keypoints(ids=(1,), xy_px=np.zeros(shape, np.float32), confidence=np.ones((1, 17), np.float32))
    with pytest.raises(ValueError, match=r"people: expected xy_px \(P, 17, 2\) and confidence \(P, 17\), got"):
        LIFTER.stream(**OPTIONS).push(0.0, wrong)


@pytest.mark.parametrize("ids", [(), (1, 2), (1, 1)])
def test_packed_keypoints_have_one_id_each(ids):
    with pytest.raises(ValueError, match="people: expected 1 different ids"):
        LIFTER.stream(**OPTIONS).push(0.0, packed(0, ids))


@pytest.mark.parametrize("lookahead", [0, 2])
@pytest.mark.parametrize("somebody", [True, False])
def test_the_tag_is_that_of_the_frame_that_is_answered(lookahead, somebody):
    stream = LIFTER.stream(**OPTIONS, lookahead=lookahead)
    tags = []
    for frame, stamp_s in enumerate(STAMPS_S):
        tag = object() if frame != 3 else "three"
        tags.append(tag)
        out = stream.push(stamp_s, {1: person(frame)} if somebody else {}, tag=tag)
        if frame < lookahead:
            assert out.tag is None
        else:
            assert out.tag is tags[frame - lookahead] and out.stamp_s == STAMPS_S[frame - lookahead]
        if somebody:
            assert stream.latest.tag is tag


def test_what_became_of_a_frame_is_told():
    stream = LIFTER.stream(**OPTIONS)
    steps = [(1.0, "used"), (1.0, "repeated"), (1.0 - 1e-9, "late"), (1.1, "used"), (0.6, "restarted"), (0.7, "used")]
    for stamp_s, outcome in steps:
        out = stream.push(stamp_s, {1: person(0)}, tag=stamp_s)
        assert out.outcome == outcome and out.tag == (None if outcome in ("repeated", "late") else stamp_s)
    nobody = LIFTER.stream(**OPTIONS)
    assert [nobody.push(stamp_s, {}).outcome for stamp_s, _ in steps] == [outcome for _, outcome in steps]


def test_several_cameras_take_named_frames_and_plain_tuples():
    streams = LIFTER.streams({"left": CAMERA, "right": CAMERA}, joint_set="h36m17")
    out = streams.push({"left": Frame(0.0, {1: person(0)}, "a"), "right": (5.0, {1: person(0)})})
    assert out["left"].tag == "a" and out["right"].tag is None
    np.testing.assert_array_equal(out["left"].joints_cam_m, out["right"].joints_cam_m)
    with pytest.raises(ValueError, match=r"frame: expected \(stamp_s, people\)"):
        streams.push({"left": 5.0})
    with pytest.raises(ValueError, match=r"frame: expected \(stamp_s, people\)"):
        streams.push({"left": (1.0,)})
