"""torch.compile of the step: Inductor on the CPU, max-autotune with CUDA graphs on a GPU. Not TensorRT."""

import shutil
import sys
from importlib.util import find_spec

import numpy as np
import torch

from dp3d_core.model.denoiser import Denoiser


class CompiledEngines:
    """Compiles one denoiser for fixed shapes; Inductor keeps its own cache on disk."""

    name = "compile"
    storable = False

    def __init__(self, denoiser: Denoiser, *, threads: int = 1, precision: str = "float32"):
        if precision != "float32":
            raise ValueError(f"precision: torch.compile serves float32 here, got {precision!r}")
        self._device = next(denoiser.parameters()).device

    @staticmethod
    def missing(device: torch.device) -> str | None:
        """Why it cannot run here, or None."""
        if sys.platform == "win32":
            return "torch.compile is not used on Windows"
        if device.type == "cuda":
            return None if find_spec("triton") is not None else "triton is not installed"
        found = any(shutil.which(name) for name in ("g++", "c++", "clang++"))
        return None if found else "no C++ compiler; install g++"

    @staticmethod
    def facts() -> str:
        """Nothing of it is stored by us."""
        return ""

    def build(self, shape, module, example):
        """An engine; there is no blob."""
        options = {"mode": "max-autotune"} if self._device.type == "cuda" else {}
        compiled = torch.compile(module.to(self._device), fullgraph=True, dynamic=False, **options)
        return Engine(compiled, self._device), None


class Engine:
    """A compiled module as a function of NumPy arrays."""

    def __init__(self, compiled, device: torch.device):
        self._compiled, self._device = compiled, device

    @torch.inference_mode()
    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        outputs = self._compiled(*(torch.from_numpy(array).to(self._device) for array in arrays))
        # a CUDA graph's outputs are overwritten by its next replay
        return tuple(output.cpu().numpy().copy() for output in outputs)
