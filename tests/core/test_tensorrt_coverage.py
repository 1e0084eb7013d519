"""Every graph that becomes a TensorRT engine converts whole, checked without a GPU.

Needs the RTX flavour of TensorRT beside the CPU build of PyTorch 2.13, in an environment of its own:
    pip install --no-deps torch-tensorrt-rtx==2.13.0 tensorrt_rtx==1.5.0.114 tensorrt_rtx_cu13==1.5.0.114 \
        tensorrt_rtx_cu13_libs==1.5.0.114 tensorrt_rtx_cu13_bindings==1.5.0.114 dllist psutil
    pytest -m tensorrt tests/core/test_tensorrt_coverage.py
Importing Torch-TensorRT asks for a GPU's properties and for a native runtime; the shim below answers for a GPU that is
not there. It converts and builds; it cannot run anything.
"""

import collections
import contextlib
import os
from importlib.util import find_spec

import pytest
import torch

from dp3d_core.backends.graphs import LOOKAHEADS, RollingStep, WindowPass, rolling_example, window_example
from dp3d_core.backends.tensorrt import export, serialized_engine, typed_graph
from dp3d_core.config import PRESETS
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model import Denoiser

pytestmark = [
    pytest.mark.tensorrt,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("torch_tensorrt") is None, reason="torch_tensorrt is not installed"),
]
BATCHES = (1, 2, 4, 8)
KINDS = [("rolling", lookahead) for lookahead in LOOKAHEADS] + [("window", 0)]
Properties = collections.namedtuple("Properties", "name major minor total_memory multi_processor_count")
STUB = Properties("stub", 8, 9, 24 << 30, 128)


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
def pretended_gpu():
    """Torch-TensorRT, imported where there is no GPU; what is patched in torch is put back."""
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():
            answers = {
                "get_device_capability": (8, 9), "get_device_properties": STUB, "current_device": 0,
                "get_device_name": "stub", "mem_get_info": (20 << 30, 24 << 30), "synchronize": None,
                "empty_cache": None,
            }  # fmt: skip
            for name, answer in answers.items():
                patch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
        if torch.version.cuda is None:
            if not hasattr(torch._C, "_CudaDeviceProperties"):
                patch.setattr(torch._C, "_CudaDeviceProperties", Properties, raising=False)
            is_file = os.path.isfile
            patch.setattr(os.path, "isfile", lambda path: "libtorchtrt" not in str(path) and is_file(path))
        import torch_tensorrt
        from torch_tensorrt.dynamo.conversion import _TRTInterpreter

        patch.setattr(os.path, "isfile", os.path.isfile if torch.version.cuda else is_file)
        if not torch.cuda.is_available():
            patch.setattr(_TRTInterpreter.trt, "Runtime", NoRuntime)
        yield torch_tensorrt


@pytest.fixture(scope="module")
def torch_tensorrt():
    with pretended_gpu() as module:
        yield module


@pytest.fixture(scope="module")
def denoisers():
    torch.manual_seed(0)
    return {
        name: Denoiser(PRESETS[name], len(ACTIONS)).eval().requires_grad_(False) for name in ("small", "base")
    }  # fmt: skip


def graph(denoiser, kind, lookahead, people, precision="float32"):
    module = typed_graph(denoiser, kind, precision)
    if kind == "rolling":
        return module, rolling_example(denoiser, people, lookahead + 1)
    return module, window_example(denoiser, people)


def assert_one_engine(torch_tensorrt, module, example):
    cut = torch_tensorrt.dynamo.compile(
        export(module, example), arg_inputs=tuple(example), dryrun=True, min_block_size=1
    )
    pieces = [name for name, _ in cut.named_children()]
    # one `_run_on_acc` is one engine; anything else would run in PyTorch
    assert len(pieces) == 1 and pieces[0].startswith("_run_on_acc"), pieces


@pytest.mark.parametrize("people", BATCHES)
@pytest.mark.parametrize(("kind", "lookahead"), KINDS)
def test_every_shipped_graph_is_one_engine(torch_tensorrt, denoisers, kind, lookahead, people):
    assert_one_engine(torch_tensorrt, *graph(denoisers["small"], kind, lookahead, people))


@pytest.mark.parametrize(("kind", "lookahead"), [("rolling", 0), ("rolling", 4), ("window", 0)])
def test_joint_tokens_throughout_are_one_engine(torch_tensorrt, denoisers, kind, lookahead):
    assert_one_engine(torch_tensorrt, *graph(denoisers["base"], kind, lookahead, 2))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_reduced_precision_is_one_engine(torch_tensorrt, denoisers, precision):
    assert_one_engine(torch_tensorrt, *graph(denoisers["small"], "rolling", 4, 2, precision))


def test_a_graph_that_draws_noise_is_caught(torch_tensorrt, denoisers):
    class Noisy(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, noisy, *rest):
            return self.inner(noisy + torch.randn_like(noisy), *rest)

    module, example = graph(denoisers["small"], "window", 0, 1)
    # what is left to PyTorch asks for the device that is not there
    with pytest.raises((AssertionError, RuntimeError)):
        assert_one_engine(torch_tensorrt, Noisy(module), example)


def test_an_engine_builds_ahead_of_time_and_names_its_inputs(torch_tensorrt, denoisers):
    module, example = graph(denoisers["small"], "rolling", 4, 2)
    blob = bytes(serialized_engine(module, example))
    assert len(blob) > 2 * sum(p.numel() for p in denoisers["small"].parameters())
    assert all(name.encode() in blob for name in RollingStep.inputs if name != "decay")


def test_the_window_graph_takes_the_inputs_it_names(denoisers):
    assert len(WindowPass.inputs) == len(window_example(denoisers["small"], 1))
