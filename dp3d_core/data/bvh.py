"""Motion files from BVH: find the 17 joints by the usual naming schemes, in metres, Z up, at one frame rate.

    dp3d bvh walk.bvh run.bvh --out motions.npz --split train --unit-m 0.01

The unit of a BVH file is nowhere in it (centimetres, inches, CMU's 1/0.45 inch) and must be given; a body that does not
measure like one is refused with the unit that would fit. What BVH joints do not say is built: Hip is midway between
the hips, Spine the joint of the spine nearest half way, Head the end site of the head or 18 cm beyond it, Nose 62 % of
the way from neck to head top and 11 cm forward (square to the shoulders: where the head looks is lost).

# T frames, N nodes of the file
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from tyro.conf import Positional

from dp3d_core.cli import run
from dp3d_core.data.bvh_format import Bvh, read_bvh
from dp3d_core.data.motions import Motions, join_motions, save_motions
from dp3d_core.skeleton import JOINT_NAMES

# Leg and arm as a scheme names them, and how it writes the sides. Compared without case, blanks, "_", "." and prefix.
SCHEMES = {
    "LeftUpLeg (CMU, Mixamo, LAFAN1, MotionBuilder)": (
        ("{}upleg", "{}leg", "{}foot", "{}arm", "{}forearm", "{}hand"),
        ("left", "right"),
    ),
    "LeftUpLeg, LeftLowLeg": (("{}upleg", "{}lowleg", "{}foot", "{}uparm", "{}lowarm", "{}hand"), ("left", "right")),
    "LeftUpperLeg (VRM, Unity)": (
        ("{}upperleg", "{}lowerleg", "{}foot", "{}upperarm", "{}lowerarm", "{}hand"),
        ("left", "right"),
    ),
    "LeftHip (Biovision)": (("{}hip", "{}knee", "{}ankle", "{}shoulder", "{}elbow", "{}wrist"), ("left", "right")),
    "lThigh (Daz, Poser)": (("{}thigh", "{}shin", "{}foot", "{}shldr", "{}forearm", "{}hand"), ("l", "r")),
    "lHip (CMU for Daz, merged)": (("{}hip", "{}knee", "{}foot", "{}shoulder", "{}elbow", "{}hand"), ("l", "r")),
}
LIMBS = ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist")
UNITS_M = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254, "CMU units": 0.0254 / 0.45}
HEAD_TOP_M, NOSE_ALONG, NOSE_FORWARD_M = 0.18, 0.62, 0.11


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is said of a clip beside its motion; an empty action or subject becomes the file's name."""

    split: str
    action: str = ""
    subject: str = ""
    licence: str = "not stated"


def load_bvh(
    path: str | Path, *, source: Source, unit_m: float = 0.01, up: str = "y", fps: float = 30.0, lying: bool = False
) -> Motions:
    """One file as one clip of Motions, linearly resampled to fps; ValueError names the file and what to do.

    unit_m is the file's unit in metres, up its vertical axis ("y" or "z"). lying says that hips no higher than the
    ankles are meant; otherwise they are taken for a wrong axis.
    """
    path = Path(path)
    if up not in ("y", "z"):
        raise ValueError(f"up: expected y or z, got {up!r}")
    if not (np.isfinite(unit_m) and unit_m > 0 and np.isfinite(fps) and fps > 0):
        raise ValueError(f"unit_m, fps: expected positive numbers, got {unit_m} and {fps}")
    bvh = read_bvh(path)
    points_m = bvh.positions() * unit_m
    if up == "y":
        points_m = np.stack([points_m[..., 0], -points_m[..., 2], points_m[..., 1]], axis=-1)
    try:
        joints_m = joints_17(bvh, points_m)
        _check_body(joints_m, unit_m, lying)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    joints_m = _resample(joints_m, bvh.frame_time_s, fps).astype(np.float32)
    text = path.stem.replace("_", " ")
    return Motions(
        pose_m=joints_m - joints_m[:, :1],
        root_m=joints_m[:, 0].copy(),
        fps=float(fps),
        names=(path.stem,),
        offsets=np.array([0, len(joints_m)], dtype=np.int64),
        actions=(source.action or text,),
        styles=("bvh",),
        subjects=(source.subject or path.stem,),
        splits=(source.split,),
        sources=("bvh",),
        licences=(source.licence,),
    )


def joints_17(bvh: Bvh, points_m: np.ndarray) -> np.ndarray:
    """The 17 joints (T, 17, 3) among or between the file's nodes (T, N, 3); ValueError lists the names if none fit."""
    nodes = {plain_name(name): index for index, name in reversed(list(enumerate(bvh.names)))}
    limbs = _limbs(nodes, bvh.names)
    joints = {name: points_m[:, node] for name, node in limbs.items()}
    joints["Hip"] = (joints["RHip"] + joints["LHip"]) / 2
    joints["Thorax"] = points_m[:, nodes["neck"]]
    joints["Spine"] = _spine(bvh, points_m, nodes["neck"], joints["Hip"], joints["Thorax"])
    joints["Head"] = _head_top(bvh, points_m, nodes["head"], joints["Thorax"])
    to_head = joints["Head"] - joints["Thorax"]
    forward = np.cross(to_head, joints["RShoulder"] - joints["LShoulder"])
    length = np.linalg.norm(forward, axis=-1, keepdims=True)
    joints["Nose"] = joints["Thorax"] + NOSE_ALONG * to_head + NOSE_FORWARD_M * forward / np.maximum(length, 1e-9)
    return np.stack([joints[name] for name in JOINT_NAMES], axis=1)


