"""torch.compile of the step: Inductor on the CPU, max-autotune on a GPU. Not TensorRT."""

import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dp3d_core.backends.exported import Exported
from dp3d_core.backends.shape import Shape, powers_of_two
from dp3d_core.checkpoint import Checkpoint

if TYPE_CHECKING:
    from dp3d_core.backends.device_engine import DeviceEngine


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

    def build(self, shape: Shape) -> tuple["DeviceEngine", None]:
        """An engine; there is no blob."""
        import torch

        from dp3d_core.backends.device_engine import DeviceEngine
        from dp3d_core.backends.graphs import RollingStep

        network = self._network
        # the CUDA graph is `resident.Pass`'s, with the memory in it
        mode = "max-autotune-no-cudagraphs" if network.device.startswith("cuda") else None
        step = torch.compile(RollingStep(network.encoder).eval(), fullgraph=True, dynamic=False, mode=mode)
        return DeviceEngine(step, network.config, shape.people, shape.rows, network.device), None
