"""JSON of mmpose 1.x (`--pred-out-dir`, `--save-predictions`), RTMPose with it.

A video is {"meta_info": {...}, "instance_info": [{"frame_id": 1, "instances": [...]}]} or only that list; a folder of
pictures has a list of instances a file. An instance is {"keypoints": [[x, y], ...], "keypoint_scores": [...],
"bbox": ..., "track_id": optional}: mmpose/apis/inferencers and demo/topdown_demo_with_mmdet.py.
"""

from pathlib import Path

from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions, frame_numbers, load_json

JOINT_SETS = {17: "coco17", 26: "halpe26", 133: "wholebody133"}


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """One clip."""
    frames, meta = _frames(path)
    rows = None
    for frame, instances in frames:
        for instance in instances:
            keypoints, scores = _keypoints(path, frame, instance)
            if rows is None:
                rows = Rows(str(path), options.joint_set or _joint_set(path, len(keypoints), meta))
            track = instance.get("track_id", instance.get("instance_id"))
            rows.add(frame, track if isinstance(track, int) and track >= 0 else None, keypoints, scores)
    if rows is None:
        raise ValueError(f"{path}: expected people in mmpose's JSON, got {len(frames)} frames with nobody")
    count = max(frame for frame, _ in frames) + 1
    return [rows.detections(name=path.stem, format=f"mmpose JSON ({rows.joint_set})", frames=count)]


def _frames(path: Path) -> tuple[list[tuple[int, list]], dict]:
    """[(frame from 0, instances)] and meta_info."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        numbers = frame_numbers(files)
        first = min(numbers)
        return [(number - first, _instances(file, load_json(file))) for number, file in zip(numbers, files)], {}
    data = load_json(path)
    meta = data.get("meta_info", {}) if isinstance(data, dict) else {}
    listed = data["instance_info"] if isinstance(data, dict) else data
    if isinstance(listed, list) and listed and isinstance(listed[0], dict) and "keypoints" in listed[0]:
        return [(0, _instances(path, listed))], meta
    if not isinstance(listed, list) or not all(isinstance(item, dict) and "instances" in item for item in listed):
        raise ValueError(f'{path}: expected a list of {{"frame_id", "instances"}}, got JSON of another form')
    numbers = [item.get("frame_id", index) for index, item in enumerate(listed)]
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError(f'{path}: expected whole numbers as "frame_id", got others')
    first = min(numbers, default=0)
    first = first if first in (0, 1) else 0  # frames count from 0 or 1
    return [(number - first, _instances(path, item["instances"])) for number, item in zip(numbers, listed)], meta


def _instances(path: Path, listed: object) -> list[dict]:
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError(f"{path}: expected lists of mmpose's instances, got JSON of another tool")
    return listed


def _keypoints(path: Path, frame: int, instance: dict) -> tuple[list, list]:
    keypoints, scores = instance.get("keypoints"), instance.get("keypoint_scores")
    if not isinstance(keypoints, list) or not isinstance(scores, list):
        raise ValueError(f'{path}: frame {frame}: expected "keypoints" and "keypoint_scores" of an instance')
    if keypoints and isinstance(keypoints[0], list) and len(keypoints[0]) == 3:
        raise ValueError(f"{path}: frame {frame}: expected 2D keypoints, got 3D ones; give the 2D predictions")
    return keypoints, scores


def _joint_set(path: Path, count: int, meta: dict) -> str:
    if isinstance(meta, dict) and "h36m" in str(meta.get("dataset_name", "")).lower():
        return "h36m17"
    if count not in JOINT_SETS:
        raise ValueError(f"{path}: expected 17, 26 or 133 keypoints, got {count}; other models need --joint-set")
    return JOINT_SETS[count]
