"""yolo_msgs and hri_msgs, duck-typed: numbering, missing points, ids and frames, and keypoints back to ROS4HRI."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header

from dp3d_core import Camera, Lifter
from dp3d_core.live.intake import take_in
from dp3d_core.skeleton import joint_set
from dp3d_ros.lifter.inputs import MAX_BODIES, HriSource, import_message
from dp3d_ros.messages.hri import (
    SkeletonFrames,
    people_from_skeletons,
    roi_from_keypoints,
    skeleton_from_keypoints,
)
from dp3d_ros.messages.ids import FIRST_INVENTED, IdTable, is_topic_token, topic_token
from dp3d_ros.messages.keypoints import BadMessage
from dp3d_ros.messages.yolo import people_from_detections


class Bag:
    """Any message."""

    def __init__(self, **values):
        self.__dict__.update(values)


def detection(track, points):
    data = [Bag(id=number, point=Bag(x=x, y=y), score=score) for number, x, y, score in points]
    return Bag(id=track, keypoints=Bag(data=data))


def test_yolo_numbers_keypoints_from_one_and_leaves_out_the_unsure():
    message = Bag(detections=[detection("7", [(1, 10.0, 20.0, 0.9), (17, 30.0, 40.0, 0.8)])])
    people = people_from_detections(message, IdTable())
    (keypoints_px,), (confidence,) = people.keypoints.xy_px, people.keypoints.confidence
    assert (
        people.keypoints.ids == (7,) and keypoints_px[0].tolist() == [10, 20] and keypoints_px[16].tolist() == [30, 40]
    )
    assert np.flatnonzero(confidence).tolist() == [0, 16] and not people.oddities


def test_yolo_counts_what_it_cannot_use():
    good = [(1, 10.0, 20.0, 0.9)]
    message = Bag(
        detections=[
            detection("", good), detection("1", []), detection("2", [(0, 1.0, 1.0, 1.0), (18, 1.0, 1.0, 1.0)]),
            detection("3", [(1, float("nan"), 1.0, 1.0)]), detection("4", good), detection("4", good),
        ]
    )  # fmt: skip
    people = people_from_detections(message, IdTable())
    assert people.keypoints.ids == (2, 3, 4)
    assert people.oddities == {
        "detection_without_track_id": 1, "detection_without_keypoints": 1, "unknown_joint": 2, "duplicate_person": 1,
    }  # fmt: skip


def test_yolo_without_a_tracker_gives_nameless_people_to_whom_the_stream_gives_ids():
    """Two people who walk past each other, told apart by their boxes."""
    stream = Lifter.load("small", backend="eager").stream(camera=CAMERA, joint_set="coco17")
    seen = []
    for frame in range(4):
        people = people_from_detections(
            Bag(
                detections=[
                    detection("", standing(100 + 10 * frame)),
                    detection("", standing(400 - 10 * frame)),
                    detection("", []),
                ]
            ),
            IdTable(),
        )
        assert people.keypoints.ids is None and len(people.keypoints) == 2
        assert people.oddities == {"detection_without_keypoints": 1}
        seen.append(stream.push(frame / 30, people.keypoints).ids)
    assert seen == [(0, 1)] * 4


def standing(x):
    """COCO keypoints of someone upright at x, numbered from one."""
    return [(number, x + 5.0 * (number % 3), 100 + 15.0 * number, 0.9) for number in range(1, 18)]


def skeleton(stamp_s=1, x=0.5, c=1.0, count=18):
    header = Header(frame_id="camera")
    header.stamp.sec = stamp_s
    return Bag(header=header, skeleton=[Bag(x=x, y=0.25, c=c) for _ in range(count)])


CAMERA = Camera.from_fov(width=640, height=480)


def test_hri_points_are_fractions_of_the_image():
    people = people_from_skeletons({"a7f": skeleton()}, IdTable(), CAMERA)
    (keypoints_px,), (confidence,) = people.keypoints.xy_px, people.keypoints.confidence
    assert people.keypoints.ids == (FIRST_INVENTED,)
    assert np.allclose(keypoints_px, [320, 120]) and (confidence == 1).all()
    assert len(confidence) == len(joint_set("hri18").keypoints)


def test_hri_skeleton_of_another_size_is_refused():
    with pytest.raises(BadMessage, match="expected 18 points, got 17"):
        people_from_skeletons({"a": skeleton(count=17)}, IdTable(), CAMERA)


@given(st.floats(width=32), st.floats(width=32))
def test_hri_people_are_finite_whatever_comes(x, c):
    people = people_from_skeletons({"a": skeleton(x=x, c=c)}, IdTable(), CAMERA)
    found = take_in(people.keypoints, joint_set("hri18"), (640, 480), lambda cause, number: None)
    assert np.isfinite(found.xy_px).all() and ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_bodies_of_one_stamp_make_one_frame():
    frames = SkeletonFrames()
    frames.track(["a", "b"])
    assert frames.add("a", skeleton(1)) == []
    (complete,) = frames.add("b", skeleton(1))
    assert set(complete[1]) == {"a", "b"}


def gathered(*messages):
    """The frames {stamp: bodies} that the messages (body, stamp) of two tracked bodies make, in order."""
    frames = SkeletonFrames()
    frames.track(["a", "b"])
    made = [frame for body, stamp_s in messages for frame in frames.add(body, skeleton(stamp_s))]
    return [(header.stamp.sec, "".join(sorted(bodies))) for header, bodies in made]


@pytest.mark.parametrize("first", ["a", "b"])
def test_bodies_whose_topics_are_a_frame_apart_share_their_frames(first):
    second = "ab".replace(first, "")
    messages = [(first, 1)] + [pair for stamp_s in range(1, 30) for pair in ((first, stamp_s + 1), (second, stamp_s))]
    assert gathered(*messages) == [(stamp_s, "ab") for stamp_s in range(1, 30)]


def test_a_frame_that_lacks_a_body_goes_before_newer_complete_ones_or_when_two_newer_have_begun():
    assert gathered(("a", 1), ("a", 2), ("b", 2)) == [(1, "a"), (2, "ab")]
    assert gathered(("a", 1), ("a", 2), ("a", 3), ("a", 4)) == [(1, "a"), (2, "a")]


def test_a_jump_back_of_time_keeps_the_order_of_arrival():
    assert gathered(("a", 9), ("a", 1), ("b", 1)) == [(9, "a"), (1, "ab")]


def test_an_empty_list_ends_all_frames():
    frames = SkeletonFrames()
    frames.track(["a", "b"])
    frames.add("a", skeleton(1))
    assert [set(bodies) for _, bodies in frames.nobody(Header())] == [{"a"}, set()]
    assert [set(bodies) for _, bodies in frames.nobody(Header())] == [set()]


@given(st.lists(st.text(max_size=8), max_size=30))
def test_text_ids_keep_their_numbers_and_never_share_one(texts):
    ids = IdTable()
    numbers = {text: ids.number(text) for text in texts}
    assert {text: ids.number(text) for text in texts} == numbers
    named = {number: text for text, number in numbers.items() if number >= FIRST_INVENTED}
    assert ids.names() == named
    assert all(int(text) == number for text, number in numbers.items() if number < FIRST_INVENTED)


def test_the_id_table_does_not_grow_without_end():
    ids = IdTable(size=10)
    for index in range(1000):
        ids.number(f"person{index}")
    assert len(ids.names()) == 10


def test_a_missing_message_package_is_named():
    with pytest.raises(ImportError, match=r"input: yolo: needs no_such_msgs/DetectionArray.*install"):
        import_message("no_such_msgs", "DetectionArray", "input: yolo")


class Point:
    """A NormalizedPointOfInterest2D."""

    def __init__(self, x=0.0, y=0.0, c=0.0):
        self.x, self.y, self.c = x, y, c


@pytest.mark.parametrize("name", ["coco17", "openpose18", "openpose25", "mediapipe33", "hri18"])
def test_keypoints_come_back_from_ros4hri_as_they_were(name):
    names, hri = joint_set(name).keypoints, joint_set("hri18").keypoints
    keypoints_px = np.stack([np.arange(len(names)) * 10.0, np.arange(len(names)) * 5.0], 1).astype(np.float32)
    confidence = np.full(len(names), 0.75, np.float32)
    message = skeleton_from_keypoints(keypoints_px, confidence, names, CAMERA, skeleton(), Point)
    found = people_from_skeletons({"a": message}, IdTable(), CAMERA).keypoints
    (back_px,), (back,) = found.xy_px, found.confidence
    for index, keypoint in enumerate(hri):
        if keypoint in names:
            assert np.allclose(back_px[index], keypoints_px[names.index(keypoint)], atol=1e-3) and back[index] == 0.75
    neck = [names.index(side) for side in ("left_shoulder", "right_shoulder")]
    if "neck" not in names:
        assert np.allclose(back_px[hri.index("neck")], keypoints_px[neck].mean(0), atol=1e-3)


def test_ros4hri_gets_no_point_that_is_missing_or_outside_the_image():
    names = joint_set("coco17").keypoints
    keypoints_px, confidence = np.full((17, 2), 100, np.float32), np.full(17, 0.5, np.float32)
    confidence[names.index("nose")] = confidence[names.index("left_shoulder")] = 0
    keypoints_px[names.index("left_hip")] = -5
    points = skeleton_from_keypoints(keypoints_px, confidence, names, CAMERA, Bag(), Point).skeleton
    missing = {name for name, point in zip(joint_set("hri18").keypoints, points) if point.c == 0}
    assert missing == {"nose", "neck", "left_shoulder", "left_hip"}


def test_roi_is_the_box_of_the_seen_keypoints_within_the_image():
    keypoints_px = np.array([[320.0, -50], [640, 240], [9999, 9999]], np.float32)
    roi = roi_from_keypoints(keypoints_px, np.array([0.5, 1.0, 0.0], np.float32), CAMERA, Bag(c=0.0))
    assert (roi.xmin, roi.ymin, roi.xmax, roi.ymax, roi.c) == (0.5, 0.0, 1.0, 0.5, 0.75)
    assert roi_from_keypoints(keypoints_px, np.zeros(3, np.float32), CAMERA, Bag(c=0.0)).c == 0


@given(st.lists(st.one_of(st.text(max_size=80), st.from_regex(r"[a-b]{0,2}_?0{0,2}[0-9]{0,8}", fullmatch=True))))
def test_different_ids_fit_in_different_topic_names(texts):
    ids = IdTable()
    tokens = {text: topic_token(text, ids.number(text)) for text in texts}
    assert all(is_topic_token(token) and len(token) < 90 for token in tokens.values())
    assert len(set(tokens.values())) == len(tokens)


def test_a_text_that_fits_in_a_topic_name_is_kept():
    assert topic_token("a7f", FIRST_INVENTED) == "a7f" and topic_token("left_7", 7) == "left_7"
    assert topic_token("7", 7) == "b7" and topic_token("-7", -7) == "bm7"


def test_texts_that_look_alike_are_different_people():
    ids = IdTable()
    texts = ("7", "007", "+7", "a/b", "a_b", "7" * 5000, "7" * 5001, "é" * 300, "\ud800")
    numbers = [ids.number(text) for text in texts]
    assert len(set(numbers)) == len(texts) and numbers[0] == 7
    assert numbers == [ids.number(text) for text in texts]
    assert max(map(len, ids.names().values())) < 200
    points = [Bag(id=k, point=Bag(x=100.0 + k, y=100.0), score=0.9) for k in range(1, 18)]
    detections = [Bag(id=text, keypoints=Bag(data=points)) for text in ("7", "007")]
    people = people_from_detections(Bag(detections=detections), ids)
    assert len(people.keypoints) == 2 and not people.oddities


class Subscribed:
    """Stands for `Subscriptions`."""

    def __init__(self, home="/humans"):
        self.topics, self.oddities, self.home, self.health = set(), [], home, self

    def add(self, kind, topic, callback, **options):
        self.topics.add(topic)
        return topic.replace("/humans", self.home)

    add_keypoints = add

    def remove(self, topic):
        self.topics.remove(topic)

    def odd(self, cause, text):
        self.oddities.append(cause)


def test_bodies_are_subscribed_while_tracked_and_ids_that_fit_no_topic_are_counted(monkeypatch):
    monkeypatch.setattr(HriSource, "messages", staticmethod(lambda: (Bag, Bag)))
    subscribed, frames = Subscribed(), []
    source = HriSource(subscribed, "/humans/bodies/tracked", lambda *frame: frames.append(frame))
    source._track(Bag(header=Header(), ids=["a7f", "23bd5", "", "b/c", "b"]))
    assert subscribed.topics == {f"/humans/bodies/{name}" for name in ("tracked", "a7f/skeleton2d", "b/skeleton2d")}
    assert subscribed.oddities == ["bad_body_id"]
    source._track(Bag(header=Header(), ids=[f"p{index}" for index in range(1000)]))
    assert len(subscribed.topics) == 1 + MAX_BODIES and subscribed.oddities[1:] == ["too_many_bodies"]
    source._track(Bag(header=Header(), ids=[]))
    assert subscribed.topics == {"/humans/bodies/tracked"} and len(frames) == 1


def test_bodies_are_beside_the_list_wherever_it_is_remapped_to(monkeypatch):
    monkeypatch.setattr(HriSource, "messages", staticmethod(lambda: (Bag, Bag)))
    subscribed = Subscribed(home="/robot/humans")
    HriSource(subscribed, "/humans/bodies/tracked", None)._track(Bag(header=Header(), ids=["b"]))
    assert subscribed.topics == {"/humans/bodies/tracked", "/robot/humans/bodies/b/skeleton2d"}
