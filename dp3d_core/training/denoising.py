"""One training step's question to a `MotionDenoiser`: which noise on which frames; and the losses of its answer."""
# B batch, T frames, J = 17 joints

import math

import torch

from dp3d_core.model.diffusion import bone_lengths

KINDS = ("whole", "start", "rolling", "white")
KIND_SHARES = {"denoiser": (0.45, 0.25, 0.15, 0.15), "prior": (0.7, 0.08, 0.1, 0.12)}
"""Whole sequences at one level, at level 1, levels that rise with time (a stream's window), and independent noise."""
LEVEL_POWER = 1.4
"""Levels of whole sequences are a uniform number to this power: low and middle levels count more."""
WHITE_M = (0.003, 0.06)
"""Range of the standard deviation per axis of independent noise, metres (log-uniform)."""
FEATURES_DROPPED = 0.3
"""Share of sequences without the encoder's features, so that the denoiser does not depend on one encoder alone."""
VELOCITY_WEIGHT, HALLUCINATION_WEIGHT, BONE_WEIGHT = 2.0, 0.05, 0.5
BONE_LEVEL = 0.4
"""Bone lengths are asked for below this level: above it the mean of many poses has shorter bones."""
MOST_ERROR = 8.0


def draw(denoiser, clean, context, generator):
    """Noisy residuals (B, T, 17, 3), angles (B, T), white variance (B, T, 17, 3) or None, of true poses `clean`.

    All sequences of one step are of one kind, so that only the steps that need a solve pay for it.
    """
    uniform = lambda *shape: torch.rand(shape, generator=generator).to(clean.device)  # noqa: E731
    normal = lambda: torch.randn(clean.shape, generator=generator).to(clean.device)  # noqa: E731
    batch, frames = clean.shape[:2]
    shares = torch.tensor(KIND_SHARES["prior" if denoiser.blind else "denoiser"])
    kind = KINDS[int(torch.multinomial(shares, 1, generator=generator))]
    residual = denoiser.residual(clean, context)
    level, white = uniform(batch, 1) ** LEVEL_POWER, None
    if kind == "start":
        level = torch.ones_like(level)
    elif kind == "rolling":
        length = 1 + uniform(batch, 1) * 8
        newest = torch.arange(frames, device=clean.device) - frames + 1
        level = (1 + newest / length).clamp(min=0) * torch.where(uniform(batch, 1) < 0.5, 1.0, uniform(batch, 1))
    elif kind == "white":
        level = torch.where(uniform(batch, 1) < 0.6, 0.0, level * 0.5)
    angle = level * (math.pi / 2)
    noise = denoiser.noise(normal(), context.stamps_s)
    noisy = torch.cos(angle)[..., None, None] * residual + torch.sin(angle)[..., None, None] * noise
    if kind == "white":
        low, high = WHITE_M
        sigma_m = low * (high / low) ** uniform(batch, 1, 1, 1)
        white, added = white_noise(denoiser, context, sigma_m / denoiser.config.pose_scale_m, normal())
        noisy = noisy + added
    return noisy, angle, white


def white_noise(denoiser, context, sigma, normal):
    """Variance and draw, each (B, T, 17, 3) in units of residual, of noise of `sigma` network units an axis.

    The root has none of it: it is known.
    """
    std = sigma / denoiser.scale(context).clamp(min=1e-3)
    return torch.where(denoiser.moving > 0, std**2, 1.0), std * normal * denoiser.moving


def losses(denoiser, clean, context, question, answer):
    """The parts of the loss, unweighted, as scalars.

    All but the bones are squared errors of linear functions of the answer, so the best answer stays the conditional
    mean, which samplers need.
    """
    target = denoiser.residual(clean, context)
    wanted = ((target - answer.base) / answer.std).clamp(-MOST_ERROR, MOST_ERROR)
    error = (answer.raw - wanted)[:, :, 1:]
    parts = {"denoise": error.square().mean(), "velocity": error.diff(dim=1).square().mean()}
    if answer.neighbours is not None:
        reach = answer.neighbours.shape[2] // 2
        offsets = [k for k in range(-reach, reach + 1) if k]
        frames, total = clean.shape[1], 0.0
        for index, k in enumerate(offsets):
            rows = slice(max(-k, 0), frames - max(k, 0))
            there = slice(max(k, 0), frames + min(k, 0))
            missed = answer.neighbours[:, rows, index].float() - target[:, there]
            total = total + missed[:, :, 1:].square().mean() / (1 + abs(k))
        parts["hallucination"] = total / len(offsets)
    level = question[1].expand(clean.shape[:2]) / (math.pi / 2)
    low = (1 - level / BONE_LEVEL).clamp(min=0)
    metres = denoiser.config.pose_scale_m
    length = bone_lengths(denoiser.pose(answer.clean, context)) - bone_lengths(clean)
    parts["bone"] = (low[..., None] * length.abs()).mean() * metres * 100
    return parts


def weigh(parts):
    """The total loss."""
    weights = {"denoise": 1.0, "velocity": VELOCITY_WEIGHT, "hallucination": HALLUCINATION_WEIGHT, "bone": BONE_WEIGHT}
    return torch.stack([weights[name] * value for name, value in parts.items()]).sum()
