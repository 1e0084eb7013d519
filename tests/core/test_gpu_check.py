"""The check of a GPU, rehearsed on the CPU by the same code; and what TensorRT's loading does that needs no GPU."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from engines import echo, loaded, network

from dp3d_core import gpu_check
from dp3d_core.backends import typed
from dp3d_core.backends.served import Served
from dp3d_core.backends.signature import INPUTS, OUTPUTS
from dp3d_core.backends.tensorrt_engine import tensor_names
from dp3d_core.bench import gpu
from dp3d_core.config import PRECISIONS, DenoiserConfig
from dp3d_core.model.motion_denoiser import MotionDenoiser


def denoiser():
    """A tiny one that answers something."""
    torch.manual_seed(0)
    made = MotionDenoiser(DenoiserConfig(width=16, layers=1, feature_width=8, actions=3)).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def check(tmp_path, **changes):
    options = {
        "device": "cpu",
        "minutes": 1.0,
        "networks": {"tiny": network()},
        "denoiser": denoiser(),
        "ways": ("eager",),
        "people": (1, 2),
    }
    options |= {"out": tmp_path / "check.json", "lookaheads": (0,)}
    return gpu_check.Check(**(options | changes)).run()


def test_it_proves_and_measures_and_writes_as_it_goes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu_check, "BATCH", 2)
    monkeypatch.setattr(gpu_check, "FRAMES", 6)
    report = check(tmp_path)
    assert report["refused"] == [] and report["not_reached"] == []
    assert report == json.loads((tmp_path / "check.json").read_text())
    # the step and the denoiser, each in three precisions
    assert len(report["parity"]) == 6 and all(report["parity"][index]["within_limit"] for index in (0, 3))
    assert {row["people"] for row in report["latency"]} == {1, 2}
    for row in report["latency"] + report["frames"] + report["samples"]:
        assert 0 < row["ms_p50"] <= row["ms_p99"] and row["gmac"] > 0
        assert row["times_limit"] == pytest.approx(row["ms_p50"] / row["limit_ms"])
    assert report["training"][0]["steps_per_s"] > 0
    assert [row["people"] for row in report["frames"]] == [1, 2] and len(report["samples"]) == 12
    table = (tmp_path / "check.txt").read_text()
    assert table == capsys.readouterr().out and "parity   tiny eager float16 lookahead 0: joints_mm" in table


def test_what_fails_is_said_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "BATCH", 2)
    report = check(tmp_path, ways=("cuda_graph", "eager"), people=())
    assert [what for what, _ in report["refused"]] == [
        f"parity {what}"
        for what in (
            *(f"tiny cuda_graph {precision} lookahead 0" for precision in PRECISIONS),
            *(f"denoiser cuda_graph {precision}" for precision in PRECISIONS),
        )
    ]
    assert len(report["parity"]) == 6 and report["not_reached"] == []


def test_what_does_not_fit_in_the_time_is_listed(tmp_path):
    report = check(tmp_path, minutes=0.0)
    assert report["parity"] == report["latency"] == report["training"] == []
    assert len(report["not_reached"]) == 25 and json.loads((tmp_path / "check.json").read_text()) == report


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_one_sentence_says_so():
    with pytest.raises(SystemExit, match=r"gpu_check: no GPU part: .*; --device cpu rehearses it"):
        gpu_check.main([])


@pytest.mark.gpu
@pytest.mark.skipif(gpu.reason_not() is not None, reason="needs a GPU")
def test_on_a_gpu_every_way_answers_like_eager(tmp_path):
    report = check(tmp_path, device="cuda", ways=("eager", "cuda_graph", "compile"), minutes=5.0)
    assert report["refused"] == [] and all(row["within_limit"] for row in report["parity"])


def test_torch_tensorrt_is_imported_before_tensorrt(tmp_path):
    """As with its RTX flavour, where the module `tensorrt` is there only once torch_tensorrt was imported."""
    (tmp_path / "torch_tensorrt.py").write_text("import sys, types; sys.modules['tensorrt'] = types.ModuleType('rtx')")
    code = "from dp3d_core.backends.tensorrt_engine import tensorrt_module; print(tensorrt_module().__name__)"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "rtx", done.stderr


def test_a_library_that_cannot_be_loaded_costs_no_stored_engine(tmp_path):
    def load(self, blob):
        raise ImportError("libnvinfer.so.11: cannot open shared object file")

    assert Served(loaded(network()), [echo()], cache_dir=tmp_path).prepare(1)
    backend = Served(loaded(network()), [echo(load=load)], cache_dir=tmp_path)
    assert not backend.prepare(1) and "libnvinfer" in backend.note and "cache_corrupt" not in backend.counters
    assert len(list(tmp_path.glob("*.engine"))) == 1


def engine(inputs, outputs, dtypes=None):
    """What TensorRT says of an engine."""
    names = sorted([*inputs, *outputs])
    return SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=names.__getitem__,
        get_tensor_mode=lambda name: "in" if name in inputs else "out",
        get_tensor_dtype=lambda name: (dtypes or {}).get(name, "float32"),
    )


def test_an_engine_of_other_names_or_types_is_refused():
    tensorrt = SimpleNamespace(TensorIOMode=SimpleNamespace(INPUT="in"), float32="float32")
    outputs = [f"output{index}" for index in range(len(OUTPUTS))]
    assert tensor_names(tensorrt, engine(INPUTS, outputs)) == (list(INPUTS), outputs)
    with pytest.raises(ValueError, match="expected inputs"):
        tensor_names(tensorrt, engine(INPUTS[:-1], outputs))
    with pytest.raises(ValueError, match="outputs"):
        tensor_names(tensorrt, engine(INPUTS, outputs[1:]))
    with pytest.raises(ValueError, match=r"expected float32 in and out, got \{'output1': 'half'\}"):
        tensor_names(tensorrt, engine(INPUTS, outputs, {"output1": "half"}))


@pytest.mark.parametrize("explicit", [True, False])
def test_strong_typing_is_asked_for_where_it_is_a_choice(monkeypatch, explicit):
    asked = {}

    def until_2_12(program, arg_inputs=None, *, use_explicit_typing=False, **options):
        asked.update(options, typing=use_explicit_typing)
        return b"engine"

    def from_2_13(program, arg_inputs=None, **options):
        asked.update(options)
        return b"engine"

    build = until_2_12 if explicit else from_2_13
    fake = SimpleNamespace(dynamo=SimpleNamespace(convert_exported_program_to_serialized_trt_engine=build))
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    monkeypatch.setattr(typed, "export", lambda module, example: None)
    assert typed.serialized_engine(None, []) == b"engine"
    assert ("typing" in asked) == explicit and asked.get("typing", True) and "use_explicit_typing" not in asked
