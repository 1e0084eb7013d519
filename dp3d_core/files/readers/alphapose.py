"""AlphaPose's results (`alphapose-results.json`, its default form).

A list of {"image_id": "12.jpg", "category_id": 1, "keypoints": [x, y, score, ...], "score": ..., "idx": track id}:
docs/output.md of AlphaPose. Of Halpe-136 the first 26 keypoints, the body, are used.
"""

import re
from pathlib import Path

from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions, load_json

JOINT_SETS = {17: "coco17", 26: "halpe26", 136: "halpe26", 133: "wholebody133"}


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """One clip; the number in the picture's name is the frame."""
    if path.is_dir():
        raise ValueError(f"{path}: expected AlphaPose's one file alphapose-results.json, got a folder")
    data = load_json(path)
    names = sorted({str(item.get("image_id")) for item in data if isinstance(item, dict)})
    numbers = {name: re.findall(r"\d+", Path(name).stem) for name in names}
    if all(numbers.values()):
        numbers = {name: int(found[-1]) for name, found in numbers.items()}
    else:
        numbers = {name: index for index, name in enumerate(names)}
    first = min(numbers.values())
    first = first if first in (0, 1) or first > 1000 else 0
    rows = None
    for item in data:
        flat = item.get("keypoints") if isinstance(item, dict) else None
        if not isinstance(flat, list) or len(flat) % 3:
            raise ValueError(f'{path}: expected "keypoints": [x, y, score, ...] in every entry, got another form')
        count = len(flat) // 3
        if count not in JOINT_SETS and not options.joint_set:
            raise ValueError(f"{path}: expected 17, 26, 133 or 136 keypoints, got {count}; others need --joint-set")
        if rows is None:
            rows = Rows(str(path), options.joint_set or JOINT_SETS[count])
        flat = flat[: 3 * 26] if count == 136 else flat
        rows.add(
            numbers[item["image_id"]] - first, _track(item.get("idx")), list(zip(flat[0::3], flat[1::3])), flat[2::3]
        )
    frames = max(numbers.values()) - first + 1
    if frames > 100 * len(names) + 10000:
        raise ValueError(f"{path}: expected numbered frames of one video, got numbers {first} to {frames + first - 1}")
    if rows is None:
        raise ValueError(f"{path}: expected people in AlphaPose's JSON, got an empty list")
    return [rows.detections(name=path.stem, format=f"AlphaPose JSON ({rows.joint_set})", frames=frames)]


def _track(value: object) -> int | None:
    """AlphaPose writes a number, a float or nested lists of one number."""
    while isinstance(value, list) and value:
        value = value[0]
    return int(value) if isinstance(value, (int, float)) and value >= 0 else None
