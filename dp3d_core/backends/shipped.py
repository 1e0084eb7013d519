"""What PyTorch makes of weights, beside their file: `NAME.lookahead0.graph` and `NAME.lookahead0.answers`.

A first start then needs no PyTorch and exports nothing. The graph's numbers are those of the weights, so its file holds
where they stand in the weights instead (30 KB), and only what is in no tensor as it is.

`dp3d ship [WEIGHTS]` writes these files anew: after new weights, or another network.
"""

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dp3d_core.checkpoint import Checkpoint

Arrays = dict[str, np.ndarray]
"""What an `Exported` keeps: `description` and `weights` of the graph, or eager's answers by their names."""
_HELD = re.compile(rb'offset="(\d+)" size="(\d+)"')
"""Of each constant of OpenVINO's description, in its weights."""


def beside(weights: Path, kind: str, rows: int) -> Path:
    """The file that belongs to weights; kind: graph or answers."""
    return weights.with_suffix(f".lookahead{rows - 1}.{kind}")


def read(network: Checkpoint, kind: str, rows: int) -> Arrays | None:
    """What lies beside the weights of `network`; None where nothing does, or something of other weights."""
    if network.path is None or not (path := beside(network.path, kind, rows)).is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["dp3d"])
            if facts["digest"] != network.digest:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return arrays if kind == "answers" else _whole(arrays, facts["tensors"], network.path)
    except (SafetensorError, OSError, KeyError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); install dp3d again, or remove it") from None


def write(network: Checkpoint, kind: str, rows: int, arrays: Arrays) -> Path:
    """Put what was made of the weights beside their file; returns the path."""
    assert network.path is not None
    path = beside(network.path, kind, rows)
    facts: dict[str, Any] = {"digest": network.digest}
    if kind == "graph":
        arrays, facts["tensors"] = _without_weights(arrays, network.path)
    save_file(arrays, path, metadata={"dp3d": json.dumps(facts)})
    path.chmod(0o666 & ~_umask())
    return path


def _without_weights(graph: Arrays, weights: Path) -> tuple[Arrays, list]:
    """The graph as it is kept, and where each of its constants is: [offset, size, name of a tensor or ""]."""
    with safe_open(weights, framework="numpy") as file:
        names = {_bytes(file.get_tensor(name)): name for name in file.keys()}  # noqa: SIM118
    described, numbers = graph["description"].tobytes(), graph["weights"].tobytes()
    places = sorted({(int(offset), int(size)) for offset, size in _HELD.findall(described)})
    tensors = [(offset, size, names.get(numbers[offset : offset + size], "")) for offset, size in places]
    rest = b"".join(numbers[offset : offset + size] for offset, size, name in tensors if not name)
    return {"description": _packed(described), "rest": _packed(rest)}, tensors


def _whole(kept: Arrays, tensors: list, weights: Path) -> Arrays:
    """The graph with the numbers of the weights."""
    rest, start = zlib.decompress(kept["rest"].tobytes()), 0
    numbers = bytearray(max(offset + size for offset, size, _ in tensors))
    with safe_open(weights, framework="numpy") as file:
        for offset, size, name in tensors:
            if name:
                part = _bytes(file.get_tensor(name))
            else:
                part, start = rest[start : start + size], start + size
            if len(part) != size:
                raise ValueError(f"{name or 'a constant'} has {len(part)} bytes, not {size}")
            numbers[offset : offset + size] = part
    described = zlib.decompress(kept["description"].tobytes())
    return {"description": np.frombuffer(described, np.uint8), "weights": np.frombuffer(bytes(numbers), np.uint8)}


def _bytes(tensor: np.ndarray) -> bytes:
    return np.ascontiguousarray(tensor, np.float32).tobytes()


def _packed(content: bytes) -> np.ndarray:
    return np.frombuffer(zlib.compress(content, 9), np.uint8)


def _umask() -> int:
    """Of this process; safetensors gives its files to their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
