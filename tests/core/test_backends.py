"""Every backend answers like eager, and nothing is built while a stream runs."""

import inspect
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from engines import arrays, echo, loaded, network
from helpers import by_joint_config, tiny_config

from dp3d_core.backends import BACKENDS, available, make_backend
from dp3d_core.backends.cpu import quiet_openvino
from dp3d_core.backends.graphs import RollingStep, rolling_example
from dp3d_core.backends.pieces import Pieces, cut, widen
from dp3d_core.backends.served import Served
from dp3d_core.backends.shape import Shape
from dp3d_core.backends.signature import INPUTS, OUTPUTS, input_shapes
from dp3d_core.backends.typed import reduce_precision
from dp3d_core.cli import run as dp3d
from dp3d_core.data.actions import ACTIONS

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


@pytest.fixture(scope="module")
def encoder():
    return network()


@pytest.fixture(scope="module")
def engines(encoder, tmp_path_factory):
    """A folder with CPU engines for up to four people and three rows: converting takes seconds, loading does not."""
    folder = tmp_path_factory.mktemp("engines")
    backend = make_backend("cpu", encoder, cache_dir=folder)
    assert backend.prepare(3, 3), backend.note
    assert backend.counters == {"cache_miss": 2}
    return folder


def test_unknown_backend_lists_the_known(encoder):
    with pytest.raises(ValueError, match="auto"):
        make_backend("fastest", encoder)
    usable, missing = available()
    assert {"auto", *usable, *(name for name, _ in missing)} == set(BACKENDS)
    assert all(why for _, why in missing)


@needs_openvino
def test_cpu_engine_equals_eager_for_any_number_of_people(encoder, engines):
    backend, eager = make_backend("cpu", encoder, cache_dir=engines), make_backend("eager", encoder)
    backend.prepare(3, 3)
    for people in (1, 2, 3, 4, 7):
        inputs = arrays(encoder, people, 3, filled=False)
        for found, expected in zip(backend.step(*inputs), eager.step(*inputs), strict=True):
            assert found.shape == expected.shape and found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, atol=1e-4)
    assert backend.name == "cpu" and eager.name == "eager"
    assert backend.counters == {"cache_hit": 2} and max(backend.parity_mm.values()) < 0.1


@needs_openvino
def test_openvino_reports_nothing_to_anybody(encoder, engines):
    """A fixture has built engines by now: that is when it would have."""
    assert sys.modules["openvino"] is quiet_openvino()
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]


@needs_openvino
def test_engines_of_other_weights_are_not_taken(encoder, engines):
    other = make_backend("auto", network(seed=1), cache_dir=engines)
    other.step(*arrays(encoder, 3, 3))
    assert other.name == "eager" and other.counters["cache_hit"] == 0


@needs_openvino
def test_cpu_outputs_are_the_callers_own(encoder, engines):
    backend = make_backend("auto", encoder, cache_dir=engines)
    inputs = arrays(encoder, 1, 3)
    first = backend.step(*inputs)
    kept = [output.copy() for output in first]
    inputs[1][:] += 0.3
    inputs[4][:] = 0
    second = backend.step(*inputs)
    for output, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, copy)
    np.testing.assert_allclose(second[0], make_backend("eager", encoder).step(*inputs)[0], atol=1e-4)
    assert backend.name == "cpu"


@needs_openvino
@pytest.mark.parametrize("changes", [{"log_variance": False}, {"action_prompts": False}, {"affinity": False}])
def test_a_network_without_a_part_converts_too(tmp_path, changes):
    backend = make_backend("cpu", network(tiny_config(**changes)), cache_dir=tmp_path)
    assert backend.prepare(1), backend.note


@needs_openvino
def test_joint_tokens_convert_too(tmp_path):
    backend = make_backend("cpu", network(by_joint_config()), cache_dir=tmp_path)
    assert backend.prepare(2, 3), backend.note


@needs_openvino
def test_unknown_precision_names_the_known(encoder, tmp_path):
    with pytest.raises(ValueError, match="bfloat16"):
        make_backend("cpu", encoder, precision="int3", cache_dir=tmp_path)


def test_nothing_is_built_while_streaming(encoder, tmp_path):
    builder = echo()
    backend = Served(loaded(encoder), [builder], cache_dir=tmp_path)
    backend.step(*arrays(encoder))
    assert builder.built == 0 and backend.name == "eager" and backend.counters["unprepared"] == 1
    assert "warm up" in backend.note
    backend.prepare(2)
    assert builder.built == 2
    backend.step(*arrays(encoder, 2))
    assert backend.name == "echo"


def test_a_larger_engine_serves_fewer_people(encoder, tmp_path):
    backend = Served(loaded(encoder), [echo(storable=False)], cache_dir=tmp_path)
    backend.prepare(4)
    del backend._engines[Shape(1, 1)]
    assert backend.step(*arrays(encoder))[0].shape[0] == 1
    assert backend.name == "echo"


