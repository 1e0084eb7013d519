"""How far an engine's answers are from eager float32, all six of them, and how far they may be."""
# B streams or windows, N rows, A actions

from typing import NamedTuple

import numpy as np

from dp3d_core.backends.walk import people_seen, streams_under_way

LIMIT_MM = {"float32": 0.1, "bfloat16": 1.0, "float16": 1.0}
"""An engine of this precision may serve while `Distance.joints_mm` and `Distance.sigma_mm` are below this."""
LIMIT_SHARE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}
"""The same for `Distance.actions` and `Distance.memory`, which are no lengths."""
FRAMES = 3
"""Of each stream, in float32, whose errors are a thousandth of the limit; others add up over a whole window."""


class ParityError(RuntimeError):
    """An engine's answers differ from eager's by more than its precision explains."""


class Distance(NamedTuple):
    """Between an engine's answers and eager's, of the stream or window where it is largest; infinite if not finite."""

    joints_mm: float
    """Mean distance of joints."""
    sigma_mm: float
    """Mean difference of the joints' standard deviations, before the temperature."""
    actions: float
    """Probability that lies on other actions, in the frame where it is most."""
    memory: float
    """Difference over size, both root mean squares, of new keys, new values or the pooled state."""

    def __str__(self):
        return "joints {:.2g} mm, sigma {:.2g} mm, actions {:.2g}, memory {:.2g}".format(*self)


class Parity:
    """Compares engines of one precision with eager, on people who walk (`walk`); eager is asked once for each N."""

    def __init__(self, denoiser, eager, precision):
        self._eager, self._config, self._precision = eager, denoiser.config, precision
        self._frames = FRAMES if precision == "float32" else denoiser.config.window_frames
        self._streams = streams_under_way(denoiser, self._frames)
        self._expected = {}

    def rolling(self, engine, people, rows):
        """`Distance` over some frames of four streams, each side on a memory of its own, so that errors in it add up.

        ParityError if that is more than the precision may have.
        """
        if rows not in self._expected:
            self._expected[rows] = self._roll(self._eager.step, np.arange(len(self._streams.frame)), rows)
        return self._compare(lambda chosen: self._roll(engine, chosen, rows), self._expected[rows], people)

    def window(self, engine, people):
        """The same over two windows of each person, from no noise and from a sample of it."""
        frames = self._config.window_frames
        seen = np.tile(people_seen(frames), (2, 1, 1, 1))
        noisy = np.zeros_like(seen[..., :3])
        noisy[2:] = np.random.default_rng(0).normal(size=noisy[2:].shape)
        level = np.ones(seen.shape[:2], np.float32)
        inputs = noisy, seen, level, level * np.arange(frames, dtype=np.float32) / 30
        return self._compare(
            lambda chosen: engine(*(array[chosen] for array in inputs)), self._eager.window(*inputs), people
        )

    def _roll(self, step, chosen, rows):
        """Outputs of a rolling step over the frames to come of the chosen streams, each (B, frames, ...)."""
        streams = self._streams.take(chosen)
        frames = [[output.copy() for output in streams.step(step, rows)] for _ in range(self._frames)]
        return [np.stack(output, 1) for output in zip(*frames)]

    def _compare(self, ask, expected, people):
        """All subjects, as many at once as the engine has places, over again where it has more places."""
        count = len(expected[0])
        turns = np.arange(max(people, count)).reshape(-1, people) % count
        found = [np.concatenate(parts) for parts in zip(*map(ask, turns))]
        found = distance(found, [array[turns.ravel()] for array in expected], self._config.pose_scale_m)
        precision = self._precision
        limit = Distance(*[LIMIT_MM[precision]] * 2, *[LIMIT_SHARE[precision]] * 2)
        if not all(value < most for value, most in zip(found, limit)):
            raise ParityError(f"parity: expected less than {limit} from eager float32 at {precision}, got {found}")
        return found


def distance(found, expected, pose_scale_m):
    """`Distance` between outputs (B, ...) in the order of a backend's step, or of its window, which has no memory."""
    if not all(np.isfinite(array).all() for array in found):
        return Distance(np.inf, np.inf, np.inf, np.inf)
    found, expected = ([array.astype(np.float64) for array in side] for side in (found, expected))
    joints = np.linalg.norm(found[0] - expected[0], axis=-1)
    sigma = np.abs(np.exp(found[1] / 2) - np.exp(expected[1] / 2))
    moved = np.abs(_softmax(found[2]) - _softmax(expected[2])).sum(-1) / 2
    memory = [_size(new - old) / np.maximum(_size(old), 1e-12) for new, old in zip(found[3:], expected[3:])]
    worst_mm = lambda error: float(error.reshape(len(error), -1).mean(1).max()) * pose_scale_m * 1e3  # noqa: E731
    return Distance(worst_mm(joints), worst_mm(sigma), float(moved.max()), float(np.max(memory, initial=0)))


def _size(array):
    """Root mean square of each stream's part."""
    return np.sqrt((array.reshape(len(array), -1) ** 2).mean(1))


def _softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
