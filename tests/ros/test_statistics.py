"""Latencies, rates, sequence gaps and throttling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp3d_ros.lifter.statistics import Latencies, Rate, SequenceGaps, Throttle


def test_percentiles_are_of_the_newest_values():
    latencies = Latencies(size=100)
    assert latencies.percentiles() == {}
    for value in range(1000):
        latencies.add(value * 1e-3)
    assert latencies.percentiles() == {"p50": 949.5, "p95": 994.05, "p99": 998.01}


def test_rate_counts_and_forgets():
    rate = Rate(window_s=2.0)
    for tick in range(120):
        rate.tick(tick / 30)
    assert rate.hz(4.0) == pytest.approx(30, abs=1)
    assert rate.hz(10.0) == 0


def told(sequence, publisher=None):
    """What rclpy tells of a message; up to Jazzy not the publisher."""
    gid = {"publisher_gid": {"data": list(publisher)}} if publisher else {}
    return {"publication_sequence_number": sequence} | gid


def one():
    return 1


def two():
    return 2


def test_gaps_are_counted_for_each_publisher():
    gaps = SequenceGaps()
    assert [gaps.missed(told(n, b"a"), two) for n in (5, 6, 9, 9, 1, 2)] == [0, 0, 2, 0, 0, 0]
    assert [gaps.missed(told(n, by), two) for n, by in ((1, b"b"), (4, b"a"), (3, b"b"))] == [0, 1, 1]


def test_gaps_of_an_only_publisher_are_counted_where_no_message_tells_whose_it_is():
    gaps = SequenceGaps()
    assert [gaps.missed(told(n), one) for n in (5, 6, 9, 1, 3)] == [0, 0, 2, 0, 1]
    assert [gaps.missed(told(n), two) for n in (4, 90, 5)] == [None] * 3
    assert [gaps.missed(told(n), one) for n in (100, 102)] == [0, 1], "what came from two is not missed afterwards"


def test_without_sequence_numbers_nothing_is_known_of_gaps():
    gaps = SequenceGaps()
    assert gaps.missed(told(None, b"a"), one) is None and gaps.missed({}, one) is None


@given(st.lists(st.integers(1, 1000), min_size=1, unique=True))
def test_gaps_add_up_to_what_did_not_arrive(sequence):
    sequence = sorted(sequence)
    gaps = SequenceGaps()
    assert sum(gaps.missed(told(n, b"p"), one) for n in sequence) == sequence[-1] - sequence[0] + 1 - len(sequence)


def test_throttle_holds_each_cause_back_by_itself():
    throttle = Throttle(5.0)
    assert throttle.ready("a", 0.0) and throttle.ready("b", 1.0)
    assert not throttle.ready("a", 4.9) and throttle.ready("a", 5.0)
