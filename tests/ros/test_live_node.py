"""The live node over real DDS, with a lifter that needs no network: lifecycle, time, QoS, bad input, parameters."""

import math
import signal
import time
from importlib.util import find_spec

import numpy as np
import pytest
from bench import LOSSLESS
from figure import people
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header

from dp3d_ros.messages.keypoints import stamp_ns
from dp3d_ros.messages.pointcloud2 import KEYPOINT_DTYPE, cloud_from_people, skeletons_from_cloud
from dp3d_ros.node.parameters import NodeConfig

pytestmark = pytest.mark.ros
SECOND_NS = 1_000_000_000


@pytest.fixture
def live(shared):
    """The lifter of this file, active and with nothing on its way."""
    shared.flush()
    shared.clear()
    return shared


def test_stamp_and_frame_are_kept_and_an_empty_frame_is_answered(live):
    for count in (0, 1, 3):
        live.skeletons.clear()
        header = live.publish_people(count, stamp_ns=time.time_ns())
        live.until(lambda: live.skeletons, "the answer")
        (message,) = live.skeletons
        assert message.header == header and len(skeletons_from_cloud(message)) == count
    live.until(lambda: any(m.markers and m.markers[0].header == header for m in live.markers), "markers")


@pytest.mark.parametrize("how", ["no field person", "person -1"])
def test_people_without_ids_get_lasting_ones_in_whatever_order_they_come(start, bench, how):
    """OpenPose numbers people in no order; its bridge sends no `person`, or -1 for everybody."""
    start("fake", autostart=True, **LOSSLESS)
    bench.until(bench.cloud_publisher().get_subscription_count, "a subscription")
    bench.until(bench.info_publisher().get_subscription_count, "a subscription")
    seen = []

    def publish():
        bench.publish_info()
        pair = list(people(2).values())[:: 1 if len(seen) % 2 else -1]
        cloud = cloud_from_people(dict(enumerate(pair)), bench.header())
        points = np.frombuffer(cloud.data, KEYPOINT_DTYPE).copy()
        points["person"] = -1
        cloud.data = points.tobytes()
        if how == "no field person":
            cloud.fields = [field for field in cloud.fields if field.name != "person"]
        seen.append(cloud.header)
        bench.cloud_publisher().publish(cloud)

    bench.until(lambda: len(bench.skeletons) >= 8, "skeletons", every=publish)
    sides = [
        {person: joints_m[0, 0] > np.mean([other[0][0, 0] for other in found.values()]) for person, (joints_m, *_) in
         found.items()}
        for found in map(skeletons_from_cloud, bench.skeletons)
    ]  # fmt: skip
    assert all(set(side) == {0, 1} and side == sides[-1] for side in sides)


def test_an_empty_cloud_in_any_form_is_answered_with_nobody(live):
    for cloud in (PointCloud2(), PointCloud2(height=1), cloud_from_people({}, Header())):
        live.skeletons.clear()
        cloud.header = live.header()
        live.cloud_publisher().publish(cloud)
        live.until(lambda: live.skeletons, "the answer")
        assert live.skeletons[0].header == cloud.header and not skeletons_from_cloud(live.skeletons[0])


