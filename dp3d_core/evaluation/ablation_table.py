"""The ablation's table from its runs' result.json files: mean and spread over seeds, as markdown and JSON.

Trains nothing and loads no network.
"""
# S seeds

import json
from collections import defaultdict
from statistics import mean

from dp3d_core.evaluation.report import write_json

TABLE_MD, TABLE_JSON = "table.md", "table.json"
COLUMNS = (
    ("stream 0", "mpjpe_mm", "ℓ0 MPJPE mm", 1),
    ("stream 0", "accel_error_mm_per_frame2", "ℓ0 accel mm/f²", 2),
    ("stream 4", "mpjpe_mm", "ℓ4 MPJPE mm", 1),
    ("stream 4", "accel_error_mm_per_frame2", "ℓ4 accel mm/f²", 2),
    ("offline", "mpjpe_mm", "offline MPJPE mm", 1),
    ("offline", "accel_error_mm_per_frame2", "offline accel mm/f²", 2),
    ("stream 0", "coverage_90", "ℓ0 coverage 90 %", 3),
    ("stream 0", "nll", "ℓ0 NLL nats/joint", 2),
)


def write_tables(out, order):
    """Write TABLE_MD and TABLE_JSON into `out` from every finished run below it; returns the rows."""
    results = defaultdict(dict)
    for path in sorted(out.glob("*/result.json")):
        result = json.loads(path.read_text())
        results[result["variant"]][result["seed"]] = result
    if not results:
        raise ValueError(f"--out: expected finished runs below {out}, got none; run without --report first")
    _same_budget(results, out)
    rows = {name: summarise(results[name], results.get("full", {})) for name in order if name in results}
    out.joinpath(TABLE_MD).write_text(markdown(rows, next(iter(results[next(iter(rows))].values()))))
    write_json(out / TABLE_JSON, rows)
    return rows


def _same_budget(results, out):
    varied = ("seed",)
    budgets = {
        tuple((key, result["train"][key]) for key in sorted(result["train"]) if key not in varied)
        + (result["motions"],)
        for by_seed in results.values()
        for result in by_seed.values()
    }
    if len(budgets) > 1:
        raise ValueError(
            f"--out: {out} holds runs of {len(budgets)} different budgets or data; they cannot be compared"
        )


def summarise(by_seed, full_by_seed):
    """One variant's row: cost, mean and half the range over seeds, and the mean difference to `full` of equal seeds."""
    first = next(iter(by_seed.values()))
    row = {
        "seeds": sorted(by_seed),
        "multiply_adds_m": first["multiply_adds_m"],
        "parameters": first["parameters"],
        "minutes": mean(result["minutes"] for result in by_seed.values()),
        "metrics": {},
    }
    for mode, key, title, _ in COLUMNS:
        values = [result["rows"][mode][key] for result in by_seed.values()]
        if any(value is None for value in values):
            continue
        half_range = (max(values) - min(values)) / 2 if len(values) > 1 else None
        row["metrics"][title] = {"mode": mode, "metric": key, "mean": mean(values), "half_range": half_range}
    shared = sorted(set(by_seed) & set(full_by_seed))
    if shared:
        error = lambda results, seed: results[seed]["rows"]["stream 0"]["mpjpe_mm"]  # noqa: E731
        pairs = [(error(by_seed, seed), error(full_by_seed, seed)) for seed in shared]
        row["minus_full_mm"] = [one - full for one, full in pairs if None not in (one, full)]
    return row


def markdown(rows, example):
    """The table with a head that states size and budget."""
    model, options = example["model"], example["train"]
    lines = [
        f"Reduced size ({next(iter(rows))}): joint width {model['joint_width']}, frame width {model['frame_width']}, "
        f"{model['joint_layers']} spatial and {model['frame_layers']} temporal blocks (MixSTE as its cost allows). "
        f"Budget: {options['steps']} steps of {options['batch']} × {options['sequence_frames']} frames, "
        f"{options['precision']}, {example['motions']}; dev split, detector-like 2D, 30 Hz. ± is half the range over "
        "seeds. ℓ is the lookahead in frames. Each run's temperatures are fitted on training clips.",
        "",
        "| variant | M mult-adds/frame | parameters | min | " + " | ".join(c[2] for c in COLUMNS) + " | ℓ0 − full mm |",
        "|---" * (5 + len(COLUMNS)) + "|",
    ]
    for name, row in rows.items():
        cells = [name, f"{row['multiply_adds_m']:.2f}", f"{row['parameters']:,}", f"{row['minutes']:.0f}"]
        for _, _, title, digits in COLUMNS:
            cell = row["metrics"].get(title)
            text = "–" if cell is None else f"{cell['mean']:.{digits}f}"
            if cell is not None and cell["half_range"] is not None:
                text += f" ± {cell['half_range']:.{digits}f}"
            cells.append(text)
        cells.append(", ".join(f"{value:+.1f}" for value in row.get("minus_full_mm", ())) or "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
