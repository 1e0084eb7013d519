"""How fast it is here, beside the limit of its own work and beside what everyone knows, all in one run.

dp3d bench [--json FILE] [--plot PNG] [--people 1 8] [--full] [--gpu]
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

COLUMNS = (
    "backend", "preset", "people", "mode", "lookahead", "threads", "ms_p50", "ms_p99", "gmac", "gemm_gflops",
    "times_limit",
)  # fmt: skip
"""Columns of each row of the JSON, in order; further ones follow them."""
PEOPLE = (1, 4, 8, 16)


def run(
    *,
    backends: Sequence[str] | None = None,
    presets: Sequence[str] = ("small",),
    people: Sequence[int] = PEOPLE,
    full: bool = False,
    gpu: bool = False,
    threads: int = 1,
    weights: dict | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> dict:
    """Measure and return the report: machine, rows (see COLUMNS), push, start, gpu, refused, contention."""
    import torch

    from dp3d_core.bench import cases as case_list
    from dp3d_core.bench.clock import contention, machine

    say = (lambda text: print(f"bench: {text}", file=sys.stderr, flush=True)) if progress else lambda text: None
    torch.set_num_threads(threads)
    started = time.perf_counter()
    usable, refused = _usable(backends, full)
    networks = case_list.Networks(weights)
    cases = case_list.plan(backends=usable, presets=presets, people=people, full=full, threads=threads)
    calls, made = _build(cases, networks, refused, say, threads=threads, cache_dir=cache_dir)
    say("timing, interleaved")
    times, paced = _time(calls, full)
    say("measuring the limits")
    limits = case_list.Limits(networks)
    rows = [_row(case, times[case], paced.get(case), limits.of(case)) for case in calls]
    say("timing whole pushes and starts")
    report = {
        "machine": machine(), "torch": torch.__version__, "weights": networks.sources, "rows": rows,
        "push": _pushes(networks, made, people, full), "contention": contention(times.values()),
        "start": _starts(networks, presets, people, refused, cache_dir=cache_dir, threads=threads),
        "refused": refused, **_gpu(gpu, networks, presets, people, refused, say),
    }  # fmt: skip
    return report | {"minutes": (time.perf_counter() - started) / 60}


def _usable(backends, full):
    """Names of the backends to time, and [(name, why)] of those that are not."""
    from dp3d_core.backends import available

    usable, refused = available()
    if backends is not None:
        return [name for name in usable if name in backends], [item for item in refused if item[0] in backends]
    if not full and "compile" in usable:
        usable.remove("compile")
        refused.append(("compile", "a minute of compiling for each shape; --full or --backends compile"))
    return usable, refused


def _build(cases, networks, refused, say, *, threads, cache_dir):
    """{case: call} of those that can run, and {(backend, preset): backend}; what cannot goes into `refused`."""
    from dp3d_core.backends import make_backend
    from dp3d_core.bench.cases import call

    made, calls = {}, {}
    for case in cases:
        encoder, key = networks.get(case.preset), (case.backend, case.preset)
        what = f"{case.backend} {case.preset} {case.mode} people {case.people}"
        say(f"building {what}")
        try:
            if key not in made:
                made[key] = make_backend(case.backend, encoder, threads=threads, cache_dir=cache_dir)
            backend = made[key]
            if case.backend != "eager" and not backend.prepare(case.people, case.lookahead + 1):
                raise RuntimeError(f"fell back to {backend.name}: {backend.note}")
            calls[case] = call(case, encoder, backend)
        except (RuntimeError, ImportError, ValueError, OSError) as error:
            refused.append((what, str(error)))
    return calls, made


def _time(calls, full):
    """`Times` of each case, all interleaved, and of the rolling steps of some once each frame's time."""
    from dp3d_core.bench.clock import interleave, pace

    fast = {case: call for case, call in calls.items() if case.mode != "mixste243"}
    slow = {case: call for case, call in calls.items() if case.mode == "mixste243"}
    times = interleave(fast, rounds=12 if full else 6, seconds_each=0.12, most_calls=40)
    times |= interleave(slow, rounds=1, seconds_each=0.5, most_calls=2)
    chosen = PEOPLE if full else (1, 8)
    return times, {c: pace(call) for c, call in fast.items() if c.mode == "rolling" and c.people in chosen}


def _row(case, times, paced, bound):
    result = times.summary()
    row = {
        **asdict(case), **result, **bound, "times_limit": result["ms_p50"] / bound["limit_ms"],
        "ms_paced_p50": paced.summary()["ms_p50"] if paced else None,
        "people_per_s_per_core": case.people / result["ms_p50"] * 1e3 / case.threads,
    }  # fmt: skip
    return {name: row[name] for name in (*COLUMNS, *(set(row) - set(COLUMNS)))}


def _pushes(networks, made, people, full):
    from dp3d_core.bench import push

    rows = []
    chosen = people if full else [count for count in people if count in (1, 8)]
    for (name, preset), backend in made.items():
        if name not in ("eager", "cpu") or preset == "mixste243":
            continue
        for count, lookahead in [(count, lookahead) for count in chosen for lookahead in (0, 4)]:
            times, parts = push.measure(
                networks.get(preset), backend, people=count, lookahead=lookahead, frames=400 if full else 120
            )
            rows.append({
                "backend": backend.name, "preset": preset, "people": count, "lookahead": lookahead, **times.summary(),
                "parts_ms": parts,
            })  # fmt: skip
    return rows


def _starts(networks, presets, people, refused, **options):
    """As users start: shipped weights or those given, on the best backend. What fails goes into `refused`."""
    from dp3d_core.bench import start

    rows = []
    for preset in (preset for preset in presets if networks.sources[preset] == "weights"):
        for count in sorted({min(people), max(people)}):
            try:
                timed = start.measure(networks.given.get(preset, preset), people=count, **options)
                rows.append({"preset": preset, **timed})
            except RuntimeError as error:
                refused.append((f"start {preset} people {count}", str(error)))
    return rows


def _gpu(wanted, networks, presets, people, refused, say):
    from dp3d_core.bench import gpu
    from dp3d_core.gpu_check import Check

    note = gpu.reason_not() if wanted else "not measured; --gpu times one"
    if note is not None:
        return {"gpu": [], "gpu_note": note}
    say("the GPU, at most four minutes")
    with TemporaryDirectory() as folder:
        chosen = {preset: networks.get(preset) for preset in presets}
        check = Check(device="cuda", minutes=4, out=Path(folder) / "check.json", networks=chosen, people=people).run()
    refused += check["refused"]
    return {"gpu": check["latency"], "gpu_note": check["device"]}
