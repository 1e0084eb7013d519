"""What is timed: every backend, preset, number of people and way of running, and the baselines of the same run."""
# K denoising steps, H hypotheses

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn

from dp3d_core.backends.folded import serving_graph
from dp3d_core.backends.graphs import RollingStep, WindowPass, rolling_example, window_example
from dp3d_core.bench.limits import (
    bandwidth_gb_s,
    gemm_gflops,
    limit_ms,
    linear_shapes,
    multiply_accumulates,
    weight_bytes,
)
from dp3d_core.config import PRESETS, ModelConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model import Denoiser
from dp3d_core.model.diffusion import causal_mask

MIXSTE_243 = ModelConfig(
    window_frames=243, temporal_token="joint", joint_width=512, joint_layers=8, frame_width=512, frame_layers=8,
    joint_heads=8, action_prompts=False, part_prompts=False, affinity=False, log_variance=False,
    hallucinated_frames=1,
)  # fmt: skip
"""MixSTE's size (Zhang et al., CVPR 2022) made of our own blocks: 8 spatial and 8 temporal, 512 wide, 243 frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    backend: str
    preset: str
    people: int
    mode: str
    """rolling: a new frame, one pass. window: a whole window, `steps` passes for each of `hypotheses`. recompute: a new
    frame by a whole causal window again. mixste243: the same with a network of MixSTE's size."""
    lookahead: int = 0
    hypotheses: int = 1
    steps: int = 1
    threads: int = 1


def plan(*, backends, presets, people, full, threads):
    """The cases, and for a quick run fewer of them: all people and lookaheads 0 and 4 of the rolling step."""
    cases = []
    for preset in presets:
        for count in people:
            rolling = Case(backend="", preset=preset, people=count, mode="rolling", threads=threads)
            window = replace(rolling, mode="window")
            for name in backends:
                cases += [replace(rolling, backend=name, lookahead=l) for l in ((0, 2, 4) if full else (0, 4))]  # noqa: E741
                if full or count == min(people):
                    cases += [replace(window, backend=name, steps=k) for k in ((1, 2, 4) if full else (1,))]
                if full:
                    cases.append(replace(window, backend=name, hypotheses=5))
            if full or count in (min(people), max(people)):
                cases.append(replace(rolling, backend="eager", mode="recompute"))
    cases.append(Case(backend="eager", preset="mixste243", people=1, mode="mixste243", threads=threads))
    return cases


class Networks:
    """Denoisers by preset: shipped weights where there are any, random ones else (speed does not depend on them)."""

    def __init__(self, weights=None):
        self._weights, self.sources = dict(weights or {}), {}
        self._made = {}

    def get(self, preset):
        """The denoiser of a preset."""
        if preset not in self._made:
            self._made[preset] = self._load(preset)
        return self._made[preset]

    def _load(self, preset):
        from dp3d_core import checkpoint

        try:
            denoiser = checkpoint.load(self._weights.get(preset, preset)).denoiser
            if denoiser.config == PRESETS.get(preset) or preset in self._weights:
                self.sources[preset] = "weights"
                return denoiser
        except ValueError:
            if preset in self._weights:
                raise
        torch.manual_seed(0)
        self.sources[preset] = "random"
        config = MIXSTE_243 if preset == "mixste243" else PRESETS[preset]
        return Denoiser(config, len(ACTIONS)).eval().requires_grad_(False)


class Recompute(nn.Module):
    """The whole window again for each new frame, as published lifters run live: each frame sees its past."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser
        frames = denoiser.config.window_frames
        self.register_buffer("mask", causal_mask(frames, frames)[None], persistent=False)

    def forward(self, noisy, seen, noise_level, stamps_s):
        """See `WindowPass`."""
        return self.denoiser(noisy, seen, noise_level, stamps_s, self.mask).clean[:, -1]


def graph(case, denoiser):
    """The PyTorch module and example inputs of one pass of a case."""
    if case.mode == "rolling":
        return RollingStep(denoiser), rolling_example(denoiser, case.people, case.lookahead + 1)
    inputs = window_example(denoiser, case.people * case.hypotheses)
    return (WindowPass if case.mode == "window" else Recompute)(denoiser), inputs


def call(case, denoiser, backend):
    """A function that does the case's work once, NumPy in and out. `backend` None: plain PyTorch."""
    module, inputs = graph(case, denoiser)
    arrays = [tensor.numpy() for tensor in inputs]
    if case.mode == "rolling":
        return lambda: backend.step(*arrays)
    if case.mode == "window":

        def window():
            for _ in range(case.steps):
                backend.window(*arrays)

        return window

    def plain():
        with torch.inference_mode():
            return module(*inputs)

    return plain


class Limits:
    """MACs and the limit of each case's own work (of the folded graph where that is what runs), once for each shape."""

    def __init__(self, networks):
        self._networks = networks
        self._passes = {}
        self._bandwidth = lru_cache(bandwidth_gb_s)

    def of(self, case):
        """Columns gmac, gemm_gflops, gb_s, limit_ms."""
        folds = case.backend in ("cpu", "compile")
        key = (folds, case.preset, case.mode, case.people * case.hypotheses, case.lookahead)
        if key not in self._passes:
            denoiser = self._networks.get(case.preset)
            module, inputs = graph(case, denoiser)
            if folds:
                module = serving_graph(denoiser, case.mode, module)
            gflops = gemm_gflops(linear_shapes(module, inputs))
            self._passes[key] = multiply_accumulates(module, inputs), gflops, weight_bytes(module)
        mac, gflops, size = self._passes[key]
        gb_s = self._bandwidth(size)
        return {
            "gmac": mac * case.steps / 1e9, "gemm_gflops": gflops, "gb_s": gb_s,
            "limit_ms": limit_ms(mac, gflops, size, gb_s) * case.steps,
        }  # fmt: skip
