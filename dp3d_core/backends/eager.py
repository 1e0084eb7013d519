"""PyTorch, op by op: the reference that every other backend is compared with."""

import torch

from dp3d_core.backends.graphs import RollingStep, WindowPass


class Eager:
    """Runs on the denoiser's own device."""

    name = "eager"

    def __init__(self, denoiser):
        self._rolling, self._window = RollingStep(denoiser.eval()), None
        self._denoiser, self._device = denoiser, next(denoiser.parameters()).device

    def step(self, *arrays):
        """See `dp3d_core.backends`."""
        return self._run(self._rolling, arrays)

    def window(self, *arrays):
        """See `dp3d_core.backends`."""
        if self._window is None:
            self._window = WindowPass(self._denoiser).to(self._device)
        return self._run(self._window, arrays)

    @torch.inference_mode()
    def _run(self, module, arrays):
        outputs = module(*(torch.from_numpy(array).to(self._device) for array in arrays))
        return tuple(output.cpu().numpy() for output in outputs)
