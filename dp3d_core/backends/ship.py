"""`dp3d ship`: write what a first start needs beside the weights; see `shipped`."""

from dataclasses import dataclass

from tyro.conf import Positional

from dp3d_core.backends import shipped
from dp3d_core.backends.exported import MAKERS
from dp3d_core.checkpoint import load
from dp3d_core.config import LOOKAHEADS


@dataclass(frozen=True, kw_only=True)
class ShipOptions:
    """Write what a first start needs beside the weights, so that it needs no PyTorch: graphs and eager's answers."""

    weights: Positional[str] = "small"
    """Shipped name or path."""


def command(options: ShipOptions) -> None:
    """Write all files of these weights."""
    network = load(options.weights)
    for lookahead in LOOKAHEADS:
        for kind, make in MAKERS.items():
            path = shipped.write(network, kind, 1 + lookahead, make(network, 1 + lookahead))
            print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
