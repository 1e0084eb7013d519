"""Where the milliseconds of a whole `Stream.push` go: the network's step and the Python around it."""

import time

import numpy as np

from dp3d_core.bench.clock import Times, time_call
from dp3d_core.config import StreamConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.live.batch import Streams
from dp3d_core.skeleton import joint_set

PARTS = {"_follow": "virtual view", "_denoise": "around the step", "_place": "root, filter, output"}
STREAM_PARTS = {"check": "checks", "take": "ids, adapter, rays"}
"""Methods that are timed, of `Streams` and of its one `Stream`."""


class Stopwatch:
    """Wraps functions and adds up their time, each without what wrapped functions inside it took."""

    def __init__(self):
        self.spent_ms, self._inner = {}, [0.0]

    def wrap(self, label, function):
        """`function`, timed under `label`."""

        def timed(*args, **options):
            self._inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                took = (time.perf_counter() - started) * 1e3
                inside = self._inner.pop()
                self._inner[-1] += took
                self.spent_ms.setdefault(label, []).append(took - inside)

        return timed


class _Timed:
    """A backend whose step is timed."""

    def __init__(self, backend, watch):
        self.name, self.step = backend.name, watch.wrap("network step", backend.step)


def walkers(people, frame, size):
    """Keypoints of people who sway in the picture: {id: (keypoints_px (K, 2), confidence (K,))}."""
    rng = np.random.default_rng(1)
    shape = rng.uniform(-1, 1, (people, size, 2)) * (40, 90)
    centre = np.stack([np.linspace(120, 520, people), np.full(people, 240.0)], 1)[:, None]
    points = (shape + centre + 5 * np.sin(frame / 9 + np.arange(size)[:, None])).astype(np.float32)
    confidence = np.full(size, 0.9, np.float32)
    return {person: (points[person], confidence) for person in range(people)}


def measure(denoiser, backend, actions, *, people, lookahead, frames, warm=40):
    """Times of `Stream.push` over `frames` frames, and the median milliseconds of its parts in frames apart."""
    config = StreamConfig(lookahead=lookahead, max_people=max(people, 1))
    size = len(joint_set(config.joint_set).keypoints)
    inputs = [walkers(people, frame, size) for frame in range(warm + 2 * frames)]
    watch, times = Stopwatch(), Times()

    def make(chosen):
        return Streams(
            backend=chosen, model=denoiser.config, groups=denoiser.groups, actions=actions, temperature=1.0,
            cameras={"": Camera.from_fov(width=640, height=480)}, config=config,
        )  # fmt: skip

    plain, taken_apart = make(backend), make(_Timed(backend, watch))
    for subject, parts in ((taken_apart, PARTS), (taken_apart[""], STREAM_PARTS)):
        for name, label in parts.items():
            setattr(subject, name, watch.wrap(label, getattr(subject, name)))
    push = watch.wrap("the rest", taken_apart[""].push)
    for index, keypoints in enumerate(inputs):
        stamp_s = index / 30
        if index < warm:
            plain[""].push(stamp_s, keypoints)
        else:
            time_call(lambda s=stamp_s, k=keypoints: plain[""].push(s, k), times)
        push(stamp_s, keypoints)
        if index == warm:
            watch.spent_ms.clear()
    return times, {label: float(np.median(values)) for label, values in watch.spent_ms.items()}
