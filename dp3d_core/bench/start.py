"""From starting Python to the first skeleton, with the engines already built: what a robot waits for.

python -m dp3d_core.bench.start --weights small --cache DIR [--people 1] [--lookahead 0]
is the process that is timed; it prints its parts when it has the skeleton.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

from dp3d_core.cli import parse

STARTS = 3


def measure(weights, *, people, lookahead=0, backend="auto", cache_dir=None, threads=1):
    """Seconds of a fresh process until its first skeleton, warm cache: the fastest of `STARTS`, after one to fill it.

    Returns a dict: seconds (wall), cpu_seconds, parts_s {what: wall seconds}, people, lookahead, backend and its
    counters. RuntimeError with the process's last line if it fails.
    """
    command = [sys.executable, "-m", "dp3d_core.bench.start", "--weights", str(weights), "--people", str(people),
               "--lookahead", str(lookahead), "--backend", backend, "--threads", str(threads)]  # fmt: skip
    if cache_dir is not None:
        command += ["--cache", str(cache_dir)]
    _start(command)
    return min((_start(command) for _ in range(STARTS)), key=lambda start: start["seconds"])


def _start(command):
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        # the skeleton is there; how long the process takes to end is of no interest
        seconds = time.perf_counter() - started
        _, errors = process.communicate()
    if process.returncode or not line:
        raise RuntimeError(f"start: {(errors.strip() or 'no output').splitlines()[-1]}")
    return {"seconds": seconds, **json.loads(line)}


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """Load the weights, push one frame and print how long each part took, as JSON."""

    weights: str = "small"
    """Shipped name or path."""
    cache: str | None = None
    """Folder of built engines."""
    backend: str = "auto"
    """Backend of the lifter."""
    people: int = 1
    """People in the frame."""
    lookahead: int = 0
    """Frames of lag."""
    threads: int = 1
    """Threads of one operation."""


def main() -> None:
    """The process that is timed."""
    marks = [time.perf_counter()]
    given = parse(StartOptions, prog="python -m dp3d_core.bench.start")

    import torch

    from dp3d_core import Camera, Lifter
    from dp3d_core.bench.push import walkers

    torch.set_num_threads(given.threads)
    marks.append(time.perf_counter())
    lifter = Lifter.load(given.weights, backend=given.backend, cache_dir=given.cache, threads=given.threads)
    marks.append(time.perf_counter())
    lifter.warm_up(given.people, given.lookahead)
    marks.append(time.perf_counter())
    camera = Camera.from_fov(width=640, height=480)
    stream = lifter.stream(camera=camera, lookahead=given.lookahead, max_people=given.people)
    stream.push(0.0, walkers(given.people, 0, 17))
    marks.append(time.perf_counter())
    parts = ("importing torch", "reading the weights", "engines and warming up", "the first frame")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "cpu_seconds": used.ru_utime + used.ru_stime, "people": given.people, "lookahead": given.lookahead,
        "backend": lifter.backend_name, "counters": lifter.backend_counters,
        "parts_s": {part: marks[i + 1] - marks[i] for i, part in enumerate(parts)},
    }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
