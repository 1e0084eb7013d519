"""Weights on disk: one safetensors file with the model's configuration and provenance, loaded strictly.

Nothing here unpickles. A file of another kind, version or shape is refused with one ValueError.
"""

import json
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dp3d_core.config import ModelConfig, from_dict, to_dict
from dp3d_core.model import Denoiser

FORMAT, VERSION = "dp3d-denoiser", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A denoiser with what must be known to use it."""

    denoiser: Denoiser
    actions: tuple[str, ...]
    temperature: float
    """Factor on the network's sigma, fitted on development data so that its intervals cover what they say."""
    provenance: dict
    """Data, licences, command, seed, minutes, figures: printable, never needed to run."""


def save(path, denoiser, *, actions, temperature=1.0, provenance=None):
    """Write `denoiser` (its float32 state) to `path`; parents are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {
        "format": FORMAT, "version": VERSION, "model": to_dict(denoiser.config), "actions": list(actions),
        "temperature": float(temperature), "provenance": provenance or {},
    }  # fmt: skip
    state = {name: value.detach().float().cpu().contiguous() for name, value in denoiser.state_dict().items()}
    save_file(state, path, metadata={"dp3d": json.dumps(head)})


def locate(weights):
    """Path of shipped weights by name, or of a file; ValueError says what there is."""
    folder = files("dp3d_core") / "weights"
    shipped = {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".safetensors")}
    if str(weights) in shipped:
        return shipped[str(weights)]
    path = Path(weights)
    if not path.is_file():
        raise ValueError(f"weights: expected a file or one of the shipped {sorted(shipped)}, got {str(weights)!r}")
    return path


def load(weights):
    """Load a `Checkpoint` by shipped name or path, on the CPU, ready to evaluate."""
    path = locate(weights)
    try:
        with safe_open(path, framework="pt") as archive:
            head = (archive.metadata() or {}).get("dp3d")
            state = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weights: {path} is not a safetensors file ({error}); train or download it again") from None
    if head is None:
        raise ValueError(f"weights: {path} is a safetensors file but not one of dp3d's; expected metadata 'dp3d'")
    try:
        head = json.loads(head)
        found = (head["format"], head["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"weights: {path} has unreadable dp3d metadata ({error})") from None
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"weights: {path} is {found[0]} version {found[1]}, this dp3d reads {FORMAT} version {VERSION}; "
            "install the dp3d that wrote it or train again"
        )
    try:
        denoiser = Denoiser(from_dict(ModelConfig, head["model"]), len(head["actions"]))
        denoiser.load_state_dict(state, strict=True)
        temperature = float(head["temperature"])
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature: expected a positive number, got {temperature}")
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        # torch lists every tensor, on as many lines
        why = " ".join(str(error).split())
        why = why if len(why) <= 400 else f"{why[:400]} ..."
        raise ValueError(f"weights: {path} does not fit its own description: {why}") from None
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise ValueError(f"weights: {path} holds values that are not finite; train again from an earlier checkpoint")
    return Checkpoint(
        denoiser=denoiser.eval().requires_grad_(False), actions=tuple(head["actions"]), temperature=temperature,
        provenance=head.get("provenance", {}),
    )  # fmt: skip
