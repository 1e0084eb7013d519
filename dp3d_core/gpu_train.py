"""Train `small`, then `base`, in minutes of a GPU: `python3 -m dp3d_core.gpu_train --motions FILE.npz --minutes 7`.

Sequences are made on the device, so that it never waits for the host. Weights are written as they are learned, in
float16 and in files of at most 15 MiB (`cat base.safetensors.* > base.safetensors` joins them), and errors on
development motion in a table, so that being cut off loses nothing. Needs PyTorch, NumPy, SciPy and safetensors alone;
`--device cpu` rehearses the same code.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dp3d_core import checkpoint
from dp3d_core.bench import gpu
from dp3d_core.config import PRESETS, ModelConfig, TrainConfig, to_dict
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.training_data import load_training_data
from dp3d_core.training.run import Run, dev_batches, dev_error_mm

FILE_BYTES = 15 << 20
SHARES = {"small": 0.45, "base": 0.55}
"""Of the minutes."""
BATCHES = {"small": 256, "base": 32}
"""Sequences a step: as many as fill a large GPU without outgrowing its memory."""
RESERVED_MINUTES = 0.2
"""For the last errors and weights, so that all of it ends in time."""
DEV_SEQUENCES, DEV_EVERY_S, WRITE_EVERY_S = 128, 20.0, 40.0


def train(
    name: str,
    model: ModelConfig,
    banks: tuple[Any, Any],
    *,
    minutes: float,
    out: Path,
    device: str,
    options: TrainConfig,
    origin: dict,
    say=print,
) -> dict[str, Any]:
    """Train one network for `minutes`, its own start included; the last row of its table, which `say` is told."""
    began = time.monotonic()
    bank, dev_bank = (part.to(device) for part in banks)
    run = Run(model=model, train=options, out=out / name, origin=origin, device=device)
    dev = {
        label: dev_batches(dev_bank, DEV_SEQUENCES, options.sequence_frames, device, up_known=known)
        for label, known in (("dev_mm", False), ("dev_up_known_mm", True))
    }
    run.encoder.train()
    measured = written = time.monotonic() - began
    row: dict[str, Any] = {}
    while True:
        seconds = time.monotonic() - began
        progress = seconds / (60 * minutes)
        done = progress >= 1 or run.head["step"] >= options.steps
        if done or seconds - measured > DEV_EVERY_S:
            measured = seconds
            row = {"network": name, "step": run.head["step"], "minutes": round(seconds / 60, 2)}
            row |= {key: round(dev_error_mm(run.encoder, run.ema.values, batches), 2) for key, batches in dev.items()}
            row["steps_per_s"] = round(run.head["step"] / max(seconds, 1e-9), 2)
            say(json.dumps(row))
        if done or seconds - written > WRITE_EVERY_S:
            written = seconds
            write(out / f"{name}.safetensors", run, origin | {"train": to_dict(options), "table": row})
        if done:
            return row
        run.step(bank, progress)


def write(path: Path, run: Run, provenance: dict) -> list[Path]:
    """The averaged weights in float16, in one file or, where they are larger than `FILE_BYTES`, in numbered parts."""
    trained = {key: value.clone() for key, value in run.encoder.state_dict().items()}
    run.encoder.load_state_dict(run.ema.values, strict=True)
    checkpoint.save(path, run.encoder, actions=ACTIONS, provenance=provenance, half=True)
    run.encoder.load_state_dict(trained, strict=True)
    content = path.read_bytes()
    if len(content) <= FILE_BYTES:
        return [path]
    parts = []
    for number, start in enumerate(range(0, len(content), FILE_BYTES)):
        parts.append(path.with_name(f"{path.name}.{number}"))
        parts[-1].write_bytes(content[start : start + FILE_BYTES])
    path.unlink()
    return parts


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python3 -m dp3d_core.gpu_train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--motions", required=True, help="motion file (.npz)")
    parser.add_argument("--minutes", type=float, default=7.0, help="for all of it")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal")
    parser.add_argument("--out", type=Path, default=Path("gpu_train"), help="folder of weights and table")
    parser.add_argument("--presets", nargs="+", choices=list(SHARES), default=list(SHARES))
    parser.add_argument("--batch", type=int, help="sequences a step; default by preset")
    parser.add_argument("--steps", type=int, help="at most; for a rehearsal")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    given = parser.parse_args(argv)
    why = gpu.reason_not()
    if given.device != "cpu" and why is not None:
        raise SystemExit(f"gpu_train: {why}; --device cpu rehearses it")
    if not given.minutes > 0:
        raise SystemExit(f"gpu_train: --minutes: expected more than 0, got {given.minutes}")
    began = time.monotonic()
    bank, dev_bank, origin = load_training_data(motions=given.motions)
    given.out.mkdir(parents=True, exist_ok=True)
    table = given.out / "table.txt"

    def say(line: str) -> None:
        print(line, flush=True)
        with open(table, "a") as file:
            file.write(line + "\n")

    card = "cpu" if given.device == "cpu" else torch.cuda.get_device_name()
    say(json.dumps({"device": card, "torch": torch.__version__}))
    whole = sum(SHARES[name] for name in given.presets)
    for index, name in enumerate(given.presets):
        left = given.minutes - RESERVED_MINUTES - (time.monotonic() - began) / 60
        later = sum(SHARES[other] for other in given.presets[index + 1 :])
        options = TrainConfig(
            batch=given.batch or BATCHES[name], learning_rate=given.learning_rate, steps=given.steps or 10**6
        )
        minutes = max(left - later / whole * given.minutes, 0.01)
        train(
            name, PRESETS[name], (bank, dev_bank), minutes=minutes, out=given.out, device=given.device, options=options,
            origin=origin, say=say,
        )  # fmt: skip


if __name__ == "__main__":
    main()
