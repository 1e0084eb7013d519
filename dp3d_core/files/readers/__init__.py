"""Files as other tools write them: which format is it, and what does it say? One file of this folder for each format.

Each reader is a function `read(path, options) -> list[Detections]`, a file may hold several clips. Its library is
imported when it reads.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dp3d_core.files.detections import Detections

FORMATS = {
    "recording": "a dp3d recording (npz)",
    "video": "a video",
    "openpose": "OpenPose JSON, a file a frame",
    "mmpose": "mmpose JSON",
    "alphapose": "AlphaPose JSON",
    "coco": "COCO keypoint JSON",
    "mediapipe": "MediaPipe landmarks (npz or csv)",
    "vp3d": "VideoPose3D 2D keypoints (npz)",
    "rosbag": "a rosbag2 (mcap or sqlite3)",
}
"""{format, also the name of its module in this folder: a phrase for the user}."""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
BAGS = (".mcap", ".db3")
KNOWN = f"a video ({', '.join(VIDEOS)}), JSON, npz, csv, or a rosbag2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a file may not say of itself; None leaves it to the file."""

    format: str | None = None
    joint_set: str | None = None
    topic: str | None = None
    """Of a bag: the keypoints' topic."""
    keep: Path | None = None
    """Folder in which the detections of a video are kept."""


def read(path: str | Path, options: ReadOptions | None = None) -> list[Detections]:
    """The clips of a file or folder; FileNotFoundError or ValueError say in one sentence what was expected."""
    options = options or ReadOptions()
    path = Path(path)
    name = options.format or recognise(path)
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    return import_module(f"{__name__}.{name}").read(path, options)


def recognise(path: Path) -> str:
    """The format of a file or folder, by its content where names say little."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; expected {KNOWN}")
    if path.is_dir():
        return _folder(path)
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return "video"
    if ending in BAGS:
        return "rosbag"
    if ending == ".npz":
        return _npz(path)
    if ending == ".csv":
        return "mediapipe"
    if ending == ".json":
        return json_format(path, load_json(path))
    raise ValueError(f"{path}: expected {KNOWN}, got a file ending in {ending or 'nothing'!r}")


def expand(paths: Sequence[str | Path]) -> list[Path]:
    """The inputs of a command line: a folder that is no input itself stands for the inputs in it."""
    inputs = []
    for path in map(Path, paths):
        inside = []
        if path.is_dir() and not _is_bag(path) and not any(path.glob("*.json")):
            inside = [one for one in sorted(path.iterdir()) if one.suffix.lower() in (*VIDEOS, *BAGS, ".npz", ".csv")]
            inside += [
                one for one in sorted(path.iterdir()) if one.is_dir() and (any(one.glob("*.json")) or _is_bag(one))
            ]
        inputs += inside or [path]
    return inputs


def load_json(path: Path) -> Any:
    """The content of a JSON file; ValueError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, but it cannot be parsed ({error}); is it cut off?") from error


def json_format(path: Path, data: object) -> str:
    """Which tool wrote this JSON; ValueError says what was expected."""
    first = data[0] if isinstance(data, list) and data else None
    if isinstance(data, dict) and "people" in data:
        return "openpose"
    if isinstance(data, dict) and "instance_info" in data:
        return "mmpose"
    if isinstance(data, dict) and "annotations" in data:
        return "coco"
    if isinstance(first, dict) and ("instances" in first or "keypoint_scores" in first):
        return "mmpose"
    if isinstance(first, dict) and {"image_id", "keypoints"} <= set(first):
        return "alphapose" if isinstance(first["image_id"], str) else "coco"
    what = f"an object with {sorted(data)[:5]}" if isinstance(data, dict) else f"a list of {type(first).__name__}"
    if data == []:
        what = "an empty list"
    raise ValueError(f"{path}: expected JSON of OpenPose, mmpose, AlphaPose or COCO keypoints, got {what}")


def frame_numbers(files: Sequence[Path]) -> list[int]:
    """The last number in each file's name, OpenPose's suffix aside; their order where not all have one of their own."""
    found = [re.findall(r"\d+", file.stem.removesuffix("_keypoints")) for file in files]
    numbers = [int(digits[-1]) for digits in found if digits]
    return numbers if len(set(numbers)) == len(files) else list(range(len(files)))


def _folder(path: Path) -> str:
    if _is_bag(path):
        return "rosbag"
    files = sorted(path.glob("*.json"))
    if not files:
        raise ValueError(f"{path}: expected a folder of JSON files or a rosbag2, got one with neither")
    for file in files:  # frames of mmpose without people are empty lists, which tell nothing
        data = load_json(file)
        if data != []:
            return json_format(file, data)
    return "mmpose"


def _is_bag(path: Path) -> bool:
    return (path / "metadata.yaml").is_file() or any(one.suffix in BAGS for one in path.iterdir())


def _npz(path: Path) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            keys = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: expected an npz file, got one that cannot be read ({error})") from error
    if {"keypoints_px", "stamps_s"} <= keys:
        return "recording"
    if "positions_2d" in keys:
        return "vp3d"
    from dp3d_core.files.readers.mediapipe import NPZ_KEYS

    if keys & set(NPZ_KEYS):
        return "mediapipe"
    raise ValueError(
        f"{path}: expected a dp3d recording (keypoints_px), MediaPipe landmarks (landmarks) or VideoPose3D's keypoints "
        f"(positions_2d), got keys {sorted(keys)}"
    )
