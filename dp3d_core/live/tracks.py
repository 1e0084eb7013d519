"""Everybody who is followed: what is large as arrays with one row a person, what is a few numbers as a `Person`.

The people of each camera lie together, camera after camera, without holes: the network takes those of one camera or of
neighbouring ones as a view, and nobody's cache is copied when a frame arrives.
"""
# M most people, P people of this pass, W working window, C cached frames, L blocks, G groups, D width

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dp3d_core.config import POOL_TIMES_S, POOL_WIDTH, ModelConfig
from dp3d_core.geometry.gaps import forgotten
from dp3d_core.geometry.placement import Placement
from dp3d_core.geometry.proportions import Proportions
from dp3d_core.geometry.viewpoint import Viewpoint

Rows = slice | np.ndarray
"""Rows of people that lie together, else their indices: reading those makes copies."""
LARGEST_ANSWER = 1e6
"""Network units: whatever is not below, as NaN is not, comes of a broken engine or of broken weights."""


class Person:
    """One person of one camera; `row` is the place in the arrays of `Tracks`, and changes as people come and go."""

    __slots__ = ("frames", "last_seen_s", "name", "row", "unseen_s", "viewpoint")

    def __init__(self, name: Any, row: int, stamp_s: float, window: int):
        self.name, self.row = name, row
        self.last_seen_s = stamp_s
        self.unseen_s: deque[float] = deque(maxlen=window)
        """For how long the person had not been seen, at each frame of the working window, oldest first."""
        self.restart()

    def restart(self) -> None:
        """Forget all but who this is and when they were seen."""
        self.frames = 0
        """Frames that the network has had of this person."""
        self.viewpoint = Viewpoint()


class Tracks:
    """Rows of all people. memory: makes what the network remembers of at most so many people."""

    def __init__(
        self,
        config: ModelConfig,
        most_people: int,
        window: int,
        cameras: int = 1,
        memory: Callable[[ModelConfig, int], Any] | None = None,
    ):
        f32 = np.float32
        self.window = window
        self.cached = config.window_frames - 1
        self.people: list[list[Person]] = [[] for _ in range(cameras)]
        """Of each camera, in the order of their rows."""
        self.memory = (memory or HostMemory)(config, most_people)
        # as many rows again, as in `HostMemory`
        most_people *= 2
        self.filled = np.zeros((most_people, self.cached + window), f32)
        # the working window, oldest first
        self.pose = np.zeros((most_people, window, 17, 3), f32)
        """What the last pass made of each frame, network units."""
        self.up = np.zeros((most_people, window, 4), f32)
        """The network's input about gravity, see `observation.up_input`; zeros: nothing."""
        self.seen = np.zeros((most_people, window, 17, 4), f32)
        self.rotation = np.zeros((most_people, window, 3, 3), f32)
        self.rays = np.zeros((most_people, window, 17, 2), f32)
        self.gaps = forgotten(most_people)
        """When and where each joint was last seen."""
        self._window_arrays = (self.seen, self.up, self.rotation, self.rays)
        self._arrays = (self.filled, self.pose, self.gaps, *self._window_arrays)
        self.bones, self.placement = Proportions(most_people), Placement(most_people)

    def __len__(self) -> int:
        return sum(map(len, self.people))

    def add(self, camera: int, name: Any, stamp_s: float) -> Person:
        """Start a person of camera number `camera` in the row behind that camera's last; returns the `Person`."""
        row = len(self)
        # the first person of every later camera goes behind its last one
        for people in reversed(self.people[camera + 1 :]):
            if people:
                first = people.pop(0)
                people.append(first)
                row = self._move(first, row)
        person = Person(name, row, stamp_s, self.window)
        self.people[camera].append(person)
        self._clear(row)
        return person

    def restart(self, person: Person) -> None:
        """Let a person go on as somebody new, of the same name and in the same row."""
        person.restart()
        self._clear(person.row)

    def _clear(self, row: int) -> None:
        # also what is masked until it is filled: a masked NaN times zero is a NaN
        for array in self._arrays:
            array[row] = 0
        self.gaps[row] = forgotten(1)
        self.memory.clear(row)
        self.bones.clear(row)
        self.placement.clear(row)

    def remove(self, camera: int, person: Person) -> None:
        """Forget a person of camera number `camera`; others move so that no hole is left."""
        people, row = self.people[camera], person.row
        last = people.pop()
        if last is not person:
            people[people.index(person)] = last
            row = self._move(last, row)
        for people in self.people[camera + 1 :]:
            if people:
                last = people.pop()
                people.insert(0, last)
                row = self._move(last, row)

    def _move(self, person: Person, row: int) -> int:
        """Put a person into another row; returns the row that is free now."""
        left, person.row = person.row, row
        for array in self._arrays:
            array[row] = array[left]
        self.memory.move(left, row)
        self.bones.move(left, row)
        self.placement.move(left, row)
        return left

    def of(self, cameras: Sequence[int]) -> tuple[list[Person], Rows]:
        """The people of cameras (ascending numbers) in the order of their rows, and those rows."""
        people = self.people[cameras[0]]
        if len(cameras) > 1:
            people = [person for camera in cameras for person in self.people[camera]]
        if people[-1].row - people[0].row == len(people) - 1:
            return people, slice(people[0].row, people[-1].row + 1)
        return people, np.array([person.row for person in people])

    def shift(self, rows: Rows, people: list[Person]) -> None:
        """Make room for a new frame at the end of the working windows."""
        if self.window > 1:
            for array in self._window_arrays:
                array[rows, :-1] = array[rows, 1:]
        for person in people:
            if person.frames < self.window:
                self.filled[person.row, -person.frames - 1 :] = 1


class HostMemory:
    """What the network remembers of everybody between frames, in this process: a row a person.

    The keys and values of past frames lie in rings, so that nothing is moved when a frame arrives. Where the network
    runs on a GPU, `backends.resident.ResidentMemory` does the same there.
    """

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
