"""`dp3d train-denoiser`: train the denoiser, or the prior, beside a frozen encoder.

The encoder's answers to a pool of training sequences are computed once. The prior sees no 2D: it learns from the poses
alone. Writes `weights.safetensors` (averaged weights) and to --out, every few minutes, and prints its losses.
"""
# B batch, T frames

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dp3d_core.config import PRESETS, DenoiserConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.field import Field
from dp3d_core.data.motions import load_motions
from dp3d_core.data.windows import MotionBank, sample_batch
from dp3d_core.model import motion_weights
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.encoded import encode
from dp3d_core.model.encoder import Encoder
from dp3d_core.model.gaussian import fit_statistics
from dp3d_core.model.motion_denoiser import Context, MotionDenoiser
from dp3d_core.training.denoising import FEATURES_DROPPED, draw, losses, weigh
from dp3d_core.training.precision import autocast

WARM_FRAMES = 12
"""Frames before each sequence that only the lifter sees, so that its cache is warm."""
SAVE_EVERY_S = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Training sequences with the lifter's answers, in half precision."""

    clean: torch.Tensor
    """(P, T, 17, 3) true poses in network units."""
    context: Context

    def batch(self, size, generator):
        """Poses and `Context` of `size` random sequences in float32, some without features."""
        index = torch.randint(len(self.clean), (size,), generator=generator)
        context = self.context.map(lambda part: part[index].float())
        if not context.features.numel():
            return self.clean[index].float(), context
        kept = torch.rand(size, 1, 1, generator=generator) >= FEATURES_DROPPED
        return self.clean[index].float(), context._replace(features=context.features * kept)


@torch.inference_mode()
def fill_pool(encoder, bank, sequences, frames, generator, pose_scale_m, chunk=64):
    """A `Pool` of `sequences` training sequences of `frames` frames, seen by the encoder.

    encoder None: poses and stamps alone, for a prior.
    """
    clean, contexts = [], []
    half = lambda part: part[:, WARM_FRAMES:].half()  # noqa: E731
    for _ in range(math.ceil(sequences / chunk)):
        batch = sample_batch(bank, chunk, frames + WARM_FRAMES, generator=generator, reach=0, field=Field())
        clean.append(half(batch.pose_m / pose_scale_m))
        stamps_s = batch.stamps_s[:, WARM_FRAMES:] - batch.stamps_s[:, WARM_FRAMES, None]
        if encoder is None:
            contexts.append(Context(stamps_s, *[stamps_s.new_zeros(chunk, 0)] * 6))
            continue
        mask = causal_mask(frames + WARM_FRAMES, encoder.config.window_frames)[None]
        context = Context(*map(half, encode(encoder, batch.seen, batch.up, batch.stamps_s, mask)))
        contexts.append(context._replace(stamps_s=stamps_s))
    return Pool(clean=torch.cat(clean), context=Context(*(torch.cat(parts) for parts in zip(*contexts, strict=True))))


def prepare(denoiser, pool, most=512):
    """Measure the statistics of the residuals on the pool and write them into `denoiser`."""
    clean = pool.clean[:most].float()
    context = pool.context.map(lambda part: part[:most].float())
    if denoiser.blind:
        denoiser.mean_pose.copy_(clean.mean((0, 1)))
        context = denoiser.blind_context(context.stamps_s)
    denoiser.spread.fill_(1.0)
    spread, factor, share = fit_statistics(denoiser.residual(clean, context), context.stamps_s)
    denoiser.spread.copy_(spread)
    denoiser.joint_factor.copy_(factor)
    denoiser.kernel_share.copy_(share)