def test_bad_messages_are_counted_by_cause_and_the_node_lives_on(live):
    before = live.next_facts()
    bare, nan, infinite, unknown, huge = (
        keypoint_cloud(live, **changes) for changes in ({}, {"x": math.nan}, {"y": -math.inf}, {"joint": 400}, {})
    )
    bare.fields = []
    huge.width, huge.height = 2**20, 2**10
    now_ns = time.time_ns()
    for stamp in (now_ns, now_ns, now_ns - 1000):
        live.publish_people(1, stamp_ns=stamp)
    for cloud in (bare, nan, infinite, unknown, huge):
        cloud.header = live.header()
        live.cloud_publisher().publish(cloud)
    live.flush()
    live.skeletons.clear()
    live.publish_people(1, stamp_ns=0)
    live.until(lambda: live.skeletons, "an answer with the time of arrival")
    live.flush()
    after = live.settled(before, 11)
    for cause, count in {
        "drop.bad_fields": 1, "drop.too_many_points": 1, "drop.repeated_stamp": 1, "drop.late_stamp": 1,
        "odd.zero_stamp": 1, "stream.not_finite": 2, "odd.unknown_joint": 1,
    }.items():  # fmt: skip
        assert after.get(cause, 0) - before.get(cause, 0) == count, cause
    assert after["messages_in"] - before["messages_in"] == 11
    assert after["messages_in"] == after["frames_out"] + after["dropped"]
    assert all(np.isfinite(next(iter(skeletons_from_cloud(m).values()))[0]).all() for m in live.skeletons if m.width)
    said = live.process.text()
    assert "expected ['x', 'y', 'score', 'joint']" in said and "header.stamp is zero" in said
    assert "Traceback" not in said


def keypoint_cloud(bench, **changes):
    """One frame of one person whose first point has `changes`."""
    from dp3d_ros.messages.pointcloud2 import KEYPOINT_DTYPE, cloud_from_people

    cloud = cloud_from_people(people(1), bench.header())
    points = np.frombuffer(cloud.data, KEYPOINT_DTYPE).copy()
    for name, value in changes.items():
        points[name][0] = value
    cloud.data[:] = type(cloud.data)("B", points.tobytes())
    return cloud


