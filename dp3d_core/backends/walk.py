"""Streams as a robot sees them, for the parity check: two stick figures walk and sway before a camera.

Gaussian noise would not do: what a network makes of noise says little about people, and only a stream has a memory of
the network's own making, empty when it begins. The figures need no data file and are the same on every machine.
"""
# P = 2 people, B = 4 streams, F frames, N rows, C cached frames

from collections.abc import Callable

import numpy as np

from dp3d_core.backends.signature import INPUTS, OUTPUTS, input_shapes
from dp3d_core.config import POOL_TIMES_S, ModelConfig
from dp3d_core.geometry.observation import follow_all, observe, up_input
from dp3d_core.skeleton import JOINT_NAMES, PARENTS

INTERVALS_S = np.array([1 / 30, 1 / 7])
"""Between frames, of each person; seven a second is what a slow detector manages."""
NOISE = 0.05
"""Of keypoints, standard deviation over that of the person's own: 1.5 pixels where a person is 100 pixels tall."""
_STEPS_HZ, _YAWS, _ROOTS_M = (0.9, 1.3), (0.6, -2.2), ((-0.6, 0.1, 4.5), (0.8, -0.1, 3.2))
# bones from the parent, in metres, of a person who stands facing the camera (optical axes: x right, y down), and how
# far each swings about x at the peak of a step, in radians
_BONES_M = np.array(
    [
        (0, 0, 0), (-0.13, 0, 0), (0, 0.44, 0), (0, 0.42, 0), (0.13, 0, 0), (0, 0.44, 0), (0, 0.42, 0), (0, -0.24, 0),
        (0, -0.26, 0), (0, -0.12, -0.03), (0, -0.11, 0), (0.15, 0.02, 0), (0.03, 0.28, 0), (0, 0.25, -0.02),
        (-0.15, 0.02, 0), (-0.03, 0.28, 0), (0, 0.25, -0.02),
    ]
)  # fmt: skip
_SWINGS = np.array([0, 0, 0.5, 0.3, 0, -0.5, -0.3, 0.06, 0.06, 0, 0, 0, 0.4, 0.5, 0, -0.4, -0.5])
_UP = np.array([0.0, -np.cos(0.2), -np.sin(0.2)])
_NO_COUNTERPART = [JOINT_NAMES.index("Spine"), JOINT_NAMES.index("Head")]
_LEFT_ARM = [JOINT_NAMES.index("LElbow"), JOINT_NAMES.index("LWrist")]


def _figure(stamps_s, steps_hz, yaw, root_m):
    """Joints (T, 17, 3) in metres in the camera."""
    angle = np.sin(2 * np.pi * steps_hz * stamps_s)[:, None] * _SWINGS
    x, y, z = np.broadcast_to(_BONES_M, (len(angle), 17, 3)).transpose(2, 0, 1)
    joints = np.stack([x, y * np.cos(angle) - z * np.sin(angle), y * np.sin(angle) + z * np.cos(angle)], -1)
    for joint in range(1, 17):
        joints[:, joint] += joints[:, PARENTS[joint]]
    turned = yaw + 0.3 * stamps_s
    x, y, z = joints.transpose(2, 0, 1)
    cos, sin = np.cos(turned)[:, None], np.sin(turned)[:, None]
    joints = np.stack([x * cos - z * sin, y, x * sin + z * cos], -1)
    return joints + root_m + stamps_s[:, None, None] * np.array([0.3, 0, -0.1])


def walking_figures(stamps_s: np.ndarray) -> np.ndarray:
    """Joints (P, T, 17, 3) in metres in the camera at stamps (T,) or (P, T) seconds."""
    stamps_s = np.broadcast_to(stamps_s, (len(_YAWS), np.shape(stamps_s)[-1]))
    return np.stack([_figure(*of) for of in zip(stamps_s, _STEPS_HZ, _YAWS, _ROOTS_M)])


