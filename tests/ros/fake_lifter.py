"""The live path without a network, for tests of the node alone: everybody is taken for the standing figure.

Run as a program, it is the `lifter` executable with `FakeLifter` in place of `Lifter`: the real streams over a backend
that knows one pose. FAKE_DELAY_S slows each pass, FAKE_RAISE_EVERY makes every n-th pass raise; the weights "broken" do
not load, "slow" take their time, of "late" one engine comes at once and the other never.
"""

import os
import time
from collections import Counter

import numpy as np
from figure import standing

import dp3d_core
from dp3d_core.config import POOL_TIMES_S, POOL_WIDTH, ModelConfig, StreamConfig, from_dict

MODEL = ModelConfig(window_frames=2, frame_layers=1, frame_width=32, heads=2)
ACTIONS = ("walk", "stand", "sit")


class OnePose:
    """A backend that answers with the standing figure and is equally unsure of all actions."""

    name, note = "none", "a test"

    def __init__(self):
        self.counters, self._steps = Counter(), 0
        self._pose = ((standing() - standing()[0]) / MODEL.pose_scale_m).astype(np.float32)

    def prepare(self, people, rows, progress):
        return True

    def step(self, seen, *rest):
        self._steps += 1
        time.sleep(float(os.environ.get("FAKE_DELAY_S", "0")))
        if self._steps % int(os.environ.get("FAKE_RAISE_EVERY", "1000000000")) == 0:
            raise RuntimeError("the backend broke")
        people, rows = seen.shape[:2]
        memory = np.zeros((people, MODEL.frame_layers, 1, MODEL.frame_width), np.float32)
        return (
            np.broadcast_to(self._pose, (people, rows, 17, 3)), np.full((people, rows, 17, 2), -5.0, np.float32),
            np.zeros((people, rows, 2), np.float32), np.zeros((people, len(ACTIONS)), np.float32),
            np.zeros((people, rows, MODEL.frame_width), np.float32), memory, memory,
            np.zeros((people, len(POOL_TIMES_S), POOL_WIDTH + 1), np.float32),
        )  # fmt: skip


class FakeLifter:
    def __init__(self):
        self.weights_name = "fake"
        self._backend = OnePose()

    @classmethod
    def load(cls, weights, **options):
        if weights == "broken":
            raise ValueError("weights: expected a checkpoint, got 'broken'; train one or use 'small'")
        made = cls()
        made.weights_name = weights if weights in ("slow", "late") else "fake"
        return made

    @property
    def backend_name(self):
        return self._backend.name

    @property
    def backend_note(self):
        return self._backend.note

    @property
    def backend_counters(self):
        return self._backend.counters

    def streams(self, cameras, **options):
        from dp3d_core.live.streams import Streams

        return Streams(
            backend=self._backend, model=MODEL, actions=ACTIONS, temperature=1.0, cameras=cameras,
            config=from_dict(StreamConfig, options),
        )  # fmt: skip

    def prepare(self, people, lookahead, cameras, progress):
        if self.weights_name == "late":
            progress("an engine for many")
            time.sleep(10)
            raise RuntimeError("the compiler broke")

    def warm_up(self, people, lookahead, cameras=1, progress=None):
        if self.weights_name == "slow":
            progress("building what takes its time")
            time.sleep(600)


if __name__ == "__main__":
    from dp3d_ros.lifter_node import main

    dp3d_core.Lifter = FakeLifter
    main()
