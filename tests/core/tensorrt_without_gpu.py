"""Torch-TensorRT imported where there is no GPU: it then converts and builds, and can run nothing.

Importing it asks for a GPU's properties and loads a native runtime that needs CUDA. Neither is needed to convert a
graph and to build its engine (its RTX flavour does both on the processor), so this answers for a GPU that is not there
and leaves the runtime out. Where there is a GPU nothing is changed. Knows nothing of dp3d.
"""

import collections
import contextlib
import os

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
