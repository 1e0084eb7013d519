"""OpenPose's JSON output (`--write_json`), a file a frame; Pose2Sim and RTMLib write the same form.

{"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, score, ...], ...}]} in files
NAME_000000000012_keypoints.json: doc/02_output.md of OpenPose.
"""

from collections import defaultdict
from pathlib import Path

from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions, frame_numbers, load_json

JOINT_SETS = {25: "openpose25", 18: "openpose18", 17: "coco17", 26: "halpe26", 133: "wholebody133"}
"""By number of keypoints: OpenPose's BODY_25 and COCO, and what Pose2Sim writes with RTMPose."""


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """A clip for each name before the frame numbers; missing numbers are frames with nobody."""
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    clips = defaultdict(list)
    for file in files:
        clips[file.stem.removesuffix("_keypoints").rstrip("0123456789").rstrip("_-. ")].append(file)
    return [_clip(path, name if len(clips) > 1 else path.stem, files, options) for name, files in clips.items()]


def _clip(path: Path, name: str, files: list[Path], options: ReadOptions) -> Detections:
    numbers = frame_numbers(files)
    first, frames = min(numbers), max(numbers) - min(numbers) + 1
    if frames > 100 * len(files) + 10000:
        raise ValueError(
            f"{path}: expected numbered frames of one video, got {len(files)} files numbered {first} to {max(numbers)}"
        )
    rows = None
    for number, file in zip(numbers, files):
        for person in _people(file):
            flat = person["pose_keypoints_2d"]
            if not flat:
                continue
            if rows is None:
                rows = Rows(str(path), options.joint_set or _joint_set(file, flat))
            given = person.get("person_id", [-1])
            given = given[0] if isinstance(given, list) and given else given
            rows.add(
                number - first,
                given if isinstance(given, int) and given >= 0 else None,
                list(zip(flat[0::3], flat[1::3])),
                flat[2::3],
            )
    if rows is None:
        raise ValueError(f"{path}: expected people in OpenPose's JSON, got {len(files)} frames with nobody")
    notes = ()
    if frames > len(files):
        hole = next(number for number in range(first, first + frames) if number not in set(numbers))
        notes = (f"{frames - len(files)} of {frames} frames have no file (the first is {hole}): taken as empty",)
    return rows.detections(
        name=name.removesuffix("_keypoints"), format=f"OpenPose JSON ({rows.joint_set})", frames=frames, notes=notes
    )


def _people(file: Path) -> list[dict]:
    data = load_json(file)
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list):
        raise ValueError(f'{file}: expected OpenPose\'s {{"people": [...]}}, got JSON of another tool')
    for person in people:
        if not isinstance(person, dict) or not isinstance(person.get("pose_keypoints_2d"), list):
            raise ValueError(f'{file}: expected "pose_keypoints_2d" of every person, got none')
    return people


def _joint_set(file: Path, flat: list) -> str:
    if len(flat) % 3 or len(flat) // 3 not in JOINT_SETS:
        raise ValueError(
            f"{file}: expected x, y, score of {', '.join(map(str, JOINT_SETS))} keypoints, got {len(flat)} numbers; "
            "other models need --joint-set"
        )
    return JOINT_SETS[len(flat) // 3]
