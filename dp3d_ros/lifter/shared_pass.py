"""Frames of several cameras that are waiting at the same time go through the network together."""

import time
from typing import Any

from dp3d_core.types import Frame


class SharedPass:
    """Collects frames until the executor has handed out all messages that are there, then pushes them in one pass.

    streams: `dp3d_core.live.streams.Streams`. A channel has `name`, `answer(frame, skeletons, started_s, took_s,
    cameras)` and `fail(error)`. Nothing is ever waited for: a frame that is alone goes through alone, and in a node of
    one camera within its own callback.
    """

    def __init__(self, node, streams: Any):
        self._node, self._streams = node, streams
        self._waiting: dict[Any, tuple[Frame, float]] = {}

    def add(self, channel, frame: Frame, started_s: float) -> None:
        """Take in a frame of a camera of which none is waiting (see `finish`); its callback began at started_s."""
        self._waiting[channel] = frame, started_s
        if len(self._streams) == 1:
            self.run()
        elif len(self._waiting) == 1:
            # a task runs once the callbacks of all messages that have come are through
            self._node.executor.create_task(self.run)

    def finish(self, channel) -> None:
        """Push what waits if a frame of this channel is among it: it has to go before the next is taken in."""
        if channel in self._waiting:
            self.run()

    def forget(self, channel) -> None:
        """Leave out what waits of this channel."""
        self._waiting.pop(channel, None)

    def run(self) -> None:
        """Push all frames that are waiting, and hand each channel its skeletons."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        before_s = time.perf_counter()
        try:
            found = self._streams.push({channel.name: frame for channel, (frame, _) in waiting.items()})
        except Exception as error:  # the node outlives whatever a frame or a backend does; nothing is hidden
            for channel in waiting:
                channel.fail(error)
            return
        took_s = time.perf_counter() - before_s
        for channel, (frame, started_s) in waiting.items():
            channel.answer(frame, found[channel.name], started_s, took_s, len(waiting))
