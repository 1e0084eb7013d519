"""Torch-TensorRT imported where there is no GPU: it then converts and builds, and can run nothing.

Importing it asks for a GPU's properties and loads a native runtime that needs CUDA. Neither is needed to convert a
graph and to build its engine (its RTX flavour does both on the processor), so this answers for a GPU that is not there
and leaves the runtime out. Where there is a GPU nothing is changed. `Gpus` goes further: code around engines then runs,
on the processor. Knows nothing of dp3d.
"""

import collections
import contextlib
import os
from types import ModuleType, SimpleNamespace

import pytest
import torch

Properties = collections.namedtuple("Properties", "name major minor total_memory multi_processor_count")
CAPABILITY = (8, 9)
MEMORY_BYTES = 24 << 30
ANSWERS = {
    "get_device_capability": CAPABILITY,
    "get_device_properties": Properties("pretended", *CAPABILITY, MEMORY_BYTES, 128),
    "current_device": 0,
    "get_device_name": "pretended",
    "mem_get_info": (MEMORY_BYTES, MEMORY_BYTES),
    "synchronize": None,
    "empty_cache": None,
}
"""What each function of torch.cuda says instead of raising."""


class BuiltEngine:
    """Bytes of an engine that no GPU is there to load."""

    def __init__(self, blob):
        self.blob = blob

    def serialize(self):
        """The bytes."""
        return self.blob


class NoRuntime:
    """Stands in for tensorrt.Runtime: Torch-TensorRT loads each engine that it has built, which needs a GPU."""

    def __init__(self, _logger):
        pass

    def deserialize_cuda_engine(self, blob):
        """The blob, unloaded."""
        return BuiltEngine(bytes(blob))


@contextlib.contextmanager
def imported_torch_tensorrt():
    """The module; what is patched in torch is put back. ImportError if it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        here = torch.cuda.is_available()
        if not here:
            for name, answer in ANSWERS.items():
                patch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
            # the CPU build of torch lacks the type, which is only named in annotations
            if not hasattr(torch._C, "_CudaDeviceProperties"):
                patch.setattr(torch._C, "_CudaDeviceProperties", Properties, raising=False)
        with pytest.MonkeyPatch.context() as while_importing:
            if not here:
                is_file = os.path.isfile
                hidden = lambda path: "libtorchtrt" not in str(path) and is_file(path)  # noqa: E731
                while_importing.setattr(os.path, "isfile", hidden)
            import torch_tensorrt
            from torch_tensorrt.dynamo.conversion import _TRTInterpreter
        if not here:
            patch.setattr(_TRTInterpreter.trt, "Runtime", NoRuntime)
        yield torch_tensorrt


class Gpus:
    """Pretended CUDA devices and a TensorRT runtime whose engines are PyTorch modules, all on the processor.

    `current` is the number of the current device; `seen` holds (what, device) of each engine that was loaded and each
    graph that was captured. Between two events lies a quarter of a millisecond.
    """

    def __init__(self, patch):
        self.current, self.seen, self._buffers, self._capturing, self._events = 0, [], {}, None, 0
        zeros = torch.zeros

        def on_processor(*size, device=None, pin_memory=False, **options):
            buffer = zeros(*size, **options)
            self._buffers[buffer.data_ptr()] = buffer
            return buffer

        stream = SimpleNamespace(cuda_stream=0, wait_stream=lambda other: None, synchronize=lambda: None)
        for name, answer in {
            "device": self._device, "graph": self._graph, "CUDAGraph": Graph, "Event": self._event,
            "Stream": lambda device=None: stream, "stream": contextlib.nullcontext, "current_stream": lambda: stream,
            "synchronize": lambda: None, "get_device_name": lambda: "pretended",
        }.items():  # fmt: skip
            patch.setattr(torch.cuda, name, answer)
        patch.setattr(torch, "zeros", on_processor)

    @contextlib.contextmanager
    def _device(self, device):
        before, self.current = self.current, torch.device(device).index or 0
        yield
        self.current = before

    @contextlib.contextmanager
    def _graph(self, graph, stream=None):
        self.seen.append(("captured", self.current))
        self._capturing = graph.works
        yield
        self._capturing = None

    def _event(self, enable_timing):
        event = SimpleNamespace(at=None, record=lambda: setattr(event, "at", self._tick()))
        event.elapsed_time = lambda other: 0.25 * (other.at - event.at)
        return event

    def _tick(self):
        self._events += 1
        return self._events

    def tensorrt(self, module, inputs, shapes):
        """A module `tensorrt` whose every engine is `module`; inputs by name, shapes {name: shape} of all tensors."""

        class Context:
            def __init__(context):
                context.address = {}

            def set_tensor_address(context, name, address):
                context.address[name] = address

            def execute_async_v3(context, stream):
                def work():
                    given = [self._buffers[context.address[name]] for name in inputs]
                    for name, output in zip([n for n in shapes if n not in inputs], module(*given)):
                        self._buffers[context.address[name]].copy_(output)

                (self._capturing.append if self._capturing is not None else lambda run: run())(work)
                return True

        # TensorRT names tensors in an order of its own
        names = sorted(shapes)
        engine = SimpleNamespace(
            num_io_tensors=len(names), get_tensor_name=names.__getitem__, get_tensor_shape=shapes.__getitem__,
            get_tensor_mode=lambda name: "in" if name in inputs else "out", create_execution_context=Context,
        )  # fmt: skip

        def deserialize(blob):
            self.seen.append(("loaded", self.current))
            return engine

        fake = ModuleType("tensorrt")
        fake.Logger = type("Logger", (), {"ERROR": 0, "__init__": lambda logger, level: None})
        fake.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=deserialize)
        fake.TensorIOMode = SimpleNamespace(INPUT="in")
        return fake


class Graph:
    """A captured graph: what was asked for meanwhile, done again by `replay`."""

    def __init__(self):
        self.works = []

    def replay(self):
        """Do it."""
        for work in self.works:
            work()