def test_a_clock_that_jumps_back_starts_afresh(live):
    before = live.next_facts()
    now_ns = time.time_ns()
    for stamp in (now_ns, now_ns - 3 * SECOND_NS, now_ns - 3 * SECOND_NS + SECOND_NS // 10):
        live.skeletons.clear()
        live.publish_people(1, stamp_ns=stamp)
        live.until(lambda: live.skeletons, "the answer")
        assert stamp_ns(live.skeletons[0].header.stamp) == stamp
    assert live.next_facts()["odd.clock_jumped_back"] == before.get("odd.clock_jumped_back", 0) + 1


def test_a_clock_that_jumps_ahead_and_comes_back_is_answered_throughout(live):
    now_ns = time.time_ns()
    # the last leaves the node no further ahead than it was
    for stamp in (now_ns, now_ns + 3600 * SECOND_NS, now_ns + 3601 * SECOND_NS, now_ns + SECOND_NS, now_ns):
        live.skeletons.clear()
        live.publish_people(2, stamp_ns=stamp)
        live.until(lambda: live.skeletons, "the answer")
        assert stamp_ns(live.skeletons[0].header.stamp) == stamp
        assert len(skeletons_from_cloud(live.skeletons[0])) == 2


def test_before_the_first_clock_the_age_of_frames_is_not_judged(start, bench):
    start("fake", autostart=True, use_sim_time=True)
    bench.ready()
    bench.until(lambda: bench.facts().get("frames_out"), "diagnostics")
    assert "odd.stamp_of_another_clock" not in bench.facts() and "stamp_to_publish_p50_ms" not in bench.facts()


def test_without_camera_info_frames_are_dropped_aloud_until_it_comes_and_typos_are_named(start, bench):
    node = start("fake", autostart=True, warn_every_s=0.1, lookahed=2)
    node.wait_for("parameter 'lookahed' is not known")
    bench.until(lambda: bench.cloud_publisher().get_subscription_count(), "a subscription")
    bench.until(lambda: bench.facts().get("drop.no_camera_info"), "a drop", every=bench.publish_people)
    node.wait_for("no CameraInfo has come yet")
    assert not bench.skeletons
    uncalibrated = CameraInfo(header=bench.header(), width=640, height=480)

    def uncalibrated_frame():
        bench.publish_info(uncalibrated)
        bench.publish_people()

    bench.until(lambda: bench.facts().get("drop.uncalibrated_camera"), "a drop", every=uncalibrated_frame)
    node.wait_for("not calibrated")
    assert not bench.skeletons
    bench.until(lambda: bench.skeletons, "skeletons", every=lambda: (bench.publish_info(), bench.publish_people()))


def test_an_assumed_camera_is_said_aloud_and_gives_way_to_a_real_one(start, bench):
    node = start("fake", autostart=True, assumed_hfov_deg=60.0, assumed_width_px=640, assumed_height_px=480)
    bench.until(lambda: bench.cloud_publisher().get_subscription_count(), "a subscription")
    bench.until(lambda: bench.skeletons, "skeletons", every=bench.publish_people)
    node.wait_for("60 degrees is assumed")
    bench.until(lambda: bench.facts().get("camera") == "assumed", "diagnostics", every=bench.publish_people)
    assert bench.level() == 1
    bench.until(lambda: bench.facts().get("camera") == "calibrated", "diagnostics", every=bench.publish_info)


def test_a_changed_camera_is_taken_over(live):
    from dp3d_core import Camera

    live.publish_people()
    live.until(lambda: live.skeletons, "an answer with the first camera")
    other = Camera(fx=900.0, fy=900.0, cx=320.0, cy=240.0, width=640, height=480)
    live.until(
        lambda: live.facts().get("odd.camera_changed"), "the change", every=lambda: live.publish_info(camera=other)
    )
    live.publish_people()
    live.until(lambda: len(live.skeletons) > 1, "an answer with the other camera")
    ((before_m, *_),), ((after_m, *_),) = (skeletons_from_cloud(message).values() for message in live.skeletons)
    assert np.isclose(after_m[0, 2] / before_m[0, 2], 900 / 600, rtol=0.05), "a pixel spans a smaller angle"


def test_a_publisher_that_does_not_fit_is_reported(start, bench):
    node = start("fake", autostart=True, **{"qos_overrides./lifter/keypoints.subscription.reliability": "reliable"})
    bench.cloud_publisher(reliable=False)
    node.wait_for("does not fit")
    bench.until(lambda: bench.facts().get("odd.incompatible_qos"), "the count")


def test_overload_drops_and_counts_and_answers_the_newest(start, bench):
    start("fake", autostart=True, env={"FAKE_DELAY_S": "0.05"})
    bench.until(lambda: bench.facts().get("drop.no_camera_info"), "a drop before", every=bench.publish_people)
    bench.ready()
    bench.flush()
    before = bench.next_facts()
    bench.skeletons.clear()
    headers = [bench.publish_people() for _ in range(100)]  # at once, into a lifter that manages 20 a second
    bench.until(lambda: bench.skeletons and bench.skeletons[-1].header == headers[-1], "an answer to the newest")
    after = bench.settled(before, 100)
    assert after["messages_in"] + after["missed"] - before["messages_in"] - before["missed"] == 100
    assert after["missed"] > before["missed"] and len(bench.skeletons) < 100
    bench.until(
        lambda: "newer ones had come" in bench.diagnostics["/lifter"].message, "the reason, not that of an older drop",
        every=lambda: [bench.publish_people() for _ in range(10)],
    )  # fmt: skip


def test_a_lifter_that_raises_is_counted_and_the_next_frame_is_lifted(start, bench):
    node = start("fake", autostart=True, env={"FAKE_RAISE_EVERY": "5"}, **LOSSLESS)
    bench.ready()
    bench.quiet()
    before = bench.next_facts()
    for _ in range(20):
        bench.publish_people()
    after = bench.settled(before, 20)
    assert after["drop.lift_failed"] == (after["messages_in"] - after.get("drop.no_camera_info", 0)) // 5
    assert after["messages_in"] == after["frames_out"] + after["dropped"]
    node.wait_for("RuntimeError: the backend broke")


def test_lookahead_answers_with_the_stamp_of_the_older_frame(start, bench):
    start("fake", autostart=True, lookahead=2, **LOSSLESS)
    bench.ready()
    stamps = [stamp_ns(bench.publish_people().stamp) for _ in range(6)]
    bench.until(lambda: stamp_ns(bench.skeletons[-1].header.stamp) == stamps[3], "the fourth frame")
    assert [stamp_ns(message.header.stamp) for message in bench.skeletons][-4:] == stamps[:4]


def test_every_lifecycle_step_and_back_again(start, bench):
    start("fake")
    assert bench.state() == "unconfigured"
    for _ in range(2):
        for step, state in (
            ("configure", "inactive"), ("activate", "active"), ("deactivate", "inactive"), ("activate", "active"),
            ("deactivate", "inactive"), ("cleanup", "unconfigured"),
        ):  # fmt: skip
            assert bench.transition(step) and bench.state() == state
            subscribed = bench.node.count_subscribers("/lifter/keypoints") > 0
            bench.until(
                lambda state=state: (bench.node.count_subscribers("/lifter/keypoints") > 0) == (state == "active"),
                f"subscribed when {state}, was {subscribed}",
            )
            if state == "active":
                bench.skeletons.clear()
                bench.until(
                    lambda: bench.skeletons, "skeletons", every=lambda: (bench.publish_info(), bench.publish_people())
                )


# What needs a package that this machine has cannot fail for want of it.
UNAVAILABLE = [
    (parameters, text)
    for package, parameters, text in (
        ("tf2_msgs", {"publish_tf": True}, "publish_tf: needs tf2_msgs"),
        ("hri_msgs", {"publish_hri": True}, "publish_hri: needs hri_msgs/IdsList"),
        ("yolo_msgs", {"input": "yolo"}, "input: yolo: needs yolo_msgs/DetectionArray"),
        ("hri_msgs", {"input": "hri"}, "input: hri: needs hri_msgs/Skeleton2D"),
        ("tf2_ros", {"target_frame": "map"}, "target_frame: needs tf2_ros"),
    )
    if find_spec(package) is None
]


def test_what_cannot_be_configured_says_why_and_leaves_a_node_that_can_be(start, bench):
    node = start("fake", weights="broken", autostart=True)
    node.wait_for("expected a checkpoint, got 'broken'")
    bench.until(lambda: bench.level() == 2, "an error in the diagnostics")
    assert bench.state() == "unconfigured"
    assert bench.set_parameter("weights", "small") == (True, "")
    for parameters, text in [*UNAVAILABLE, ({"joint_set": "coco99"}, "joint_set: expected one of")]:
        for name, value in parameters.items():
            before = getattr(NodeConfig(), name, "coco17")
            assert bench.set_parameter(name, value) == (True, "")
        assert not bench.transition("configure") and bench.state() == "unconfigured"
        node.wait_for(text)
        assert bench.set_parameter(name, before) == (True, "")
    assert "Traceback" not in node.text()
    assert bench.transition("configure") and bench.transition("activate")
    bench.ready()


def test_live_parameters_apply_and_others_are_refused_with_a_reason(live):
    assert live.set_parameter("marker_sigmas", 2.0) == (True, "")
    live.until(lambda: live.markers and len(live.markers[-1].markers) == 3 + 17, "spheres", every=live.publish_people)
    assert live.set_parameter("min_joints", 6) == (True, "")
    for name, value, reason in (
        ("weights", "base", "only while unconfigured"),
        ("marker_lifetime_s", 99.0, "range"),
        ("marker_labels", 3, "type"),
    ):
        successful, said = live.set_parameter(name, value)
        assert not successful and reason in said.lower(), said
    live.flush()


@pytest.mark.parametrize(
    ("parameters", "text"), [({"marker_sigmas": 99.0}, "marker_sigmas"), ({"lookahead": "two"}, "lookahead")]
)
def test_a_wrong_parameter_ends_the_node_with_one_line(start, parameters, text):
    node = start("fake", **parameters)
    assert node.process.wait(60) == 1
    assert text in node.text() and "Traceback" not in node.text()


@pytest.mark.parametrize("steps", [(), ("configure",), ("configure", "activate")])
def test_sigint_ends_it_with_code_0_in_every_state(start, bench, steps):
    node = start("fake")
    bench.state()
    for step in steps:
        assert bench.transition(step)
    assert node.interrupt() == 0, node.text()
    assert "Traceback" not in node.text()


def test_sigint_again_and_again_ends_it_as_quietly(start, bench):
    """A terminal's Ctrl-C reaches the node twice: itself, and by way of launch."""
    node = start("fake", autostart=True)
    bench.ready()
    end_s = time.monotonic() + 30
    while node.process.poll() is None and time.monotonic() < end_s:
        node.process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert node.process.poll() == 0 and "Traceback" not in node.text(), node.text()


@pytest.mark.parametrize("inherited", [signal.default_int_handler, signal.SIG_IGN], ids=["", "ignored by a shell's &"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_engines_are_built_ends_it_at_once_with_code_0(start, bench, inherited, number):
    before = signal.signal(signal.SIGINT, inherited)
    try:
        node = start("fake", autostart=True, weights="slow")
    finally:
        signal.signal(signal.SIGINT, before)
    node.wait_for("configuring: building what takes its time")
    sent_s = time.monotonic()
    node.process.send_signal(number)
    assert node.process.wait(30) == 0 and "Traceback" not in node.text(), node.text()
    print(f"ended {time.monotonic() - sent_s:.1f} s after the signal")


def test_the_node_serves_while_further_engines_are_built(start, bench):
    node = start("fake", weights="late", autostart=True, warn_every_s=0.5)
    bench.ready()
    node.wait_for("serving, and building meanwhile: an engine for many")
    node.wait_for("engines: RuntimeError('the compiler broke'); going on with those that are there")
    bench.clear()
    bench.until(lambda: bench.skeletons, "skeletons after that", every=bench.publish_people)
    assert "Traceback" not in node.text() and node.interrupt() == 0


def test_while_engines_are_built_the_node_answers(start, bench):
    start("fake", weights="slow")
    bench.call_later("configure")
    bench.until(lambda: bench.told("building what takes its time"), "progress in the diagnostics")
    assert bench.told("configuring since")
    assert bench.state() == "unconfigured"
    assert bench.set_parameter("marker_sigmas", 1.0) == (True, "")
    successful, reason = bench.set_parameter("weights", "small")
    assert not successful and "only while unconfigured" in reason


def test_nobody_else_chooses_files_of_this_machine_and_whole_numbers_are_floats(start, bench):
    start("fake", marker_sigmas=1)
    for name in ("weights", "engine_cache"):
        successful, reason = bench.set_parameter(name, "/tmp/elsewhere")
        assert not successful and "at the node's start only" in reason


def test_a_publisher_may_be_killed_and_come_back(start, bench):
    lifter = start("fake", autostart=True, **LOSSLESS)
    for life in ("first", "second"):
        player = start("player", loop=True, frame_id=life, remaps={"keypoints": "lifter/keypoints"}, settle_s=0.0)
        bench.until(
            lambda life=life: any(m.header.frame_id == life for m in bench.skeletons), f"frames of its {life} life"
        )
        player.process.kill()
        player.process.wait()
    assert lifter.process.poll() is None and "Traceback" not in lifter.text()


def test_several_cameras_in_one_node(start, bench):
    start("fake", autostart=True, cameras="[left, right]")
    for side in ("left", "right"):
        bench.listen(f"/lifter/{side}/")
        bench.skeletons.clear()
        bench.until(
            lambda: bench.skeletons, side,
            every=lambda side=side: (
                bench.publish_info(topic=f"/{side}/camera_info"),
                bench.publish_people(2, topic=f"/lifter/{side}/keypoints"),
            ),
        )  # fmt: skip
    bench.until(lambda: {"/lifter: left", "/lifter: right"} <= set(bench.diagnostics), "diagnostics of both")


def test_a_node_in_a_namespace_has_all_its_topics_there_but_the_diagnostics(start, bench):
    start("fake", autostart=True, remaps={"__ns": "/left", "__node": "eye"})
    bench.listen("/left/eye/")
    bench.until(
        lambda: bench.skeletons and bench.markers and bench.facts("/left/eye").get("frames_out"), "skeletons, markers",
        every=lambda: (
            bench.publish_info(topic="/left/camera_info"), bench.publish_people(topic="/left/eye/keypoints"),
        ),
    )  # fmt: skip
    topics = {name for name, _ in bench.node.get_topic_names_and_types()}
    assert {name for name in topics if "left" not in name} <= {
        "/diagnostics", "/parameter_events", "/rosout", "/lifter/skeletons", "/lifter/markers"
    }, "the last two are the bench's own"  # fmt: skip


SIDES = ("left", "right")
LOSSLESS_SIDES = {
    f"qos_overrides./lifter/{side}/keypoints.subscription.{policy}": value
    for side in SIDES
    for policy, value in (("reliability", "reliable"), ("depth", 1000))
}


def both_sides(bench):
    """Two cameras are active, know their CameraInfo, are heard and have read all that was sent."""
    for side in SIDES:
        bench.listen(f"/lifter/{side}/")
        bench.clear()
        bench.until(
            lambda: bench.skeletons, f"frames of {side}",
            every=lambda side=side: (
                bench.publish_info(topic=f"/{side}/camera_info"),
                bench.publish_people(2, topic=f"/lifter/{side}/keypoints"),
            ),
        )  # fmt: skip
        flush_side(bench, side)
    return {side: bench.next_facts(f"/lifter: {side}") for side in SIDES}


def flush_side(bench, side):
    """Until a new frame of this camera is answered; one that the lifter raises at is sent anew."""
    stamp = dropped = None

    def answered():
        return any(message.header.stamp == stamp for message in bench.skeletons)

    while not answered():
        dropped = bench.next_facts(f"/lifter: {side}")["dropped"]
        stamp = bench.publish_people(2, topic=f"/lifter/{side}/keypoints").stamp
        bench.until(lambda: answered() or bench.facts(f"/lifter: {side}")["dropped"] > dropped, "an answer")  # noqa: B023


def publish_sides(bench, before, sides):
    """A frame of each camera named, at once; the facts of both once all have been read."""
    for side in sides:
        bench.publish_people(2, topic=f"/lifter/{side}/keypoints")

    def read(side):
        facts = bench.facts(f"/lifter: {side}")
        done = facts["frames_out"] + facts["dropped"] == facts["messages_in"]
        return done and facts["messages_in"] == before[side]["messages_in"] + sides.count(side)

    bench.until(lambda: all(map(read, SIDES)), f"all of {sides}")
    return {side: bench.facts(f"/lifter: {side}") for side in SIDES}


def test_frames_of_two_cameras_that_wait_share_a_pass(start, bench):
    start("fake", autostart=True, cameras="[left, right]", max_people=2, env={"FAKE_DELAY_S": "0.05"}, **LOSSLESS_SIDES)
    before = both_sides(bench)
    alone = publish_sides(bench, before, ["left"] * 5)
    shared = {side: [facts[side]["shared_passes"] for facts in (before, alone)] for side in SIDES}
    assert all(first == second for first, second in shared.values()), "a camera alone waits for no other"
    # the node is busy with the first when the others come
    both = publish_sides(bench, alone, ["left", *SIDES * 30])
    together = {side: both[side]["shared_passes"] - alone[side]["shared_passes"] for side in SIDES}
    assert together["left"] == together["right"] > 0
    assert all(both[side]["dropped"] == before[side]["dropped"] for side in SIDES)


def test_a_pass_that_raises_is_counted_by_the_cameras_in_it_and_the_next_goes_through(start, bench):
    start(
        "fake", autostart=True, cameras="[left, right]", env={"FAKE_RAISE_EVERY": "4", "FAKE_DELAY_S": "0.02"},
        **LOSSLESS_SIDES,
    )  # fmt: skip
    after = publish_sides(bench, both_sides(bench), ["left", *SIDES * 15])
    for facts in after.values():
        assert facts["drop.lift_failed"] and facts["frames_out"] > facts["drop.lift_failed"]
