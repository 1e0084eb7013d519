"""Weights on disk: one safetensors file with the model's configuration and provenance, loaded strictly.

Nothing here unpickles. A file of another kind, version or shape is refused with one ValueError. PyTorch is imported
only to make a network: a process that runs built engines never does.
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

from dp3d_core.config import LOOKAHEADS, DenoiserConfig, ModelConfig, from_dict, to_dict
from dp3d_core.version1 import folded

if TYPE_CHECKING:
    from dp3d_core.model import Denoiser, Encoder
    from dp3d_core.model.motion_denoiser import MotionDenoiser

NO_TORCH = "PyTorch is not installed; pip install 'dp3d_ros[torch]'"
FORMAT, VERSION = "dp3d-encoder", 2
VERSION1 = "dp3d-denoiser", 1
DENOISER = "denoiser."
"""Prefix of the names of a `MotionDenoiser`'s tensors, which stand beside the encoder's."""
OLDER = "older."
"""Prefix of the names of version 1's denoiser, which `Prior` samples: it learned motion without 2D."""
USES = ("offline", *(f"lookahead {lookahead}" for lookahead in LOOKAHEADS))
"""How weights are used; each use has a temperature of its own."""


class WeightsError(ValueError):
    """The weights do not fit their own description."""


class Checkpoint:
    """A network with what must be known to use it: an `Encoder`, or a file that becomes one when that is asked for.

    actions: names of the classes; temperatures: factor on the network's sigma in each of `USES`, fitted so that its
    intervals cover what they say; provenance: data, licences, command, seed, minutes, figures: printable, never needed
    to run; path: of the file, else None.
    """

    def __init__(
        self,
        *,
        actions: tuple[str, ...],
        temperatures: dict[str, float] | None = None,
        provenance: dict | None = None,
        encoder: "Encoder | None" = None,
        denoiser: "Denoiser | None" = None,
        motion_denoiser: "MotionDenoiser | None" = None,
        denoiser_config: DenoiserConfig | None = None,
        config: ModelConfig | None = None,
        digest: str = "",
        path: Path | None = None,
        version1: bool = False,
        older: bool = False,
    ):
        self.actions, self.provenance, self.path = actions, provenance or {}, path
        self.temperatures = dict.fromkeys(USES, 1.0) | (temperatures or {})
        if encoder is not None:
            self.encoder, config = encoder, encoder.config
        if not (version1 or older):
            self.denoiser = denoiser
        if denoiser_config is None:
            self.motion_denoiser = motion_denoiser
        assert config is not None, "a checkpoint has an encoder, or its configuration"
        self.config, self._version1, self._denoiser_config = config, version1, denoiser_config
        if digest:
            self.digest = digest

    @cached_property
    def encoder(self) -> "Encoder":
        """On the CPU, ready to evaluate; ValueError where the weights do not fit their own description."""
        from dp3d_core.model.encoder import Encoder

        return self._made(lambda: Encoder(self.config, len(self.actions)), folded if self._version1 else _encoders)

    @cached_property
    def denoiser(self) -> "Denoiser | None":
        """Version 1's denoiser, which knows motion without 2D; None where the file holds none."""
        from dp3d_core.model.denoiser import Denoiser

        own = dict if self._version1 else lambda arrays: _part(arrays, OLDER)
        return self._made(lambda: Denoiser(self.config, len(self.actions)), own)

    @cached_property
    def motion_denoiser(self) -> "MotionDenoiser | None":
        """What draws motions beside the encoder; None where the file holds none."""
        from dp3d_core.model.motion_denoiser import MotionDenoiser

        if self._denoiser_config is None:
            return None
        wanted, found = self.config.frame_width, self._denoiser_config.feature_width
        if found != wanted:
            raise WeightsError(f"weights: {self.path}: the denoiser reads {found} features, the encoder has {wanted}")
        return self._made(lambda: MotionDenoiser(self._denoiser_config), lambda arrays: _part(arrays, DENOISER))

    def _made(self, make, converted):
        import torch

        assert self.path is not None
        arrays = _contents(self.path)[1]
        if _digest(arrays) != self.digest:
            raise WeightsError(f"weights: {self.path} changed since it was read; start again")
        try:
            network = make()
            state = {name: torch.from_numpy(array) for name, array in converted(arrays).items()}
            network.load_state_dict(state, strict=True)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise _unfit(self.path, error) from None
        return network.eval().requires_grad_(False)

    @property
    def device(self) -> Any:
        """Of the encoder, as a string; "cpu" before there is one."""
        return str(next(self.encoder.parameters()).device) if "encoder" in self.__dict__ else "cpu"

    @cached_property
    def digest(self) -> str:
        """Hex digest of all parameters and buffers, by name."""
        return _digest({name: value.detach().cpu().numpy() for name, value in self.encoder.state_dict().items()})


