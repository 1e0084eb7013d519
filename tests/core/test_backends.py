"""Every backend answers like eager, and whatever breaks is named, counted and served by the next one."""

import logging
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from dp3d_core import compile as compile_ahead
from dp3d_core.backends import BACKENDS, available, make_backend
from dp3d_core.backends.cache import EngineCache
from dp3d_core.backends.folded import FoldedStep, can_fold
from dp3d_core.backends.graphs import RollingStep, fitting_batch, rolling_example, window_example
from dp3d_core.backends.served import Served, Shape, widen
from dp3d_core.backends.tensorrt import TensorRTEngines, reduce_precision
from dp3d_core.config import PRESETS, ModelConfig
from dp3d_core.model import Denoiser

TINY = ModelConfig(window_frames=6, joint_width=16, joint_layers=1, frame_width=32, frame_layers=2, heads=4,
                   joint_heads=2, condition_width=16, prompt_width=16)  # fmt: skip
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


def network(config=TINY, seed=0):
    """A denoiser whose zero-initialised parts are not zero: else folding them wrongly would not show."""
    torch.manual_seed(seed)
    denoiser = Denoiser(config, 5).eval().requires_grad_(False)
    for parameter in denoiser.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    return denoiser


def arrays(denoiser, people=1, rows=1, filled=True):
    inputs = [tensor.numpy() for tensor in rolling_example(denoiser, people, rows)]
    if not filled:
        inputs[6][:, :3] = 0
    return inputs


class Echo:
    """A builder whose engines are eager PyTorch; `wrong` shifts them, `fail_after` breaks them."""

    name, storable, reason, wrong, fail_after, built = "echo", True, None, 0.0, None, 0

    def __init__(self, denoiser, *, threads, precision):
        self.step = RollingStep(denoiser)

    @classmethod
    def missing(cls, denoiser):
        return cls.reason

    @classmethod
    def facts(cls):
        return cls.name

    def build(self, shape, module, example):
        type(self).built += 1
        return self.load(b"echo"), b"echo"

    def load(self, blob):
        if blob != b"echo":
            raise ValueError("not an echo")
        calls = []

        def engine(*inputs):
            calls.append(1)
            if self.fail_after is not None and len(calls) > self.fail_after:
                raise RuntimeError("device lost")
            with torch.inference_mode():
                outputs = [output.numpy() for output in self.step(*map(torch.from_numpy, inputs))]
            return (outputs[0] + self.wrong, *outputs[1:])

        return engine


def echo(**options):
    return type("Echo", (Echo,), {"built": 0, **options})


@pytest.fixture(scope="module")
def denoiser():
    return network()


@pytest.fixture(scope="module")
def engines(denoiser, tmp_path_factory):
    """A folder with CPU engines for up to four people and three rows: converting takes seconds, loading does not."""
    folder = tmp_path_factory.mktemp("engines")
    backend = make_backend("cpu", denoiser, cache_dir=folder)
    assert backend.prepare(3, 3), backend.note
    assert backend.counters == {"cache_miss": 3}
    return folder


@pytest.mark.parametrize("rows", [1, 3, 5])
@pytest.mark.parametrize("config", [TINY, replace(TINY, log_variance=False), replace(TINY, affinity=False)])
def test_folding_changes_nothing(config, rows):
    denoiser = network(config)
    inputs = [torch.from_numpy(array) for array in arrays(denoiser, 3, rows, filled=False)]
    with torch.no_grad():
        expected, found = RollingStep(denoiser)(*inputs), FoldedStep(denoiser)(*inputs)
    for left, right in zip(expected, found, strict=True):
        assert torch.allclose(left, right, atol=2e-5, rtol=1e-4)


def test_only_frame_tokens_with_prompts_fold():
    assert can_fold(PRESETS["small"])
    assert not can_fold(PRESETS["base"])
    with pytest.raises(ValueError, match="frame tokens"):
        FoldedStep(network(replace(TINY, action_prompts=False)))


def test_unknown_backend_lists_the_known(denoiser):
    with pytest.raises(ValueError, match="auto"):
        make_backend("fastest", denoiser)
    usable, missing = available()
    assert {"auto", *usable, *(name for name, _ in missing)} == set(BACKENDS)
    assert all(why for _, why in missing)


