"""Latencies, rates and counters of a live node. Knows nothing of ROS; time comes in as an argument."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np


class Latencies:
    """Percentiles over the newest `size` values, in milliseconds."""

    def __init__(self, size: int = 2048):
        self._values_ms: deque[float] = deque(maxlen=size)

    def add(self, latency_s: float) -> None:
        self._values_ms.append(latency_s * 1e3)

    def percentiles(self) -> dict[str, float]:
        """{"p50": ms, "p95": ms, "p99": ms}, rounded to microseconds; empty while there are no values."""
        if not self._values_ms:
            return {}
        values = np.percentile(np.array(self._values_ms), (50, 95, 99))
        return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}


class Rate:
    """Events per second over the last `window_s` seconds."""

    def __init__(self, window_s: float = 2.0):
        self._window_s = window_s
        self._times_s: deque[float] = deque()

    def tick(self, now_s: float) -> None:
        self._times_s.append(now_s)
        self._forget(now_s)

    def hz(self, now_s: float) -> float:
        self._forget(now_s)
        return len(self._times_s) / self._window_s

    def _forget(self, now_s: float) -> None:
        while self._times_s and now_s - self._times_s[0] > self._window_s:
            self._times_s.popleft()


class SequenceGaps:
    """How many messages of a topic never arrived, from its publishers' sequence numbers (newest wins at depth 1)."""

    def __init__(self):
        self._last: dict[bytes | None, int] = {}

    def missed(self, info: dict[str, Any], publishers: Callable[[], int]) -> int | None:
        """Messages lost since the previous one of this publisher; None where nothing can be known.

        info: what rclpy tells of the message, as a dict. Up to Jazzy it does not tell whose the sequence number is:
        then it is known only while `publishers()` counts a single one. A restarted sequence counts nothing.
        """
        sequence, gid = info.get("publication_sequence_number"), info.get("publisher_gid")
        if sequence is None or (gid is None and publishers() != 1):
            self._last.clear()  # what comes in the meantime is not to be taken for lost
            return None
        publisher = None if gid is None else bytes(gid["data"])
        last = self._last.get(publisher, sequence - 1)
        if len(self._last) > 64:  # publishers come and go on a robot that runs for months
            self._last.clear()
        self._last[publisher] = sequence
        return max(0, sequence - last - 1)


class Throttle:
    """Lets the same warning through at most every `every_s` seconds, one clock for each cause."""

    def __init__(self, every_s: float):
        self.every_s = every_s
        self._last_s: dict[str, float] = {}

    def ready(self, cause: str, now_s: float) -> bool:
        if cause in self._last_s and now_s - self._last_s[cause] < self.every_s:
            return False
        self._last_s[cause] = now_s
        return True


class Statistics:
    """All that the diagnostics of one camera count.

    messages_in = frames_out + all drops + the frames that a lookahead still holds; `missed` messages never arrived, and
    before `missed_unknown` messages it cannot be told whether others were missed.
    """

    def __init__(self):
        self.drops: Counter[str] = Counter()
        """Whole messages that gave no frame, by cause."""
        self.oddities: Counter[str] = Counter()
        """What was odd about messages that were used all the same, by cause."""
        self.messages_in = 0
        self.missed = self.missed_unknown = 0
        self.people_in = 0
        self.newest_stamp_ns: int | None = None
        self.frames_out = 0
        self.skeletons_out = 0
        self.people = 0
        self.shared_passes = 0
        """Frames that went through the network together with frames of other cameras."""
        self.input_rate = Rate()
        self.output_rate = Rate()
        self.stamp_to_publish = Latencies()
        self.callback_to_publish = Latencies()
        self.compute = Latencies()
        self.last_error = ""

    def arrived(self, now_s: float) -> None:
        """A message came in."""
        self.messages_in += 1
        self.input_rate.tick(now_s)

    def taken(self, people: int, stamp_ns: int) -> None:
        """It could be read, and holds so many people."""
        self.people_in += people
        self.newest_stamp_ns = stamp_ns

    def lost(self, number: int | None) -> None:
        """So many messages never arrived; None: nothing tells."""
        if number is None:
            self.missed_unknown += 1
        else:
            self.missed += number

    def left(self, people: int, started_s: float, now_s: float) -> None:
        """A frame of so many people was published; the callback of its message began at started_s."""
        self.frames_out += 1
        self.skeletons_out += people
        self.people = people
        self.output_rate.tick(now_s)
        self.callback_to_publish.add(now_s - started_s)
