"""One TensorRT engine on fixed buffers of a GPU, a `DeviceEngine`."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import torch

from dp3d_core.backends.device_engine import DeviceEngine
from dp3d_core.backends.signature import INPUTS, OUTPUTS


def tensorrt_module() -> ModuleType:
    """The module `tensorrt`. torch_tensorrt goes first: with its RTX flavour it is what makes `tensorrt` importable."""
    import_module("torch_tensorrt")
    return import_module("tensorrt")


class Engine(DeviceEngine):
    """A deserialised engine. For one thread.

    To be made while `device` is the current one; it runs on that one whichever is current then. names: of its inputs,
    in order; count: of its outputs. ValueError where the engine is of another GPU or version, or does not take and give
    these, all in float32.
    """

    def __init__(
        self, blob: bytes, device: str | torch.device, names: Sequence[str] = INPUTS, count: int = len(OUTPUTS)
    ):
        tensorrt = tensorrt_module()
        runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = runtime.deserialize_cuda_engine(blob)
        if self._engine is None:
            raise ValueError("TensorRT refused the engine: it is of another GPU or version")
        inputs, outputs = tensor_names(tensorrt, self._engine, names, count)
        self._context = self._engine.create_execution_context()
        self.inputs, self._outputs = ([self._buffer(name, device) for name in side] for side in (inputs, outputs))
        # the buffers are filled with zeros on the current stream; streams of others start behind that
        torch.cuda.current_stream(device).synchronize()

    def _buffer(self, name, device):
        buffer = torch.zeros(tuple(self._engine.get_tensor_shape(name)), device=device)
        self._context.set_tensor_address(name, buffer.data_ptr())
        return buffer

    def run(self) -> Sequence[torch.Tensor]:
        """The outputs, after a run on the current stream: in the buffers that the next run overwrites."""
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not run the engine")
        return self._outputs


def tensor_names(
    tensorrt: ModuleType, engine, wanted: Sequence[str] = INPUTS, count: int = len(OUTPUTS)
) -> tuple[list[str], list[str]]:
    """Names of an engine's inputs in the order of `wanted` and of its outputs in its own; ValueError if not these."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    if sorted(inputs) != sorted(wanted) or len(outputs) != count:
        raise ValueError(
            f"TensorRT engine: expected inputs {list(wanted)} and {count} outputs, got {inputs} and {outputs}"
        )
    wrong = {name: engine.get_tensor_dtype(name) for name in names if engine.get_tensor_dtype(name) != tensorrt.float32}
    if wrong:
        raise ValueError(f"TensorRT engine: expected float32 in and out, got {wrong}")
    return list(wanted), outputs
