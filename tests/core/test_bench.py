"""The bench runs, its rows are whole, and its limits and ratios are what they say."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from helpers import tiny_config

from dp3d_core import bench, checkpoint
from dp3d_core.backends.graphs import RollingStep, rolling_example
from dp3d_core.bench import cases, gpu, limits, start
from dp3d_core.bench.clock import Times, contention, interleave, pace
from dp3d_core.bench.report import table
from dp3d_core.cli import run as dp3d
from dp3d_core.model.encoder import Encoder

TINY = tiny_config()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Path of tiny weights; MixSTE's network tiny too, no waiting for 30 frames a second, no engines at start."""
    monkeypatch.setattr(cases, "MIXSTE_243", TINY)
    monkeypatch.setattr("dp3d_core.bench.clock.pace", lambda call: pace(call, period_s=0.001, calls=8))
    measure = start.measure
    monkeypatch.setattr(start, "STARTS", 1)
    monkeypatch.setattr(start, "measure", lambda *given, **options: measure(*given, **options, backend="eager"))
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, Encoder(TINY, 14).eval(), actions=[str(index) for index in range(14)])
    return path


def test_command_line_writes_rows_with_all_columns_and_a_plot(tiny, tmp_path, capsys):
    report_path, plot_path = tmp_path / "bench.json", tmp_path / "bench.png"
    options = ["--backends", "eager", "--people", "1", "--weights", str(tiny), "--gpu", "--cache", str(tmp_path)]
    try:
        import matplotlib  # noqa: F401

        options += ["--plot", str(plot_path)]
    except ImportError:
        plot_path = None
    dp3d("bench", [*options, "--json", str(report_path)])
    report = json.loads(report_path.read_text())
    modes = {row["mode"] for row in report["rows"]}
    assert modes == {"rolling", "recompute", "mixste243"}
    for row in report["rows"]:
        assert tuple(row)[: len(bench.COLUMNS)] == bench.COLUMNS
        assert 0 < row["ms_min"] <= row["ms_p50"] <= row["ms_p99"] and row["gmac"] > 0 and row["limit_ms"] > 0
        assert row["times_limit"] == pytest.approx(row["ms_p50"] / row["limit_ms"])
    assert {(row["people"], row["lookahead"]) for row in report["push"]} == {(1, 0), (1, 4)}
    assert all(0 < row["parts_ms"]["network step"] < row["ms_p99"] for row in report["push"])
    assert [row["people"] for row in report["start"]] == [1]
    assert all(0 < sum(row["parts_s"].values()) < row["seconds"] for row in report["start"])
    assert 0 <= report["contention"] <= 1 and report["machine"]["cores"] >= 1
    if gpu.reason_not() is not None:
        assert report["gpu"] == [] and report["gpu_note"] == gpu.reason_not()
    text = capsys.readouterr().out
    assert "x less than recomputing" in text and report["gpu_note"] in text
    assert plot_path is None or plot_path.stat().st_size > 1000


def test_a_backend_that_cannot_run_is_listed_as_not_run(tiny, monkeypatch):
    monkeypatch.setattr("dp3d_core.backends.available", lambda: (["eager"], [("cpu", "no openvino")]))
    monkeypatch.setattr(
        start, "measure", lambda *_, **__: start.once([sys.executable, "-c", "raise OSError('no room')"])
    )
    report = bench.run(backends=("eager", "cpu"), people=(1,), weights={"small": tiny}, progress=False)
    assert ("start small people 1", "start: OSError: no room") in report["refused"]
    assert ("cpu", "no openvino") in report["refused"]
    assert "not run: cpu: no openvino" in table(report)


def test_full_plan_has_every_combination():
    full = cases.plan(backends=["eager", "cpu"], presets=["small"], people=(1, 4, 8, 16), full=True, threads=1)
    rolling = {(c.backend, c.people, c.lookahead) for c in full if c.mode == "rolling"}
    assert rolling == {(b, p, look) for b in ("eager", "cpu") for p in (1, 4, 8, 16) for look in (0, 2, 4)}
    assert len(set(full)) == len(full)


def test_multiply_accumulates_of_a_product_are_exact():
    layer = torch.nn.Linear(30, 20)
    inputs = (torch.zeros(7, 30),)
    assert limits.multiply_accumulates(layer, inputs) == 7 * 30 * 20
    assert limits.linear_shapes(layer, inputs) == [(7, 30, 20)]


def test_products_are_most_of_the_work():
    encoder = Encoder(TINY, 5).eval()
    module, inputs = RollingStep(encoder), rolling_example(encoder, 2, 3)
    products = sum(m * k * n for m, k, n in limits.linear_shapes(module, inputs))
    assert 0.5 < products / limits.multiply_accumulates(module, inputs) <= 1


def test_the_limit_is_the_slower_of_arithmetic_and_memory():
    assert limits.limit_ms(mac=5e8, gflops=100, weight_bytes=1e6, gb_s=10) == pytest.approx(10)
    assert limits.limit_ms(mac=5e5, gflops=100, weight_bytes=1e8, gb_s=10) == pytest.approx(10)
    assert limits.gemm_gflops([(8, 64, 64)], seconds=0.01) > 0
    assert limits.bandwidth_gb_s(1 << 20, seconds=0.01) > 0


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_the_limit_is_of_the_faster_library(monkeypatch):
    outputs = limits.openvino_products([(3, 8, 5), (1, 8, 4)])().to_tuple()
    assert [output.shape for output in outputs] == [(3, 5), (1, 4)] and all(np.isfinite(o).all() for o in outputs)
    took_s = iter([4e-6, 3e-6, 2e-6, 4e-6, 3e-6])
    monkeypatch.setattr(limits, "fastest_s", lambda *_: next(took_s))
    assert limits.gemm_gflops([(10, 10, 10)]) == pytest.approx(1.0)
    monkeypatch.setattr(limits, "find_spec", lambda _: None)
    assert limits.gemm_gflops([(10, 10, 10)]) == pytest.approx(2 / 3)


def test_turns_reach_every_subject_also_a_slow_one():
    counts = dict.fromkeys(("fast", "slow"), 0)
    ticks = iter(range(10**6))

    def subject(name, work):
        def call():
            counts[name] += 1
            for _ in range(work):
                next(ticks)

        return call

    subjects = {"fast": subject("fast", 1), "slow": subject("slow", 20_000)}
    times = interleave(subjects, rounds=3, seconds_each=0.0, most_calls=5)
    assert all(times[name].wall_ms for name in subjects) and all(counts.values())


def test_contention_is_the_share_that_others_took():
    assert contention([Times(wall_ms=[2.0, 2.0], cpu_ms=[1.0, 2.0])]) == pytest.approx(0.25)
    assert contention([]) == 0
