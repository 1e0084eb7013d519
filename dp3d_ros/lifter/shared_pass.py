"""Frames of several cameras that are waiting at the same time go through the network together."""

import time
from typing import NamedTuple

from std_msgs.msg import Header

from dp3d_core import Camera
from dp3d_ros.messages.keypoints import People


class Frame(NamedTuple):
    """A converted message that waits for its pass."""

    header: Header
    stamp_s: float
    people: People
    camera: Camera
    started_s: float
    """When its callback began, by the clock that never jumps."""


class SharedPass:
    """Collects frames until the executor has handed out all messages that are there, then pushes them in one pass.

    streams: {camera name: stream} with a `push` of several (`dp3d_core.live.batch.Streams`). A channel has `name`,
    `answer(frame, skeletons, took_s, cameras)` and `fail(error)`. Nothing is ever waited for: a frame that is alone
    goes through alone, and in a node of one camera within its own callback.
    """

    def __init__(self, node, streams):
        self._node, self._streams = node, streams
        self._waiting = {}

    def add(self, channel, frame):
        """Take in a frame of a camera of which none is waiting (see `run`)."""
        self._waiting[channel] = frame
        if len(self._streams) == 1:
            self.run()
        elif len(self._waiting) == 1:
            # a task runs once the callbacks of all messages that have come are through
            self._node.executor.create_task(self.run)

    def waits(self, channel):
        """Whether a frame of this channel is waiting: it has to go before the next is taken in."""
        return channel in self._waiting

    def forget(self, channel):
        """Leave out what waits of this channel."""
        self._waiting.pop(channel, None)

    def run(self):
        """Push all frames that are waiting, and hand each channel its skeletons."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        before_s = time.perf_counter()
        try:
            found = self._streams.push(
                {channel.name: (frame.stamp_s, frame.people.keypoints) for channel, frame in waiting.items()}
            )
        except Exception as error:  # the node outlives whatever a frame or a backend does; nothing is hidden
            for channel in waiting:
                channel.fail(error)
            return
        took_s = time.perf_counter() - before_s
        for channel, frame in waiting.items():
            channel.answer(frame, found[channel.name], took_s, len(waiting))
