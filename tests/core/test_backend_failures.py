"""Whatever breaks in a backend is named, counted and served by the next one; the stream goes on."""

import logging
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from engines import arrays, echo, loaded, network

from dp3d_core import Lifter, backends
from dp3d_core.backends import available, cache, compiled, cpu, make_backend, tensorrt
from dp3d_core.backends.cache import EngineCache
from dp3d_core.backends.graphs import RollingStep
from dp3d_core.backends.served import Served
from dp3d_core.backends.shape import Shape
from dp3d_core.backends.tensorrt import TensorRTEngines
from dp3d_core.backends.tensorrt_engine import Engine
from dp3d_core.cli import run as dp3d


@pytest.fixture(scope="module")
def encoder():
    return network()


def test_a_missing_extra_is_said_and_the_next_serves(encoder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        backend = Served(
            loaded(encoder), [echo(name="first", reason="pip install first"), echo(name="second")], cache_dir=tmp_path
        )
    assert backend.name == "second" and backend.counters["backend_missing"] == 1
    assert "pip install first" in caplog.text and "pip install first" in backend.note


@pytest.mark.parametrize(
    ("name", "prepare", "says"),
    [
        ("cpu", lambda patch: patch.setattr(cpu, "find_spec", lambda _: None), "pip install openvino"),
        ("compile", lambda patch: patch.setattr(compiled.shutil, "which", lambda _: None), r"install g\+\+"),
        ("tensorrt", lambda patch: patch.setattr(tensorrt, "find_spec", lambda _: None), "pip install torch-tensorrt"),
        ("tensorrt", lambda patch: installed_tensorrt(patch, None, False), "without CUDA"),
        ("tensorrt", lambda patch: installed_tensorrt(patch, "13.0", False), "older than PyTorch's CUDA 13.0"),
        ("tensorrt", lambda patch: installed_tensorrt(patch, "13.0", True), "device='cuda'"),
    ],
)
def test_what_is_missing_is_named_counted_and_the_next_serves(
    encoder, tmp_path, monkeypatch, caplog, name, prepare, says
):
    prepare(monkeypatch)
    usable, missing = available()
    assert re.search(says, dict(missing)[name])
    with caplog.at_level(logging.WARNING):
        backend = make_backend(name, encoder, cache_dir=tmp_path)
    # on a CPU the CPU engine is before PyTorch
    following = "cpu" if "cpu" in usable else "eager"
    assert backend.name == following and backend.counters["backend_missing"] == 1
    assert re.search(says, backend.note) and re.search(says, caplog.text) and following in backend.note


@pytest.mark.parametrize(("name", "precision"), [("tensorrt", "float16"), ("compile", "float32"), ("cpu", "bfloat16")])
def test_on_a_cpu_the_cpu_engine_in_float32_is_before_eager(encoder, tmp_path, monkeypatch, caplog, name, precision):
    def build(self, *_):
        raise TypeError("no converter for aten.sideways")

    class Asked(echo(name=name, build=build)):
        def __init__(self, network, exported, *, threads, precision):
            self.step, made[:] = RollingStep(network.encoder), [*made, precision]
            # the CPU engine is the same class both times
            if len(made) > 1:
                self.build = lambda *_: (self.load(b"echo"), b"echo")

    made = []
    monkeypatch.setitem(backends._BUILDERS, "cpu", Asked)
    monkeypatch.setitem(backends._BUILDERS, name, Asked)
    backend = make_backend(name, encoder, precision=precision, cache_dir=tmp_path)
    with caplog.at_level(logging.WARNING):
        assert backend.prepare(1)
    assert made == [precision, "float32"] and backend.precision == "float32" and backend.counters["build_failed"] == 1
    assert f"{name} in {precision}: build failed" in caplog.text and "in float32" in backend.note


def test_the_cpu_engine_is_tried_once_in_one_precision(encoder, tmp_path, monkeypatch):
    def build(self, *_):
        raise TypeError("no converter for aten.sideways")

    monkeypatch.setitem(backends._BUILDERS, "cpu", echo(name="cpu", build=build))
    for precision, failures in (("float32", 1), ("bfloat16", 2)):
        backend = make_backend("cpu", encoder, precision=precision, cache_dir=tmp_path)
        assert not backend.prepare(1) and backend.counters["build_failed"] == failures
    monkeypatch.setitem(backends._BUILDERS, "cpu", echo(name="cpu", reason="not here"))
    assert make_backend("cpu", encoder, precision="bfloat16", cache_dir=tmp_path).counters["backend_missing"] == 1


def installed_tensorrt(patch, cuda, visible):
    """Torch-TensorRT is there, over a PyTorch of this CUDA, with a GPU visible or not."""
    patch.setattr(tensorrt, "find_spec", lambda _: object())
    patch.setattr(torch.version, "cuda", cuda)
    patch.setattr(torch.cuda, "is_available", lambda: visible)


class WithoutGpu(TensorRTEngines):
    """The real builder where everything seems to be there."""

    missing = staticmethod(lambda device: None)
    facts = staticmethod(lambda: "")


def test_libraries_of_another_cuda_are_named_and_the_next_serves(encoder, tmp_path, monkeypatch):
    package = tmp_path / "torch_tensorrt"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_tensorrt", raising=False)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    backend = Served(loaded(encoder), [WithoutGpu, echo(name="next")], cache_dir=tmp_path / "engines")
    assert backend.prepare(1)
    assert backend.name == "next" and backend.counters["build_failed"] == 1 and "libcudart.so.12" in backend.note


def test_an_engine_that_tensorrt_refuses_is_built_anew(encoder, tmp_path, monkeypatch):
    class Runtime:
        def __init__(self, _logger):
            pass

        def deserialize_cuda_engine(self, blob):
            return None

    fake = ModuleType("tensorrt")
    fake.Runtime, fake.Logger = Runtime, type("Logger", (), {"ERROR": 0, "__init__": lambda self, level: None})
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", ModuleType("torch_tensorrt"))
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    backend = Served(loaded(encoder), [WithoutGpu], cache_dir=tmp_path)
    backend._cache.store("engine", backend._facts(Shape(1, 1)), b"of another GPU")
    with pytest.raises(ValueError, match="another GPU or version"):
        Engine(b"of another GPU", "cpu")
    own = lambda self, *_: (echo()(loaded(encoder), None, threads=1, precision="").load(b"echo"), b"echo")  # noqa: E731
    monkeypatch.setattr(WithoutGpu, "build", own)
    assert backend.prepare(1)
    assert backend.name == "tensorrt" and backend.counters == {"cache_corrupt": 1, "cache_hit": 1}


def test_engines_of_another_gpu_cuda_or_version_are_not_found(encoder, tmp_path, monkeypatch):
    def starts(name="A", memory=24 << 30, cuda="13.0", found="tensorrt 11"):
        gpu = SimpleNamespace(name=name, major=8, minor=9, total_memory=memory)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(cache, "versions", lambda *_: found)
        builder = echo(facts=lambda self: TensorRTEngines(loaded(encoder), None).facts())
        assert Served(loaded(encoder), [builder], cache_dir=tmp_path).prepare(1)
        return "built" if builder.built else "found"

    assert [starts(), starts()] == ["built", "found"]
    others = [{"name": "B"}, {"memory": 16 << 30}, {"cuda": "12.8"}, {"found": "tensorrt 10"}]
    assert [starts(**other) for other in others] == ["built"] * len(others)


def test_a_wrong_engine_is_refused(encoder, tmp_path):
    backend = Served(loaded(encoder), [echo(name="wrong", wrong=0.5), echo(name="right")], cache_dir=tmp_path)
    assert backend.prepare(1)
    assert backend.name == "right" and backend.counters["parity_refused"] == 1 and "mm" in backend.note
    assert not Served(loaded(encoder), [echo(wrong=float("nan"))], cache_dir=tmp_path / "other").prepare(1)


def test_a_graph_that_does_not_build_goes_to_the_next(encoder, tmp_path):
    def build(self, *_):
        raise TypeError("no converter for aten.sideways")

    backend = Served(loaded(encoder), [echo(build=build)], cache_dir=tmp_path)
    assert not backend.prepare(1)
    assert backend.name == "eager" and backend.counters["build_failed"] == 1 and "sideways" in backend.note


def test_an_engine_that_breaks_while_running_costs_no_frame(encoder, tmp_path, caplog):
    # the check takes four streams through eleven frames
    backend = Served(loaded(encoder), [echo(fail_after=47), echo(name="never")], cache_dir=tmp_path)
    backend.prepare(1)
    inputs = arrays(encoder)
    expected = make_backend("eager", encoder).step(*inputs)[0]
    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            np.testing.assert_allclose(backend.step(*inputs)[0], expected, atol=1e-6)
    assert backend.name == "eager" and backend.counters["engine_failed"] == 1
    assert "device lost" in backend.note and "device lost" in caplog.text


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[::-1]])
def test_a_damaged_cache_file_is_built_anew(encoder, tmp_path, damage):
    Served(loaded(encoder), [echo()], cache_dir=tmp_path).prepare(1)
    (path,) = tmp_path.glob("*.engine")
    path.write_bytes(damage(path.read_bytes()))
    builder = echo()
    backend = Served(loaded(encoder), [builder], cache_dir=tmp_path)
    assert backend.prepare(1)
    assert backend.counters["cache_corrupt"] == 1 and builder.built == 1
    assert Served(loaded(encoder), [echo()], cache_dir=tmp_path).prepare(1)


