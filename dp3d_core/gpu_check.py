"""What a GPU can prove and measure about dp3d in a few minutes: `python3 -m dp3d_core.gpu_check --minutes 4`.

Parity of the step and of the denoiser with eager float32 on the CPU comes first, then training steps a second, then
milliseconds of a step, of a whole frame and of K passes for H hypotheses, beside the limit of the card. Each row is
written when it is there, so that being cut off loses nothing. Needs PyTorch, NumPy, SciPy and safetensors; TensorRT is
used where it is installed. `--device cpu` rehearses the same code.
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

from dp3d_core import checkpoint
from dp3d_core.backends.device_engine import DeviceEngine
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.graphs import RollingStep, denoising_example, rolling_example
from dp3d_core.backends.parity import LIMIT_MM, distance
from dp3d_core.backends.resident import Pass, ResidentMemory
from dp3d_core.backends.typed import reduce_precision
from dp3d_core.backends.walk import STREAMS, stream_answers
from dp3d_core.bench import gpu
from dp3d_core.bench.cases import Networks
from dp3d_core.bench.clock import machine
from dp3d_core.config import PRECISIONS
from dp3d_core.model.hypotheses import DenoisingPasses
from dp3d_core.model.motion_denoiser import MotionDenoiser

PEOPLE = (1, 8, 16, 64, 256)
AUTOTUNED = (1, 8)
"""Numbers of people for max-autotune, which takes most of a minute for each."""
PARTS = ("parity", "latency", "frames", "samples", "training", "refused", "not_reached")
SAMPLES = ((1, 1), (2, 4), (4, 8))
"""Denoising steps K and hypotheses H of the denoiser's rows."""
PARITY_PEOPLE = 2
MOST_MOTIONS = 512
"""People times hypotheses of a row; more are sampled in chunks."""
BATCH, FRAMES = 64, 48
"""Of a training step."""


def shipped_denoiser() -> MotionDenoiser:
    """That of the shipped weights."""
    denoiser = checkpoint.load("small").motion_denoiser
    assert denoiser is not None
    return denoiser


@dataclass(kw_only=True)
class Check:
    """What is checked, for how long, and what came of it so far."""

    device: str
    minutes: float
    out: Path
    networks: dict[str, Any]
    """{name: network on the CPU}, the most important first."""
    denoiser: MotionDenoiser = field(default_factory=shipped_denoiser)
    """On the CPU."""
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
        for precision, way in product(PRECISIONS, self.ways):
            what = f"denoiser {way} {precision}"
            yield "parity", what, lambda w=way, p=precision: self._denoiser_parity(w, p)
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
            for precision, way in product(("float32", "bfloat16"), self.ways):
                if way == "max_autotune" and people not in AUTOTUNED:
                    continue
                what = f"denoiser {way} {precision} people {people} K {steps} H {hypotheses}"
                yield "samples", what, lambda args=(way, precision, people, steps, hypotheses): self._samples(*args)

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
        inputs = self._inputs(name, people, lookahead)
        # counted on the plain module: the reduced one has layers of its own
        bound = gpu.limits(self._module(name, "float32"), inputs, getattr(torch, precision))
        runner = gpu.Runner(way, self._module(name, precision), inputs)
        row = {"backend": f"{way} {precision}", "preset": name, "people": people, "lookahead": lookahead}
        return row | self._timed(runner.run, bound)

    @torch.inference_mode()
    def _frame(self, name, people, lookahead):
        """A whole frame with the memory on the device, in float32: gather, step and remember, without host copies."""
        network = copy.deepcopy(self.networks[name]).to(self.device)
        memory = ResidentMemory(network.config, people, self.device)
        step = RollingStep(network).eval()
        engine = DeviceEngine(step, network.config, people, lookahead + 1, self.device)
        bound = gpu.limits(step, self._inputs(name, people, lookahead), torch.float32)
        row = {"preset": name, "people": people, "lookahead": lookahead}
        return row | self._timed(Pass(memory, engine, memory.stream).replay, bound)

    def _passes(self, precision, steps):
        """All K passes of the denoiser as one module on the device."""
        denoiser = reduce_precision(self.denoiser, precision)
        return copy.deepcopy(DenoisingPasses(denoiser, steps).eval()).to(self.device)

    @torch.inference_mode()
    def _denoiser_parity(self, way, precision):
        """All passes beside eager float32 on the CPU: mean distance of joints."""
        people, (steps, hypotheses) = PARITY_PEOPLE, SAMPLES[-1]
        inputs = denoising_example(self.denoiser, people, hypotheses)
        expected = DenoisingPasses(self.denoiser, steps).eval()(*inputs)
        answer = gpu.Runner(way, self._passes(precision, steps), [tensor.to(self.device) for tensor in inputs]).run()
        answer = answer if isinstance(answer, torch.Tensor) else answer[0]
        far = (answer.float().cpu() - expected).norm(dim=-1).mean() * self.denoiser.config.pose_scale_m * 1e3
        return {"joints_mm": float(far), "within_limit": float(far) < LIMIT_MM[precision]}

    @torch.inference_mode()
    def _samples(self, way, precision, people, steps, hypotheses):
        """All K denoising passes of H motions a person, as one graph."""
        inputs = [tensor.to(self.device) for tensor in denoising_example(self.denoiser, people, hypotheses)]
        bound = gpu.limits(self._passes("float32", steps), inputs, getattr(torch, precision))
        runner = gpu.Runner(way, self._passes(precision, steps), inputs)
        row = {"backend": f"{way} {precision}", "people": people, "steps": steps, "hypotheses": hypotheses}
        return row | self._timed(runner.run, bound)

    def _timed(self, call, bound):
        """Milliseconds of a call, and beside them the limit of the device."""
        times = gpu.times_ms(call, self.device)
        middle = float(np.median(times))
        found = {"ms_p50": middle, "ms_p99": float(np.quantile(times, 0.99)), **bound}
        return found | {"times_limit": middle / bound["limit_ms"]}

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
