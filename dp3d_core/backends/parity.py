"""How far an engine's answers are from eager float32, all of them, and how far they may be."""
# B streams, F frames, N rows, A actions

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dp3d_core.backends.signature import OUTPUTS
from dp3d_core.backends.walk import STREAMS, Step, stream_answers
from dp3d_core.config import ModelConfig
from dp3d_core.geometry.uncertainty import probability

LIMIT_MM = {"float32": 0.1, "bfloat16": 1.0, "float16": 1.0}
"""An engine of this precision may serve while `Distance.joints_mm` and `Distance.sigma_mm` are below this."""
LIMIT_SHARE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}
"""The same for `Distance.actions` and `Distance.memory`, which are no lengths."""


class ParityError(RuntimeError):
    """An engine's answers differ from eager's by more than its precision explains."""


class Distance(NamedTuple):
    """Between an engine's answers and eager's, of the stream where it is largest; infinite if not finite."""

    joints_mm: float
    """Mean distance of joints."""
    sigma_mm: float
    """Mean difference of the joints' standard deviations, before the temperature."""
    actions: float
    """Probability that lies on other actions, or on another state of a foot, in the frame where it is most."""
    memory: float
    """Difference over size, both root mean squares, of features, new keys, new values or the pooled state."""

    def __str__(self) -> str:
        return "joints {:.2g} mm, sigma {:.2g} mm, actions {:.2g}, memory {:.2g}".format(*self)


class Parity:
    """Compares engines of one precision with eager, on people who walk; answers(N): `walk.stream_answers` of eager."""

    def __init__(self, answers: Callable[[int], list[np.ndarray]], config: ModelConfig, precision: str):
        self._answers, self._config, self._precision = answers, config, precision

    def check(self, engine: Step, people: int, rows: int) -> Distance:
        """The `Distance` of an engine for this many people; ParityError if it is more than the precision may have."""
        answers = stream_answers(engine, self._config, rows, people)
        again = np.arange(len(answers[0])) % STREAMS
        found = distance(answers, [array[again] for array in self._answers(rows)], self._config.pose_scale_m)
        precision = self._precision
        limit = Distance(*[LIMIT_MM[precision]] * 2, *[LIMIT_SHARE[precision]] * 2)
        if not all(value < most for value, most in zip(found, limit)):
            raise ParityError(f"parity: expected less than {limit} from eager float32 at {precision}, got {found}")
        return found


def distance(found: list[np.ndarray], expected: list[np.ndarray], pose_scale_m: float) -> Distance:
    """`Distance` between outputs (B, F, ...) in the order of a backend's step."""
    if not all(np.isfinite(array).all() for array in found):
        return Distance(np.inf, np.inf, np.inf, np.inf)
    ours, theirs = (dict(zip(OUTPUTS, [a.astype(np.float64) for a in side])) for side in (found, expected))
    of_people = ("pose", "log_variance", "action_logits", "contacts")
    pairs = {name: (ours.pop(name), theirs.pop(name)) for name in of_people}
    joints = np.linalg.norm(np.subtract(*pairs["pose"]), axis=-1)
    sigma = np.abs(np.subtract(*(np.exp(side / 2) for side in pairs["log_variance"])))
    moved = np.abs(np.subtract(*map(_softmax, pairs["action_logits"]))).sum(-1) / 2
    lifted = np.abs(np.subtract(*map(probability, pairs["contacts"])))
    memory = [_size(ours[name] - theirs[name]) / np.maximum(_size(theirs[name]), 1e-12) for name in ours]
    worst_mm = lambda error: float(error.reshape(len(error), -1).mean(1).max()) * pose_scale_m * 1e3  # noqa: E731
    states = max(float(moved.max()), float(lifted.max()))
    return Distance(worst_mm(joints), worst_mm(sigma), states, float(np.max(memory, initial=0)))


def _size(array):
    """Root mean square of each stream's part."""
    return np.sqrt((array.reshape(len(array), -1) ** 2).mean(1))


def _softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
