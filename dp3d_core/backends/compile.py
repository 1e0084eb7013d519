"""Build the engines ahead of time, so that a robot's first start is as fast as its second.

python -m dp3d_core.compile --weights small --out DIR [--backend auto] [--people 16] [--lookaheads 0 2 4]
These are engines of the rolling step, for streams. `Lifter.lift` runs in PyTorch and needs none.
"""

import logging
import sys
import time
from dataclasses import dataclass
from typing import Literal

from dp3d_core.config import LOOKAHEADS, Lookahead


def build(weights, out, *, backend="auto", device="cpu", people=16, lookaheads=(0, 2, 4), precision="float32",
          threads=1, window=False, bar=None):  # fmt: skip
    """Fill the folder `out` with engines; returns the backend. RuntimeError or ValueError if they cannot be built.

    window: also those of whole windows, for the bench and for who calls the `window` of a backend.
    """
    from dp3d_core import checkpoint
    from dp3d_core.backends import make_backend, place

    denoiser = place(checkpoint.load(weights).denoiser, device)
    made = make_backend(backend, denoiser, threads=threads, precision=precision, cache_dir=out)
    jobs = [("rolling", lookahead + 1) for lookahead in lookaheads]
    if window:
        jobs.append(("window", denoiser.config.window_frames))

    def progress(text):
        if bar is not None:
            # the engine before this one is done
            bar.update(bool(bar.desc))
            bar.set_description(text)

    wanted = made.name if backend == "auto" else backend, precision
    if made.name == "eager" or (made.name, made.precision) != wanted:
        raise RuntimeError(f"there is nothing to build: {made.note}")
    for kind, rows in jobs:
        made.prepare(people, rows, kind, progress)
        # what steps in would serve a stream, but is not what was to be built
        if (made.name, made.precision) != wanted:
            raise RuntimeError(made.note)
    if bar is not None:
        bar.update(1)
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
    window: bool = False
    """Also whole windows, for the bench."""


def command(options: CompileOptions) -> None:
    """Build the engines and say how to use them."""
    logging.basicConfig(level=logging.WARNING, format="compile: %(message)s")
    try:
        from tqdm import tqdm

        from dp3d_core.backends.graphs import BATCHES

        sizes = len([size for size in BATCHES if size < options.people]) + 1
        bar = tqdm(total=sizes * (len(options.lookaheads) + options.window), file=sys.stderr, unit="engine")
    except ImportError:
        bar = None
    started = time.perf_counter()
    try:
        made = build(
            options.weights, options.out, backend=options.backend,
            device=options.device or ("cuda" if options.backend == "tensorrt" else "cpu"), people=options.people,
            lookaheads=options.lookaheads, precision=options.precision, threads=options.threads,
            window=options.window, bar=bar,
        )  # fmt: skip
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    finally:
        if bar is not None:
            bar.close()
    worst = max(made.parity_mm.values())
    print(
        f"{len(made.parity_mm)} {made.name} engines in {options.out}, {time.perf_counter() - started:.0f} s, at most "
        f"{worst:.2g} mm from eager float32\nuse them: Lifter.load({options.weights!r}, cache_dir={options.out!r}"
        + (f", precision={options.precision!r})" if options.precision != "float32" else ")")
        + f"\nthe node: engine_cache: {options.out}"
    )
