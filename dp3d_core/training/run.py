"""Train a denoiser on mocap: `python -m dp3d_core.train --preset small --motions FILE.npz --out DIR`.

Or on the real pairs of a benchmark: `--h36m-3d`, `--h36m-2d` and `--cameras`, or `--mpi-train` and `--cameras`, instead
of `--motions`. Resumable (`--resume`), data-parallel under `torchrun` with one `--out` for all processes, scalars and
pictures in TensorBoard where it is installed.
"""

import json
import math
import os
import time
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import distributed

from dp3d_core import checkpoint
from dp3d_core.config import to_dict
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.material import introduced, material, sampled
from dp3d_core.model import Denoiser
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.text import bake, load_bank
from dp3d_core.training.objective import draw_layout, step_losses, weigh
from dp3d_core.training.report import Reporter
from dp3d_core.training.state import Ema, agreed, read_state, refuse_another_run, restore, save_state

DEV_BATCH = 32
HALLUCINATE_FROM = 0.25
"""Share of training after which neighbours are hallucinated: n = 1 first, then the configured n (DreamPose3D)."""


def learning_rate(train, progress, step):
    """Linear warm-up, then cosine to a hundredth of the peak."""
    warm = min(1.0, (step + 1) / max(train.warmup, 1))
    return train.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


@torch.no_grad()
def dev_poses_m(denoiser, state, batch):
    """Zero-lag poses (B, T, 17, 3) in metres that the weights `state` answer to a development batch."""
    device = batch.seen.device
    probe = Denoiser(denoiser.config, denoiser.action_count).to(device).eval()
    probe.load_state_dict(state, strict=True)
    mask = causal_mask(batch.seen.shape[1], denoiser.config.window_frames, device)[None]
    ones = torch.ones_like(batch.stamps_s)
    clean = probe(torch.zeros_like(batch.pose_m), batch.seen, ones, batch.stamps_s, mask).clean
    return clean * denoiser.config.pose_scale_m


def dev_error_mm(denoiser, state, batches):
    """Zero-lag MPJPE in mm of the weights `state` on fixed noisy development sequences."""
    total = count = 0.0
    for batch in batches:
        error = (dev_poses_m(denoiser, state, batch) - batch.pose_m).norm(dim=-1)
        total, count = total + float(error.sum()) * 1000, count + error.numel()
    return total / count


