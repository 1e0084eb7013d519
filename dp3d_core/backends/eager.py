"""PyTorch, op by op: the reference that every other backend is compared with."""

import numpy as np
import torch

from dp3d_core.backends.graphs import RollingStep
from dp3d_core.model.encoder import Encoder


class Eager:
    """Runs on the encoder's own device."""

    name = "eager"

    def __init__(self, encoder: Encoder):
        self._step, self._device = RollingStep(encoder.eval()), next(encoder.parameters()).device

    @torch.inference_mode()
    def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        outputs = self._step(*(torch.from_numpy(array).to(self._device) for array in arrays))
        return tuple(output.cpu().numpy() for output in outputs)