def save(
    path: str | Path,
    encoder: "Encoder",
    *,
    actions: tuple[str, ...],
    temperatures: dict[str, float] | None = None,
    provenance: dict | None = None,
    half: bool = False,
    motion_denoiser: "MotionDenoiser | None" = None,
    denoiser: "Denoiser | None" = None,
) -> None:
    """Write `encoder`, and what draws motions beside it, to `path`, in float32 or (half) float16.

    Parents are made, and a killed write leaves nothing.
    """
    import torch
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {
        "format": FORMAT, "version": VERSION, "model": to_dict(encoder.config), "actions": list(actions),
        "temperatures": dict.fromkeys(USES, 1.0) | (temperatures or {}), "provenance": provenance or {},
    }  # fmt: skip
    dtype, state = torch.float16 if half else torch.float32, encoder.state_dict()
    if motion_denoiser is not None:
        head["denoiser"] = to_dict(motion_denoiser.config)
        state |= {DENOISER + name: value for name, value in motion_denoiser.state_dict().items()}
    if denoiser is not None:
        head["older"] = True
        state |= {OLDER + name: value for name, value in denoiser.state_dict().items()}
    state = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    part = path.with_name(path.name + ".part")
    save_file(state, part, metadata={"dp3d": json.dumps(head)})
    part.replace(path)


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
    """A `Checkpoint` by shipped name or path, its encoder made and checked."""
    found = read(weights)
    _ = found.encoder
    return found


def read(weights: str | Path) -> Checkpoint:
    """The same without PyTorch: whether the weights fit the network is known when the encoder is made."""
    path = locate(weights)
    head, arrays = _contents(path)
    if head is None:
        raise ValueError(f"weights: {path} is a safetensors file but not one of dp3d's; expected metadata 'dp3d'")
    try:
        head = json.loads(head)
        found = (head["format"], head["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"weights: {path} has unreadable dp3d metadata ({error})") from None
    if found not in ((FORMAT, VERSION), VERSION1):
        raise ValueError(
            f"weights: {path} is {found[0]} version {found[1]}, this dp3d reads {FORMAT} version {VERSION}; "
            "install the dp3d that wrote it or train again"
        )
    try:
        config, actions = from_dict(ModelConfig, head["model"]), tuple(head["actions"])
        denoiser_config = from_dict(DenoiserConfig, head["denoiser"]) if "denoiser" in head else None
        if found == VERSION1:
            head["temperatures"] = dict.fromkeys(USES, head["temperature"])
        temperatures = {use: float(head["temperatures"][use]) for use in USES}
        for use, temperature in temperatures.items():
            if not 0 < temperature < math.inf:
                raise ValueError(f"temperatures: expected a positive number for {use}, got {temperature}")
    except (ValueError, KeyError, TypeError) as error:
        raise _unfit(path, error) from None
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ValueError(f"weights: {path} holds values that are not finite; train again from an earlier checkpoint")
    return Checkpoint(
        actions=actions,
        temperatures=temperatures,
        provenance=head.get("provenance", {}),
        config=config,
        digest=_digest(arrays),
        path=path,
        version1=found == VERSION1,
        denoiser_config=denoiser_config,
        older=bool(head.get("older")),
    )


def _contents(path):
    """dp3d's metadata as a string, or None, and all arrays by name."""
    try:
        with safe_open(path, framework="numpy") as archive:
            arrays = {name: archive.get_tensor(name).astype(np.float32) for name in archive.keys()}  # noqa: SIM118
            return (archive.metadata() or {}).get("dp3d"), arrays
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weights: {path} is not a safetensors file ({error}); train or download it again") from None


def _encoders(arrays):
    """The arrays of the encoder."""
    return {name: array for name, array in arrays.items() if not name.startswith((DENOISER, OLDER))}


def _part(arrays, prefix):
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _digest(arrays):
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(f"{name} {value.shape} {value.dtype}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _unfit(path, error):
    # torch lists every tensor, on as many lines
    why = " ".join(str(error).split())
    why = why if len(why) <= 400 else f"{why[:400]} ..."
    return WeightsError(f"weights: {path} does not fit its own description: {why}")
