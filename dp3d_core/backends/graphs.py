"""The graph that backends run and engines are made of, an arriving frame of a stream; inputs to convert and to time it
and the denoiser's (`model.hypotheses.DenoisingPasses`)."""
# B batch (people), N rows, C cached frames, L blocks, G groups, D width, A actions, S pooling times, H features

import torch
from torch import Tensor, nn

from dp3d_core.model.encoder import UP_CHANNELS, Encoder
from dp3d_core.model.motion_denoiser import Context, MotionDenoiser
from dp3d_core.model.trunk import SEEN_CHANNELS
from dp3d_core.model.trunk import Context as Past


class RollingStep(nn.Module):
    """`Encoder.step` with flat tensors in and out, as in `signature`."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, seen, up, stamps_s, keys, values, filled, pooled, decay):
        """See `signature`."""
        context = Past(keys, values, filled, pooled)
        encoded, new_keys, new_values, new_pooled = self.encoder.step(seen, up, stamps_s, context, decay)
        return (
            encoded.pose, encoded.log_variance, encoded.contacts, encoded.action_logits[:, -1], encoded.features,
            new_keys, new_values, new_pooled,
        )  # fmt: skip


DENOISED_FRAMES = 17
"""Of a window in the example: as a stream has them."""


def denoising_example(denoiser: MotionDenoiser, people: int, hypotheses: int) -> tuple[Tensor, ...]:
    """Inputs of `hypotheses.DenoisingPasses`, to capture and to time it; the same each time."""
    generator, frames = torch.Generator().manual_seed(0), DENOISED_FRAMES
    normal = lambda *shape: torch.randn(people, frames, *shape, generator=generator)  # noqa: E731
    pose, actions = normal(17, 3), denoiser.config.actions
    context = Context(
        stamps_s=(torch.arange(frames) / 30).expand(people, frames),
        centre=pose,
        estimate=pose + 0.1 * normal(17, 3),
        sigma=0.2 + 0.1 * normal(17, 3).abs(),
        seen=example_seen(people, frames, generator),
        features=normal(denoiser.config.feature_width),
        action_probability=torch.softmax(normal(actions), -1) if actions else None,
    )
    noise = torch.randn(hypotheses * people, frames, 17, 3, generator=generator)
    return noise, *(part for part in context.repeat(hypotheses) if part is not None)


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
