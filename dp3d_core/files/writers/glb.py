"""glTF 2.0 (binary, .glb): a figure of sticks, skinned to the fitted skeleton and animated, a file for each stay.

Metres, y up, bones by VRM's names. Missing frames are filled in.
"""

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dp3d_core.files.avatar import NAMES, PARENTS, Avatar, fit
from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result

RADIUS_M = 0.035
_FLOAT, _USHORT = 5126, 5123
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """A file for each stay."""
    paths = []
    for stay in result.stays():
        rate_hz, joints_m, _ = stay.uniform()
        path = out / f"{stay.name}.glb"
        with beside(path) as unfinished:
            unfinished.write_bytes(bytes_of(fit(joints_m), rate_hz))
        paths.append(path)
    return paths


def bytes_of(avatar: Avatar, rate_hz: float) -> bytes:
    """The content of the file."""
    buffer = _Buffer()
    rest_m = _rest_positions(avatar)
    mesh = _mesh(buffer, rest_m)
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(NAMES), 1, 1))
    inverse[:, :3, 3] = -rest_m
    skin = {
        "joints": list(range(len(NAMES))),
        "skeleton": 0,
        "inverseBindMatrices": buffer.add(inverse.transpose(0, 2, 1).reshape(-1, 16)),
    }
    nodes = [
        {
            "name": name,
            "translation": avatar.offsets_m[node].tolist(),
            "children": [child for child, parent in enumerate(PARENTS) if parent == node],
        }
        for node, name in enumerate(NAMES)
    ]
    for node in nodes:
        if not node["children"]:
            del node["children"]
    nodes.append({"name": "person", "mesh": 0, "skin": 0})
    tree = {
        "asset": {"version": "2.0", "generator": "dp3d"}, "scene": 0, "scenes": [{"nodes": [0, len(NAMES)]}],
        "nodes": nodes, "meshes": [mesh], "skins": [skin], "animations": [_animation(buffer, avatar, rate_hz)],
        "accessors": buffer.accessors, "bufferViews": buffer.views, "buffers": [{"byteLength": len(buffer.data)}],
    }  # fmt: skip
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text, struct.pack("<II", len(buffer.data), 0x004E4942)
    length = 12 + sum(map(len, parts)) + len(buffer.data)
    return struct.pack("<III", 0x46546C67, 2, length) + b"".join(parts) + bytes(buffer.data)


class _Buffer:
    """The binary chunk, and the accessors that point into it."""

    def __init__(self):
        self.data, self.views, self.accessors = bytearray(), [], []

    def add(self, values: np.ndarray, *, limits: bool = False) -> int:
        """Append (N, C) floats or unsigned shorts; the index of their accessor."""
        values = np.ascontiguousarray(values)
        code = _USHORT if values.dtype == np.uint16 else _FLOAT
        raw = values.astype("<u2" if code == _USHORT else "<f4").tobytes()
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)})
        self.data += raw + b"\0" * (-len(raw) % 4)
        accessor = {"bufferView": len(self.views) - 1, "componentType": code, "count": len(values),
                    "type": _KINDS[values.shape[1]]}  # fmt: skip
        if limits:
            single = values.astype(np.float32)
            accessor |= {"min": single.min(0).tolist(), "max": single.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _rest_positions(avatar: Avatar) -> np.ndarray:
    """(N, 3) nodes in the T-pose with the hips at the origin."""
    rest_m = np.zeros((len(NAMES), 3))
    for node, parent in enumerate(PARENTS):
        if parent >= 0:
            rest_m[node] = rest_m[parent] + avatar.offsets_m[node]
    return rest_m


def _mesh(buffer: _Buffer, rest_m: np.ndarray) -> dict:
    """A thin double pyramid along each bone, skinned to the bone's upper node."""
    points, joints, faces = [], [], []
    for node, parent in enumerate(PARENTS):
        bone = rest_m[node] - rest_m[parent]
        length = np.linalg.norm(bone)
        if parent < 0 or length < 1e-3:
            continue
        across = np.cross(bone, (1.0, 0, 0) if abs(bone[0]) < 0.7 * length else (0, 1.0, 0))
        across *= min(RADIUS_M, length / 4) / np.linalg.norm(across)
        other = np.cross(bone, across) / length
        start, middle, first = rest_m[parent], rest_m[parent] + 0.2 * bone, len(points)
        points += [start, middle + across, middle + other, middle - across, middle - other, rest_m[node]]
        joints += [parent] * 6
        for side in range(4):
            a, b = first + 1 + side, first + 1 + (side + 1) % 4
            faces += [first, b, a, first + 5, a, b]
    weights, corners = np.zeros((len(points), 4), np.float32), np.zeros((len(points), 4), np.uint16)
    weights[:, 0], corners[:, 0] = 1, joints
    return {"name": "person", "primitives": [{
        "attributes": {
            "POSITION": buffer.add(np.array(points, np.float32), limits=True),
            "JOINTS_0": buffer.add(corners), "WEIGHTS_0": buffer.add(weights),
        },
        "indices": buffer.add(np.array(faces, np.uint16)[:, None]),
    }]}  # fmt: skip


def _animation(buffer: _Buffer, avatar: Avatar, rate_hz: float) -> dict:
    """The hips' path and the rotation of every node."""
    times = buffer.add((np.arange(len(avatar.root_m)) / rate_hz)[:, None].astype(np.float32), limits=True)
    samplers = [{"input": times, "output": buffer.add(avatar.root_m), "interpolation": "LINEAR"}]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    for node in range(len(NAMES)):
        turns = Rotation.from_matrix(avatar.local[:, node]).as_quat()
        signs = np.where((turns[1:] * turns[:-1]).sum(1) < 0, -1.0, 1.0)
        turns[1:] *= np.cumprod(signs)[:, None]  # the short way between frames
        samplers.append({"input": times, "output": buffer.add(turns), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": "rotation"}})
    return {"name": "clip", "samplers": samplers, "channels": channels}
