"""Train an encoder on mocap: `python -m dp3d_core.train --preset small --motions FILE.npz --out DIR`.

Or on the real pairs of a benchmark: `--h36m-3d`, `--h36m-2d` and `--cameras`, or `--mpi-train` and `--cameras`, instead
of `--motions`. Resumable (`--resume`, also for longer: the learning rate falls at the end alone), data-parallel under
`torchrun` with one `--out` for all processes, scalars and pictures in TensorBoard where it is installed.
"""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import distributed

from dp3d_core import checkpoint
from dp3d_core.config import to_dict
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.field import Field
from dp3d_core.data.training_data import described, load_training_data, sampled
from dp3d_core.data.windows import MotionBank
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.encoder import Encoder
from dp3d_core.model.text import bake, load_bank
from dp3d_core.training.encoding import draw_layout, step_losses, weigh
from dp3d_core.training.optimizer import MuonAdamW
from dp3d_core.training.precision import autocast
from dp3d_core.training.report import Reporter
from dp3d_core.training.state import Ema, agreed, read_state, refuse_another_run, restore, save_state

DEV_BATCH = 32
DEV_SEED = 12345


def learning_rate(train, progress, step):
    """Linear warm-up, the peak for `hold_share` of the run, then a straight fall to a hundredth of it."""
    warm = min(1.0, (step + 1) / max(train.warmup, 1))
    fall = 1.0 if train.hold_share == 1 else min(1.0, (1 - min(progress, 1.0)) / (1 - train.hold_share))
    return train.learning_rate * warm * (0.01 + 0.99 * fall)


@torch.no_grad()
def dev_poses_m(encoder, state, batch):
    """Zero-lag poses (B, T, 17, 3) in metres that the weights `state` answer to a development batch."""
    device = batch.seen.device
    probe = Encoder(encoder.config, encoder.action_count).to(device).eval()
    probe.load_state_dict(state, strict=True)
    mask = causal_mask(batch.seen.shape[1], encoder.config.window_frames, device)[None]
    return probe(batch.seen, batch.up, batch.stamps_s, mask).pose * encoder.config.pose_scale_m


def dev_error_mm(encoder, state, batches):
    """Zero-lag MPJPE in mm of the weights `state` on fixed noisy development sequences."""
    total = count = 0.0
    for batch in batches:
        error = (dev_poses_m(encoder, state, batch) - batch.pose_m).norm(dim=-1)
        total, count = total + float(error.sum()) * 1000, count + error.numel()
    return total / count


def dev_batches(bank, sequences, frames, device, *, up_known):
    """Fixed development sequences, as the detector's noise alone makes them; with the up vector or without."""
    generator = torch.Generator().manual_seed(DEV_SEED)
    options = {"field": Field.none(up_known_share=float(up_known))} if isinstance(bank, MotionBank) else {}
    sizes = [min(DEV_BATCH, sequences - first) for first in range(0, sequences, DEV_BATCH)]
    return [_moved(sampled(bank, size, frames, generator=generator, reach=0, **options), device) for size in sizes]


