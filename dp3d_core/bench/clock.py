"""Timing on a machine that has other work: interleaved rounds, wall and processor time, medians.

Knows nothing of networks.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True, kw_only=True)
class Times:
    """What was measured of one subject, milliseconds a call."""

    wall_ms: list = field(default_factory=list)
    cpu_ms: list = field(default_factory=list)

    def summary(self) -> dict:
        """Plain numbers; `ms_cpu_p50` leaves out the time in which other processes had the core."""
        wall, cpu = np.array(self.wall_ms), np.array(self.cpu_ms)
        return {
            "ms_p50": float(np.median(wall)),
            "ms_p99": float(np.quantile(wall, 0.99)),
            "ms_min": float(wall.min()),
            "ms_cpu_p50": float(np.median(cpu)),
            "calls": len(wall),
        }


def time_call(call: Callable, times: Times) -> None:
    """Run `call` once and add its times."""
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    call()
    times.wall_ms.append((time.perf_counter_ns() - wall) / 1e6)
    times.cpu_ms.append((time.process_time_ns() - cpu) / 1e6)


def interleave(subjects: dict, *, rounds: int, seconds_each: float, most_calls: int) -> dict:
    """Time each of `subjects` {key: call} in turns, so that what disturbs the machine disturbs all of them.

    A turn is as many calls as fit in seconds_each, at least one, at most most_calls; the first call of a turn is not
    counted, because it finds another subject's data in the caches. Returns {key: Times}.
    """
    results = {key: Times() for key in subjects}
    for _ in range(rounds):
        for key, call in subjects.items():
            started = time.perf_counter()
            call()
            slow = time.perf_counter() - started > seconds_each
            if slow and not results[key].wall_ms:
                # once is enough to warm what takes seconds
                time_call(call, results[key])
            elif not slow:
                for _ in range(most_calls):
                    time_call(call, results[key])
                    if time.perf_counter() - started > seconds_each:
                        break
    return results


def pace(call: Callable, *, period_s: float = 1 / 30, calls: int = 40) -> Times:
    """Times of `call` once each period, as in a live node: between frames the caches fill with other things."""
    times = Times()
    for index in range(calls):
        time.sleep(period_s)
        if index < 5:
            call()
        else:
            time_call(call, times)
    return times


def contention(times: Iterable[Times]) -> float:
    """Share of the wall time in which this process did not run: 0 on an idle machine. times: iterable of `Times`."""
    wall = sum(sum(item.wall_ms) for item in times)
    cpu = sum(sum(item.cpu_ms) for item in times)
    return max(0.0, 1 - cpu / wall) if wall else 0.0


def machine() -> dict:
    """What was measured on: processor, cores this process may use, load."""
    name = "unknown processor"
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        name = os.uname().machine
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": name, "cores": cores, "load_average": list(os.getloadavg())}
