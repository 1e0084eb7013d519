"""The two graphs that every backend runs and every engine is made of, with flat tensors in and out.

Rolling: one arriving frame of a stream. Window: a whole window at once, looking both ways.
"""
# B batch (people), N rows, C cached frames, L blocks, G groups, D width, A actions, S pooling times, H features

import torch
from torch import nn

from dp3d_core.model.denoiser import SEEN_CHANNELS, Context
from dp3d_core.model.diffusion import band_mask, triangular_levels

BATCHES = (1, 2, 4, 8, 16)
"""People for which engines are built; a number between two is filled up to the larger."""
LOOKAHEADS = (0, 2, 4)


def fitting_batch(people):
    """The smallest size that holds this many people: one of `BATCHES`, or the next power of two."""
    return next((size for size in BATCHES if size >= people), 1 << max(people - 1, 0).bit_length())


class RollingStep(nn.Module):
    """`Denoiser.step` with flat tensors in and out."""

    inputs = ("noisy", "seen", "noise_level", "stamps_s", "keys", "values", "filled", "pooled", "decay")

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, noisy, seen, noise_level, stamps_s, keys, values, filled, pooled, decay):
        """See `dp3d_core.backends`."""
        context = Context(keys, values, filled, pooled)
        prediction, new_keys, new_values, new_pooled = self.denoiser.step(
            noisy, seen, noise_level, stamps_s, context, decay
        )
        return (
            prediction.clean, prediction.log_variance, prediction.action_logits[:, -1], new_keys, new_values,
            new_pooled,
        )  # fmt: skip


class WindowPass(nn.Module):
    """One denoising pass over a whole window of `window_frames`, each frame attending to all.

    What `Lifter.lift` does to longer sequences in PyTorch, in pieces of any length and with masks.
    """

    inputs = ("noisy", "seen", "noise_level", "stamps_s")

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser
        frames = denoiser.config.window_frames
        self.register_buffer("mask", band_mask(frames, frames)[None], persistent=False)
        self.register_buffer("pool_row", torch.full((frames,), frames - 1), persistent=False)

    def forward(self, noisy, seen, noise_level, stamps_s):
        """noisy (B, N, 17, 3), seen (B, N, 17, 4), noise_level, stamps_s (B, N); clean, log variance, action logits."""
        prediction = self.denoiser(noisy, seen, noise_level, stamps_s, self.mask, self.pool_row)
        return prediction.clean, prediction.log_variance, prediction.action_logits


def rolling_example(denoiser, people, rows, generator=None):
    """Inputs of `RollingStep` in the middle of a stream, to convert and time it; reproducible with a generator."""
    generator = generator or torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    config = denoiser.config
    context = denoiser.empty_context(people, rows)
    levels = triangular_levels(rows - 1).expand(people, rows).contiguous()
    pooled = normal(*context.pooled.shape)
    pooled[..., -1] = pooled[..., -1].abs() + 1
    return (
        normal(people, rows, 17, 3) * (1 - levels)[..., None, None], _seen(people, rows, normal), levels,
        (torch.arange(rows) / 30 + config.window_frames / 30).expand(people, rows).contiguous(),
        normal(*context.keys.shape), normal(*context.values.shape), torch.ones_like(context.filled), pooled,
        torch.exp(-torch.tensor([1 / 9, 1 / 30, 1 / 90])).expand(people, 3).contiguous(),
    )  # fmt: skip


def window_example(denoiser, people, generator=None):
    """Inputs of `WindowPass`, to convert and time it."""
    generator = generator or torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    frames = denoiser.config.window_frames
    stamps_s = (torch.arange(frames) / 30).expand(people, frames).contiguous()
    noisy = torch.zeros(people, frames, 17, 3)
    return noisy, _seen(people, frames, normal), torch.ones(people, frames), stamps_s


def _seen(people, rows, normal):
    seen = normal(people, rows, 17, SEEN_CHANNELS)
    seen[..., 2] = torch.sigmoid(seen[..., 2] * 2 + 2)
    seen[..., 3] *= 0.3
    return seen
