"""The denoiser (SPD): joint tokens of a window of noisy motion, read beside what the encoder said of each frame.

It denoises the residual r about a centre, in units of its standard deviation: x0 = centre + scale * r. Conditioned, the
centre is the encoder's estimate and the scale its predicted sigma; without context (the prior) they are the mean pose
and its spread. The answer is preconditioned as in EDM (Karras et al., 2022): r = E[r | y] + std * F, where the Gaussian
model of `gaussian` gives mean and std, so a network that answers 0 is already the exact Gaussian posterior.
Knows no sampler, camera or stream.
"""
# B batch, N frames, J = 17 joints, D width, A actions

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dp3d_core.model import gaussian
from dp3d_core.model.attention import MASKED, SpatialBlock, TemporalBlock, zero
from dp3d_core.model.diffusion import band_mask
from dp3d_core.model.part_prompts import PartPrompts

SIGMA_RANGE = (0.02, 8.0)
"""Limits of the scale's sigma in network units."""
MOST_GAIN = 4.0
"""Largest factor by which the network's input makes up for what the noise level took off the signal."""
SEEN_CHANNELS = 4


class Context(NamedTuple):
    """What the denoiser is told of each frame beside its noisy pose."""

    stamps_s: Tensor
    """(B, N) seconds, ascending."""
    centre: Tensor
    """(B, N, 17, 3) root-relative pose, network units: the encoder's estimate, smoothed over time."""
    estimate: Tensor
    """(B, N, 17, 3) the encoder's estimate as it is."""
    sigma: Tensor
    """(B, N, 17, 3) the encoder's standard deviation of each axis, network units."""
    seen: Tensor
    """(B, N, 17, 4): rays in the virtual view over the person's size, confidence, log size."""
    features: Tensor
    """(B, N, Df) the encoder's features; zeros where they are dropped."""
    action_probability: Tensor | None
    """(B, N, A), or None."""

    def crop(self, frames):
        """The context of a slice of the frames."""
        return self.map(lambda part: part[:, frames])

    def repeat(self, hypotheses):
        """The same context for (H * B) sequences, hypothesis by hypothesis."""
        return self.map(lambda part: part.repeat(hypotheses, *[1] * (part.dim() - 1)))

    def map(self, function):
        """`function` of every tensor, as a `Context`."""
        return Context._make(None if part is None else function(part) for part in self)


class Denoised(NamedTuple):
    """The answer to one noise level, in units of the normalised residual."""

    clean: Tensor
    """(B, N, 17, 3) estimate of r; the root's is 0."""
    std: Tensor
    """(B, N, 17, 3) standard deviation of r under the Gaussian model at this noise."""
    base: Tensor
    """(B, N, 17, 3) the Gaussian posterior's mean."""
    raw: Tensor
    """(B, N, 17, 3) the network's F = (clean - base) / std."""
    neighbours: Tensor | None
    """(B, N, n - 1, 17, 3) residuals of the frames around each frame (HPD, training only)."""


