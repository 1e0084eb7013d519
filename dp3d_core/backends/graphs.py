"""The graphs that backends run and engines are made of: an arriving frame of a stream, and all passes of a denoiser."""
# B batch (people), N rows, C cached frames, L blocks, G groups, D width, A actions, S pooling times, H features

import torch
from torch import Tensor, nn

from dp3d_core.model.encoder import UP_CHANNELS, Encoder
from dp3d_core.model.flow import gaussian_flow
from dp3d_core.model.motion_denoiser import Context as MotionContext
from dp3d_core.model.motion_denoiser import MotionDenoiser
from dp3d_core.model.trunk import SEEN_CHANNELS, Context


class RollingStep(nn.Module):
    """`Encoder.step` with flat tensors in and out, as in `signature`."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, seen, up, stamps_s, keys, values, filled, pooled, decay):
        """See `signature`."""
        context = Context(keys, values, filled, pooled)
        encoded, new_keys, new_values, new_pooled = self.encoder.step(seen, up, stamps_s, context, decay)
        return (
            encoded.pose, encoded.log_variance, encoded.contacts, encoded.action_logits[:, -1], encoded.features,
            new_keys, new_values, new_pooled,
        )  # fmt: skip


class DenoisingPasses(nn.Module):
    """All K passes of a `MotionDenoiser` over a window, from noise to motions, as one function of tensors."""

    def __init__(self, denoiser: MotionDenoiser, steps: int):
        super().__init__()
        self.denoiser, self.steps = denoiser, steps

    def forward(self, noise, stamps_s, centre, estimate, sigma, seen, features):
        """noise (H * B, N, 17, 3) of the denoiser, and a `motion_denoiser.Context` of the same people, hypothesis by
        hypothesis, without actions; motions (H * B, N, 17, 3) in network units."""
        context = MotionContext(stamps_s, centre, estimate, sigma, seen, features, None)
        level = torch.ones_like(stamps_s[:, :1])
        denoise = lambda noisy, angle: self.denoiser(noisy, level * angle, context).clean  # noqa: E731
        clean = gaussian_flow(denoise, noise, self.steps)
        return self.denoiser.pose(clean, context)


DENOISED_FRAMES = 17
"""Of a window in the example: as a stream has them."""


def denoising_example(denoiser: MotionDenoiser, people: int, hypotheses: int) -> tuple[Tensor, ...]:
    """Inputs of `DenoisingPasses`, to capture and to time it; the same each time."""
    generator, frames = torch.Generator().manual_seed(0), DENOISED_FRAMES
    normal = lambda *shape: torch.randn(people, frames, *shape, generator=generator)  # noqa: E731
    pose = normal(17, 3)
    told = (
        (torch.arange(frames) / 30).expand(people, frames), pose, pose + 0.1 * normal(17, 3),
        0.2 + 0.1 * normal(17, 3).abs(), example_seen(people, frames, generator),
        normal(denoiser.config.feature_width),
    )  # fmt: skip
    noise = torch.randn(hypotheses * people, frames, 17, 3, generator=generator)
    return noise, *(part.repeat(hypotheses, *[1] * (part.dim() - 1)) for part in told)


def rolling_example(encoder: Encoder, people: int, rows: int) -> tuple[Tensor, ...]:
    """Inputs of `RollingStep` in the middle of a stream, to convert and to time it; the same each time."""
    generator = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    context = encoder.empty_context(people, rows)
    pooled = normal(*context.pooled.shape)
    pooled[..., -1] = pooled[..., -1].abs() + 1
    return (
        example_seen(people, rows, generator), normal(people, rows, UP_CHANNELS),
        (torch.arange(rows) / 30 + encoder.config.window_frames / 30).expand(people, rows).contiguous(),
        normal(*context.keys.shape), normal(*context.values.shape), torch.ones_like(context.filled), pooled,
        torch.exp(-torch.tensor([1 / 9, 1 / 30, 1 / 90])).expand(people, 3).contiguous(),
    )  # fmt: skip


def example_seen(people: int, rows: int, generator: torch.Generator) -> Tensor:
    """What a network might see of people: (B, N, 17, 4), random."""
    seen = torch.randn(people, rows, 17, SEEN_CHANNELS, generator=generator)
    seen[..., 2] = torch.sigmoid(seen[..., 2] * 2 + 2)
    seen[..., 3] *= 0.3
    return seen
