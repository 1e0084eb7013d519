"""Long tests of the live node: malformed messages, a ten-minute soak, transitions under data, load by people and rate.

make test TEST_ARGS='-n 0 -m slow tests/ros/test_endurance.py -s' runs them and prints their figures; -k soak, -k load,
-k malformed or -k transitions picks one. SOAK_S and LOAD_S are the seconds of each run. BENCH_JSON names a file to add
the figures to, as JSON lines (python tests/ros/load_table.py FILE makes a table of them).
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from bench import WEIGHTS
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import PointCloud2, PointField

from dp3d_ros.messages.keypoints import stamp_ns
from dp3d_ros.messages.pointcloud2 import KEYPOINT_DTYPE

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(1200)]
MESSAGES, TRANSITIONS = 10_000, 100
SOAK_S = float(os.environ.get("SOAK_S", "600"))
LOAD_S = float(os.environ.get("LOAD_S", "15"))


def report(**figures):
    """Print figures, and keep them where BENCH_JSON says."""
    line = json.dumps(figures)
    print(line)
    if os.environ.get("BENCH_JSON"):
        with open(os.environ["BENCH_JSON"], "a") as file:
            file.write(line + "\n")


def memory_mib(node):
    """Resident memory of a process."""
    for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


# A cloud that is well-formed but for a few of these: changed numbers, fields, sizes, stamps or bytes.
numbers = st.sampled_from([np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0, -1.0, 2.0])
point_changes = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["x", "y", "score"]), st.integers(0, 33), numbers),
        st.tuples(st.just("joint"), st.integers(0, 33), st.integers(0, 65535)),
        st.tuples(st.just("person"), st.integers(0, 33), st.integers(-(2**31), 2**31 - 1)),
    ),
    max_size=6,
)
field_changes = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from(["name", "offset", "datatype", "count"]), st.integers(0, 255),
    ),
    max_size=2,
)  # fmt: skip
cloud_changes = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["width", "height", "point_step", "row_step"]), st.integers(0, 2**32 - 1)),
        st.tuples(st.sampled_from(["width", "height", "point_step", "row_step"]), st.integers(0, 70)),
        st.tuples(st.just("is_bigendian"), st.booleans()),
    ),
    max_size=2,
)
stamps = st.sampled_from(["now", "now", "now", "zero", "repeat", "late", "jump back", "jump ahead", "negative"])


def malformed(bench, stamp, points, fields, clouds, cut):
    """One message from the drawn changes."""
    table = np.zeros(34, KEYPOINT_DTYPE)
    table["joint"], table["person"] = np.tile(np.arange(17), 2), np.repeat([0, 1], 17)
    table["x"], table["y"], table["score"] = 300 + table["joint"], 100 + 15 * table["joint"], 0.9
    for name, index, value in points:
        table[name][index] = value
    moment = {
        "now": time.time_ns(), "zero": 0, "repeat": bench.last_ns, "late": bench.last_ns - 10_000_000,
        "jump back": bench.last_ns - 5_000_000_000, "jump ahead": bench.last_ns + 5_000_000_000, "negative": 0,
    }[stamp]  # fmt: skip
    message = PointCloud2(
        header=bench.header(moment), height=1, width=34, point_step=20, row_step=680,
        fields=[
            PointField(name=name, offset=offset, datatype={"f": 7, "i": 5, "u": 4}[dtype.kind], count=1)
            for name, (dtype, offset) in KEYPOINT_DTYPE.fields.items()
        ],
    )  # fmt: skip
    if stamp == "negative":
        message.header.stamp.sec = -5
    bench.last_ns = max(stamp_ns(message.header.stamp), 20_000_000)
    for index, name, value in fields:
        setattr(message.fields[index], name, str(value) if name == "name" else value)
    for name, value in clouds:
        setattr(message, name, value)
    message.data.frombytes(table.tobytes()[: 680 - cut])
    return message


def test_ten_thousand_malformed_messages_are_all_counted(start, bench):
    node = start(
        "lifter", autostart=True, weights=str(WEIGHTS), warn_every_s=60.0,
        **{"qos_overrides./lifter/keypoints.subscription.reliability": "reliable",
           "qos_overrides./lifter/keypoints.subscription.depth": 100},
    )  # fmt: skip
    bench.ready()
    bench.flush()
    before = bench.next_facts()
    bench.clear()
    bench.last_ns = time.time_ns()
    publisher = bench.cloud_publisher()
    sent = 0

    @settings(
        max_examples=MESSAGES, deadline=None, phases=[Phase.generate], database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.tuples(stamps, point_changes, field_changes, cloud_changes, st.sampled_from([0, 0, 0, 1, 300, 680])))
    def publish_all(changes):
        nonlocal sent
        publisher.publish(malformed(bench, *changes))
        sent += 1
        bench.spin(0.004)

    while sent < MESSAGES:
        publish_all()
    after = bench.settled(before, sent)
    assert node.process.poll() is None and "Traceback" not in node.text()
    assert after["messages_in"] + after["missed"] - before["messages_in"] - before["missed"] == sent
    assert after["messages_in"] == after["frames_out"] + after["dropped"]
    assert "drop.lift_failed" not in after, node.text()
    all_heard(bench, before, after)
    for message in bench.skeletons:
        if message.width:
            values = np.frombuffer(message.data, np.dtype([("f", "<f4", 5), ("rest", "V8")]))["f"]
            assert np.isfinite(values).all()
    causes = {key: value for key, value in after.items() if key.startswith(("drop.", "odd.", "stream."))}
    report(test="malformed", sent=sent, missed=after["missed"], dropped=after["dropped"], causes=causes)
    bench.clear()
    bench.publish_people(1, stamp_ns=time.time_ns() + 20_000_000_000)
    bench.until(lambda: bench.skeletons, "an answer to a good message")


def all_heard(bench, before, after, already=0):
    """Until every frame that went out between two diagnostics is here, `already` of them having been counted."""
    frames = after["frames_out"] - before["frames_out"]
    bench.until(lambda: already + len(bench.skeletons) >= frames, f"{frames} skeletons")
    assert already + len(bench.skeletons) == frames


def play_at(bench, people, hz, seconds, keep_memory=lambda: None, topic="/lifter/keypoints"):
    """Publish `people` people at `hz` for some seconds, evenly; returns the number of messages.

    When this process was held up it does not catch up: of two messages in a row the first is overwritten unread.
    """
    sent = 0
    due_s = time.monotonic()
    end_s = due_s + seconds
    while time.monotonic() < end_s:
        bench.publish_people(people, topic=topic)
        sent += 1
        if sent % (10 * hz) == 0:
            keep_memory()
        due_s = max(due_s + 1 / hz, time.monotonic() + 0.5 / hz)
        bench.spin(due_s - time.monotonic())
    return sent


def bare_round_trip(start, bench, people, hz):
    """The same clouds, sent back untouched: [p50, p95, p99] ms."""
    echo = start("echo")
    bench.listen("/echo/")
    publisher = bench.cloud_publisher("/echo/keypoints")
    bench.until(publisher.get_subscription_count, "an echo")
    bench.until(lambda: bench.skeletons, "an echo", every=lambda: bench.publish_people(topic="/echo/keypoints"))
    bench.quiet()
    bench.clear()
    play_at(bench, people, hz, 3, topic="/echo/keypoints")
    bench.quiet()
    ages_ms = [(at - stamp_ns(m.header.stamp)) / 1e6 for at, m in zip(bench.arrivals_ns, bench.skeletons)]
    echo.interrupt()
    bench.clear()
    return np.percentile(ages_ms, (50, 95, 99)).round(2).tolist()


@pytest.mark.parametrize("hz", [30, 60])
@pytest.mark.parametrize("people", [1, 4, 8, 16])
def test_load_is_answered_or_dropped_and_counted(start, bench, people, hz):
    bare_ms = bare_round_trip(start, bench, people, hz)
    node = start("lifter", autostart=True, weights=str(WEIGHTS))
    os.sched_setaffinity(node.process.pid, {max(os.sched_getaffinity(0))})  # all of it on one core
    bench.ready()
    bench.flush()
    before = bench.next_facts()
    bench.clear()
    sent = play_at(bench, people, hz, LOAD_S)
    after = bench.settled(before, sent)
    all_heard(bench, before, after)
    new = {key: after[key] - before[key] for key in ("messages_in", "missed", "frames_out", "dropped")}
    assert new["messages_in"] + new["missed"] == sent
    ages_ms = [(at - stamp_ns(m.header.stamp)) / 1e6 for at, m in zip(bench.arrivals_ns, bench.skeletons)]
    round_trip_ms = np.percentile(ages_ms, (50, 95, 99)).round(2).tolist()
    latencies = {key: value for key, value in after.items() if key.endswith("_ms")}
    report(
        test="load", people=people, hz=hz, sent=sent, **new, bare_dds_round_trip_ms=bare_ms,
        round_trip_ms=round_trip_ms, **latencies,
    )  # fmt: skip
    third = len(ages_ms) // 3
    assert np.median(ages_ms[-third:]) < 2 * np.median(ages_ms[:third]) + 10, "lag has grown"
    if (people, hz) == (4, 60):
        assert latencies["callback_to_publish_p99_ms"] < 33, "two frame periods"


def test_soak_keeps_memory_flat_and_loses_nothing(start, bench):
    node = start("lifter", autostart=True, weights=str(WEIGHTS))
    bench.ready()
    play_at(bench, 4, 60, 20)  # whatever is allocated once, is by now
    bench.flush()
    before = bench.next_facts()
    first_mib, seen, latencies_ms = memory_mib(node), [], []

    def look():
        seen.append(memory_mib(node))
        latencies_ms.extend((at - stamp_ns(m.header.stamp)) / 1e6 for at, m in zip(bench.arrivals_ns, bench.skeletons))
        counted[0] += len(bench.skeletons)
        bench.clear()

    counted = [0]
    bench.clear()
    sent = play_at(bench, 4, 60, SOAK_S, look)
    after = bench.settled(before, sent)
    all_heard(bench, before, after, already=counted[0])
    look()
    new = {key: after[key] - before[key] for key in ("messages_in", "missed", "frames_out", "dropped")}
    percentiles = np.percentile(latencies_ms, (50, 95, 99)).round(2).tolist()
    report(
        test="soak", seconds=SOAK_S, sent=sent, **new, first_mib=round(first_mib, 1), last_mib=round(seen[-1], 1),
        round_trip_ms=percentiles, callback_to_publish_p99_ms=after["callback_to_publish_p99_ms"],
    )  # fmt: skip
    assert new["messages_in"] + new["missed"] == sent and counted[0] == new["frames_out"] == new["messages_in"]
    assert seen[-1] < first_mib + 10, "memory grows"
    assert node.process.poll() is None


def test_a_hundred_transitions_under_data_lose_and_leak_nothing(start, bench):
    node = start("lifter", weights=str(WEIGHTS))
    assert bench.transition("configure", timeout_s=120) and bench.transition("activate")
    bench.ready(timeout_s=120)
    timer = bench.node.create_timer(1 / 30, lambda: (bench.publish_info(), bench.publish_people(4)))
    seen = []
    for _ in range(TRANSITIONS // 4 + 1):
        assert all(bench.transition(step, timeout_s=60) for step in ("deactivate", "cleanup", "configure", "activate"))
        bench.clear()
        bench.until(lambda: bench.skeletons, "skeletons after a transition")
        threads = len(list(Path(f"/proc/{node.process.pid}/task").iterdir()))
        seen.append((memory_mib(node), threads, bench.next_facts()))
    timer.cancel()
    (first_mib, first_threads, _), (last_mib, last_threads, facts) = seen[1], seen[-1]
    report(
        test="transitions", number=4 * (len(seen) - 1), first_mib=round(first_mib, 1), last_mib=round(last_mib, 1),
        first_threads=first_threads, last_threads=last_threads, dropped=facts["dropped"],
    )  # fmt: skip
    assert last_mib < first_mib + 15 and last_threads <= first_threads, "something grows"
    assert facts["messages_in"] == facts["frames_out"] + facts["dropped"]
    assert "Traceback" not in node.text() and node.interrupt() == 0


@pytest.mark.parametrize("steps", [(), ("configure",), ("configure", "activate"), "configuring"])
def test_sigint_ends_the_real_lifter_within_two_seconds(start, bench, tmp_path, steps):
    env = {"XDG_CACHE_HOME": str(tmp_path)} if steps == "configuring" else None  # without an engine: it builds one
    node = start("lifter", weights=str(WEIGHTS), autostart=steps == "configuring", env=env)
    if steps == "configuring":
        bench.until(lambda: bench.node.count_publishers("/diagnostics"), "the node")
        bench.spin(3.0)
        assert "ready after" not in node.text()
    else:
        bench.state()  # an answer: what discovery tells may be of the node of the test before
        for step in steps:
            assert bench.transition(step)
    begun_s = time.monotonic()
    assert node.interrupt() == 0 and "Traceback" not in node.text(), node.text()
    took_s = time.monotonic() - begun_s
    report(test="sigint", state=steps if isinstance(steps, str) else steps[-1] if steps else "start", took_s=took_s)
    assert took_s < 2
