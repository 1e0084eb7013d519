"""The bench's report as text."""


def table(report: dict) -> str:
    """All of it, a line for each row."""
    machine = report["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average'][0]:.1f}; others took "
        f"{report['contention']:.0%} of the time (cpu p50 leaves that out, but not what they cost in caches)",
        f"weights: {report['weights']}",
        "",
        f"{'backend':9}{'preset':10}{'mode':10}{'people':>6}{'look':>5}{'ms p50':>10}{'p99':>10}{'cpu p50':>10}"
        f"{'at 30 Hz':>10}{'GMAC':>9}{'GFLOP/s':>9}{'x limit':>9}{'people/s':>10}",
    ]
    lines += [
        f"{row['backend']:9}{row['preset']:10}{row['mode']:10}{row['people']:6}{row['lookahead']:5}"
        f"{row['ms_p50']:10.3f}{row['ms_p99']:10.3f}{row['ms_cpu_p50']:10.3f}"
        f"{row['ms_paced_p50'] or float('nan'):10.3f}{row['gmac']:9.4f}{row['gemm_gflops']:9.1f}"
        f"{row['times_limit']:9.2f}{row['people_per_s_per_core']:10.0f}"
        for row in report["rows"]
    ]
    lines += ["", *ratios(report["rows"]), ""]
    lines += [
        f"push {row['backend']} {row['preset']} people {row['people']} lookahead {row['lookahead']}: "
        f"{row['ms_p50']:.3f} ms p50, {row['ms_p99']:.3f} p99, cpu {row['ms_cpu_p50']:.3f} "
        f"({_parts(row['parts_ms'], 3)})"
        for row in report["push"]
    ]
    lines += [
        f"start {row['backend']} {row['preset']} people {row['people']}, engines built before: {row['seconds']:.2f} s "
        f"to the first skeleton, cpu {row['cpu_seconds']:.2f} ({_parts(row['parts_s'], 2)})"
        for row in report["start"]
    ]
    lines += [
        f"{row['backend']} {row['preset']} people {row['people']} lookahead {row['lookahead']}: "
        f"{row['ms_p50']:.4f} ms p50, {row['ms_p99']:.4f} p99, {row['times_limit']:.2f} x limit"
        for row in report["gpu"]
    ]
    lines += [f"not run: {what}: {why}" for what, why in report["refused"]]
    return "\n".join([*lines, f"GPU: {report['gpu_note']}", f"{report['minutes']:.1f} minutes"])


def _parts(parts, digits):
    return ", ".join(f"{what} {value:.{digits}f}" for what, value in parts.items())


def ratios(rows: list[dict]) -> list[str]:
    """How many times less work than the baselines of the same run, from processor time."""
    one_person = [row for row in rows if row["people"] == 1]
    big = next((row for row in one_person if row["mode"] == "mixste243"), None)
    again = {row["preset"]: row for row in one_person if row["mode"] == "recompute"}
    if big is None:
        return []
    return [
        f"{row['backend']} {row['preset']} lookahead {row['lookahead']}, one person: "
        f"{again[row['preset']]['ms_cpu_p50'] / row['ms_cpu_p50']:.1f} x less than recomputing the window in eager, "
        f"{big['ms_cpu_p50'] / row['ms_cpu_p50']:.0f} x less than a MixSTE-size 243-frame window"
        for row in one_person
        if row["mode"] == "rolling" and row["preset"] in again
    ]
