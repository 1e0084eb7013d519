"""Weights on disk: one safetensors file with the model's configuration and provenance, loaded strictly.

Nothing here unpickles. A file of another kind, version or shape is refused with one ValueError. PyTorch is imported
only to make a denoiser: a process that runs built engines never does.
"""

import hashlib
import json
import math
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from dp3d_core.config import ModelConfig, from_dict, to_dict

if TYPE_CHECKING:
    from dp3d_core.model import Denoiser

NO_TORCH = "PyTorch is not installed; pip install 'dp3d_ros[torch]'"
FORMAT, VERSION = "dp3d-denoiser", 1


class WeightsError(ValueError):
    """The weights do not fit their own description."""


class Checkpoint:
    """A network with what must be known to use it: a `Denoiser`, or a file that becomes one when that is asked for.

    actions: names of the classes; temperature: factor on the network's sigma, fitted on development data so that its
    intervals cover what they say; provenance: data, licences, command, seed, minutes, figures: printable, never needed
    to run; path: of the file, else None.
    """

    def __init__(
        self,
        *,
        actions: tuple[str, ...],
        temperature: float,
        provenance: dict,
        denoiser: "Denoiser | None" = None,
        config: ModelConfig | None = None,
        digest: str = "",
        path: Path | None = None,
    ):
        self.actions, self.temperature, self.provenance, self.path = actions, temperature, provenance, path
        if denoiser is not None:
            self.denoiser, config = denoiser, denoiser.config
        self.config = config
        if digest:
            self.digest = digest

    @cached_property
    def denoiser(self) -> "Denoiser":
        """On the CPU, ready to evaluate; ValueError where the weights do not fit their own description."""
        import torch

        from dp3d_core.model import Denoiser

        arrays = _contents(self.path)[1]
        if _digest(arrays) != self.digest:
            raise WeightsError(f"weights: {self.path} changed since it was read; start again")
        try:
            denoiser = Denoiser(self.config, len(self.actions))
            state = {name: torch.from_numpy(array) for name, array in arrays.items()}
            denoiser.load_state_dict(state, strict=True)
        except (RuntimeError, ValueError, TypeError) as error:
            raise _unfit(self.path, error) from None
        return denoiser.eval().requires_grad_(False)

    @property
    def device(self) -> Any:
        """Of the denoiser, as a string; "cpu" before there is one."""
        return str(next(self.denoiser.parameters()).device) if "denoiser" in self.__dict__ else "cpu"

    @cached_property
    def digest(self) -> str:
        """Hex digest of all parameters and buffers, by name."""
        return _digest({name: value.detach().cpu().numpy() for name, value in self.denoiser.state_dict().items()})


def save(
    path: str | Path,
    denoiser: "Denoiser",
    *,
    actions: tuple[str, ...],
    temperature: float = 1.0,
    provenance: dict | None = None,
) -> None:
    """Write `denoiser` (its float32 state) to `path`; parents are made."""
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {
        "format": FORMAT, "version": VERSION, "model": to_dict(denoiser.config), "actions": list(actions),
        "temperature": float(temperature), "provenance": provenance or {},
    }  # fmt: skip
    state = {name: value.detach().float().cpu().contiguous() for name, value in denoiser.state_dict().items()}
    save_file(state, path, metadata={"dp3d": json.dumps(head)})


def locate(weights: str | Path) -> Path:
    """Path of shipped weights by name, or of a file; ValueError says what there is."""
    folder = files("dp3d_core") / "weights"
    shipped = {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".safetensors")}
    if str(weights) in shipped:
        return shipped[str(weights)]
    path = Path(weights)
    if not path.is_file():
        raise ValueError(f"weights: expected a file or one of the shipped {sorted(shipped)}, got {str(weights)!r}")
    return path


def load(weights: str | Path) -> Checkpoint:
    """A `Checkpoint` by shipped name or path, its denoiser made and checked."""
    found = read(weights)
    _ = found.denoiser
    return found


def read(weights: str | Path) -> Checkpoint:
    """The same without PyTorch: whether the weights fit the network is known when the denoiser is made."""
    path = locate(weights)
    head, arrays = _contents(path)
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
        config, actions = from_dict(ModelConfig, head["model"]), tuple(head["actions"])
        temperature = float(head["temperature"])
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature: expected a positive number, got {temperature}")
    except (ValueError, KeyError, TypeError) as error:
        raise _unfit(path, error) from None
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ValueError(f"weights: {path} holds values that are not finite; train again from an earlier checkpoint")
    return Checkpoint(
        actions=actions, temperature=temperature, provenance=head.get("provenance", {}), config=config,
        digest=_digest(arrays), path=path,
    )  # fmt: skip


def _contents(path):
    """dp3d's metadata as a string, or None, and all arrays by name."""
    try:
        with safe_open(path, framework="numpy") as archive:
            arrays = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
            return (archive.metadata() or {}).get("dp3d"), arrays
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weights: {path} is not a safetensors file ({error}); train or download it again") from None


def _digest(arrays):
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(f"{name} {value.shape} {value.dtype}\n".encode())
        digest.update(np.ascontiguousarray(value))
    return digest.hexdigest()


def _unfit(path, error):
    # torch lists every tensor, on as many lines
    why = " ".join(str(error).split())
    why = why if len(why) <= 400 else f"{why[:400]} ..."
    return WeightsError(f"weights: {path} does not fit its own description: {why}")