def test_a_whole_file_that_does_not_load_is_built_anew(encoder, tmp_path):
    backend = Served(loaded(encoder), [echo()], cache_dir=tmp_path)
    backend._cache.store("engine", backend._facts(Shape(1, 1)), b"of another version")
    assert backend.prepare(1)
    assert backend.counters["cache_corrupt"] == 1 and backend.name == "echo"


def broken(self, blob):
    """Loads, and fails at the first run."""
    return lambda *_: (_ for _ in ()).throw(RuntimeError("illegal address"))


@pytest.mark.parametrize("change", [{"wrong": 0.5}, {"load": broken}])
def test_a_stored_engine_that_is_wrong_now_costs_no_frame(encoder, tmp_path, change):
    Served(loaded(encoder), [echo()], cache_dir=tmp_path).prepare(1)
    live = Served(loaded(encoder), [echo(**change)], cache_dir=tmp_path)
    inputs = arrays(encoder)
    np.testing.assert_allclose(live.step(*inputs)[0], make_backend("eager", encoder).step(*inputs)[0], atol=1e-6)
    assert live.name == "eager" and live.counters["cache_corrupt"] == 1
    builder = echo()
    assert Served(loaded(encoder), [builder], cache_dir=tmp_path).prepare(1) and builder.built == 1