def run(
    *, model, train, out, motions_path=None, minutes=None, resume=False, device="cpu", log_every=50, save_every_s=300,
    dev_sequences=256, prompt_bank=None, **pairs,
):  # fmt: skip
    """Train until `train.steps` or `minutes` of training; returns the path of the written weights.

    prompt_bank: a file of `dp3d_core.model.text`, baked in before the first step; without one the prompts are learned.
    motions_path: a motion file; or in its place `pairs`, the files of real pairs as `material` takes them.
    """
    if dev_sequences < 1:
        raise ValueError(f"--dev-sequences: expected at least 1, got {dev_sequences}")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        usable = "cpu or cuda" if torch.cuda.is_available() else "cpu (torch finds no CUDA here)"
        raise ValueError(f"--device: expected {usable}, got {device!r}")
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    own_group = world > 1 and not distributed.is_initialized()
    if own_group:
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"--minutes: expected more than 0, got {minutes}")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    bank, dev_bank, origin = material(motions=motions_path, **pairs)
    torch.manual_seed(train.seed)
    denoiser = Denoiser(model, len(ACTIONS))
    texts = None if prompt_bank is None else load_bank(prompt_bank)
    if texts is not None:
        bake(denoiser, texts)
    denoiser.to(device)
    ema = Ema(denoiser, train.ema_decay)
    decayed = [p for p in denoiser.parameters() if p.dim() >= 2]
    plain = [p for p in denoiser.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": train.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=train.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(train.seed * 1000 + rank)
    state_path = out / "state0.safetensors"  # one for all processes
    head = {
        "step": 0, "seconds": 0.0, "train": to_dict(train), "model": to_dict(model), "data": origin, "processes": world,
        "prompt_bank": texts and texts.origin,
    }  # fmt: skip
    if resume:
        made, tensors = read_state(state_path)
        refuse_another_run(made, head, state_path)
        head |= {"step": made["step"], "seconds": made["seconds"]}
        restore(tensors, denoiser, ema, optimizer, generator, rank)
    network = denoiser
    if world > 1:
        network = torch.nn.parallel.DistributedDataParallel(denoiser, find_unused_parameters=True)
    dev_generator = torch.Generator().manual_seed(12345)
    reach = model.hallucinated_frames // 2
    sizes = [min(DEV_BATCH, dev_sequences - first) for first in range(0, dev_sequences, DEV_BATCH)]
    dev = [
        _moved(sampled(dev_bank, size, train.sequence_frames, generator=dev_generator, reach=0), device)
        for size in sizes
    ]

    if rank == 0:
        print(introduced(bank, origin), flush=True)
    reporter = Reporter(out, head["step"], train.steps) if rank == 0 else None
    log = open(out / "log.jsonl", "a") if rank == 0 else None  # noqa: SIM115
    began, before, saved = time.monotonic(), head["seconds"], head["seconds"]
    sums, error = {}, None
    denoiser.train()
    for taken, step in enumerate(range(head["step"], train.steps), start=1):
        seconds = agreed(before + time.monotonic() - began, device)
        progress = step / train.steps if minutes is None else seconds / (60 * minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(train, progress, step)
        batch = sampled(bank, train.batch, train.sequence_frames, generator=generator, reach=reach)
        batch = _moved(batch, device)
        asked = replace(train, objective="regression") if progress < train.plain_share else train
        layout = draw_layout(generator, asked.objective)
        # what a step draws is its own, so that every model and objective sees the same data in the same order
        draws = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=train.precision == "bfloat16"):
            parts = step_losses(denoiser, network, batch, layout, asked, draws, progress >= HALLUCINATE_FROM)
        loss = weigh(parts, train)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), train.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {step}: gradient norm {float(norm)}; lower --learning-rate or resume earlier"
            )
        optimizer.step()
        ema.update(denoiser, step)
        head |= {"step": step + 1, "seconds": before + time.monotonic() - began}
        for name, value in parts.items():
            sums.setdefault(f"{layout}/{name}", []).append(float(value.detach()))
        last, error = step + 1 == train.steps, None
        if rank == 0 and (taken % log_every == 0 or last):
            row = {"step": step + 1, "minutes": round(head["seconds"] / 60, 2), "lr": optimizer.param_groups[0]["lr"]}
            row |= {name: round(sum(values) / len(values), 5) for name, values in sums.items()}
            sums = {}
            log.write(json.dumps(row) + "\n")
            log.flush()
            reporter.scalars(row, step + 1)
        if rank == 0 and (taken % (20 * log_every) == 0 or last):
            error = dev_error_mm(denoiser, ema.values, dev)
            log.write(json.dumps({"step": step + 1, "minutes": head["seconds"] / 60, "dev_mpjpe_mm": error}) + "\n")
            log.flush()
            reporter.scalars({"dev_mpjpe_mm": error}, step + 1)
            reporter.picture(lambda: (dev_poses_m(denoiser, ema.values, dev[0]), dev[0].pose_m), step + 1)
        if seconds - saved > save_every_s:
            save_state(state_path, denoiser, ema, optimizer, generator, head)
            saved = seconds
    save_state(state_path, denoiser, ema, optimizer, generator, head)
    if rank == 0:
        log.close()
        reporter.close()
    if world > 1:
        distributed.barrier()
    denoiser.load_state_dict(ema.values, strict=True)
    weights = out / "weights.safetensors"
    if rank == 0:
        provenance = origin | {
            "steps": head["step"], "minutes": round(head["seconds"] / 60, 1), "processes": world,
            "train": to_dict(train), "prompt_bank": head.get("prompt_bank"),
            "dev_mpjpe_mm": round(dev_error_mm(denoiser, ema.values, dev) if error is None else error, 2),
        }  # fmt: skip
        checkpoint.save(weights, denoiser, actions=ACTIONS, provenance=provenance)
    if own_group:
        distributed.destroy_process_group()
    return weights


def _moved(batch, device):
    return replace(batch, **{item.name: getattr(batch, item.name).to(device) for item in fields(batch)})
