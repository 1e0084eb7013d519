"""Many inputs: one after the other, in several processes, or on a Ray cluster; a bar, then a table.

Outputs are idempotent and written by rename, so a run that was cut off goes on where it stopped.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from dp3d_core.files.run import Outcome, RunOptions, lift_input


def run_all(
    inputs: Sequence[Path],
    options: RunOptions,
    *,
    workers: int = 1,
    ray_address: str | None = None,
    progress: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Lift all inputs; the outcomes in the order of the inputs, `progress` is called with each as it is done."""
    jobs = list(zip(map(str, inputs), unique_names(inputs)))
    if ray_address is not None:
        from dp3d_core.files.ray_cluster import on_cluster

        done = on_cluster(jobs, options, ray_address)
    elif workers > 1 and len(jobs) > 1:
        done = _in_processes(jobs, options, workers)
    else:
        done = ((index, lift_input(*job, options)) for index, job in enumerate(jobs))
    outcomes: dict[int, Outcome] = {}
    for index, outcome in done:
        outcomes[index] = outcome
        if progress is not None:
            progress(outcome)
    return [outcomes[index] for index in range(len(jobs))]


def unique_names(inputs: Sequence[Path]) -> list[str]:
    """A name for the outputs of each input: its stem, with the folder before it where two would share one."""
    stems = [path.stem if path.is_file() else path.name for path in map(Path, inputs)]
    stems = [stem or "clip" for stem in stems]
    names: list[str] = []
    for path, stem in zip(map(Path, inputs), stems):
        name = stem if stems.count(stem) == 1 else f"{path.resolve().parent.name}_{stem}"
        while name in names:
            name += "_2"
        names.append(name)
    return names


def _in_processes(jobs: list[tuple[str, str]], options: RunOptions, workers: int) -> Iterator[tuple[int, Outcome]]:
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = {pool.submit(lift_input, source, name, options): index for index, (source, name) in enumerate(jobs)}
        for future in as_completed(futures):
            index = futures[future]
            try:
                yield index, future.result()
            except BrokenProcessPool:
                source = jobs[index][0]
                yield index, Outcome(source=source, ok=False, text=f"{source}: its process was killed (memory?); the "
                                     "same command again goes on with what is missing")  # fmt: skip


def _one_thread() -> None:
    """Every process computes on one core; torch reads this when it is first imported."""
    os.environ["OMP_NUM_THREADS"] = "1"


def table(outcomes: Sequence[Outcome]) -> str:
    """A line a clip, and what was wrong with the others."""
    header = ("clip", "people", "seconds", "seen", "error px", "distance m", "warnings", "")
    rows = [_cells(clip, outcome.resumed) for outcome in outcomes for clip in outcome.clips]
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = []
    for first, *cells in [header, *rows] if rows else []:
        aligned = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:]))]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join([*lines, *(f"failed: {outcome.text}" for outcome in outcomes if not outcome.ok)])


def _cells(clip: dict, resumed: bool) -> tuple[str, ...]:
    distance = f"{clip['distance_m_median']:.1f}" if clip["metric"] else "-"
    return (
        clip["name"], str(clip["people"]), f"{clip['seconds']:.1f}", f"{clip['seen_joints']:.0%}",
        f"{clip['reprojection_px_median']:.1f}", distance, str(len(clip["warnings"])), "done before" if resumed else "",
    )  # fmt: skip
