"""The gate without a GPU: every graph that ships becomes one TensorRT engine, with nothing left to PyTorch.

`make test-tensorrt` runs it, in an environment of its own that has the extra tensorrt-rtx. Whether the engines are
right and how fast they are, only a GPU can say.
"""

import inspect

import pytest
import torch
from tensorrt_without_gpu import imported_torch_tensorrt

from dp3d_core import checkpoint
from dp3d_core.backends.graphs import denoising_example, rolling_example
from dp3d_core.backends.signature import INPUTS
from dp3d_core.backends.typed import export, serialized_engine, typed_graph
from dp3d_core.config import LOOKAHEADS, PRECISIONS, PRESETS
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model.encoder import Encoder
from dp3d_core.model.hypotheses import DenoisingPasses

pytestmark = [pytest.mark.tensorrt, pytest.mark.timeout(600)]
SHIPPED = sorted(path.stem for path in checkpoint.locate("small").parent.glob("*.safetensors"))
REDUCED = [precision for precision in PRECISIONS if precision != "float32"]


@pytest.fixture(scope="module")
def torch_tensorrt():
    try:
        with imported_torch_tensorrt() as module:
            yield module
    except ImportError as error:
        pytest.fail(f"torch_tensorrt is not installed ({error}): make test-tensorrt")


@pytest.fixture(scope="module")
def network():
    """A function from the name of shipped weights, or else of a preset, to its encoder."""
    made = {}

    def find(name):
        if name not in made:
            torch.manual_seed(0)
            shipped = name in SHIPPED
            encoder = checkpoint.load(name).encoder if shipped else Encoder(PRESETS[name], len(ACTIONS))
            made[name] = encoder.eval().requires_grad_(False)
        return made[name]

    return find


def graph(encoder, lookahead, people, precision="float32"):
    """The module that an engine is made of, and its example inputs."""
    return typed_graph(encoder, precision), rolling_example(encoder, people, lookahead + 1)


def assert_one_engine(torch_tensorrt, module, example):
    """A dry run of the conversion; one `_run_on_acc` is one engine, anything else would run in PyTorch."""
    cut = torch_tensorrt.dynamo.compile(
        export(module, example), arg_inputs=tuple(example), dryrun=True, min_block_size=1
    )
    pieces = [name for name, _ in cut.named_children()]
    assert len(pieces) == 1 and pieces[0].startswith("_run_on_acc"), pieces


@pytest.mark.parametrize("people", (1, 2, 4, 8, 16))
@pytest.mark.parametrize("lookahead", LOOKAHEADS)
@pytest.mark.parametrize("weights", SHIPPED)
def test_every_shipped_graph_is_one_engine(torch_tensorrt, network, weights, lookahead, people):
    assert_one_engine(torch_tensorrt, *graph(network(weights), lookahead, people))


@pytest.mark.parametrize("precision", REDUCED)
@pytest.mark.parametrize("lookahead", LOOKAHEADS)
@pytest.mark.parametrize("weights", SHIPPED)
def test_reduced_precision_is_one_engine(torch_tensorrt, network, weights, lookahead, precision):
    assert_one_engine(torch_tensorrt, *graph(network(weights), lookahead, 2, precision))


@pytest.mark.parametrize("lookahead", LOOKAHEADS)
@pytest.mark.parametrize("preset", sorted(set(PRESETS) - set(SHIPPED)))
def test_every_preset_is_one_engine(torch_tensorrt, network, preset, lookahead):
    assert_one_engine(torch_tensorrt, *graph(network(preset), lookahead, 2))


@pytest.mark.parametrize(("steps", "hypotheses"), [(1, 1), (2, 4), (4, 8)])
@pytest.mark.parametrize("weights", SHIPPED)
def test_all_passes_of_the_denoiser_are_one_engine(torch_tensorrt, weights, steps, hypotheses):
    denoiser = checkpoint.load(weights).motion_denoiser
    passes = DenoisingPasses(denoiser, steps).eval()
    assert_one_engine(torch_tensorrt, passes, denoising_example(denoiser, 2, hypotheses))


def test_a_graph_that_draws_noise_is_caught(torch_tensorrt, network):
    class Noisy(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, seen, *rest):
            return self.inner(seen + torch.randn_like(seen), *rest)

    module, example = graph(network("small"), 0, 1)
    # what is left to PyTorch asks for the device that is not there
    with pytest.raises((AssertionError, RuntimeError)):
        assert_one_engine(torch_tensorrt, Noisy(module), example)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("weights", SHIPPED)
def test_an_engine_builds_ahead_of_time_and_names_its_inputs(torch_tensorrt, network, weights, precision):
    module, example = graph(network(weights), 4, 2, precision)
    blob = serialized_engine(module, example)
    # two bytes at least of each weight
    assert len(blob) > 2 * sum(p.numel() for p in network(weights).parameters())
    assert all(name.encode() in blob for name in INPUTS if name != "decay")


TYPED_BY_OPTION = "use_explicit_typing"
BUILD_TAKES = {
    # read in the wheels of torch-tensorrt, and of torch-tensorrt-rtx from 2.13 on
    **{(2, minor): {TYPED_BY_OPTION, "enabled_precisions"} for minor in range(6, 13)},
    (2, 13): set(),  # every engine is strongly typed, and neither option is there any more
    (2, 14): set(),
}
"""{version: what convert_exported_program_to_serialized_trt_engine takes beside ALWAYS}; none swallows unknown options
unseen: all have **kwargs, so what is passed must be in its signature."""
ALWAYS = {"arg_inputs", "require_full_compilation", "min_block_size", "disable_tf32"}


def test_the_installed_version_takes_what_is_passed(torch_tensorrt):
    taken = set(inspect.signature(torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine).parameters)
    number = tuple(map(int, torch_tensorrt.__version__.split("+")[0].split(".")[:2]))
    expected = BUILD_TAKES[min(max(number, min(BUILD_TAKES)), max(BUILD_TAKES))]
    assert taken >= ALWAYS | expected, "what is passed would be swallowed"
    assert (TYPED_BY_OPTION in taken) == (TYPED_BY_OPTION in expected)
