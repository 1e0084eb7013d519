"""Ways to run the network, all with one signature: NumPy arrays in, NumPy arrays out.

`step(seen, up, stamps_s, keys, values, filled, pooled, decay)` takes one arriving frame of everybody and returns
`(pose, log_variance, contacts, action_logits, features, keys, values, pooled)`; see `signature`. A backend has
`step`, `name`, `note`, `counters` and `prepare(people, rows)`, which builds what is built ahead. `Lifter.lift` uses
none: it runs whole sequences of any length in PyTorch.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dp3d_core.backends.compiled import CompiledEngines
from dp3d_core.backends.cpu import CpuEngines
from dp3d_core.backends.served import Served
from dp3d_core.backends.tensorrt import TensorRTEngines
from dp3d_core.checkpoint import Checkpoint
from dp3d_core.config import PRECISIONS

if TYPE_CHECKING:
    from dp3d_core.model.encoder import Encoder

_BUILDERS = {"cpu": CpuEngines, "compile": CompiledEngines, "tensorrt": TensorRTEngines}
BACKENDS = ("auto", "eager", *_BUILDERS)
log = logging.getLogger(__name__)


def available(device: str = "cpu") -> tuple[list[str], list[tuple[str, str]]]:
    """Names of the backends that can run weights on `device` here, and [(name, why not)] of the others."""
    missing = {name: builder.missing(device) for name, builder in _BUILDERS.items()}
    usable = ["eager", *(name for name, why in missing.items() if why is None)]
    return usable, [(name, why) for name, why in missing.items() if why is not None]


def place(encoder: "Encoder", device: str) -> "Encoder":
    """The encoder, moved to `device`; ValueError says why there is none such here."""
    try:
        return encoder.to(device)
    except (AssertionError, RuntimeError) as error:
        why = str(error).strip().split("\n")[0]
        raise ValueError(
            f"device: expected one that PyTorch can use here, got {str(device)!r} ({why}); what runs on a GPU is built "
            "on the machine that has it"
        ) from None


def make_backend(
    name: str,
    network: "Checkpoint | Encoder",
    *,
    threads: int = 1,
    precision: str = "float32",
    cache_dir: str | Path | None = None,
) -> Served:
    """The backend called `name`; ValueError lists the known ones, and the precisions.

    `auto` takes the fastest that this machine has: TensorRT, then torch.compile, where the weights are on a GPU, else
    the CPU engine. What cannot run is served by the next, and said: `note`, `counters`, and the log. On a CPU the last
    before PyTorch is the CPU engine in float32, whatever was asked for. threads: intra-op threads of the CPU engine;
    more than one gains little and stalls beside busy processes. precision: of the engines; a backend that steps in for
    another runs in float32.
    """
    if not isinstance(network, Checkpoint):
        network = Checkpoint(encoder=network, actions=())
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {list(BACKENDS)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {list(PRECISIONS)}, got {precision!r}")
    device = network.device.split(":")[0]
    if name == "auto":
        chosen = ("tensorrt", "compile") if device == "cuda" else ("cpu",)
        why = f"auto: weights on {device}"
    else:
        chosen, why = (() if name == "eager" else (name,)), f"{name} was asked for"
    builders = [_BUILDERS[item] for item in chosen]
    if name != "eager" and device == "cpu" and (chosen, precision) != (("cpu",), "float32"):
        builders.append(_BUILDERS["cpu"])
    backend = Served(network, builders, threads=threads, precision=precision, cache_dir=cache_dir, why=why)
    log.info("backend: %s (%s)", backend.name, backend.note)
    return backend
