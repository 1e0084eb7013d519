"""How much of a whole `Stream.push` is the network's step, and how much the Python around it."""

import time

import numpy as np

from dp3d_core.bench.clock import Times, time_call
from dp3d_core.checkpoint import Checkpoint
from dp3d_core.data.actions import ACTIONS
from dp3d_core.geometry.camera import Camera
from dp3d_core.lift import Lifter
from dp3d_core.skeleton import joint_set


class _Timed:
    """A backend whose step is timed."""

    def __init__(self, backend):
        self.name, self._backend, self.spent_ms = backend.name, backend, []

    def step(self, *arrays):
        started = time.perf_counter()
        answer = self._backend.step(*arrays)
        self.spent_ms.append((time.perf_counter() - started) * 1e3)
        return answer


def swaying(people: int, frame: int, size: int) -> dict:
    """Keypoints of people who sway in the picture: {id: (keypoints_px (K, 2), confidence (K,))}."""
    rng = np.random.default_rng(1)
    shape = rng.uniform(-1, 1, (people, size, 2)) * (40, 90)
    centre = np.stack([np.linspace(120, 520, people), np.full(people, 240.0)], 1)[:, None]
    points = (shape + centre + 5 * np.sin(frame / 9 + np.arange(size)[:, None])).astype(np.float32)
    confidence = np.full(size, 0.9, np.float32)
    return {person: (points[person], confidence) for person in range(people)}


def measure(encoder, backend, *, people: int, lookahead: int, frames: int, warm: int = 40):
    """`Times` of `Stream.push` over `frames` frames, and the median milliseconds of its two parts."""
    loaded = Checkpoint(encoder=encoder, actions=tuple(ACTIONS), provenance={})
    lifter, timed, times = Lifter(loaded, backend="eager"), _Timed(backend), Times()
    lifter._backend = timed
    stream = lifter.stream(
        camera=Camera.from_fov(width=640, height=480), lookahead=lookahead, max_people=max(people, 1)
    )
    size = len(joint_set(stream.config.joint_set).keypoints)
    for frame in range(warm + frames):
        keypoints = swaying(people, frame, size)
        if frame < warm:
            stream.push(frame / 30, keypoints)
        else:
            time_call(lambda stamp_s=frame / 30, seen=keypoints: stream.push(stamp_s, seen), times)
    step_ms = np.array(timed.spent_ms[-frames:])
    rest_ms = np.array(times.wall_ms) - step_ms
    return times, {"network step": float(np.median(step_ms)), "the rest": float(np.median(rest_ms))}
