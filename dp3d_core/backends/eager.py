"""PyTorch, op by op: the reference that every other backend is compared with."""

import torch
from torch import nn

from dp3d_core.model.denoiser import Context


class RollingStep(nn.Module):
    """`Denoiser.step` with flat tensors in and out: the graph that is exported and compiled."""

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
            prediction.clean, prediction.log_variance, prediction.action_logits[:, -1], new_keys, new_values, new_pooled,
        )  # fmt: skip


class Eager:
    """Runs on the denoiser's own device."""

    name = "eager"

    def __init__(self, denoiser):
        self._step = RollingStep(denoiser.eval())
        self._device = next(denoiser.parameters()).device

    @torch.inference_mode()
    def step(self, *arrays):
        """See `dp3d_core.backends`."""
        return tuple(
            out.cpu().numpy() for out in self._step(*(torch.from_numpy(array).to(self._device) for array in arrays))
        )