@needs_openvino
def test_cpu_engine_equals_eager_for_any_number_of_people(denoiser, engines):
    backend, eager = make_backend("cpu", denoiser, cache_dir=engines), make_backend("eager", denoiser)
    for people in (1, 2, 3, 4):
        inputs = arrays(denoiser, people, 3, filled=False)
        for found, expected in zip(backend.step(*inputs), eager.step(*inputs), strict=True):
            assert found.shape == expected.shape and found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, atol=1e-4)
    assert backend.name == "cpu" and eager.name == "eager"
    assert backend.counters == {"cache_hit": 3} and max(backend.parity_mm.values()) < 0.1


@needs_openvino
def test_engines_of_other_weights_are_not_taken(denoiser, engines):
    other = make_backend("auto", network(seed=1), cache_dir=engines)
    other.step(*arrays(denoiser, 3, 3))
    assert other.name == "eager" and other.counters["cache_hit"] == 0


@needs_openvino
def test_cpu_outputs_are_the_callers_own(denoiser, engines):
    backend = make_backend("auto", denoiser, cache_dir=engines)
    inputs = arrays(denoiser, 1, 3)
    first = backend.step(*inputs)
    kept = [output.copy() for output in first]
    inputs[1][:] += 0.3
    inputs[4][:] = 0
    second = backend.step(*inputs)
    for output, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, copy)
    np.testing.assert_allclose(second[0], make_backend("eager", denoiser).step(*inputs)[0], atol=1e-4)
    assert backend.name == "cpu"


@needs_openvino
def test_cpu_window_equals_eager(denoiser, tmp_path):
    backend = make_backend("cpu", denoiser, cache_dir=tmp_path)
    assert backend.prepare(2, TINY.window_frames, "window")
    inputs = [tensor.numpy() for tensor in window_example(denoiser, 2)]
    found, expected = backend.window(*inputs), make_backend("eager", denoiser).window(*inputs)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    assert backend.name == "cpu"


@needs_openvino
def test_unknown_precision_names_the_known(denoiser, tmp_path):
    with pytest.raises(ValueError, match="bfloat16"):
        make_backend("cpu", denoiser, precision="int3", cache_dir=tmp_path)


def test_nothing_is_built_while_streaming(denoiser, tmp_path):
    builder = echo()
    backend = Served(denoiser, [builder], cache_dir=tmp_path)
    backend.step(*arrays(denoiser))
    assert builder.built == 0 and backend.name == "eager" and backend.counters["unprepared"] == 1
    assert "warm up" in backend.note
    backend.prepare(2)
    assert builder.built == 2
    backend.step(*arrays(denoiser, 2))
    assert backend.name == "echo"


def test_a_larger_engine_serves_fewer_people(denoiser, tmp_path):
    backend = Served(denoiser, [echo(storable=False)], cache_dir=tmp_path)
    backend.prepare(4)
    del backend._engines[Shape("rolling", 1, 1)]
    assert backend.step(*arrays(denoiser))[0].shape[0] == 1
    assert backend.name == "echo"


def test_a_missing_extra_is_said_and_the_next_serves(denoiser, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        backend = Served(denoiser, [echo(name="first", reason="pip install first"), echo(name="second")],
                         cache_dir=tmp_path)  # fmt: skip
    assert backend.name == "second" and backend.counters["backend_missing"] == 1
    assert "pip install first" in caplog.text and "pip install first" in backend.note


def test_tensorrt_without_a_gpu_says_why(denoiser, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert TensorRTEngines.missing(denoiser)
    backend = make_backend("tensorrt", denoiser, cache_dir=tmp_path)
    assert backend.name == "eager" and backend.counters["backend_missing"] == 1
    backend.step(*arrays(denoiser))


def test_a_wrong_engine_is_refused(denoiser, tmp_path):
    backend = Served(denoiser, [echo(name="wrong", wrong=0.5), echo(name="right")], cache_dir=tmp_path)
    assert backend.prepare(1)
    assert backend.name == "right" and backend.counters["parity_refused"] == 1 and "mm" in backend.note
    assert not Served(denoiser, [echo(wrong=float("nan"))], cache_dir=tmp_path / "other").prepare(1)


def test_a_graph_that_does_not_build_goes_to_the_next(denoiser, tmp_path):
    def build(self, *_):
        raise TypeError("no converter for aten.sideways")

    backend = Served(denoiser, [echo(build=build)], cache_dir=tmp_path)
    assert not backend.prepare(1)
    assert backend.name == "eager" and backend.counters["build_failed"] == 1 and "sideways" in backend.note


def test_an_engine_that_breaks_while_running_costs_no_frame(denoiser, tmp_path, caplog):
    backend = Served(denoiser, [echo(fail_after=5), echo(name="never")], cache_dir=tmp_path)
    backend.prepare(2)
    inputs = arrays(denoiser, 2)
    expected = make_backend("eager", denoiser).step(*inputs)[0]
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            np.testing.assert_allclose(backend.step(*inputs)[0], expected, atol=1e-6)
    assert backend.name == "eager" and backend.counters["engine_failed"] == 1
    assert "device lost" in backend.note and "device lost" in caplog.text


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[::-1]])
def test_a_damaged_cache_file_is_built_anew(denoiser, tmp_path, damage):
    Served(denoiser, [echo()], cache_dir=tmp_path).prepare(1)
    (path,) = tmp_path.glob("*.engine")
    path.write_bytes(damage(path.read_bytes()))
    builder = echo()
    backend = Served(denoiser, [builder], cache_dir=tmp_path)
    assert backend.prepare(1)
    assert backend.counters["cache_corrupt"] == 1 and builder.built == 1
    assert Served(denoiser, [echo()], cache_dir=tmp_path).prepare(1)


