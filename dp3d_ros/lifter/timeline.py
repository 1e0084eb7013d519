"""Orders the stamps of one camera: what is new, what repeats, and when a bag or a clock has jumped back.

Knows nothing of ROS: stamps are integer nanoseconds.
"""

from collections import OrderedDict

from dp3d_ros.messages.keypoints import BadMessage

OUT_OF_ORDER_S = 0.5
"""A stamp that lies back less than this is a late message; more, and time itself has jumped (bag loop, new clock)."""


class Timeline:
    """Seconds since the first frame for the stream, and the way back from these to the headers of the input."""

    def __init__(self, remember):
        self._remember = remember
        self.restart()

    def restart(self):
        """Forget all stamps; the next one is second 0."""
        self._epoch_ns = self._last_ns = None
        self._headers = OrderedDict()

    def jumped_back(self, stamp_ns):
        """Whether `stamp_ns` lies so far back that everything must start afresh."""
        return self._last_ns is not None and (self._last_ns - stamp_ns) * 1e-9 >= OUT_OF_ORDER_S

    def admit(self, stamp_ns, header):
        """The frame's time in seconds; BadMessage for a repeated or late stamp."""
        if self._last_ns is None:
            self._epoch_ns = stamp_ns
        elif stamp_ns == self._last_ns:
            raise BadMessage("repeated_stamp", f"header.stamp: {stamp_ns} ns came twice; stamp each frame once")
        elif stamp_ns < self._last_ns:
            raise BadMessage(
                "late_stamp",
                f"header.stamp: {(self._last_ns - stamp_ns) * 1e-9:.3f} s older than the newest frame; frames "
                "must come in order",
            )
        self._last_ns = stamp_ns
        stamp_s = (stamp_ns - self._epoch_ns) * 1e-9
        self._headers[stamp_s] = header
        while len(self._headers) > self._remember:
            self._headers.popitem(last=False)
        return stamp_s

    def header(self, stamp_s):
        """The header of the input frame at `stamp_s`, or None where it is not known (any more)."""
        return self._headers.get(stamp_s)

    def oldest(self):
        """The header of the frame that a lookahead answers now; None while it has not filled."""
        return next(iter(self._headers.values())) if len(self._headers) == self._remember else None
