"""The step as a function of tensors that stay where they are: fixed buffers on the network's device."""
# B people, N rows

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from dp3d_core.backends.signature import input_shapes
from dp3d_core.config import ModelConfig


class DeviceEngine:
    """`function` of the step's eight inputs, which lie in `inputs`. One size, one thread.

    It is called with NumPy arrays like any engine, or run on what lies in its buffers (`run`), as
    `resident.ResidentMemory` does.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Tensor]],
        config: ModelConfig,
        people: int,
        rows: int,
        device: str | torch.device,
    ):
        self._function = function
        self.inputs = [torch.zeros(shape, device=device) for shape in input_shapes(config, people, rows).values()]

    @property
    def people(self) -> int:
        """How many it takes at once."""
        return len(self.inputs[0])

    @torch.inference_mode()
    def run(self) -> Sequence[Tensor]:
        """The step's outputs; the next run may overwrite them."""
        return self._function(*self.inputs)

    @torch.inference_mode()
    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(torch.from_numpy(array))
        # the outputs may be buffers, also on the CPU
        return tuple(output.cpu().numpy().copy() for output in self.run())
