"""The node says what an integrator did wrong: in the diagnostics, in the log, and each in its own words."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from bench import LOSSLESS
from figure import CAMERA, people

from dp3d_core import Camera
from dp3d_ros.lifter.advice import CAMERA_CHANGES, SILENT_S, Advisor, Look
from dp3d_ros.messages.pointcloud2 import cloud_from_people

OPTIONS = {"min_confidence": 0.05, "min_joints": 4, "joint_set": "coco17", "max_people": 16}


def looked(*values, unheard=(), stamps_s=None, steps_s=None):
    """Causes of the findings after several looks, a second apart, at these values."""
    advisor, found = Advisor(lambda: OPTIONS), []
    for index, value in enumerate(values):
        stamp_s = None if stamps_s is None else stamps_s[index]
        found = advisor.findings(Look(100.0 + index, 5.0 + index, value, stamp_s, unheard))
    return {cause: text for cause, text in found}


GOOD = {"messages_in": 30, "people_in": 30, "frames_out": 30, "skeletons_out": 30}


def grown(counts, by=1):
    return {key: value * by for key, value in counts.items()}


def test_nothing_is_said_of_a_good_second():
    assert looked({}, GOOD, grown(GOOD, 2), stamps_s=[0.0, 1.0, 2.0]) == {}


@pytest.mark.parametrize(
    ("counter", "text"),
    [
        ("stream.normalised_pixel", "multiply"), ("stream.below_min_confidence", r"min_confidence (0.05)"),
        ("stream.few_joints", "joint_set (coco17)"), ("stream.unsolved_root", "camera_info"),
        ("stream.placeholder_pixel", "(0, 0)"), ("stream.border_pixel", "border"), ("other", "counters"),
    ],
)  # fmt: skip
def test_where_nobody_comes_out_the_commonest_cause_is_named(counter, text):
    now = GOOD | {"skeletons_out": 0, counter: 30}
    assert text in looked({}, now)["nobody_comes_out"]
    assert "nobody_comes_out" not in looked({}, GOOD | {counter: 30})


def test_silence_and_missing_publishers_are_facts_of_their_own():
    still = [GOOD] * (int(SILENT_S) + 2)
    assert set(looked(*still)) == {"no_input"}
    found = looked(*still, unheard=("/lifter/keypoints", "/camera_info"))
    assert set(found) == {"no_publisher/lifter/keypoints", "no_publisher/camera_info"}
    assert looked({}, GOOD, unheard=("/camera_info",)) == {}, "one that comes late is no mistake"


@pytest.mark.parametrize(("factor", "wrong"), [(1, False), (4, False), (0.5, False), (30, True), (1000, True)])
def test_stamps_that_are_no_seconds_are_told_from_a_fast_replay(factor, wrong):
    found = looked({}, GOOD, grown(GOOD, 2), stamps_s=[0.0, 1.0 * factor, 2.0 * factor])
    assert ("stamps_are_no_seconds" in found) == wrong


def test_a_camera_info_that_keeps_changing_is_said_and_one_change_is_not():
    changes = [GOOD | {"odd.camera_changed": count} for count in range(CAMERA_CHANGES + 1)]
    assert "camera_keeps_changing" in looked(*changes) and "camera_keeps_changing" not in looked(*changes[:2])


# --- over DDS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(share):
    """An active fake lifter that nobody talks to yet, and the bench beside it."""
    return share(warn_every_s=0.5, max_people=4, **LOSSLESS)


def publish(bench, change=lambda px, c: (px, c), count=1, stamp_ns=None):
    cloud = cloud_from_people({k: change(*pair) for k, pair in people(count).items()}, bench.header(stamp_ns))
    bench.cloud_publisher().publish(cloud)


def wait(bench, text, every):
    bench.until(lambda: text in bench.diagnostics["/lifter"].message, f"{text!r} in the diagnostics", every=every)
    assert bench.level() == 1
    bench.process.wait_for(text)


@pytest.mark.ros
def test_what_is_missing_is_named_while_nothing_comes(live):
    live.until(lambda: live.diagnostics, "diagnostics")
    wait(live, "nobody publishes /lifter/keypoints", every=None)
    wait(live, "nobody publishes /camera_info", every=None)
    live.info_publisher(), live.cloud_publisher()
    wait(live, "no keypoints have come for", every=None)
    live.ready()
    live.until(lambda: live.level() == 0, "a good second", every=publish_good(live))


def publish_good(bench):
    return lambda: (bench.publish_info(), publish(bench))


@pytest.mark.ros
@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("shares of the picture", lambda px, c: (px / (640, 480), c)),
        ("all scores are below min_confidence (0.05)", lambda px, c: (px, c * 0.01)),
        ("divide them by 100", lambda px, c: (px, c * 100)),
        ("fewer than min_joints (4) joints", lambda px, c: (px, np.where(np.arange(17) < 3, c, 0))),
        ("the detector sees nobody", lambda px, c: (px * 0, c)),
        ("most keypoints lie outside the picture", lambda px, c: (px + 2000, c)),
        ("is joint_set (coco17) that of the detector", lambda px, c: (px[[0, 5, 7, 9, 11, 13, 15, 6, 8, 10, 12, 14, 16,
                                                                          1, 2, 3, 4]], c)),
    ],
)  # fmt: skip
def test_keypoints_that_mean_something_else_are_named(live, text, change):
    live.publish_info()
    wait(live, text, every=lambda: [(publish(live, change), live.spin(0.01)) for _ in range(8)])


@pytest.mark.ros
def test_too_many_people_and_two_cameras_on_one_topic_are_named(live):
    wait(live, "more than max_people (4)", every=lambda: publish(live, count=6))
    cameras = [CAMERA, Camera(fx=700.0, fy=700.0, cx=320.0, cy=240.0, width=640, height=480)]
    wait(
        live, "do two cameras publish on one topic",
        every=lambda: [(live.publish_info(camera=camera), publish(live)) for camera in cameras],
    )  # fmt: skip
    live.publish_info()


@pytest.mark.ros
def test_absurd_intrinsics_are_no_calibration(live):
    absurd = Camera(fx=1e6, fy=1e6, cx=320.0, cy=240.0, width=640, height=480)
    wait(live, "fit no lens", every=lambda: (live.publish_info(camera=absurd), publish(live)))
    live.until(lambda: live.facts()["camera"] == "calibrated", "the camera", every=publish_good(live))


@pytest.mark.ros
def test_keypoints_of_a_smaller_picture_are_named(live):
    """A fresh start: what was seen beyond half of the picture before counts until then."""
    assert live.transition("deactivate") and live.transition("cleanup")
    assert live.transition("configure") and live.transition("activate")
    half = lambda px, c: (px * 0.45, c)  # noqa: E731
    wait(live, "ever beyond half", every=lambda: (live.publish_info(), [publish(live, half) for _ in range(4)]))


@pytest.mark.ros
@pytest.mark.parametrize("step_s", [1, 33], ids=["frame numbers", "milliseconds"])
def test_stamps_that_are_no_seconds_are_named(live, step_s):
    counter = SimpleNamespace(stamp_s=live_stamp_s(live) + 10)

    def frame():
        counter.stamp_s += step_s
        publish(live, stamp_ns=counter.stamp_s * 10**9)

    wait(live, "are they frame numbers or milliseconds", every=frame)
    live.last_s = counter.stamp_s


def live_stamp_s(bench):
    """Whole seconds no earlier than any stamp that the node has seen."""
    return max(round(time.time()), getattr(bench, "last_s", 0))