def people_seen(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of both: (P, T, 17, 4) as of `observe`, and is told of gravity: (P, T, 4).

    The first stands before a camera whose tilt is known, of the second's nothing is.

    The second is seen as by a COCO detector, without spine and head, loses an arm for eight frames of sixteen, and is
    not seen at all in the last frame but one.
    """
    stamps_s = np.arange(frames) * INTERVALS_S[:, None]
    joints = walking_figures(stamps_s)
    confidence = np.full(joints.shape[:-1], 0.9)
    confidence[1][:, _NO_COUNTERPART] = 0
    confidence[1][np.ix_(np.arange(frames) // 8 % 2 == 1, _LEFT_ARM)] = 0
    confidence[1, -2] = 0
    rays = joints[..., :2] / joints[..., 2:]
    size = rays.std((1, 2), keepdims=True).max(-1, keepdims=True)
    rays += NOISE * size * np.random.default_rng(0).normal(size=rays.shape)
    up = np.zeros((2, frames, 3))
    up[0] = _UP
    state = follow_all(rays, confidence, stamps_s, np)
    seen, rotation, _ = observe(rays, confidence, state, np, up=up)
    return seen.astype(np.float32), up_input(up, np.full((2, frames), 0.02), rotation, np).astype(np.float32)


STREAMS = 4
_PERSON = np.array([0, 1, 0, 1])
_FRAMES_BEFORE = np.array([0, 3, 8, 8])
"""Frames that each stream has had when its answers begin to count."""
COMPARED_FRAMES = 3

Step = Callable[..., tuple[np.ndarray, ...]]
"""A backend's `step`."""


def stream_answers(step: Step, config: ModelConfig, rows: int, people: int = STREAMS) -> list[np.ndarray]:
    """What `step` says of the streams for N = `rows`: its outputs, each (B, F, ...) with F = `COMPARED_FRAMES`.

    Of four streams one begins; the others have three frames, half a cache and a whole one behind them. Each keeps the
    memory that this step made, so that its errors add up. people: how many the step takes at once; where they are more
    than four, or do not divide it, the streams are repeated in their order.
    """
    turns = np.arange(-(-max(people, STREAMS) // people) * people).reshape(-1, people) % STREAMS
    found = [_Streams(config, rows, turn).answers(step) for turn in turns]
    return [np.concatenate(parts) for parts in zip(*found)]


class _Streams:
    """Some of the four streams (their numbers) with what a live stream remembers."""

    def __init__(self, config: ModelConfig, rows: int, numbers: np.ndarray):
        self._rows, self._person, self._before = rows, _PERSON[numbers], _FRAMES_BEFORE[numbers]
        self._cached = cached = config.window_frames - 1
        self._behind = np.array([0, min(3, cached), cached // 2, cached])[numbers]
        """Cached frames when the answers begin to count: a full cache holds its frames several times."""
        self._frames = int(_FRAMES_BEFORE.max()) + COMPARED_FRAMES
        self._seen, self._up = (of_people[self._person] for of_people in people_seen(self._frames))
        shapes = input_shapes(config, len(numbers), rows)
        self._memory = {name: np.zeros(shapes[name], np.float32) for name in ("keys", "values", "pooled")}

    def answers(self, step: Step) -> list[np.ndarray]:
        """See `stream_answers`; for these streams only."""
        start = self._frames - COMPARED_FRAMES
        kept = []
        for frame in range(self._frames):
            if frame == start:
                self._fill_up()
            age = frame - start + self._before
            behind = age if frame < start else frame - start + self._behind
            outputs = [output.copy() for output in step(*self._inputs(frame, age, np.minimum(behind, self._cached)))]
            self._remember(frame, age, behind, outputs)
            if frame >= start:
                kept.append(outputs)
        return [np.stack(output, 1) for output in zip(*kept)]

    def _inputs(self, frame, age, behind):
        """A step's inputs; age (B,): the frames that each stream has had, behind (B,): those in its cache."""
        rows = np.arange(1 - self._rows, 1)
        there = (age[:, None] + rows >= 0).astype(np.float32)
        at = np.maximum(frame + rows, 0)
        interval_s = INTERVALS_S[self._person][:, None]
        filled = np.concatenate([np.arange(self._cached) < behind[:, None], there], 1)
        inputs = self._memory | {
            "seen": self._seen[:, at] * there[..., None, None], "up": self._up[:, at] * there[..., None],
            "stamps_s": at * interval_s, "filled": filled, "decay": np.exp(-interval_s / POOL_TIMES_S),
        }  # fmt: skip
        return [np.ascontiguousarray(inputs[name], np.float32) for name in INPUTS]

    def _remember(self, frame, age, behind, outputs):
        new, begun = dict(zip(OUTPUTS, outputs)), age >= 0
        stream, slot = np.flatnonzero(begun), (behind % self._cached)[begun]
        for name in ("keys", "values"):
            self._memory[name][stream, :, :, slot] = new[name][stream]
        self._memory["pooled"] = new["pooled"] * begun[:, None, None]

    def _fill_up(self):
        """Repeat the cached frames of the streams that are to have more of them."""
        for stream, (before, behind) in enumerate(zip(self._before, self._behind)):
            if 0 < before < behind:
                again = np.arange(behind) % before
                for name in ("keys", "values"):
                    ring = self._memory[name][stream]
                    ring[:, :, :behind] = ring[:, :, again]
