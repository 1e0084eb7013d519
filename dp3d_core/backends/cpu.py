"""The CPU engine: OpenVINO, one intra-op thread by default.

The step is traced and converted once for all numbers of people (one second; `torch.export` takes thirteen), then
compiled for each number: with dynamic shapes a step takes half as long again.
"""

import sys
import warnings
from importlib.util import find_spec

import numpy as np
import torch

from dp3d_core.backends import cache
from dp3d_core.model.denoiser import Denoiser

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class CpuEngines:
    """Builds OpenVINO engines of one denoiser."""

    name = "cpu"
    storable = True

    def __init__(self, denoiser: Denoiser, *, threads: int = 1, precision: str = "float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {list(PRECISIONS)} on the CPU, got {precision!r}")
        self._core = None
        self._options = {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision], "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        self._converted = {}

    @staticmethod
    def missing(device: torch.device) -> str | None:
        """Why it cannot run here, or None."""
        if find_spec("openvino") is None:
            return "openvino is not installed; pip install openvino"
        return None if device.type == "cpu" else f"the weights are on {device.type}"

    @staticmethod
    def facts() -> str:
        """What its engines depend on besides weights and shapes."""
        return cache.versions("openvino", "torch") + cache.machine()

    def build(self, shape, module, example):
        """An engine and its blob."""
        if shape.rows not in self._converted:
            self._converted[shape.rows] = _convert(module, example)
        model = self._converted[shape.rows].clone()
        model.reshape({index: list(tensor.shape) for index, tensor in enumerate(example)})
        compiled = self._openvino().compile_model(model, "CPU", self._options)
        return Engine(compiled), compiled.export_model().getvalue()

    def load(self, blob):
        """An engine from its blob."""
        return Engine(self._openvino().import_model(blob, "CPU", self._options))

    def _openvino(self):
        if self._core is None:
            self._core = quiet_openvino().Core()
        return self._core


def _convert(module, example):
    """OpenVINO's model of a module for any number of people, its other sizes as those of `example`."""
    openvino = quiet_openvino()
    # two people: a size of one would be taken for a constant
    pair = tuple(torch.cat([tensor[:1], tensor[:1]]) for tensor in example)
    shapes = [openvino.PartialShape([-1, *tensor.shape[1:]]) for tensor in pair]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about what does not change here
        return openvino.convert_model(module, example_input=pair, input=shapes)


def quiet_openvino():
    """The module `openvino`, kept from reporting its use: it would send an event to Google from a forked process.

    A robot's node speaks DDS and nothing else, and one without internet would wait for that process when it ends.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # as if it were not installed: OpenVINO then has a stub
    import openvino

    return openvino


class Engine:
    """A compiled model as a function of NumPy arrays. Not for several threads at once.

    The large inputs (the cache of keys and values) are read where they lie; all outputs are the caller's own.
    """

    SHARED_BYTES = 1 << 16

    def __init__(self, compiled):
        openvino = quiet_openvino()
        self._tensor, self._request = openvino.Tensor, compiled.create_infer_request()
        self._own, self._seen = [], []
        for index, port in enumerate(compiled.inputs):
            buffer = np.zeros(tuple(port.shape), np.float32)
            self._own.append(buffer if buffer.nbytes < self.SHARED_BYTES else None)
            self._seen.append(None)
            if self._own[-1] is not None:
                self._request.set_input_tensor(index, openvino.Tensor(buffer, True))
        self._shapes = [tuple(port.shape) for port in compiled.inputs]
        self._outputs = [self._request.get_output_tensor(index).data for index in range(len(compiled.outputs))]

    def __call__(self, *arrays):
        """See `dp3d_core.backends`."""
        for index, array in enumerate(arrays):
            if self._own[index] is not None:
                self._own[index][...] = array
                continue
            # the same memory as last time, as in a stream, needs no new tensor
            if array is not self._seen[index]:
                if array.shape != self._shapes[index]:
                    raise ValueError(f"input {index}: expected {self._shapes[index]}, got {array.shape}")
                lying = np.ascontiguousarray(array, np.float32)
                self._request.set_input_tensor(index, self._tensor(lying, True))
                # what had to be copied has to be copied again
                self._seen[index] = array if lying is array else None
        self._request.infer(share_outputs=True)
        return tuple(output.copy() for output in self._outputs)
