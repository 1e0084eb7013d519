"""The detector's own clock: seconds that never go back, whatever the pictures' stamps do."""

LATE_S = 0.5
"""A picture that lies back less is late and left out; more, and time itself has jumped."""
PAUSE_S = 10.0
"""After a jump so much passes, so that nobody of before is still known."""


class Session:
    """Seconds since the first picture."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._seconds = 0.0

    def seconds(self, stamp_ns: int) -> float | None:
        """The picture's time; None where it is no newer than the last one."""
        past_s = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) * 1e-9
        if self._last_ns is not None and -LATE_S < past_s <= 0:
            return None
        self._last_ns = stamp_ns
        self._seconds += past_s if past_s >= 0 else PAUSE_S
        return self._seconds