def plain_name(name: str) -> str:
    """A joint's name without prefix ("mixamorig:"), blanks, "_", "." and case."""
    return re.sub(r"^(.*:|mixamorig\d*)|[\s_.-]", "", name.strip(), flags=re.IGNORECASE).lower()


def _limbs(nodes, names) -> dict[str, int]:
    for parts, sides in SCHEMES.values():
        wanted = {
            side + joint: part.format(word) for side, word in zip("LR", sides) for joint, part in zip(LIMBS, parts)
        }
        if all(name in nodes for name in (*wanted.values(), "neck", "head")):
            return {joint: nodes[name] for joint, name in wanted.items()}
    raise ValueError(
        f"expected joints named by one of the schemes {'; '.join(SCHEMES)}, each with Neck and Head; "
        f"got {', '.join(names)}; rename them"
    )


def _spine(bvh, points_m, neck, hip_m, thorax_m) -> np.ndarray:
    """The joint between root and neck nearest half way, or the point half way if none is near."""
    trunk = np.linalg.norm(thorax_m - hip_m, axis=-1)
    best, off = None, 0.25
    node = bvh.parents[neck]
    while node > 0:
        along = np.median(np.linalg.norm(points_m[:, node] - hip_m, axis=-1) / np.maximum(trunk, 1e-9))
        if abs(along - 0.5) < off:
            best, off = node, abs(along - 0.5)
        node = bvh.parents[node]
    return (hip_m + thorax_m) / 2 if best is None else points_m[:, best]


def _head_top(bvh, points_m, head, thorax_m) -> np.ndarray:
    """The end of the head (not an eye) where that is 8 to 35 cm away from it, else a point beyond it."""
    children = [
        node
        for node, parent in enumerate(bvh.parents)
        if parent == head and plain_name(bvh.names[node]).endswith(("end", "top"))
    ]
    lengths = [np.linalg.norm(points_m[:, node] - points_m[:, head], axis=-1).mean() for node in children]
    if lengths and 0.08 <= max(lengths) <= 0.35:
        return points_m[:, children[int(np.argmax(lengths))]]
    beyond = points_m[:, head] - thorax_m
    return points_m[:, head] + HEAD_TOP_M * beyond / np.maximum(np.linalg.norm(beyond, axis=-1, keepdims=True), 1e-9)


def _check_body(joints_m, unit_m, lying) -> None:
    chain = [JOINT_NAMES.index(name) for name in ("RAnkle", "RKnee", "RHip")]
    trunk = [JOINT_NAMES.index(name) for name in ("Hip", "Thorax")]
    length_m = sum(
        float(np.median(np.linalg.norm(joints_m[:, a] - joints_m[:, b], axis=-1)))
        for a, b in (*pairwise(chain), *pairwise(trunk))
    )
    if not 0.8 <= length_m <= 1.9:
        fitting = [f"{size:.4g} ({name})" for name, size in UNITS_M.items() if 1.0 < length_m / unit_m * size < 1.75]
        raise ValueError(
            f"expected a body 0.8 to 1.9 m from ankle to neck, got {length_m:.3g} m with "
            f"unit_m={unit_m:.4g}; it would fit with {' or '.join(fitting) or 'none of the usual units'}"
        )
    ankles_m = joints_m[:, [JOINT_NAMES.index("RAnkle"), JOINT_NAMES.index("LAnkle")], 2].mean(axis=1)
    above_m = float(np.median(joints_m[:, 0, 2] - ankles_m))
    if above_m < 0.15 and not lying:
        raise ValueError(
            f"expected the hips above the ankles, got them {above_m:.2f} m above; choose the other up axis, or "
            "say lying if the person lies or stands on the hands"
        )


def _resample(joints_m, frame_time_s, fps) -> np.ndarray:
    """Linear interpolation in time, at the times 0, 1/fps, … within the clip."""
    count = int(np.floor((len(joints_m) - 1) * frame_time_s * fps + 0.01)) + 1  # frame times are rounded
    at = np.minimum(np.arange(count) / (fps * frame_time_s), len(joints_m) - 1)
    before = np.minimum(at.astype(int), max(len(joints_m) - 2, 0))
    after = np.minimum(before + 1, len(joints_m) - 1)
    weight = (at - before)[:, None, None]
    return joints_m[before] * (1 - weight) + joints_m[after] * weight


@dataclass(frozen=True, kw_only=True)
class BvhOptions:
    """Make one motion file from BVH files, one clip each."""

    files: Positional[tuple[Path, ...]]
    """BVH files."""
    out: Path
    """Motion file to write (.npz)."""
    split: str
    """Split of all these clips: train, dev, …"""
    unit_m: float = 0.01
    """Unit of the files in metres (default: centimetres)."""
    up: Literal["y", "z"] = "y"
    """Vertical axis of the files."""
    fps: float = 30.0
    """Frame rate to resample to."""
    action: str = ""
    """Description of all clips (default: the name of each file)."""
    subject: str = ""
    """Name of the person (default: the name of each file)."""
    licence: str = "not stated"
    """Terms under which the clips may be used."""
    lying: bool = False
    """The person lies or stands on the hands."""


def command(options: BvhOptions) -> None:
    """Load, join and write the clips."""
    source = Source(split=options.split, action=options.action, subject=options.subject, licence=options.licence)
    motions = join_motions(
        [
            load_bvh(file, source=source, unit_m=options.unit_m, up=options.up, fps=options.fps, lying=options.lying)
            for file in options.files
        ]
    )
    save_motions(options.out, motions)
    print(f"{options.out}: {len(motions)} clips, {motions.minutes:.2f} minutes at {options.fps:g} fps")


if __name__ == "__main__":
    run("bvh")
