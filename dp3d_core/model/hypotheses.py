"""Hypotheses that are motions: estimates and samples of a `MotionDenoiser` given what the encoder said."""
# H hypotheses, B sequences, N frames, J = 17 joints

import torch
from torch import nn

from dp3d_core.model.flow import gaussian_flow
from dp3d_core.model.motion_denoiser import Context

MOST_TOKENS = 400_000
"""Joint tokens that one pass of the network takes; more hypotheses are sampled in chunks."""


class DenoisingPasses(nn.Module):
    """All K passes of a `MotionDenoiser` over a window, from noise to motions, as one function of tensors."""

    def __init__(self, denoiser, steps):
        super().__init__()
        self.denoiser, self.steps = denoiser, steps

    def forward(self, noise, stamps_s, centre, estimate, sigma, seen, features, action_probability=None):
        """Motions (B, N, 17, 3) in network units, from noise of that shape and the fields of a `Context`."""
        context = Context(stamps_s, centre, estimate, sigma, seen, features, action_probability)
        level = torch.ones_like(stamps_s[:, :1])
        denoise = lambda noisy, angle: self.denoiser(noisy, level * angle, context).clean  # noqa: E731
        return self.denoiser.pose(gaussian_flow(denoise, noise, self.steps), context)


def estimate(denoiser, context):
    """The denoiser's point estimate (B, N, 17, 3) in network units: one step, no noise, both ways in time."""
    stamps_s = context.stamps_s
    noisy = stamps_s.new_zeros(*stamps_s.shape, 17, 3)
    angle = torch.full_like(stamps_s[:, :1], torch.pi / 2)
    return denoiser.pose(denoiser(noisy, angle, context).clean, context)


def sample(denoiser, context, *, steps, hypotheses=1, generator=None, noise=None):
    """Sampled motions (H, B, N, 17, 3) in network units, each coherent over all frames.

    noise (H, B, N, 17, 3) of the denoiser to start from, in place of `hypotheses` draws of the generator. One step has
    one answer, whatever the noise: ValueError for several hypotheses of one step.
    """
    batch, frames = context.stamps_s.shape
    if noise is None:
        check(hypotheses, steps)
        white = torch.randn(hypotheses, batch, frames, 17, 3, generator=generator).to(context.stamps_s.device)
        noise = torch.stack([denoiser.noise(part, context.stamps_s) for part in white])
    check(len(noise), steps)
    most = max(1, MOST_TOKENS // (batch * frames * 17))
    passes = DenoisingPasses(denoiser, steps)
    motions = [passes(part.flatten(0, 1), *context.repeat(len(part))) for part in noise.split(most)]
    return torch.cat(motions).unflatten(0, (len(noise), batch))


def check(hypotheses, steps):
    """ValueError unless so many hypotheses can be drawn in so many steps."""
    if hypotheses < 1:
        raise ValueError(f"hypotheses: expected at least 1, got {hypotheses}")
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    if hypotheses > 1 and steps < 2:
        raise ValueError(
            f"steps: expected at least 2 for {hypotheses} hypotheses, got {steps}; one step has one answer, whatever "
            "its noise"
        )


def ray_weights(motions_m, root_m, rays, confidence, sigma_m, effective_s=0.3, frame_s=1 / 30):
    """Weights (H,) of motions (H, N, 17, 3) by how they meet the rays (N, 17, 2): normalised Gaussian likelihoods.

    root_m (H, N, 1, 3) metres in the camera of the rays; confidence (N, 17) with 0 = missing; sigma_m (N, 17) of the
    detected joints. Errors of neighbouring frames are alike: each `effective_s` seconds count as one measurement.
    """
    place = motions_m + root_m
    depth = place[..., 2:].clamp(min=0.1)
    missed = ((place[..., :2] / depth - rays) * depth).square().sum(-1) / sigma_m**2
    log_weight = -0.5 * (missed * confidence**2).sum((1, 2)) * (frame_s / effective_s)
    return torch.softmax(log_weight, 0)
