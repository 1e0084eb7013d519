"""How fast it is here, beside the limit of its own work and beside what everyone knows, all in one run.

dp3d bench [--json FILE] [--plot PNG] [--people 1 8] [--full] [--gpu]
"""

import sys
import time
from dataclasses import asdict

COLUMNS = (
    "backend", "preset", "people", "mode", "lookahead", "hypotheses", "steps", "threads", "ms_p50", "ms_p99", "gmac",
    "gemm_gflops", "times_limit",
)  # fmt: skip
"""Columns of each row of the JSON, in order; further ones follow them."""


def run(*, backends=None, presets=("small",), people=(1, 4, 8, 16), full=False, gpu=False, threads=1, weights=None,
        cache_dir=None, progress=True):  # fmt: skip
    """Measure and return the report: machine, rows (see COLUMNS), push, start, gpu, refused, contention."""
    import torch

    from dp3d_core.backends import available, make_backend
    from dp3d_core.bench import cases as case_list
    from dp3d_core.bench import gpu as gpu_part
    from dp3d_core.bench.clock import contention, interleave, machine, pace

    torch.set_num_threads(threads)
    started = time.perf_counter()
    usable, refused = available()
    if backends is not None:
        refused = [item for item in refused if item[0] in backends]
        usable = [name for name in usable if name in backends]
    elif not full and "compile" in usable:
        usable.remove("compile")
        refused.append(("compile", "a minute of compiling for each shape; --full or --backends compile"))
    networks = case_list.Networks(weights)
    cases = case_list.plan(backends=usable, presets=presets, people=people, full=full, threads=threads)
    bar = _bar(3 * len(cases), progress)

    made, calls = {}, {}
    for case in cases:
        denoiser = networks.get(case.preset)
        bar.set_description(f"building {case.backend} {case.preset} {case.mode} people {case.people}")
        try:
            key = (case.backend, case.preset)
            if case.mode in ("rolling", "window") and key not in made:
                made[key] = make_backend(case.backend, denoiser, threads=threads, cache_dir=cache_dir)
            backend = made.get(key)
            if case.mode in ("rolling", "window") and case.backend != "eager":
                rows = case.lookahead + 1 if case.mode == "rolling" else denoiser.config.window_frames
                if not backend.prepare(case.people * case.hypotheses, rows, case.mode):
                    raise RuntimeError(f"fell back to {backend.name}: {backend.note}")
            calls[case] = case_list.call(case, denoiser, backend)
        except (RuntimeError, ImportError, ValueError, OSError) as error:
            calls.pop(case, None)
            refused.append((f"{case.backend} {case.preset} {case.mode} people {case.people}", str(error)))
        bar.update(1)

    bar.set_description("timing, interleaved")
    fast = {case: call for case, call in calls.items() if case.mode != "mixste243"}
    times = interleave(fast, rounds=12 if full else 6, seconds_each=0.12, most_calls=40, advance=lambda: bar.update(0))
    times.update(
        interleave({c: f for c, f in calls.items() if c not in fast}, rounds=1, seconds_each=0.5, most_calls=2)
    )
    bar.set_description("timing at 30 frames a second")
    paced = {
        case: pace(call)
        for case, call in fast.items()
        if case.mode == "rolling" and case.people in ((1, 4, 8, 16) if full else (1, 8))
    }
    bar.update(len(cases))
    limits, rows = case_list.Limits(networks), []
    for case in cases:
        bar.set_description("measuring the limits")
        if case in times:
            bound, result = limits.of(case), times[case].summary()
            row = {**asdict(case), **result, **bound, "times_limit": result["ms_p50"] / bound["limit_ms"]}
            row["ms_paced_p50"] = paced[case].summary()["ms_p50"] if case in paced else None
            row["people_per_s_per_core"] = case.people / result["ms_p50"] * 1e3 / threads
            rows.append({name: row[name] for name in (*COLUMNS, *(set(row) - set(COLUMNS)))})
        bar.update(1)
    bar.close()
    pushes = [
        row
        for preset in presets
        for row in _pushes(
            networks.get(preset),
            made,
            preset,
            people if full else [n for n in people if n in (1, 8)],
            400 if full else 120,
        )
    ]
    starts = _starts(networks, weights or {}, presets, people, cache_dir, threads, refused)
    report = {
        "machine": machine(), "torch": torch.__version__, "weights": networks.sources, "rows": rows, "push": pushes,
        "start": starts, "contention": contention(times.values()), "refused": refused, "gpu": [],
        "gpu_note": "not asked for; --gpu times one" if not gpu else gpu_part.reason_not(),
    }  # fmt: skip
    if gpu and report["gpu_note"] is None:
        bar = _bar(7 * len(people) * 2 * len(presets), progress)
        report["gpu"], no = gpu_part.measure(networks, presets, people, (0, 4), bar)
        report["refused"] += no
        report["gpu_note"] = torch.cuda.get_device_name()
        bar.close()
    report["minutes"] = (time.perf_counter() - started) / 60
    return report