class Run:
    """One training run in folder `out`: encoder, averaged weights, optimiser, draws; on disk as `save` leaves it."""

    def __init__(self, *, model, train, out, origin, device, prompt_bank=None, start=None):
        self.model, self.train, self.device, self.out = model, train, device, Path(out)
        self.rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(train.seed)
        self.encoder = Encoder(model, len(ACTIONS))
        texts = None if prompt_bank is None else load_bank(prompt_bank)
        if texts is not None:
            bake(self.encoder, texts)
        if start is not None:
            _begin_from(self.encoder, start)
        self.encoder.to(device)
        self.ema = Ema(self.encoder, train.ema_decay)
        self.optimizer = MuonAdamW(self.encoder, learning_rate=train.learning_rate, weight_decay=train.weight_decay)
        self.generator = torch.Generator().manual_seed(train.seed * 1000 + self.rank)
        self.network = self.encoder
        if world > 1:
            self.network = torch.nn.parallel.DistributedDataParallel(self.encoder, find_unused_parameters=True)
        self.head = {
            "step": 0, "seconds": 0.0, "train": to_dict(train), "model": to_dict(model), "data": origin,
            "processes": world, "prompt_bank": texts and texts.origin,
        }  # fmt: skip
        self.state_path = self.out / "state0.safetensors"  # one for all processes

    def resume(self):
        """Go on from the state in `out`; ValueError where it is another run's."""
        made, tensors = read_state(self.state_path)
        refuse_another_run(made, self.head, self.state_path)
        self.head |= {"step": made["step"], "seconds": made["seconds"]}
        restore(tensors, self.encoder, self.ema, self.optimizer, self.generator, self.rank)

    def save(self):
        """Write everything that a resumed run needs, in one rename."""
        save_state(self.state_path, self.encoder, self.ema, self.optimizer, self.generator, self.head)

    def step(self, bank, progress):
        """One optimiser step; returns the layout and its loss parts as tensors. FloatingPointError if it diverged."""
        train, step = self.train, self.head["step"]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train, progress, step)
        options = {"field": Field()} if train.field and isinstance(bank, MotionBank) else {}
        # made where the clips lie: on the device itself, so that it never waits for the host
        here = torch.device(getattr(bank, "device", "cpu"))
        drawn = self.generator if here.type == "cpu" else torch.Generator(here).manual_seed(self._seed())
        batch = sampled(bank, train.batch, train.sequence_frames, generator=drawn, reach=0, **options)
        batch = _moved(batch, self.device)
        layout = draw_layout(self.generator)
        # what a step draws is its own, so that every model sees the same data in the same order
        draws = torch.Generator().manual_seed(self._seed())
        with autocast(train.precision, self.device):
            parts = step_losses(self.network, self.model, batch, layout, draws)
        loss = weigh(parts, train)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), train.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {step}: gradient norm {float(norm)}; lower --learning-rate or resume earlier"
            )
        self.optimizer.step()
        self.ema.update(self.encoder, step)
        self.head["step"] = step + 1
        return layout, {name: value.detach() for name, value in parts.items()}

    def _seed(self):
        return int(torch.randint(2**62, (1,), generator=self.generator))

    def weights(self, provenance):
        """Write the averaged weights as a checkpoint; its path."""
        path = self.out / "weights.safetensors"
        if self.rank == 0:
            self.encoder.load_state_dict(self.ema.values, strict=True)
            checkpoint.save(path, self.encoder, actions=ACTIONS, provenance=provenance)
        return path


def _begin_from(encoder, weights):
    """Fill a fresh encoder with a checkpoint's weights; ValueError where they do not fit."""
    try:
        encoder.load_state_dict(checkpoint.load(weights).encoder.state_dict(), strict=True)
    except RuntimeError as error:
        raise ValueError(f"--start: {weights} does not fit: {' '.join(str(error).split())[:300]}") from None


class Watch:
    """What is logged of a run: mean losses, and errors on development sequences; nothing in all processes but one."""

    def __init__(self, run, bank, sequences, log_every):
        self.run, self.every, self.sums = run, log_every, {}
        frames = run.train.sequence_frames
        self.dev = {
            name: dev_batches(bank, sequences, frames, run.device, up_known=known)
            for name, known in (("dev_mpjpe_mm", False), ("dev_up_known_mpjpe_mm", True))
        }
        self.reporter = Reporter(run.out, run.head["step"], run.train.steps)
        self.log = open(run.out / "log.jsonl", "a")  # noqa: SIM115

    def took(self, layout, parts):
        """Count a step's losses, and log what is due."""
        for name, value in parts.items():
            self.sums.setdefault(f"{layout}/{name}", []).append(float(value))
        step = self.run.head["step"]
        if step % self.every == 0:
            row = {name: round(sum(values) / len(values), 5) for name, values in self.sums.items()}
            self.write(row | {"lr": self.run.optimizer.param_groups[0]["lr"]})
            self.sums = {}
        if step % (10 * self.every) == 0:
            self.measure()

    def measure(self):
        """{name: mm} of the averaged weights on the development sequences, logged."""
        errors = {n: round(dev_error_mm(self.run.encoder, self.run.ema.values, b), 2) for n, b in self.dev.items()}
        self.write(errors)
        batch = self.dev["dev_mpjpe_mm"][0]
        poses = lambda: (dev_poses_m(self.run.encoder, self.run.ema.values, batch), batch.pose_m)  # noqa: E731
        self.reporter.picture(poses, self.run.head["step"])
        return errors

    def write(self, row):
        """One line of the log."""
        row = {"step": self.run.head["step"], "minutes": round(self.run.head["seconds"] / 60, 2)} | row
        self.log.write(json.dumps(row) + "\n")
        self.log.flush()
        self.reporter.scalars(row, self.run.head["step"])

    def close(self):
        """Flush and release."""
        self.log.close()
        self.reporter.close()


