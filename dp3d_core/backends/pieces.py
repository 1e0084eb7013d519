"""People of any number by engines for fixed numbers: cut into pieces that engines take, the last one filled up."""
# B people

from collections.abc import Callable, Sequence

import numpy as np

Engine = Callable[..., tuple[np.ndarray, ...]]
CALL_COST = 3
"""What one more call of an engine costs, in people: measured with the weights `small` on a CPU."""


class Pieces:
    """A step for `people`, made of engines {number of people: engine}."""

    def __init__(self, engines: dict[int, Engine], people: int):
        self._parts = [(start, stop, size, engines[size]) for start, stop, size in cut(people, list(engines))]
        self._whole = self._parts[0][2] == people
        self._seen: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs of the step, one row for each person."""
        if self._whole:
            return self._parts[0][3](*arrays)
        found = []
        for start, stop, size, engine in self._parts:
            outputs = engine(*(self._part(index, array, start, stop, size) for index, array in enumerate(arrays)))
            found.append([output[: stop - start] for output in outputs])
        return tuple(np.concatenate(parts) for parts in zip(*found)) if len(found) > 1 else tuple(found[0])

    def _part(self, index, array, start, stop, size):
        """Rows of input number `index`, `size` of them; for the array of the last frame the same object, if a view."""
        whole, part = self._seen.get((index, start), (None, None))
        if whole is array:
            return part
        part = widen(array[start:stop], size)
        if np.may_share_memory(part, array):
            self._seen[index, start] = array, part
        return part


def cut(people: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, last + 1, size of its engine) of the pieces that together take the least time."""
    best: list[tuple[int, list[int]]] = [(0, [])]
    for count in range(1, people + 1):
        ways = ((best[max(count - size, 0)], size) for size in sizes)
        best.append(min((time + CALL_COST + size, [*chosen, size]) for (time, chosen), size in ways))
    parts, start = [], 0
    for size in sorted(best[people][1], reverse=True):
        parts.append((start, min(start + size, people), size))
        start += size
    return parts


def widen(array: np.ndarray, rows: int) -> np.ndarray:
    """`array` (B, ...) with `rows` rows; those that are added hold anything finite.

    Where the array is a part of a larger one, as in `Tracks`, that one's next rows are used and nothing is copied.
    """
    if len(array) == rows:
        return array
    base = array.base
    if (
        isinstance(base, np.ndarray)
        and base.shape[1:] == array.shape[1:]
        and base.dtype == array.dtype
        and base.flags.c_contiguous
        and array.flags.c_contiguous
    ):
        ahead = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        first = ahead // base.strides[0]
        if len(base) >= first + rows:
            return base[first : first + rows]
    wide = np.zeros((rows, *array.shape[1:]), array.dtype)
    wide[: len(array)] = array
    return wide
