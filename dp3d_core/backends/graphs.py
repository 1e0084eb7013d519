"""The graph that every backend runs and every engine is made of: one arriving frame of a stream, tensors in and out."""
# B batch (people), N rows, C cached frames, L blocks, G groups, D width, A actions, S pooling times, H features

import torch
from torch import Tensor, nn

from dp3d_core.model.denoiser import SEEN_CHANNELS, Context, Denoiser
from dp3d_core.model.diffusion import triangular_levels


class RollingStep(nn.Module):
    """`Denoiser.step` with flat tensors in and out, as in `signature`."""

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, noisy, seen, noise_level, stamps_s, keys, values, filled, pooled, decay):
        """See `signature`."""
        context = Context(keys, values, filled, pooled)
        prediction, new_keys, new_values, new_pooled = self.denoiser.step(
            noisy, seen, noise_level, stamps_s, context, decay
        )
        return (
            prediction.clean, prediction.log_variance, prediction.action_logits[:, -1], new_keys, new_values,
            new_pooled,
        )  # fmt: skip


def rolling_example(denoiser: Denoiser, people: int, rows: int) -> tuple[Tensor, ...]:
    """Inputs of `RollingStep` in the middle of a stream, to convert and to time it; the same each time."""
    generator = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    context = denoiser.empty_context(people, rows)
    levels = triangular_levels(rows - 1).expand(people, rows).contiguous()
    pooled = normal(*context.pooled.shape)
    pooled[..., -1] = pooled[..., -1].abs() + 1
    return (
        normal(people, rows, 17, 3) * (1 - levels)[..., None, None], example_seen(people, rows, generator), levels,
        (torch.arange(rows) / 30 + denoiser.config.window_frames / 30).expand(people, rows).contiguous(),
        normal(*context.keys.shape), normal(*context.values.shape), torch.ones_like(context.filled), pooled,
        torch.exp(-torch.tensor([1 / 9, 1 / 30, 1 / 90])).expand(people, 3).contiguous(),
    )  # fmt: skip


def example_seen(people: int, rows: int, generator: torch.Generator) -> Tensor:
    """What a network might see of people: (B, N, 17, 4), random."""
    seen = torch.randn(people, rows, 17, SEEN_CHANNELS, generator=generator)
    seen[..., 2] = torch.sigmoid(seen[..., 2] * 2 + 2)
    seen[..., 3] *= 0.3
    return seen