def test_the_first_engine_serves_everybody_until_others_are_ready(encoder, tmp_path):
    backend, served = Served(loaded(encoder), [echo()], cache_dir=tmp_path), []
    inputs = arrays(encoder, 3)

    def progress(text):
        if backend._engines:
            found, expected = backend.step(*inputs), make_backend("eager", encoder).step(*inputs)
            np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
            served.append(backend.name)

    backend.prepare(4, 1, progress)
    assert served == ["echo", "echo"]


@pytest.mark.parametrize("people", range(1, 18))
def test_pieces_take_everybody_once(people):
    for sizes in ([1, 8], [1], [4], [1, 2, 4, 8, 16]):
        parts = cut(people, sizes)
        assert [start for start, *_ in parts] == [0, *(stop for _, stop, _ in parts[:-1])] and parts[-1][1] == people
        assert all(stop - start <= size for start, stop, size in parts) and {size for *_, size in parts} <= {*sizes}
    assert cut(people, [1, 2, 4, 8, 16, 32])[0][2] >= people / 2


def test_pieces_are_put_together_again():
    memory = np.arange(80, dtype=np.float32).reshape(20, 4).copy()
    seen = []

    def engine(array):
        seen.append(array)
        return (2 * array,)

    pieces = Pieces({1: engine, 8: engine}, 9)
    people = memory[3:12]
    for _ in range(2):
        (found,) = pieces([people])
        np.testing.assert_array_equal(found, 2 * people)
    # the same objects for the same memory: an engine then reads where it read before
    assert [len(array) for array in seen] == [8, 1, 8, 1] and seen[0] is seen[2] and seen[1] is seen[3]


def test_filling_up_reads_on_in_a_larger_array():
    whole = np.arange(32, dtype=np.float32).reshape(8, 4).copy()
    for part, filled_up in ((whole[:3], whole[:4]), (whole[2:5], whole[2:6])):
        np.testing.assert_array_equal(widen(part, 4), filled_up)
        assert np.shares_memory(widen(part, 4), whole)
    beyond_the_end = widen(whole[5:], 4)
    assert not np.shares_memory(beyond_the_end, whole) and (beyond_the_end[:3] == whole[5:]).all()
    alone = widen(np.ones((3, 4), np.float32), 4)
    assert alone.shape == (4, 4) and (alone[:3] == 1).all() and np.isfinite(alone).all()


def test_reduced_products_keep_heads_in_float32(encoder):
    reduced = reduce_precision(encoder, "bfloat16")
    types = {name: value.dtype for name, value in reduced.state_dict().items()}
    assert types["pose_head.weight"] == types["temporal.0.norm.weight"] == torch.float32
    assert types["temporal.0.qkv.weight"] == types["to_frame.weight"] == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in encoder.parameters())
    inputs = [torch.from_numpy(array) for array in arrays(encoder, 2, 3)]
    with torch.no_grad():
        difference = RollingStep(reduced)(*inputs)[0] - RollingStep(encoder)(*inputs)[0]
    assert difference.norm(dim=-1).mean() * encoder.config.pose_scale_m < 5e-3


@needs_openvino
def test_reduced_precision_built_ahead_serves_within_a_millimetre(encoder, tmp_path, capsys):
    from dp3d_core import Lifter, checkpoint

    weights, folder = tmp_path / "tiny.safetensors", tmp_path / "engines"
    checkpoint.save(weights, encoder, actions=tuple(ACTIONS))
    options = ["--people", "2", "--lookaheads", "2", "--precision", "bfloat16"]
    try:
        dp3d("compile", ["--weights", str(weights), "--out", str(folder), *options])
    except SystemExit as refused:
        # processors without bfloat16 arithmetic, or a network that does not bear it
        assert "parity" in str(refused)
        return
    assert "2 cpu engines" in capsys.readouterr().out and len(list(folder.glob("*.engine"))) == 2
    lifter = Lifter.load(weights, cache_dir=folder, precision="bfloat16")
    lifter.warm_up(people=2, lookahead=2)
    assert lifter.backend_name == "cpu"
    assert lifter._backend.counters == {"cache_hit": 2}
    assert max(lifter._backend.parity_mm.values()) < 1


@pytest.mark.parametrize("config", [tiny_config(), by_joint_config()])
def test_the_signature_names_what_the_step_takes_and_gives(config):
    encoder = network(config)
    example = rolling_example(encoder, 2, 3)
    assert {name: tuple(t.shape) for name, t in zip(INPUTS, example, strict=True)} == input_shapes(config, 2, 3)
    assert tuple(inspect.signature(RollingStep.forward).parameters)[1:] == INPUTS
    assert len(RollingStep(encoder)(*example)) == len(OUTPUTS)
