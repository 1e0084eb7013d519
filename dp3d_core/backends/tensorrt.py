"""Torch-TensorRT: one engine for the whole graph, strongly typed, replayed as a CUDA graph on a stream of its own."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from dp3d_core.backends import cache
from dp3d_core.backends.exported import Exported
from dp3d_core.backends.shape import Shape, powers_of_two
from dp3d_core.checkpoint import Checkpoint

if TYPE_CHECKING:
    from dp3d_core.backends.tensorrt_engine import Engine


class TensorRTEngines:
    """Builds TensorRT engines of one encoder on a GPU."""

    name = "tensorrt"
    storable = True
    sizes = staticmethod(powers_of_two)

    def __init__(self, network: Checkpoint, exported: Exported, *, threads: int = 1, precision: str = "float32"):
        self._network, self._precision, self._device = network, precision, network.device

    @staticmethod
    def missing(device: str) -> str | None:
        """Why it cannot run here, or None."""
        if find_spec("torch_tensorrt") is None:
            return "torch_tensorrt is not installed; pip install torch-tensorrt"
        import torch

        if torch.version.cuda is None:
            return "this PyTorch was built without CUDA; install one that was, from PyTorch's index for your CUDA"
        if not torch.cuda.is_available():
            return f"no GPU is visible, or its driver is older than PyTorch's CUDA {torch.version.cuda}; see nvidia-smi"
        return None if device.startswith("cuda") else f"the weights are on {device}; Lifter.load(..., device='cuda')"

    def facts(self) -> str:
        """What its engines depend on besides weights and shapes: they travel to no other GPU or version."""
        import torch

        properties = torch.cuda.get_device_properties(self._device)
        gpu = f"{properties.name} {properties.major}.{properties.minor} {properties.total_memory}"
        found = cache.versions("torch", "torch-tensorrt", "tensorrt", "tensorrt-rtx")
        return f"{found}, CUDA {torch.version.cuda}, {gpu}"

    def build(self, shape: Shape) -> tuple["Engine", bytes]:
        """An engine and its blob."""
        import torch

        from dp3d_core.backends.graphs import rolling_example
        from dp3d_core.backends.typed import serialized_engine, typed_graph

        encoder = self._network.encoder
        graph = typed_graph(encoder, self._precision).to(self._device)
        example = [tensor.to(self._device) for tensor in rolling_example(encoder, shape.people, shape.rows)]
        # TensorRT takes the current GPU, whichever the tensors are on
        with torch.cuda.device(self._device):
            blob = bytes(serialized_engine(graph, example))
        return self.load(blob), blob

    def load(self, blob: bytes) -> "Engine":
        """An engine from its blob."""
        import torch

        from dp3d_core.backends.tensorrt_engine import Engine

        with torch.cuda.device(self._device):
            return Engine(bytes(blob), self._device)
