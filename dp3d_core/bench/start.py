"""From starting Python to the first skeleton: what a robot waits for.

python -m dp3d_core.bench.start --weights small --cache DIR [--people 1] [--lookahead 0]
is the process that is timed; it prints its parts when it has the skeleton.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dp3d_core.cli import parse

STARTS = 3


def measure(
    weights: str | Path, *, people: int, backend: str = "auto", cache_dir: str | Path | None = None, threads: int = 1
) -> dict:
    """Seconds of a fresh process until its first skeleton, warm cache: the fastest of `STARTS`, after one to fill it.

    Returns a dict: seconds (wall), cpu_seconds, parts_s {what: wall seconds}, people, backend and its counters.
    RuntimeError with the process's last line if it fails.
    """
    command = [sys.executable, "-m", "dp3d_core.bench.start", "--weights", str(weights), "--people", str(people),
               "--backend", backend, "--threads", str(threads)]  # fmt: skip
    if cache_dir is not None:
        command += ["--cache", str(cache_dir)]
    once(command)
    return min((once(command) for _ in range(STARTS)), key=lambda start: start["seconds"])


def once(command: Sequence[str]) -> dict:
    """Run `command`, which prints one line of JSON when it has its skeleton; that, and the `seconds` until then."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""
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

    from dp3d_core import Camera, Lifter
    from dp3d_core.bench.push import swaying

    marks.append(time.perf_counter())
    lifter = Lifter.load(given.weights, backend=given.backend, cache_dir=given.cache, threads=given.threads)
    marks.append(time.perf_counter())
    lifter.warm_up(given.people, given.lookahead)
    marks.append(time.perf_counter())
    camera = Camera.from_fov(width=640, height=480)
    stream = lifter.stream(camera=camera, lookahead=given.lookahead, max_people=given.people)
    stream.push(0.0, swaying(given.people, 0, 17))
    marks.append(time.perf_counter())
    parts = ("importing", "reading the weights", "engines and warming up", "the first frame")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "people": given.people,
                "lookahead": given.lookahead,
                "backend": lifter.backend_name,
                "counters": lifter.backend_counters,
                "parts_s": {part: marks[i + 1] - marks[i] for i, part in enumerate(parts)},
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
