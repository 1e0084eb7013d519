"""torch.compile of the step: Inductor on the CPU, max-autotune with CUDA graphs on a GPU. Not TensorRT."""

import shutil
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np

from dp3d_core.backends.exported import Exported
from dp3d_core.backends.shape import Shape, powers_of_two
from dp3d_core.checkpoint import Checkpoint


class CompiledEngines:
    """Compiles one encoder for fixed shapes; Inductor keeps its own cache on disk."""

    name = "compile"
    storable = False
    sizes = staticmethod(powers_of_two)

    def __init__(self, network: Checkpoint, exported: Exported, *, threads: int = 1, precision: str = "float32"):
        if precision != "float32":
            raise ValueError(f"precision: torch.compile serves float32 here, got {precision!r}")
        self._network = network

    @staticmethod
    def missing(device: str) -> str | None:
        """Why it cannot run here, or None."""
        if sys.platform == "win32":
            return "torch.compile is not used on Windows"
        if find_spec("torch") is None:
            return "PyTorch is not installed"
        if device.startswith("cuda"):
            return None if find_spec("triton") is not None else "triton is not installed"
        found = any(shutil.which(name) for name in ("g++", "c++", "clang++"))
        return None if found else "no C++ compiler; install g++"

    @staticmethod
    def facts() -> str:
        """Nothing of it is stored by us."""
        return ""

    def build(self, shape: Shape) -> tuple["Engine", None]:
        """An engine; there is no blob."""
        return Engine(self._network.encoder), None


class Engine:
    """A compiled step as a function of NumPy arrays."""

    def __init__(self, encoder: Any):
        import torch

        from dp3d_core.backends.graphs import RollingStep

        self._torch, self._device = torch, next(encoder.parameters()).device
        options = {"mode": "max-autotune"} if self._device.type == "cuda" else {}
        self._compiled = torch.compile(RollingStep(encoder).eval(), fullgraph=True, dynamic=False, **options)

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        with self._torch.inference_mode():
            outputs = self._compiled(*(self._torch.from_numpy(array).to(self._device) for array in arrays))
            # a CUDA graph's outputs are overwritten by its next replay
            return tuple(output.cpu().numpy().copy() for output in outputs)
