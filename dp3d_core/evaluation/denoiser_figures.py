"""`dp3d denoiser-figures`: what the denoiser is worth.

Denoising at a level, few steps and many hypotheses, oracle best of ten, energy score, bones and acceleration of the
samples, on clips of a motion file seen through the detector model. Figures that touch the truth are named oracle.
"""
# H hypotheses, T frames, J = 17 joints

from dataclasses import dataclass

import numpy as np
import torch

from dp3d_core.data.motions import load_motions
from dp3d_core.evaluation.benchmarks import synthetic
from dp3d_core.evaluation.methods import seen_by_network
from dp3d_core.evaluation.report import write_json
from dp3d_core.model import motion_weights
from dp3d_core.model.diffusion import band_mask, bone_lengths, causal_mask
from dp3d_core.model.encoded import encode
from dp3d_core.model.encoder import UP_CHANNELS
from dp3d_core.model.hypotheses import estimate, sample
from dp3d_core.training.denoiser import load_encoder
from dp3d_core.training.denoising import white_noise

NOISE_M = 0.025
SKIPPED = 8
"""Frames at each clip's start that are not scored: the encoder has seen too little."""
CHOICE_S = 0.5
WINDOW = 32


@torch.inference_mode()
def views(encoder, sequences, frames, offline=False):
    """[(Context, true pose (1, T, 17, 3) in network units)] of the first frames of each sequence."""
    found = []
    for sequence in sequences:
        seen, rotation, _ = seen_by_network(sequence)
        truth = np.einsum("tij,tkj->tki", rotation, sequence.joints_cam_m - sequence.joints_cam_m[:, :1])
        seen = torch.from_numpy(seen[None, :frames]).float()
        stamps_s = torch.from_numpy((sequence.stamps_s - sequence.stamps_s[0])[None, :frames]).float()
        window = encoder.config.window_frames
        mask = (band_mask if offline else causal_mask)(seen.shape[1], window)[None]
        up = seen.new_zeros(*seen.shape[:2], UP_CHANNELS)
        truth = torch.from_numpy(truth[None, :frames]).float() / encoder.config.pose_scale_m
        found.append((encode(encoder, seen, up, stamps_s, mask), truth))
    return found


def _mm(denoiser, pose, truth):
    """Errors (..., T) in mm, mean over joints, of the frames that count."""
    return (pose - truth).norm(dim=-1).mean(-1)[..., SKIPPED:] * denoiser.config.pose_scale_m * 1000


@torch.inference_mode()
def denoised(denoiser, clips, generator):
    """{figure: mm}: the truth with independent noise of NOISE_M an axis, and without, taken for as noisy."""
    sums = {}
    for context, truth in clips:
        residual = denoiser.residual(truth, context)
        sigma = torch.full_like(truth[..., :1], NOISE_M / denoiser.config.pose_scale_m)
        white, noise = white_noise(denoiser, context, sigma, torch.randn(truth.shape, generator=generator))
        angle = torch.zeros(1, 1)
        for name, noisy in (("noisy", residual + noise), ("noiseless", residual)):
            answer = denoiser(noisy, angle, context, white)
            _put(sums, f"{name}: given", _mm(denoiser, denoiser.pose(noisy, context), truth))
            _put(sums, f"{name}: Gaussian model", _mm(denoiser, denoiser.pose(answer.base, context), truth))
            _put(sums, f"{name}: denoised", _mm(denoiser, denoiser.pose(answer.clean, context), truth))
            if name == "noiseless":
                continue
            for newest in range(WINDOW, truth.shape[1], 8):
                rows = slice(newest - WINDOW, newest)
                part = context.crop(rows)
                last = denoiser(noisy[:, rows], angle, part, white[:, rows])
                for kind, value in (("Gaussian model", last.base), ("denoised", last.clean)):
                    pose = denoiser.pose(value, part)
                    _put(sums, f"{name}: {kind}, newest frame", _mm(denoiser, pose, truth[:, rows])[..., -1:])
    return _means(sums)


