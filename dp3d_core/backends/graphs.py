"""The graph that every backend runs and every engine is made of: one arriving frame of a stream, tensors in and out."""
# B batch (people), N rows, C cached frames, L blocks, G groups, D width, A actions, S pooling times, H features

import torch
from torch import Tensor, nn

from dp3d_core.model.encoder import UP_CHANNELS, Encoder
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
