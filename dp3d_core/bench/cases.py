"""What is timed: every backend, preset and number of people, and the baselines of the same run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn

from dp3d_core import checkpoint
from dp3d_core.backends.graphs import RollingStep, example_seen, rolling_example
from dp3d_core.bench.limits import (
    bandwidth_gb_s,
    gemm_gflops,
    limit_ms,
    linear_shapes,
    multiply_accumulates,
    weight_bytes,
)
from dp3d_core.config import LOOKAHEADS, PRESETS, ModelConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.encoder import UP_CHANNELS, Encoder

MIXSTE_243 = ModelConfig(
    window_frames=243,
    temporal_token="joint",
    joint_width=512,
    joint_layers=8,
    frame_width=512,
    frame_layers=8,
    joint_heads=8,
    action_prompts=False,
    part_prompts=False,
    affinity=False,
    log_variance=False,
    hallucinated_frames=1,
)
"""MixSTE's size (Zhang et al., CVPR 2022) made of our own blocks: 8 spatial and 8 temporal, 512 wide, 243 frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    backend: str
    preset: str
    people: int
    mode: str
    """rolling: a new frame, one pass. recompute: a new frame by a whole causal window again. mixste243: the same with a
    network of MixSTE's size."""
    lookahead: int = 0
    threads: int = 1


def plan(*, backends: list[str], presets: Sequence[str], people: Sequence[int], full: bool, threads: int):
    """The cases: the rolling step for all people, at the least and the most lookahead or, if full, at all."""
    cases = []
    lookaheads = LOOKAHEADS if full else (LOOKAHEADS[0], LOOKAHEADS[-1])
    for preset in presets:
        for count in people:
            rolling = Case(backend="eager", preset=preset, people=count, mode="rolling", threads=threads)
            cases += [replace(rolling, backend=name, lookahead=ahead) for name in backends for ahead in lookaheads]
            if full or count in (min(people), max(people)):
                cases.append(replace(rolling, mode="recompute"))
    cases.append(Case(backend="eager", preset="mixste243", people=1, mode="mixste243", threads=threads))
    return cases


class Networks:
    """Encoders by preset: shipped weights where there are any, random ones else (speed does not depend on them)."""

    def __init__(self, weights: dict | None = None):
        self.given, self.sources = dict(weights or {}), {}
        self._made = {}

    def get(self, preset: str) -> Encoder:
        """The encoder of a preset."""
        if preset not in self._made:
            self._made[preset] = self._load(preset)
        return self._made[preset]

    def _load(self, preset):
        try:
            encoder = checkpoint.load(self.given.get(preset, preset)).encoder
            if encoder.config == PRESETS.get(preset) or preset in self.given:
                self.sources[preset] = "weights"
                return encoder
        except ValueError:
            if preset in self.given:
                raise
        torch.manual_seed(0)
        self.sources[preset] = "random"
        config = MIXSTE_243 if preset == "mixste243" else PRESETS[preset]
        return Encoder(config, len(ACTIONS)).eval().requires_grad_(False)


class Recompute(nn.Module):
    """The whole window again for each new frame, as published lifters run live: each frame sees its past."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        frames = encoder.config.window_frames
        self.register_buffer("mask", causal_mask(frames, frames)[None], persistent=False)

    def forward(self, seen, up, stamps_s):
        """seen (B, N, 17, 4), up (B, N, 4), stamps_s (B, N) to the last pose (B, 17, 3)."""
        return self.encoder(seen, up, stamps_s, self.mask).pose[:, -1]


def graph(case: Case, encoder: Encoder):
    """The PyTorch module and example inputs of one pass of a case."""
    if case.mode == "rolling":
        return RollingStep(encoder), rolling_example(encoder, case.people, case.lookahead + 1)
    people, frames = case.people, encoder.config.window_frames
    stamps_s = (torch.arange(frames) / 30).expand(people, frames).contiguous()
    seen = example_seen(people, frames, torch.Generator().manual_seed(0))
    return Recompute(encoder), (seen, torch.zeros(people, frames, UP_CHANNELS), stamps_s)


def call(case: Case, encoder: Encoder, backend):
    """A function that does the case's work once; a rolling step by `backend`, with NumPy in and out."""
    module, inputs = graph(case, encoder)
    arrays = [tensor.numpy() for tensor in inputs]

    def plain():
        with torch.inference_mode():
            return module(*inputs)

    return (lambda: backend.step(*arrays)) if case.mode == "rolling" else plain


class Limits:
    """MACs and the limit of each case's own work, once for each shape."""

    def __init__(self, networks: Networks):
        self._networks = networks
        self._of_shape, self._bandwidth = lru_cache(self._measure), lru_cache(bandwidth_gb_s)

    def of(self, case: Case) -> dict[str, float]:
        """Columns gmac, gemm_gflops, gb_s, limit_ms."""
        return self._of_shape(replace(case, backend=""))

    def _measure(self, case):
        module, inputs = graph(case, self._networks.get(case.preset))
        mac, size = multiply_accumulates(module, inputs), weight_bytes(module)
        gflops, gb_s = gemm_gflops(linear_shapes(module, inputs)), self._bandwidth(size)
        return {
            "gmac": mac / 1e9,
            "gemm_gflops": gflops,
            "gb_s": gb_s,
            "limit_ms": limit_ms(mac, gflops, size, gb_s),
        }