def _pushes(denoiser, made, preset, people, frames):
    from dp3d_core.bench import push
    from dp3d_core.data.actions import ACTIONS

    actions, rows = tuple(ACTIONS), []
    for (name, of), backend in made.items():
        if of != preset or name not in ("eager", "cpu"):
            continue
        for count in people:
            for lookahead in (0, 4):
                times, parts = push.measure(
                    denoiser, backend, actions, people=count, lookahead=lookahead, frames=frames
                )
                rows.append({
                    "backend": backend.name, "preset": preset, "people": count, "lookahead": lookahead,
                    **times.summary(), "parts_ms": parts,
                })  # fmt: skip
    return rows


def _starts(networks, weights, presets, people, cache_dir, threads, refused):
    """As users start: shipped weights or those given, on the best backend. What fails goes into `refused`."""
    from dp3d_core.bench import start

    rows = []
    for preset in (preset for preset in presets if networks.sources[preset] == "weights"):
        for count in sorted({min(people), max(people)}):
            try:
                timed = start.measure(weights.get(preset, preset), people=count, cache_dir=cache_dir, threads=threads)
                rows.append({"preset": preset, **timed})
            except RuntimeError as error:
                refused.append((f"start {preset} people {count}", str(error)))
    return rows


def table(report):
    """The report as text."""
    lines = [
        f"{report['machine']['processor']}, {report['machine']['cores']} cores, load "
        f"{report['machine']['load_average'][0]:.1f}; others took {report['contention']:.0%} of the time "
        "(cpu p50 leaves that out, but not what they cost in caches)",
        f"weights: {report['weights']}",
        "",
        f"{'backend':9}{'preset':10}{'mode':10}{'people':>6}{'look':>5}{'K':>3}{'H':>3}{'ms p50':>10}{'p99':>10}"
        f"{'cpu p50':>10}{'at 30 Hz':>10}{'GMAC':>9}{'GFLOP/s':>9}{'x limit':>9}{'people/s':>10}",
    ]
    lines += [
        f"{row['backend']:9}{row['preset']:10}{row['mode']:10}{row['people']:6}{row['lookahead']:5}{row['steps']:3}"
        f"{row['hypotheses']:3}{row['ms_p50']:10.3f}{row['ms_p99']:10.3f}{row['ms_cpu_p50']:10.3f}"
        f"{row['ms_paced_p50'] or float('nan'):10.3f}{row['gmac']:9.4f}{row['gemm_gflops']:9.1f}"
        f"{row['times_limit']:9.2f}{row['people_per_s_per_core']:10.0f}"
        for row in report["rows"]
    ]
    lines += ["", *ratios(report["rows"]), ""]
    for row in report["push"]:
        parts = ", ".join(f"{label} {ms:.3f}" for label, ms in sorted(row["parts_ms"].items(), key=lambda x: -x[1]))
        lines.append(
            f"push {row['backend']} {row['preset']} people {row['people']} lookahead {row['lookahead']}: "
            f"{row['ms_p50']:.3f} ms p50, {row['ms_p99']:.3f} p99, cpu {row['ms_cpu_p50']:.3f} ({parts})"
        )
    for row in report["start"]:
        parts = ", ".join(f"{what} {seconds:.2f}" for what, seconds in row["parts_s"].items())
        lines.append(
            f"start {row['backend']} {row['preset']} people {row['people']}, engines built before: "
            f"{row['seconds']:.2f} s to the first skeleton, cpu {row['cpu_seconds']:.2f} ({parts})"
        )
    for row in report["gpu"]:
        lines.append(
            f"{row['backend']} {row['preset']} people {row['people']} lookahead {row['lookahead']}: "
            f"{row['ms_p50']:.4f} ms p50, {row['ms_p99']:.4f} p99, {row['times_limit']:.2f} x limit"
        )
    lines += [f"not run: {what}: {why}" for what, why in report["refused"]]
    lines += [f"GPU: {report['gpu_note']}", f"{report['minutes']:.1f} minutes"]
    return "\n".join(lines)


def ratios(rows):
    """How many times less work than the baselines of the same run, from processor time."""
    lines = []
    find = lambda **want: next((r for r in rows if all(r[k] == v for k, v in want.items())), None)  # noqa: E731
    big = find(mode="mixste243")
    for row in rows:
        if row["mode"] != "rolling" or row["people"] != 1:
            continue
        again = find(mode="recompute", preset=row["preset"], people=1)
        if again is not None and big is not None:
            lines.append(
                f"{row['backend']} {row['preset']} lookahead {row['lookahead']}, one person: "
                f"{again['ms_cpu_p50'] / row['ms_cpu_p50']:.1f} x less than recomputing the window in eager, "
                f"{big['ms_cpu_p50'] / row['ms_cpu_p50']:.0f} x less than a MixSTE-size 243-frame window"
            )
    return lines


def _bar(total, progress):
    try:
        from tqdm import tqdm
    except ImportError:
        return _NoBar()
    return tqdm(total=total, disable=not progress, file=sys.stderr, bar_format="{n_fmt}/{total_fmt} {elapsed} {desc}")


class _NoBar:
    def update(self, count):
        """Nothing to draw on."""

    set_description = close = lambda self, *_: None