def test_a_whole_file_that_does_not_load_is_built_anew(denoiser, tmp_path):
    backend = Served(denoiser, [echo()], cache_dir=tmp_path)
    backend._cache.store(backend._facts(Shape("rolling", 1, 1)), b"of another version")
    assert backend.prepare(1)
    assert backend.counters["cache_corrupt"] == 1 and backend.name == "echo"


def test_a_cache_that_cannot_be_written_is_said_once(denoiser, tmp_path, caplog):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with caplog.at_level(logging.WARNING):
        backend = Served(denoiser, [echo()], cache_dir=in_the_way / "folder")
        assert backend.prepare(2)
    assert backend.name == "echo" and backend.counters["cache_not_written"] == 2
    assert caplog.text.count("cannot write") == 1


def test_no_space_leaves_no_half_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache = EngineCache(tmp_path)
    monkeypatch.setattr("dp3d_core.backends.cache.os.replace", full)
    cache.store(["key"], b"blob")
    assert cache.counters["cache_not_written"] == 1 and not list(tmp_path.iterdir())


def test_sizes_and_filling_up():
    assert [fitting_batch(people) for people in (1, 2, 3, 5, 16, 17, 33)] == [1, 2, 4, 8, 16, 32, 64]
    whole = np.arange(32, dtype=np.float32).reshape(8, 4).copy()
    assert np.shares_memory(widen(whole[:3], 4), whole)
    assert not np.shares_memory(widen(whole[1:4], 4), whole)
    alone = widen(np.ones((3, 4), np.float32), 4)
    assert alone.shape == (4, 4) and (alone[:3] == 1).all() and np.isfinite(alone).all()


def test_reduced_products_keep_heads_in_float32(denoiser):
    reduced = reduce_precision(denoiser, "bfloat16")
    types = {name: value.dtype for name, value in reduced.state_dict().items()}
    assert types["pose_head.weight"] == types["temporal.0.norm.weight"] == torch.float32
    assert types["temporal.0.qkv.weight"] == types["to_frame.weight"] == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in denoiser.parameters())
    inputs = [torch.from_numpy(array) for array in arrays(denoiser, 2, 3)]
    with torch.no_grad():
        difference = RollingStep(reduced)(*inputs)[0] - RollingStep(denoiser)(*inputs)[0]
    assert difference.norm(dim=-1).mean() * TINY.pose_scale_m < 5e-3


@needs_openvino
def test_reduced_precision_built_ahead_serves_within_a_millimetre(denoiser, tmp_path, capsys):
    from dp3d_core import Lifter, checkpoint

    weights, folder = tmp_path / "tiny.safetensors", tmp_path / "engines"
    checkpoint.save(weights, denoiser, actions=[str(index) for index in range(5)])
    options = ["--people", "2", "--lookaheads", "2", "--precision", "bfloat16"]
    try:
        compile_ahead.main(["--weights", str(weights), "--out", str(folder), *options])
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


def test_compiling_ahead_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match="compile: weights"):
        compile_ahead.main(["--weights", "nothing", "--out", str(tmp_path)])