class Average:
    """Exponential moving average of the parameters, and of nothing else."""

    def __init__(self, module, decay=0.999):
        self.decay, self.values = decay, {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module, step):
        """Take in the parameters after step `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            self.values[name].lerp_(value, 1 - decay)


def train(denoiser, pool, *, out, minutes, batch=16, learning_rate=2e-3, seed=0, precision="auto", steps=None,
          say=print):  # fmt: skip
    """Train for `minutes`, or `steps`; returns the averaged denoiser, which is also written to `out`."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    decayed = [p for p in denoiser.parameters() if p.dim() >= 2]
    plain = [p for p in denoiser.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
    average, began, saved, sums = Average(denoiser), time.monotonic(), 0.0, {}
    step = 0
    denoiser.train()
    while True:
        seconds = time.monotonic() - began
        progress = step / steps if steps else seconds / (60 * minutes)
        if progress >= 1:
            break
        rate = learning_rate * min(1.0, (step + 1) / 100) * (0.01 + 0.495 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        clean, context = pool.batch(batch, generator)
        if denoiser.blind:
            context = denoiser.blind_context(context.stamps_s)
        question = draw(denoiser, clean, context, generator)
        with autocast(precision, "cpu"):
            noisy, angle, white = question
            answer = denoiser(noisy, angle, context, white)
            parts = losses(denoiser, clean, context, question, answer)
        optimizer.zero_grad(set_to_none=True)
        weigh(parts).backward()
        norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"step {step}: gradient norm {float(norm)}; lower --learning-rate")
        optimizer.step()
        average.update(denoiser, step)
        step += 1
        for name, value in parts.items():
            sums.setdefault(name, []).append(float(value.detach()))
        if step % 100 == 0:
            row = {"step": step, "minutes": round(seconds / 60, 1)}
            say(json.dumps(row | {name: round(sum(v) / len(v), 4) for name, v in sums.items()}))
            sums = {}
        if seconds - saved > SAVE_EVERY_S:
            saved = seconds
            _write(out, denoiser, average, step, seconds)
    return _write(out, denoiser, average, step, time.monotonic() - began)


def _write(out, denoiser, average, step, seconds):
    averaged = MotionDenoiser(denoiser.config)
    averaged.load_state_dict(average.values, strict=True)
    averaged.eval().requires_grad_(False)
    name = "prior" if denoiser.blind else "denoiser"
    motion_weights.save(
        out / "weights.safetensors", **{name: averaged}, provenance={"steps": step, "minutes": round(seconds / 60, 1)}
    )
    return averaged


def load_encoder(path):
    """The `small` encoder with the weights of a safetensors file, or the averaged ones of a training state, frozen."""
    if path is None:
        raise ValueError("--encoder: expected the weights of an encoder, got none; only --prior needs none")
    encoder = Encoder(PRESETS["small"], len(ACTIONS)).eval().requires_grad_(False)
    try:
        state = load_file(path)
        averaged = {name.removeprefix("ema."): value for name, value in state.items() if name.startswith("ema.")}
        encoder.load_state_dict(averaged or state, strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"--encoder: {path} holds no encoder of preset small ({error})") from None
    return encoder


@dataclass(frozen=True, kw_only=True)
class DenoiserTrainOptions:
    """Train the denoiser beside a frozen encoder, or, with --prior, the prior on 3D alone."""

    motions: str
    """Motion file (.npz)."""
    out: str
    """Folder for the weights."""
    encoder: str | None = None
    """Weights of the frozen encoder, or a training state of it. The prior needs none."""
    prior: bool = False
    """Train the prior: 3D alone, no context."""
    minutes: float = 30.0
    """Minutes of training."""
    steps: int | None = None
    """Steps of training, in place of minutes."""
    sequences: int = 4096
    """Training sequences in the pool."""
    frames: int = 32
    """Frames of a sequence."""
    batch: int = 8
    """Sequences a step."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    start: str | None = None
    """Weights to go on from; their statistics are measured anew."""
    without: tuple[Literal["affinity", "parts", "actions", "hallucination"], ...] = ()
    """Parts to leave out, for an ablation."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Autocast precision; auto: bfloat16 where the processor has it."""
    seed: int = 0
    """Seed of weights, data and noise."""


def command(options: DenoiserTrainOptions) -> None:
    """Train and write the weights."""
    torch.set_num_threads(1)
    if min(options.sequences, options.frames, options.batch) < 1 or not options.minutes > 0:
        raise ValueError("--sequences, --frames, --batch, --minutes: expected numbers above 0")
    bank = MotionBank(load_motions(options.motions).split("train"))
    generator = torch.Generator().manual_seed(options.seed + 1000)
    encoder = None if options.prior else load_encoder(options.encoder)
    pool = fill_pool(encoder, bank, options.sequences, options.frames, generator, PRESETS["small"].pose_scale_m)
    torch.manual_seed(options.seed)
    if options.start is None:
        denoiser = MotionDenoiser(_config(options.prior, options.without))
    else:
        found = motion_weights.load(options.start)
        denoiser = found.prior if options.prior else found.denoiser
        if denoiser is None:
            raise ValueError(f"--start: {options.start} holds no such network")
        denoiser.requires_grad_(True)
    prepare(denoiser, pool)
    train(
        denoiser, pool, out=options.out, minutes=options.minutes, batch=options.batch, seed=options.seed,
        learning_rate=options.learning_rate, precision=options.precision, steps=options.steps,
        say=lambda line: print(line, flush=True),
    )  # fmt: skip


def _config(prior, without):
    """The `DenoiserConfig` of the prior, or of the denoiser beside the preset `small`."""
    network = PRESETS["small"]
    if prior:
        config = DenoiserConfig(pose_scale_m=network.pose_scale_m, part_prompts=False)
    else:
        config = DenoiserConfig(
            pose_scale_m=network.pose_scale_m, feature_width=network.frame_width, actions=len(ACTIONS)
        )
    off = {"affinity": {"affinity": False}, "parts": {"part_prompts": False}, "actions": {"actions": 0},
           "hallucination": {"hallucinated_frames": 1}}  # fmt: skip
    for name in without:
        config = replace(config, **off[name])
    return config
