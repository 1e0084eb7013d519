"""What an engine is built for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one engine."""

    people: int
    rows: int
    """Of the working window: lookahead + 1."""


def powers_of_two(people: int) -> tuple[int, ...]:
    """1, 2, 4 and so on up to the first that is at least `people`."""
    return tuple(1 << power for power in range(max(people - 1, 0).bit_length() + 1))
