"""Evaluation reports as text and as strict JSON. Computes nothing."""

import json
import math
from pathlib import Path

COLUMNS = (
    "mpjpe_mm",
    "p_mpjpe_mm",
    "n_mpjpe_mm",
    "mpjve_mm",
    "accel_error_mm_per_frame2",
    "root_error_m",
    "coverage_90",
    "ece",
    "nll",
)
PCK_COLUMNS = ("pck_150mm", "auc")
_HEADS = {"accel_error_mm_per_frame2": "accel_mm/f2"}


def format_rows(rows, columns=COLUMNS):
    """A text table of {name: metrics row}."""
    width = max(len(name) for name in rows)
    lines = [" " * width + "".join(f"{_HEADS.get(column, column):>13}" for column in columns) + f"{'frames':>9}"]
    for name, row in rows.items():
        cells = "".join(
            f"{row[column]:13.3f}" if abs(row[column]) < 10 else f"{row[column]:13.1f}" for column in columns
        )
        lines.append(f"{name:<{width}}{cells}{row['frames']:>9}")
    return "\n".join(lines)


def report_rows(report, prefix=""):
    """{printed name: metrics row} of one report: groups, totals, baselines."""
    rows = {f"{prefix}{group}": row for group, row in report["groups"].items()}
    mode = prefix or f"{report['mode']}: "
    rows[f"{mode}all"] = report["overall"]
    if len(report["groups"]) > 1:
        rows[f"{mode}mean of {len(report['groups'])} groups"] = report["mean_of_groups"]
    rows |= {f"{prefix}baseline {name}": row for name, row in report.get("baselines", {}).items()}
    return rows


def format_report(report):
    """One report as text: the table, the oracles, the notes; a benchmark's published mean is marked by a star."""
    rows = report_rows(report)
    headline = "all" if report["headline"] == "overall" else f"mean of {len(report['groups'])} groups"
    name = f"{report['mode']}: {headline}"
    if "benchmark" in report["data"] and name in rows:
        rows = {f"{key} *" if key == name else key: row for key, row in rows.items()}
    columns = COLUMNS + (PCK_COLUMNS if "benchmark" in report["data"] else ())
    below = [*oracle_lines(report), *action_lines(report), *note_lines([report])]
    return "\n".join([_title(report), format_rows(rows, columns), *below])


def _title(report):
    """What was run, in one line."""
    data = report["data"]
    source = data.get("benchmark") or f"{data['motions']} {data['split']}"
    how = f"lookahead {report['lookahead']}" if report["lookahead"] is not None else f"{report['steps']} step(s)"
    if report["hypotheses"] > 1:
        how += f", {report['hypotheses']} hypotheses by {report['aggregation']}"
    return f"{report['weights']} on {source}, 2D {report['detector']}: {report['mode']}, {how}"


def format_table(reports):
    """Several reports, {row name: report}, as one text."""
    rows = {}
    for name, report in reports.items():
        rows |= report_rows(report, f"{name} | ")
    benchmark = any("benchmark" in report["data"] for report in reports.values())
    below = [f"{name} | {line}" for name, one in reports.items() for line in (*oracle_lines(one), *action_lines(one))]
    columns = COLUMNS + (PCK_COLUMNS if benchmark else ())
    return "\n".join([format_rows(rows, columns), *below, *note_lines(reports.values())])


def oracle_lines(report):
    """What the truth had a hand in choosing, by name."""
    oracle = report.get("oracle")
    if not oracle:
        return []
    return [
        f"{key.replace('_', ' ')} (m = {oracle['m']}, {name}): {row[key]:.1f}"
        for name, row in (("all", oracle["overall"]), ("mean of groups", oracle["mean_of_groups"]))
        for key in row
    ]


def action_lines(report):
    """How often the network's action is right, beside always naming the most frequent one."""
    actions = report.get("actions")
    if not actions:
        return []
    sure = "never more than half sure"
    if actions["named"]:
        sure = f"more than half sure in {actions['named']:.0%}, right in {actions['named_right']:.0%} of those"
    always = f"oracle: always {actions['most_frequent']!r} {actions['oracle_most_frequent_top1']:.0%}"
    return [f"action right in {actions['top1']:.0%} of {actions['frames']} frames ({always}); {sure}"]


def note_lines(reports):
    """Every note once, in order."""
    notes = []
    for report in reports:
        notes += [note for note in report["notes"] if note not in notes]
    return [f"note: {note}" for note in notes]


def strict(value):
    """NaN, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_json(path, report):
    """Write a report as JSON, with null for NaN."""
    Path(path).write_text(json.dumps(strict(report), indent=1) + "\n")