@torch.inference_mode()
def sampled(denoiser, clips, generator, *, steps=(2, 4), hypotheses=64):
    """{figure: value} of samples of each number of steps; errors in mm."""
    sums, scale = {}, denoiser.config.pose_scale_m * 1000
    for context, truth in clips:
        point = estimate(denoiser, context)
        _put(sums, "encoder alone", _mm(denoiser, context.centre, truth))
        _put(sums, "K = 1, H = 1", _mm(denoiser, point, truth))
        lag = lambda pose: pose[..., SKIPPED:, :, :].diff(n=2, dim=-3).norm(dim=-1) * scale  # noqa: E731
        wobble = lambda pose: bone_lengths(pose)[..., SKIPPED:, :].std(-2) * scale  # noqa: E731
        _put(sums, "acceleration of the truth, mm/frame^2", lag(truth))
        _put(sums, "bone wobble of the point estimate, mm", wobble(point))
        width = denoiser.scale(context)
        gaussian = point + width * torch.randn(10, *point.shape[1:], generator=generator)[:, None]
        _put(sums, "energy score of 10 of a Gaussian with the predicted sigma", energy_score(gaussian, truth) * scale)
        for count in steps:
            name = f"K = {count}"
            drawn = sample(denoiser, context, hypotheses=hypotheses, steps=count, generator=generator)
            errors = _mm(denoiser, drawn, truth)
            _put(sums, f"{name}: mean of {hypotheses}", _mm(denoiser, drawn.mean(0), truth))
            _put(sums, f"{name}: mean of 8", _mm(denoiser, drawn[:8].mean(0), truth))
            _put(sums, f"{name}: one", errors[0])
            spread = (drawn - drawn.mean(0)).square().sum(-1).mean((0, -1)).sqrt()[..., SKIPPED:] * scale
            _put(sums, f"{name}: spread", spread)
            for label, value in oracle_best(errors[:10], context.stamps_s[0, SKIPPED:]).items():
                _put(sums, f"{name}: oracle best of 10, a choice {label}", value)
            _put(sums, f"{name}: energy score of 10", energy_score(drawn[:10], truth) * scale)
            _put(sums, f"{name}: acceleration, mm/frame^2", lag(drawn[:4]))
            _put(sums, f"{name}: bone wobble, mm", wobble(drawn[:4]))
    return _means(sums)


def oracle_best(errors, stamps_s):
    """Oracle: errors (H, 1, T) of the hypothesis that the truth chooses, for each clip, half second and frame."""
    errors = errors[:, 0]
    pieces = ((stamps_s - stamps_s[0]) / CHOICE_S).long()
    chosen = [errors[:, pieces == piece] for piece in pieces.unique()]
    return {
        "a clip": errors[errors.mean(1).argmin()],
        "a frame": errors.amin(0),
        f"every {CHOICE_S:g} s": torch.cat([part[part.mean(1).argmin()] for part in chosen]),
    }


def energy_score(drawn, truth):
    """Energy score (T,) of samples (H, 1, T, 17, 3) of whole poses (Gneiting & Raftery, 2007): lower is better."""
    flat, goal = drawn[:, 0, SKIPPED:].flatten(-2), truth[0, SKIPPED:].flatten(-2)
    count = len(flat)
    near = (flat - goal).norm(dim=-1).mean(0)
    apart = (flat[:, None] - flat[None]).norm(dim=-1).sum((0, 1)) / (count * (count - 1))
    return near - 0.5 * apart


def _put(sums, name, values):
    sums.setdefault(name, []).append(values.double().flatten())


def _means(sums):
    return {name: float(torch.cat(values).mean()) for name, values in sums.items()}


@dataclass(frozen=True, kw_only=True)
class DenoiserFiguresOptions:
    """Measure the denoiser: at a level of noise, its samples, their bones and accelerations."""

    encoder: str
    """Weights of the encoder, or a training state of it."""
    denoiser: str
    """Weights of the denoiser (dp3d train-denoiser)."""
    motions: str
    """Motion file (.npz)."""
    split: str = "dev"
    """Split of the motion file."""
    clips: int = 16
    """Clips, spread over the split."""
    frames: int = 64
    """Frames of each clip, its first."""
    hypotheses: int = 64
    """Samples of each clip; at least 10."""
    seed: int = 0
    """Seed of cameras, detector noise and samples."""
    json: str | None = None
    """Write the figures to this file."""


def command(options: DenoiserFiguresOptions) -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    report = figures(options)
    for title, rows in report.items():
        print(title, *(f"  {name}: {value:.2f}" for name, value in rows.items()), sep="\n")
    if options.json:
        write_json(options.json, report)


def figures(options: DenoiserFiguresOptions) -> dict[str, dict[str, float]]:
    """What the command prints: {title: {figure: value}}."""
    if options.clips < 1 or options.frames <= WINDOW or options.hypotheses < 10:
        raise ValueError(
            f"--clips, --frames, --hypotheses: expected at least 1, {WINDOW + 1} and 10, got {options.clips}, "
            f"{options.frames} and {options.hypotheses}"
        )
    denoiser = motion_weights.load(options.denoiser).denoiser
    if denoiser is None:
        raise ValueError(f"--denoiser: {options.denoiser} holds no denoiser")
    sequences = synthetic(load_motions(options.motions).split(options.split), seed=options.seed).sequences
    sequences = [s for s in sequences if len(s.stamps_s) >= options.frames]
    if not sequences:
        raise ValueError(f"--frames: expected clips of {options.frames} frames at 30 Hz, got none")
    sequences = sequences[:: max(1, len(sequences) // options.clips)][: options.clips]
    clips = views(load_encoder(options.encoder), sequences, options.frames)
    generator = torch.Generator().manual_seed(options.seed)
    return {
        f"the truth with {1000 * NOISE_M:g} mm of noise an axis, mm": denoised(denoiser, clips, generator),
        "samples": sampled(denoiser, clips, generator, hypotheses=options.hypotheses),
    }
