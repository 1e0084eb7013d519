"""BVH: the rotations of a constant skeleton, a file for each stay; metres, y up, the person's rest pose faces +z.

Names are Mixamo's. Rotations are Z, X, Y in degrees. Missing frames are filled in, for BVH has no holes.
"""

import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dp3d_core.files.avatar import ENDS, MIXAMO, NAMES, PARENTS, Avatar, fit, fit_distance_m
from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """A file for each stay; the distance of its skeleton from the lifted joints goes into facts["bvh_fit_mm"]."""
    paths, distances = [], {}
    for stay in result.stays():
        rate_hz, joints_m, _ = stay.uniform()
        avatar = fit(joints_m)
        path = out / f"{stay.name}.bvh"
        with beside(path) as unfinished:
            unfinished.write_text(text_of(avatar, rate_hz), encoding="utf-8")
        mean_m, p95_m = fit_distance_m(avatar, joints_m)
        distances[path.name] = {"mean": round(mean_m * 1000, 1), "p95": round(p95_m * 1000, 1)}
        paths.append(path)
    facts["bvh_fit_mm"] = distances
    return paths


def text_of(avatar: Avatar, rate_hz: float) -> str:
    """The content of the file."""
    lines, order = ["HIERARCHY"], []
    _node(avatar, 0, 0, lines, order)
    columns = [avatar.root_m]
    for node in order:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Gimbal lock")  # the angles are right all the same
            angles = Rotation.from_matrix(avatar.local[:, node]).as_euler("ZXY", degrees=True)
        columns.append(np.unwrap(angles, period=360, axis=0))
    values = np.concatenate(columns, 1)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {1 / rate_hz:.8f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in values]
    return "\n".join(lines) + "\n"


def _node(avatar: Avatar, node: int, depth: int, lines: list[str], order: list[int]) -> None:
    """One node and all below it."""
    indent, name = "  " * depth, NAMES[node]
    offset = " ".join(f"{value:.6f}" for value in avatar.offsets_m[node])
    if name in ENDS:
        lines += [f"{indent}End Site", f"{indent}{{", f"{indent}  OFFSET {offset}", f"{indent}}}"]
        return
    position = "" if depth else "Xposition Yposition Zposition "
    lines += [
        f"{indent}{'JOINT' if depth else 'ROOT'} {MIXAMO[name]}", f"{indent}{{", f"{indent}  OFFSET {offset}",
        f"{indent}  CHANNELS {3 if depth else 6} {position}Zrotation Xrotation Yrotation",
    ]  # fmt: skip
    order.append(node)
    for child, parent in enumerate(PARENTS):
        if parent == node:
            _node(avatar, child, depth + 1, lines, order)
    lines.append(f"{indent}}}")
