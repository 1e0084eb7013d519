"""What a GPU can prove and measure about dp3d in a few minutes: `python3 -m dp3d_core.gpu_check --minutes 4`.

Parity with eager float32 on the CPU comes first, then milliseconds a frame beside the limit of the card, then training
steps a second. Each row is written when it is there, so that being cut off loses nothing. Needs PyTorch, NumPy, SciPy
and safetensors; TensorRT is used where it is installed. `--device cpu` rehearses the same code.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dp3d_core.backends.device_engine import DeviceEngine
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.graphs import DenoisingPasses, RollingStep, denoising_example, rolling_example
from dp3d_core.backends.parity import LIMIT_MM, distance
from dp3d_core.backends.resident import Pass, ResidentMemory
from dp3d_core.backends.typed import reduce_precision
from dp3d_core.backends.walk import STREAMS, stream_answers
from dp3d_core.bench import gpu
from dp3d_core.bench.cases import Networks
from dp3d_core.bench.clock import machine
from dp3d_core.config import PRECISIONS, PRESETS, DenoiserConfig
from dp3d_core.model.motion_denoiser import MotionDenoiser

PEOPLE = (1, 8, 16, 64, 256)
AUTOTUNED = (1, 8)
"""Numbers of people for max-autotune, which takes most of a minute for each."""
PARTS = ("parity", "latency", "frames", "samples", "training", "refused", "not_reached")
SAMPLES = ((1, 1), (2, 4), (4, 8))
"""Denoising steps K and hypotheses H of the denoiser's rows."""
MOST_MOTIONS = 512
"""People times hypotheses of a row; more are sampled in chunks."""
BATCH, FRAMES = 64, 48
"""Of a training step."""


