"""People in 3D as other tools read them: one file of this folder for each format, its library imported when it writes.

Each writer is a function `write(result, out, facts) -> list[Path]`: the paths of what it wrote into the folder `out`.
It writes beside, then renames. README.md of dp3d_core/files says which tool reads what, with units, axes and rates.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from dp3d_core.files.results import Result

FORMATS = {
    "npz": "everything, NumPy arrays",
    "csv": "a table, a row a joint",
    "json": "everything, as text",
    "bvh": "Blender, MotionBuilder: joint rotations, a file a person",
    "trc": "OpenSim: joint positions, a file a person",
    "c3d": "biomechanics: joint positions, a file a person",
    "coco3d": "COCO's JSON with 3D keypoints",
    "mcap": "a rosbag2 with the topics of dp3d's node",
    "rrd": "the viewer rerun",
    "glb": "glTF: a skinned figure, a file a person",
}
"""{format, also the name of its module in this folder: what it is for}."""


def check(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats; ValueError for one that nobody writes."""
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"--to: expected some of {', '.join(FORMATS)}, got {name!r}")
    return tuple(formats)


def write(result: Result, out: Path, formats: Sequence[str], facts: dict) -> list[Path]:
    """Write a result in these formats; OSError names the file that cannot be written."""
    paths = []
    for name in check(formats):
        paths += import_module(f"{__name__}.{name}").write(result, out, facts)
    return paths
