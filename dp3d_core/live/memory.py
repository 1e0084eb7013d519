"""What the network remembers of everybody between frames, in this process's memory: a row a person.

The keys and values of past frames lie in rings, so that nothing is moved when a frame arrives. Where the network runs
on a GPU, `backends.resident.ResidentMemory` does the same there.
"""
# M most people, P people of this pass, C cached frames, L blocks, G groups, D width, S pooling times, H pooled features

from collections.abc import Sequence
from typing import Any

import numpy as np

from dp3d_core.config import POOL_TIMES_S, POOL_WIDTH, ModelConfig

Rows = slice | np.ndarray
"""Rows of people that lie together, else their indices: reading those makes copies."""
LARGEST_ANSWER = 1e6
"""Network units: whatever is not below, as NaN is not, comes of a broken engine or of broken weights."""


class HostMemory:
    """See the module's head. `config` is a `ModelConfig`."""

    def __init__(self, config: ModelConfig, most_people: int):
        # as many rows again, never touched: a pass that is filled up to the size of an engine reads beyond its people
        most_people *= 2
        cache = (most_people, config.frame_layers, config.groups, config.window_frames - 1, config.frame_width)
        self.keys, self.values = np.zeros(cache, np.float32), np.zeros(cache, np.float32)
        self.pooled = np.zeros((most_people, len(POOL_TIMES_S), POOL_WIDTH + 1), np.float32)
        self._arrays = self.keys, self.values, self.pooled
        self._views: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}

    def clear(self, row: int) -> None:
        """Forget one person."""
        for array in self._arrays:
            array[row] = 0

    def move(self, source: int, target: int) -> None:
        """Copy row `source` over row `target`."""
        for array in self._arrays:
            array[target] = array[source]

    def of(self, rows: Rows) -> tuple[np.ndarray, ...]:
        """Keys, values and pooled of rows."""
        if not isinstance(rows, slice):
            return tuple(array[rows] for array in self._arrays)
        # the same objects every frame: an engine then need not bind its inputs again
        key = rows.start, rows.stop
        if key not in self._views:
            self._views[key] = tuple(array[rows] for array in self._arrays)
        return self._views[key]

    def step(
        self,
        backend: Any,
        rows: Rows,
        slots: Sequence[tuple[slice, int]],
        seen: np.ndarray,
        up: np.ndarray,
        stamps_s: np.ndarray,
        filled: np.ndarray,
        decay: np.ndarray,
    ) -> tuple[tuple[np.ndarray, ...], list[int]]:
        """One pass of the network over the people in `rows`, which is remembered.

        slots: [(people among the P, their slot of the rings)]; the others as in `backends.signature`. Returns pose,
        log variance, contacts, action logits and features, and the indices of the people whose answer is broken: it
        is zeros.
        """
        keys, values, pooled = self.of(rows)
        answer = backend.step(seen, up, stamps_s, keys, values, filled, pooled, decay)
        broken = _broken(answer)
        if broken:
            answer = [array.copy() for array in answer]
            for array in answer:
                array[broken] = 0
        *answer, new_keys, new_values, new_pooled = answer
        self.pooled[rows] = new_pooled
        for people, slot in slots:
            own = rows_of(rows, people)
            self.keys[own, :, :, slot], self.values[own, :, :, slot] = new_keys[people], new_values[people]
        return tuple(answer), broken


def rows_of(rows: Rows, part: slice) -> Rows:
    """The rows of a part (slice) of the people in `rows`."""
    if isinstance(rows, slice):
        return slice(rows.start + part.start, rows.start + part.stop)
    return rows[part]


def _broken(answer: Sequence[np.ndarray]) -> list[int]:
    """Whose share of the network's answer (arrays (P, ...)) is not finite: their indices, most often none."""
    # one product of each array is cheaper than looking at every number
    if sum([float(np.vdot(array, array)) for array in answer]) < LARGEST_ANSWER**2:
        return []
    whole = [(np.abs(array) < LARGEST_ANSWER).reshape(len(array), -1).all(1) for array in answer]
    return np.flatnonzero(~np.all(whole, 0)).tolist()
