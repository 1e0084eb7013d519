"""The CPU engine: OpenVINO, one intra-op thread by default.

The step is traced and converted once for all numbers of people (one second; `torch.export` takes thirteen), then
compiled for each number: with dynamic shapes a step takes half as long again. Compiling needs no PyTorch.
"""

import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dp3d_core.backends import cache
from dp3d_core.backends.exported import Exported
from dp3d_core.backends.shape import Shape, powers_of_two
from dp3d_core.backends.signature import input_shapes
from dp3d_core.checkpoint import Checkpoint

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
MOST_AT_ONCE = 8
"""People in one engine: sixteen in one pass take about as long as twice eight."""


class CpuEngines:
    """Builds OpenVINO engines of one network."""

    name = "cpu"
    storable = True

    def __init__(self, network: Checkpoint, exported: Exported, *, threads: int = 1, precision: str = "float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {list(PRECISIONS)} on the CPU, got {precision!r}")
        self._network, self._exported, self._core = network, exported, None
        self._options = {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision], "ENABLE_CPU_PINNING": False,
        }  # fmt: skip

    @staticmethod
    def missing(device: str) -> str | None:
        """Why it cannot run here, or None."""
        if find_spec("openvino") is None:
            return "openvino is not installed; pip install openvino"
        return None if device == "cpu" else f"the weights are on {device}"

    @staticmethod
    def facts() -> str:
        """What its engines depend on besides weights and shapes."""
        return cache.versions("openvino") + cache.machine()

    @staticmethod
    def sizes(people: int) -> tuple[int, ...]:
        """The numbers of people to build engines for: one and many, since each engine has a copy of the weights."""
        return (1,) if people <= 1 else (1, powers_of_two(min(people, MOST_AT_ONCE))[-1])

    def build(self, shape: Shape) -> tuple["Engine", bytes]:
        """An engine and its blob."""
        description, weights = self._exported.graph(shape.rows)
        model = self._openvino().read_model(description, weights)
        shapes = input_shapes(self._network.config, shape.people, shape.rows)
        model.reshape(dict(enumerate(map(list, shapes.values()))))
        compiled = self._openvino().compile_model(model, "CPU", self._options)
        blob = compiled.export_model().getvalue()
        # what was compiled keeps more in memory than what is loaded
        return self.load(bytearray(blob)), blob

    def load(self, blob: Any) -> "Engine":
        """An engine from its blob, which is read where it lies."""
        lying = quiet_openvino().Tensor(np.frombuffer(blob, np.uint8), shared_memory=True)
        return Engine(self._openvino().import_model(lying, "CPU", self._options), lying)

    def _openvino(self):
        if self._core is None:
            self._core = quiet_openvino().Core()
        return self._core


def converted(module: Any, example: Any) -> tuple[bytes, bytes]:
    """OpenVINO's description and weights of a PyTorch module for any number of people, traced with two."""
    import torch

    openvino = quiet_openvino()
    shapes = [openvino.PartialShape([-1, *tensor.shape[1:]]) for tensor in example]
    with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # of the tracer, about what does not change here
        model = openvino.convert_model(module, example_input=tuple(example), input=shapes)
        path = Path(folder) / "step.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def quiet_openvino() -> Any:
    """The module `openvino`, kept from reporting its use: it would send an event to Google from a forked process.

    A robot's node speaks DDS and nothing else, and one without internet would wait for that process when it ends.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # as if it were not installed: OpenVINO then has a stub
    import openvino

    return openvino


class Engine:
    """A compiled model as a function of NumPy arrays. Not for several threads at once.

    The large inputs (the cache of keys and values) are read where they lie; all outputs are the caller's own.
    """

    SHARED_BYTES = 1 << 16

    def __init__(self, compiled: Any, blob: Any):
        self._blob = blob
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

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
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
