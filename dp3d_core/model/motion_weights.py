"""Weights of the denoiser and of the prior on disk: one safetensors file, float16, loaded strictly into float32.

Nothing here unpickles.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dp3d_core.config import DenoiserConfig, from_dict, to_dict
from dp3d_core.model.motion_denoiser import MotionDenoiser

FORMAT, VERSION = "dp3d-motion", 1
NAMES = ("denoiser", "prior")


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionWeights:
    """What a file holds; None where it holds no such network."""

    denoiser: MotionDenoiser | None
    prior: MotionDenoiser | None
    provenance: dict


def save(path, *, denoiser=None, prior=None, provenance=None):
    """Write one or both networks to `path`; parents are made."""
    networks = {name: module for name, module in (("denoiser", denoiser), ("prior", prior)) if module is not None}
    head = {"format": FORMAT, "version": VERSION, "provenance": provenance or {}}
    head |= {name: to_dict(module.config) for name, module in networks.items()}
    state = {
        f"{name}.{key}": value.detach().half().cpu().contiguous()
        for name, module in networks.items()
        for key, value in module.state_dict().items()
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(state, part, metadata={"dp3d": json.dumps(head)})
    part.replace(path)


def holds_motion(path):
    """Whether a file says that it is of this format; False also for names and for files of anything else."""
    try:
        with safe_open(path, framework="pt") as archive:
            return json.loads((archive.metadata() or {}).get("dp3d", "{}")).get("format") == FORMAT
    except (SafetensorError, OSError, ValueError):
        return False


def load(path):
    """Read a `MotionWeights`, ready to evaluate; ValueError says in one sentence what is wrong with a file."""
    try:
        with safe_open(path, framework="pt") as archive:
            head = json.loads((archive.metadata() or {}).get("dp3d", "{}"))
            state = {name: archive.get_tensor(name).float() for name in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"weights: {path} is not a safetensors file of dp3d ({error})") from None
    if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        raise ValueError(
            f"weights: {path} is {head.get('format')} version {head.get('version')}, expected {FORMAT} version "
            f"{VERSION}; train it with dp3d_core.training.denoiser"
        )
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise ValueError(f"weights: {path} holds values that are not finite; train again from an earlier checkpoint")
    return MotionWeights(
        **{name: _network(path, head, state, name) for name in NAMES}, provenance=head.get("provenance", {})
    )


def _network(path, head, state, name):
    if name not in head:
        return None
    own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    try:
        module = MotionDenoiser(from_dict(DenoiserConfig, head[name]))
        module.load_state_dict(own, strict=True)
    except (RuntimeError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:400]
        raise ValueError(f"weights: {path} does not fit its own description: {why}") from None
    return module.eval().requires_grad_(False)
