"""`dp3d bench`: the command line of the benchmark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dp3d_core.bench import PEOPLE, run
from dp3d_core.bench.report import table


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Time the lifter on this machine, beside the limit of the machine and beside well-known networks."""

    json: Path | None = None
    """Write the report to this file."""
    plot: Path | None = None
    """Draw the report to this file (PNG; needs matplotlib)."""
    people: tuple[int, ...] = PEOPLE
    """Numbers of people."""
    backends: tuple[str, ...] = ()
    """Backends to time (default: all that are installed)."""
    presets: tuple[str, ...] = ()
    """Presets to time (default: small; with --full also base)."""
    weights: str | None = None
    """Time these weights as preset small, in place of the shipped ones."""
    threads: int = 1
    """Threads of one operation."""
    cache: Path | None = None
    """Folder of built engines."""
    full: bool = False
    """Every case; half an hour."""
    gpu: bool = False
    """Also the GPU part."""


def command(options: BenchOptions) -> None:
    """Measure, print the tables and write the report."""
    report = run(
        backends=options.backends or None,
        presets=options.presets or (("small", "base") if options.full else ("small",)),
        people=options.people,
        full=options.full,
        gpu=options.gpu,
        threads=options.threads,
        weights={"small": options.weights} if options.weights else None,
        cache_dir=options.cache,
    )
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    if options.plot:
        from dp3d_core.bench.plot import plot

        plot(report, options.plot)