def test_a_backend_that_steps_in_does_what_it_can(encoder, tmp_path):
    def only_float32(self, network, exported, *, threads, precision):
        if precision != "float32":
            raise ValueError(f"precision: only float32, got {precision!r}")
        self.step = RollingStep(network.encoder)

    second = echo(name="second", __init__=only_float32)
    backend = Served(loaded(encoder), [echo(reason="not here"), second], precision="float16", cache_dir=tmp_path)
    assert backend.prepare(1) and backend.name == "second" and "float32" in backend.note
    with pytest.raises(ValueError, match="only float32"):
        Served(loaded(encoder), [second], precision="float16", cache_dir=tmp_path)
    with pytest.raises(ValueError, match="bfloat16"):
        make_backend("auto", encoder, precision="int3", cache_dir=tmp_path)


def test_a_cache_file_that_cannot_be_read_is_built_again(encoder, tmp_path, caplog):
    backend = Served(loaded(encoder), [echo()], cache_dir=tmp_path)
    backend._cache._path("engine", backend._facts(Shape(1, 1))).mkdir()
    with caplog.at_level(logging.WARNING):
        assert backend.prepare(1)
    assert backend.counters["cache_unreadable"] == 1 and "cannot read" in caplog.text


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs Linux's /sys, which not even root can write to")
def test_a_read_only_cache_folder_costs_only_the_next_start(encoder, caplog):
    with caplog.at_level(logging.WARNING):
        backend = Served(loaded(encoder), [echo()], cache_dir="/sys/kernel/dp3d")
        assert backend.prepare(1)
    assert backend.name == "echo" and backend.counters["cache_not_written"] == 2
    assert "/sys/kernel/dp3d" in caplog.text


def test_a_cache_that_cannot_be_written_is_said_once(encoder, tmp_path, caplog):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with caplog.at_level(logging.WARNING):
        backend = Served(loaded(encoder), [echo()], cache_dir=in_the_way / "folder")
        assert backend.prepare(2)
    assert backend.name == "echo" and backend.counters["cache_not_written"] == 3
    assert caplog.text.count("cannot write") == 1


def test_no_space_leaves_no_half_file(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of a file's size are a matter of Unix")
    engines, limits = EngineCache(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        engines.store("engine", ["key"], b"blob" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert engines.counters["cache_not_written"] == 1 and not list(tmp_path.iterdir())


def test_compiling_ahead_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match="compile: weights"):
        dp3d("compile", ["--weights", "nothing", "--out", str(tmp_path)])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("options", [["--backend", "tensorrt"], ["--backend", "auto", "--device", "cuda"]])
def test_compiling_ahead_for_a_gpu_that_is_not_here_says_so(tmp_path, options):
    with pytest.raises(SystemExit, match=r"compile: device: .*'cuda' .*on the machine that has it"):
        dp3d("compile", ["--weights", "small", "--out", str(tmp_path), *options])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_loading_onto_a_gpu_that_is_not_here_says_so():
    with pytest.raises(ValueError, match="device: expected one that PyTorch can use here, got 'cuda'"):
        Lifter.load("small", device="cuda")