def run(
    *, model, train, out, motions_path=None, minutes=None, resume=False, start=None, device="cpu", log_every=50,
    save_every_s=300, dev_sequences=256, prompt_bank=None, **pairs,
):  # fmt: skip
    """Train until `train.steps` or `minutes` of training; returns the path of the written weights.

    prompt_bank: a file of `dp3d_core.model.text`, baked in before the first step; without one the prompts are learned.
    start: a checkpoint of an encoder of the same shape to begin from. motions_path: a motion file; or in its place
    `pairs`, the files of real pairs as `load_training_data` takes them.
    """
    if dev_sequences < 1:
        raise ValueError(f"--dev-sequences: expected at least 1, got {dev_sequences}")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"--minutes: expected more than 0, got {minutes}")
    with _processes(device):
        bank, dev_bank, origin = load_training_data(motions=motions_path, **pairs)
        this = Run(
            model=model, train=train, out=out, origin=origin, device=device, prompt_bank=prompt_bank, start=start
        )
        if resume:
            this.resume()
        if isinstance(bank, MotionBank):
            bank = bank.to(device)
        watch = None
        if this.rank == 0:
            print(described(bank, origin), flush=True)
            watch = Watch(this, dev_bank, dev_sequences, log_every)
        _until_done(this, bank, watch, minutes, save_every_s)
        errors = watch.measure() if watch is not None else {}
        if watch is not None:
            watch.close()
        return this.weights(
            origin | {
                "steps": this.head["step"], "minutes": round(this.head["seconds"] / 60, 1), "train": to_dict(train),
                "processes": this.head["processes"], "prompt_bank": this.head["prompt_bank"], **errors,
            }
        )  # fmt: skip


def _until_done(this, bank, watch, minutes, save_every_s):
    """Steps until the run is spent, with a state on disk every so often and at the end."""
    began, before = time.monotonic(), this.head["seconds"]
    saved = before
    this.encoder.train()
    while this.head["step"] < this.train.steps:
        seconds = agreed(before + time.monotonic() - began, this.device)
        progress = this.head["step"] / this.train.steps if minutes is None else seconds / (60 * minutes)
        if progress >= 1:
            break
        layout, parts = this.step(bank, progress)
        this.head["seconds"] = before + time.monotonic() - began
        if watch is not None:
            watch.took(layout, parts)
        if seconds - saved > save_every_s:
            this.save()
            saved = seconds
    this.save()


@contextmanager
def _processes(device):
    """Join the other processes of `torchrun`, if there are any; ValueError for a device that is not there."""
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        usable = "cpu or cuda" if torch.cuda.is_available() else "cpu (torch finds no CUDA here)"
        raise ValueError(f"--device: expected {usable}, got {device!r}")
    own_group = int(os.environ.get("WORLD_SIZE", 1)) > 1 and not distributed.is_initialized()
    if own_group:
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    yield
    if distributed.is_initialized():
        distributed.barrier()
    if own_group:
        distributed.destroy_process_group()


def _moved(batch, device):
    return replace(batch, **{item.name: getattr(batch, item.name).to(device) for item in fields(batch)})
