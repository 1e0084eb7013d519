"""Torch-TensorRT: one engine for the whole graph, strongly typed, replayed as a CUDA graph on a stream of its own.

Norms, softmax, residuals and output heads stay in float32; with precision float16 or bfloat16 the products inside are
cast. Attention is written out in the model, so no fused attention and no default causal bias is involved.
"""

import copy
import warnings
from importlib.util import find_spec

import torch
from torch import nn

from dp3d_core.backends import cache
from dp3d_core.backends.graphs import RollingStep
from dp3d_core.backends.signature import INPUTS
from dp3d_core.model.denoiser import Denoiser

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FLOAT32_LAYERS = ("pose_head", "variance_head", "joint_head", "logits", "noise_embed", "embed")
"""Layers whose name ends or begins so keep float32: heads, and what takes in metres, rays and noise levels."""


class CastLinear(nn.Module):
    """A linear layer whose product alone is in reduced precision; in and out are float32."""

    def __init__(self, linear, dtype):
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().to(dtype), requires_grad=False)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x):
        """(..., in) to (..., out)."""
        product = nn.functional.linear(x.to(self.weight.dtype), self.weight).float()
        return product if self.bias is None else product + self.bias


def reduce_precision(denoiser: Denoiser, precision: str) -> Denoiser:
    """A copy of the denoiser with its inner products in `precision`; the original for float32."""
    dtype = PRECISIONS[precision]
    if dtype == torch.float32:
        return denoiser
    reduced = copy.deepcopy(denoiser)
    for name, layer in list(reduced.named_modules()):
        parts = name.split(".")
        if isinstance(layer, nn.Linear) and parts[0] not in FLOAT32_LAYERS and parts[-1] not in FLOAT32_LAYERS:
            setattr(reduced.get_submodule(".".join(parts[:-1])), parts[-1], CastLinear(layer, dtype))
    return reduced


def typed_graph(denoiser: Denoiser, precision: str) -> RollingStep:
    """The graph that becomes the engine, its products in `precision`."""
    return RollingStep(reduce_precision(denoiser, precision)).eval()


def export(module, example):
    """The exported program of fixed shapes."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of exporters, about themselves
        return torch.export.export(module, tuple(example))


def serialized_engine(module, example):
    """TensorRT's bytes of the whole graph; raises if any operator has no converter."""
    import torch_tensorrt

    return torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
        export(module, example), arg_inputs=tuple(example), require_full_compilation=True, min_block_size=1,
        use_explicit_typing=True, disable_tf32=True,
    )  # fmt: skip


class TensorRTEngines:
    """Builds TensorRT engines of one denoiser on a GPU."""

    name = "tensorrt"
    storable = True

    def __init__(self, denoiser: Denoiser, *, threads: int = 1, precision: str = "float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {list(PRECISIONS)} with TensorRT, got {precision!r}")
        self._denoiser, self._precision = denoiser, precision
        self._device = next(denoiser.parameters()).device

    @staticmethod
    def missing(device: torch.device) -> str | None:
        """Why it cannot run here, or None."""
        if find_spec("torch_tensorrt") is None:
            return "torch_tensorrt is not installed; pip install torch-tensorrt"
        if torch.version.cuda is None:
            return "this PyTorch was built without CUDA; install one that was, from PyTorch's index for your CUDA"
        if not torch.cuda.is_available():
            return f"no GPU is visible, or its driver is older than PyTorch's CUDA {torch.version.cuda}; see nvidia-smi"
        return None if device.type == "cuda" else f"the weights are on {device.type}; Lifter.load(..., device='cuda')"

    def facts(self) -> str:
        """What its engines depend on besides weights and shapes: they travel to no other GPU or version."""
        properties = torch.cuda.get_device_properties(self._device)
        gpu = f"{properties.name} {properties.major}.{properties.minor} {properties.total_memory}"
        found = cache.versions("torch", "torch-tensorrt", "tensorrt", "tensorrt-rtx")
        return f"{found}, CUDA {torch.version.cuda}, {gpu}"

    def build(self, shape, module, example):
        """An engine and its blob."""
        graph = typed_graph(self._denoiser, self._precision).to(self._device)
        # TensorRT takes the current GPU, whichever the tensors are on
        with torch.cuda.device(self._device):
            blob = bytes(serialized_engine(graph, [tensor.to(self._device) for tensor in example]))
        return self.load(blob), blob

    def load(self, blob):
        """An engine from its blob."""
        with torch.cuda.device(self._device):
            return Engine(blob, self._device)


class Engine:
    """A deserialised engine with fixed buffers, captured once as a CUDA graph. For one thread.

    To be made while `device` is the current one; it runs on that one whichever is current then.
    """

    def __init__(self, blob, device):
        import tensorrt
        import torch_tensorrt  # noqa: F401  makes `tensorrt` importable in all its flavours

        runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = runtime.deserialize_cuda_engine(blob)
        if self._engine is None:
            raise ValueError("TensorRT refused the engine: it is of another GPU or version")
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        is_input = lambda name: self._engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT  # noqa: E731
        found = [name for name in names if is_input(name)]
        if set(found) != set(INPUTS):
            raise ValueError(f"TensorRT engine: expected inputs {list(INPUTS)}, got {sorted(found)}")
        self._inputs, self._outputs = [], []
        for name in [*INPUTS, *(name for name in names if name not in found)]:
            buffer = torch.zeros(tuple(self._engine.get_tensor_shape(name)), device=device)
            self._context.set_tensor_address(name, buffer.data_ptr())
            (self._inputs if name in found else self._outputs).append(buffer)
        self._host = [torch.zeros(buffer.shape, pin_memory=True) for buffer in self._outputs]
        self._stream = torch.cuda.Stream(device)
        with torch.cuda.stream(self._stream):
            for _ in range(2):
                self._execute()
        self._stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._execute()

    def _execute(self):
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not run the engine")

    def replay(self):
        """One run on the buffers as they are; for timing."""
        self._graph.replay()

    def __call__(self, *arrays):
        """See `dp3d_core.backends`."""
        with torch.cuda.stream(self._stream):
            for buffer, array in zip(self._inputs, arrays, strict=True):
                buffer.copy_(torch.from_numpy(array))
            self._graph.replay()
            for host, buffer in zip(self._host, self._outputs, strict=True):
                host.copy_(buffer, non_blocking=True)
            self._stream.synchronize()
        return tuple(host.numpy().copy() for host in self._host)
