"""Build the engines ahead of time, so that a robot's first start is as fast as its second.

python -m dp3d_core.compile --weights small --out DIR [--backend auto] [--people 16] [--lookaheads 0 2 4]
These are engines of the rolling step, for streams. `Lifter.lift` runs in PyTorch and needs none.
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dp3d_core.config import LOOKAHEADS, Lookahead


def build(
    weights: str | Path,
    out: str | Path,
    *,
    backend: str = "auto",
    device: str = "cpu",
    people: int = 16,
    lookaheads: Sequence[int] = LOOKAHEADS,
    precision: str = "float32",
    threads: int = 1,
    progress: Callable[[str], None] = lambda text: None,
):
    """Fill the folder `out` with engines; returns the backend. RuntimeError or ValueError if they cannot be built."""
    from dp3d_core import checkpoint
    from dp3d_core.backends import make_backend, place

    network = checkpoint.load(weights)
    place(network.encoder, device)
    made = make_backend(backend, network, threads=threads, precision=precision, cache_dir=out)
    wanted = made.name if backend == "auto" else backend, precision
    if made.name == "eager" or (made.name, made.precision) != wanted:
        raise RuntimeError(f"there is nothing to build: {made.note}")
    for lookahead in lookaheads:
        made.prepare(people, lookahead + 1, progress)
        # what steps in would serve a stream, but is not what was to be built
        if (made.name, made.precision) != wanted:
            raise RuntimeError(made.note)
    if made.counters["cache_not_written"]:
        raise RuntimeError(f"cannot write to {out}; is there room, and may you write there?")
    return made


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """Build the engines of a network ahead of time, so that the first start on a robot is as fast as the second."""

    out: str
    """Folder for the engines: `cache_dir` in Python, `engine_cache` of the node."""
    weights: str = "small"
    """Shipped name or path."""
    backend: Literal["auto", "cpu", "tensorrt"] = "auto"
    """Kind of engine."""
    device: str | None = None
    """Default: cuda for tensorrt, else cpu."""
    people: int = 16
    """Most people at once."""
    lookaheads: tuple[Lookahead, ...] = LOOKAHEADS
    """Lookaheads to build for, in frames."""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the engines."""
    threads: int = 1
    """Threads of one CPU engine."""


def command(options: CompileOptions) -> None:
    """Build the engines and say how to use them."""
    logging.basicConfig(level=logging.WARNING, format="compile: %(message)s")
    chosen: dict[str, Any] = asdict(options) | {
        "device": options.device or ("cuda" if options.backend == "tensorrt" else "cpu")
    }
    started = time.perf_counter()
    try:
        made = build(**chosen, progress=lambda text: print(f"building {text}", file=sys.stderr))
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    worst = max(made.parity_mm.values())
    precision = f", precision={options.precision!r}" if options.precision != "float32" else ""
    print(
        f"{len(made.parity_mm)} {made.name} engines in {options.out}, {time.perf_counter() - started:.0f} s, at most "
        f"{worst:.2g} mm from eager float32\nuse them: Lifter.load({options.weights!r}, cache_dir={options.out!r}"
        f"{precision})\nthe node: engine_cache: {options.out}"
    )
