"""State of many people as arrays with one row a person, which move together when people come and go."""

import numpy as np


class Rows:
    """Named float64 arrays (people, *shape), each an attribute; `rows` in methods is a slice or an array of indices."""

    def __init__(self, people: int, **shapes: tuple[int, ...]):
        self._names = tuple(shapes)
        for name, shape in shapes.items():
            setattr(self, name, np.zeros((people, *shape)))

    def __getattr__(self, name: str) -> np.ndarray:
        raise AttributeError(f"{type(self).__name__}: no array {name!r}")

    def clear(self, row) -> None:
        """Forget one person."""
        for name in self._names:
            getattr(self, name)[row] = 0

    def move(self, source, target) -> None:
        """Copy row `source` over row `target`."""
        for name in self._names:
            array = getattr(self, name)
            array[target] = array[source]

    def copy_of(self, rows):
        """A new object of the same kind with these people alone, in this order."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name in self._names:
            setattr(other, name, getattr(self, name)[rows].copy())
        return other
