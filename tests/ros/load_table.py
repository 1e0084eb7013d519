"""Makes a markdown table of the load figures that test_endurance.py wrote: `python tests/ros/load_table.py FILE`."""

import json
import sys
from pathlib import Path

COLUMNS = (
    "people", "Hz", "sent", "answered", "overwritten", "dropped", "compute p50 / p95 / p99 [ms]",
    "callback → publish [ms]", "stamp → other process [ms]", "bare DDS [ms]",
)  # fmt: skip


def row(run):
    """The cells of one run."""
    inside = [
        " / ".join(f"{run[f'{name}_p{share}_ms']:.1f}" for share in (50, 95, 99))
        for name in ("compute", "callback_to_publish")
    ]
    outside = [
        " / ".join(f"{value:.1f}" for value in run[name]) for name in ("round_trip_ms", "bare_dds_round_trip_ms")
    ]
    counts = [run[name] for name in ("people", "hz", "sent", "frames_out", "missed", "dropped")]
    return [*map(str, counts), *inside, *outside]


if __name__ == "__main__":
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    runs = sorted((run for run in lines if run["test"] == "load"), key=lambda run: (run["hz"], run["people"]))
    for cells in [COLUMNS, ["---"] * len(COLUMNS), *map(row, runs)]:
        print("| " + " | ".join(cells) + " |")