@dataclass(kw_only=True)
class Check:
    """What is checked, for how long, and what came of it so far."""

    device: str
    minutes: float
    out: Path
    networks: dict[str, Any]
    """{name: network on the CPU}, the most important first."""
    ways: Sequence[str] = gpu.WAYS
    people: Sequence[int] = PEOPLE
    lookaheads: Sequence[int] = (0, 4)
    report: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Do what fits in the time, and return the report."""
        started = time.perf_counter()
        self.report |= {"machine": machine(), "torch": torch.__version__, "device": self._device_name()}
        self.report |= {part: [] for part in PARTS}
        self._write("")
        for part, what, measure in self._jobs():
            if time.perf_counter() - started > self.minutes * 60:
                self.report["not_reached"].append(f"{part} {what}")
                continue
            try:
                row = measure()
            except Exception as error:  # a compiler or a card may fail in any way; it is said, and the next is tried
                why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self.report["refused"].append([f"{part} {what}", why])
                self._write(f"{part:9}{what}: {why}")
                continue
            self.report[part].append(row)
            self._write(f"{part:9}{what}: " + ", ".join(f"{key} {_short(value)}" for key, value in row.items()))
        self.report["minutes"] = (time.perf_counter() - started) / 60
        self._write(f"{len(self.report['not_reached'])} not reached, {self.report['minutes']:.1f} minutes")
        return self.report

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.startswith("cuda") else self.device

    def _jobs(self) -> Iterator[tuple[str, str, Callable[[], dict]]]:
        first = next(iter(self.networks))
        for precision, way, lookahead in product(PRECISIONS, self.ways, self.lookaheads):
            what = f"{first} {way} {precision} lookahead {lookahead}"
            yield "parity", what, lambda w=way, p=precision, k=lookahead: self._parity(first, w, p, k)
        for name, network in self.networks.items():
            yield "training", name, lambda n=network: self._training(n)
            for people, lookahead in product(self.people, self.lookaheads):
                for precision, way in product(("float32", "bfloat16"), self.ways):
                    if way == "max_autotune" and people not in AUTOTUNED:
                        continue
                    what = f"{name} {way} {precision} people {people} lookahead {lookahead}"
                    yield "latency", what, lambda args=(name, way, precision, people, lookahead): self._latency(*args)
                what = f"{name} people {people} lookahead {lookahead}"
                yield "frames", what, lambda args=(name, people, lookahead): self._frame(*args)
        for people, (steps, hypotheses) in product(self.people, SAMPLES):
            if people * hypotheses > MOST_MOTIONS:
                continue
            for way in self.ways:
                if way == "max_autotune" and people not in AUTOTUNED:
                    continue
                what = f"denoiser {way} people {people} K {steps} H {hypotheses}"
                yield "samples", what, lambda args=(way, people, steps, hypotheses): self._samples(*args)

    def _module(self, name, precision):
        # a copy: the network itself stays on the CPU
        return copy.deepcopy(RollingStep(reduce_precision(self.networks[name], precision)).eval()).to(self.device)

    def _inputs(self, name, people, lookahead):
        return [tensor.to(self.device) for tensor in rolling_example(self.networks[name], people, lookahead + 1)]

    @torch.inference_mode()
    def _parity(self, name, way, precision, lookahead):
        network, rows = self.networks[name], lookahead + 1
        runner = gpu.Runner(way, self._module(name, precision), self._inputs(name, STREAMS, lookahead))
        expected = stream_answers(Eager(network).step, network.config, rows)
        found = stream_answers(runner.step, network.config, rows)
        far = distance(found, expected, network.config.pose_scale_m)
        return {**far._asdict(), "within_limit": far.joints_mm < LIMIT_MM[precision]}

    @torch.inference_mode()
    def _latency(self, name, way, precision, people, lookahead):
        module, inputs = self._module(name, precision), self._inputs(name, people, lookahead)
        bound = gpu.limits(module, inputs, getattr(torch, precision))
        times = gpu.times_ms(gpu.Runner(way, module, inputs).run, self.device)
        middle = float(np.median(times))
        return {
            "backend": f"{way} {precision}", "preset": name, "people": people, "lookahead": lookahead,
            "ms_p50": middle, "ms_p99": float(np.quantile(times, 0.99)), **bound,
            "times_limit": middle / bound["limit_ms"],
        }  # fmt: skip

    @torch.inference_mode()
    def _frame(self, name, people, lookahead):
        """A whole frame with the memory on the device, in float32: gather, step and remember, without host copies."""
        network = copy.deepcopy(self.networks[name]).to(self.device)
        memory = ResidentMemory(network.config, people, self.device)
        engine = DeviceEngine(RollingStep(network).eval(), network.config, people, lookahead + 1, self.device)
        work = Pass(memory, engine, memory.stream)
        times = gpu.times_ms(work.replay, self.device)
        return {"ms_p50": float(np.median(times)), "ms_p99": float(np.quantile(times, 0.99))}

    @torch.inference_mode()
    def _samples(self, way, people, steps, hypotheses):
        """All K denoising passes of H motions a person, as one graph; how far from eager on the CPU, and how long."""
        torch.manual_seed(0)
        denoiser = MotionDenoiser(DenoiserConfig(feature_width=PRESETS["small"].frame_width)).eval()
        for parameter in denoiser.parameters():  # a fresh one answers nothing
            parameter.add_(0.05 * torch.randn_like(parameter))
        passes, inputs = DenoisingPasses(denoiser, steps).eval(), denoising_example(denoiser, people, hypotheses)
        expected = passes(*inputs)
        runner = gpu.Runner(way, passes.to(self.device), [tensor.to(self.device) for tensor in inputs])
        answer = runner.run()
        answer = answer if isinstance(answer, torch.Tensor) else answer[0]
        far = (answer.cpu() - expected).norm(dim=-1).mean() * denoiser.config.pose_scale_m * 1e3
        times = gpu.times_ms(runner.run, self.device)
        return {
            "backend": way, "people": people, "steps": steps, "hypotheses": hypotheses, "joints_mm": float(far),
            "ms_p50": float(np.median(times)), "ms_p99": float(np.quantile(times, 0.99)),
        }  # fmt: skip

    def _training(self, network):
        from dp3d_core.training.synthetic import training_step

        step = training_step(network, self.device, batch=BATCH, frames=FRAMES)
        times = gpu.times_ms(step, self.device, calls=50, seconds=5)
        return {"batch": BATCH, "frames": FRAMES, "steps_per_s": 1e3 / float(np.median(times))}

    def _write(self, line):
        if line:
            print(line, flush=True)
            with open(self.out.with_suffix(".txt"), "a") as table:
                table.write(line + "\n")
        temporary = self.out.with_suffix(".part")
        temporary.write_text(json.dumps(self.report, indent=1))
        os.replace(temporary, self.out)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python3 -m dp3d_core.gpu_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="time for all of it")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="report; a table goes beside it")
    parser.add_argument("--presets", nargs="+", default=["small", "base"])
    parser.add_argument("--people", type=int, nargs="+", default=list(PEOPLE))
    parser.add_argument("--ways", nargs="+", choices=gpu.WAYS, help="default: all; on a CPU eager alone")
    given = parser.parse_args(argv)
    why = gpu.reason_not()
    if given.device != "cpu" and why is not None:
        raise SystemExit(f"gpu_check: {why}; --device cpu rehearses it")
    networks = Networks()
    Check(
        device=given.device, minutes=given.minutes, out=given.out, people=given.people,
        networks={name: networks.get(name) for name in given.presets},
        ways=given.ways or (("eager",) if given.device == "cpu" else gpu.WAYS),
    ).run()  # fmt: skip


if __name__ == "__main__":
    main()