class MotionDenoiser(nn.Module):
    """See the module's head. `config` is a `DenoiserConfig`; feature_width 0 makes the prior, which has no context."""

    mean_pose: Tensor
    spread: Tensor
    joint_factor: Tensor
    kernel_share: Tensor
    moving: Tensor

    def __init__(self, config):
        super().__init__()
        self.config = config
        width, condition = config.width, config.condition_width
        context = 3 + 3 + 3 + SEEN_CHANNELS if config.feature_width else 0
        self.embed = nn.Linear(3 + 3 + 3 + context, width)
        self.joint_name = nn.Parameter(torch.randn(17, width) * 0.02)
        self.noise_embed = nn.Sequential(nn.Linear(5, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.read_features = nn.Linear(config.feature_width, condition) if config.feature_width else None
        self.prompts = None
        if config.part_prompts:
            self.prompts = PartPrompts(width, config.heads, config.prompt_width, config.actions)
        spatial = (width, config.heads, config.mlp_ratio, condition, config.affinity)
        self.spatial = nn.ModuleList(SpatialBlock(*spatial) for _ in range(config.layers))
        temporal = (width, config.heads, config.mlp_ratio, condition)
        self.temporal = nn.ModuleList(TemporalBlock(*temporal) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3)
        zero(self.head)
        self.hallucinate = nn.Linear(width, 3 * (config.hallucinated_frames - 1))
        self.register_buffer("mean_pose", torch.zeros(17, 3))
        self.register_buffer("spread", torch.ones(17, 3))
        self.register_buffer("joint_factor", torch.eye(51))
        share = torch.zeros(len(gaussian.SCALES_S) + 1)
        share[2], share[-1] = 1 - gaussian.WHITE_SHARE, gaussian.WHITE_SHARE
        self.register_buffer("kernel_share", share)
        moving = torch.ones(17, 1)
        moving[0] = 0
        self.register_buffer("moving", moving, persistent=False)

    @property
    def blind(self):
        """Whether it is a prior: no context at all."""
        return self.read_features is None

    def blind_context(self, stamps_s):
        """The `Context` of a prior at stamps (B, N): the mean pose, one unit of sigma, nothing seen."""
        batch, frames = stamps_s.shape
        zeros = stamps_s.new_zeros
        mean_pose = self.mean_pose.expand(batch, frames, -1, -1)
        return Context(
            stamps_s, mean_pose, mean_pose, torch.ones_like(zeros(batch, frames, 17, 3)),
            zeros(batch, frames, 17, SEEN_CHANNELS), zeros(batch, frames, self.config.feature_width), None,
        )  # fmt: skip

    def scale(self, context):
        """(B, N, 17, 3) network units of one unit of residual; 0 for the root."""
        return context.sigma.clamp(*SIGMA_RANGE) * self.spread * self.moving

    def residual(self, pose, context):
        """Pose (B, N, 17, 3) in network units as normalised residual."""
        return (pose - context.centre) / self.scale(context).clamp(min=1e-6) * self.moving

    def pose(self, residual, context):
        """The inverse of `residual`."""
        return context.centre + self.scale(context) * residual

    def noise(self, white, stamps_s):
        """White noise (B, N, 17, 3) made as smooth in time, and as correlated over joints, as residuals are."""
        return gaussian.coloured(white, stamps_s, self.kernel_share, self.joint_factor)

    def continued_noise(self, before, white, stamps_s):
        """Noise (B, M, 17, 3) that goes on after `before` (B, N, 17, 3); stamps (B, N + M)."""
        return gaussian.continued(before, white, stamps_s, self.kernel_share, self.joint_factor)

    def forward(self, noisy, angle, context, white=None):
        """Denoise y = cos(a) r + sin(a) e + w; a `Denoised`.

        noisy (B, N, 17, 3); angle (B, 1) or (B, N) radians in [0, pi / 2]; white (B, N, 17, 3) variance of
        independent noise w beside e, or None.
        """
        with torch.autocast(noisy.device.type, enabled=False):  # near singular systems need float32
            base, std = gaussian.posterior(
                noisy, angle, lambda: gaussian.kernel(context.stamps_s, self.kernel_share), white
            )
        cos = torch.cos(angle)[..., None, None]
        inputs = [base * (1 / cos.clamp(min=1 / MOST_GAIN)), (noisy - cos * base) * cos, std]
        if not self.blind:
            width = torch.log(self.scale(context).clamp(min=SIGMA_RANGE[0]))
            inputs += [context.centre, 4 * (context.estimate - context.centre), width, context.seen]
        tokens = self.embed(torch.cat(inputs, -1)) + self.joint_name
        level = angle.expand(noisy.shape[:2])
        added = torch.zeros_like(level) if white is None else torch.log1p(100 * white.flatten(2).mean(-1))
        noise = torch.stack([torch.sin(level), torch.cos(level), torch.sin(2 * level), level, added], -1)
        condition = self.noise_embed(noise)
        if self.read_features is not None:
            condition = condition + self.read_features(context.features)
        if self.prompts is not None:
            tokens = self.prompts(tokens, context.action_probability)
        tokens = self.norm(self._blocks(tokens, condition, context.stamps_s))
        raw = self.head(tokens).float() * self.moving
        neighbours = None
        if self.training and self.config.hallucinated_frames > 1:
            neighbours = self.hallucinate(tokens).unflatten(-1, (-1, 3)).transpose(2, 3)
        return Denoised((base + std * raw) * self.moving, std, base, raw, neighbours)

    def _blocks(self, tokens, condition, stamps_s):
        """MixSTE's order: joints of a frame, then each joint over time, both ways."""
        mask = band_mask(tokens.shape[1], self.config.window_frames, tokens.device)
        bias = torch.where(mask, 0.0, MASKED)[None, None, None].to(tokens.dtype)
        angles = cast(TemporalBlock, self.temporal[0]).angles(stamps_s)
        for spatial, temporal in zip(self.spatial, self.temporal, strict=True):
            tokens = spatial(tokens, condition)
            rows, _, _ = temporal(tokens.transpose(1, 2), condition[:, None], angles, bias)
            tokens = rows.transpose(1, 2)
        return tokens
