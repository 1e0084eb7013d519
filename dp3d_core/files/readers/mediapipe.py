"""MediaPipe Pose landmarks, which have no file format of their own: npz arrays or csv tables.

npz: `landmarks` (F, 33, C) or (F, P, 33, C) with C = x, y[, z][, visibility[, presence]], NaN or zeros where nobody is;
optional `stamps_s` (F,), `image_size` (width, height). csv, wide: a row a frame, columns x0, y0, z0, v0 ... (or from 1,
or nose_x, nose_y ...), optional frame, stamp_s, person; long: columns frame, landmark (number or name), x, y and
optional z, visibility, person, stamp_s. x and y from 0 to 1 are taken for MediaPipe's shares of the picture.
"""

import csv
from pathlib import Path

import numpy as np

from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions
from dp3d_core.skeleton import joint_set

JOINT_SET = "mediapipe33"
NPZ_KEYS = ("landmarks", "pose_landmarks", "mediapipe33_2d")
SCORES = ("visibility", "v", "score", "confidence")
LARGEST_SHARE = 3.0
"""Coordinates up to it are shares of the picture (a joint may lie outside of it), beyond it pixels."""


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """One clip, or one a camera."""
    return _npz(path) if path.suffix.lower() == ".npz" else [_csv(path)]


def _npz(path: Path) -> list[Detections]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: expected an npz without pickles, could not read it ({error})") from error
    key = next(key for key in NPZ_KEYS if key in held)
    values = held[key].astype(float)
    if values.ndim == 3:
        values = values[:, None]
    if values.ndim != 4 or values.shape[2] != 33 or not 2 <= values.shape[3] <= 5:
        raise ValueError(f"{path}: {key}: expected (F, 33, 2 to 5) or (F, P, 33, 2 to 5), got {held[key].shape}")
    score = np.ones(values.shape[:3])
    if values.shape[3] >= 4:
        score = values[..., 3]
    elif "visibility" in held:
        score = held["visibility"].astype(float).reshape(values.shape[:3])
    rows = Rows(str(path), JOINT_SET)
    frames, people = values.shape[:2]
    for frame in range(frames):
        for person in range(people):
            if np.isfinite(values[frame, person, :, :2]).any() and values[frame, person, :, :2].any():
                # the order of several people is not a promise of who is who
                rows.add(frame, 0 if people == 1 else None, values[frame, person, :, :2], score[frame, person])
    size = held.get("image_size", held.get("image_size_px"))
    return [_finish(path, rows, frames, held.get("stamps_s"), None if size is None else tuple(map(int, size.ravel())))]


def _csv(path: Path) -> Detections:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            table = [{name: cell for name, cell in zip(header, line.values())} for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a csv table in UTF-8, could not read it ({error})") from error
    if not table:
        raise ValueError(f"{path}: expected a csv table with a header and rows, got none")
    landmark = next((name for name in ("landmark", "joint", "keypoint", "index", "name") if name in header), None)
    if landmark and {"frame", "x", "y"} <= set(header):
        people = _long(path, table, landmark)
    else:
        people = _wide(path, table, header)
    rows = Rows(str(path), JOINT_SET)
    stamps = {}
    for frame, person, stamp_s, points, score in people:
        if np.isfinite(points).any():
            rows.add(frame, person, points, score)
        stamps[frame] = stamp_s
    first = min(stamps)
    rows.frame = [frame - first for frame in rows.frame]
    frames = max(stamps) - first + 1
    known = len(stamps) == frames and None not in stamps.values()
    return _finish(path, rows, frames, np.array([stamps[frame] for frame in sorted(stamps)]) if known else None, None)


def _long(path, table, landmark):
    """A row a landmark."""
    names = joint_set(JOINT_SET).keypoints
    people = {}
    for line in table:
        which = (line[landmark] or "").strip().lower()
        index = int(which) if which.isdigit() else names.index(which) if which in names else -1
        if not 0 <= index < 33:
            raise ValueError(f"{path}: expected MediaPipe's landmarks 0 to 32 or their names, got {which!r}")
        frame, person = int(_number(path, line["frame"])), line.get("person")
        person = None if person in (None, "") else int(_number(path, person))
        if (frame, person) not in people:
            stamp = line.get("stamp_s")
            people[frame, person] = (None if stamp is None else _number(path, stamp), np.full((33, 2), np.nan),
                                     np.zeros(33))  # fmt: skip
        _, points, score = people[frame, person]
        points[index] = _number(path, line["x"]), _number(path, line["y"])
        score[index] = next((_number(path, line[name]) for name in SCORES if name in line), 1.0)
    return [(frame, 0 if person is None else person, *rest) for (frame, person), rest in people.items()]


def _wide(path, table, header):
    """A row a person and frame."""
    names, start, pattern = joint_set(JOINT_SET).keypoints, *_pattern(path, header)

    def column(axis, index):
        return pattern.format(axis=axis, index=index + start, name=names[index])

    def value(line, name, default):
        return default if line.get(name) is None else _number(path, line[name])

    score_name = next((name for name in SCORES if column(name, 0) in header), None)
    people = []
    for order, line in enumerate(table):
        points = np.array([[_number(path, line[column(axis, index)]) for axis in "xy"] for index in range(33)])
        score = np.array([value(line, column(score_name, index), 1.0) for index in range(33)])
        frame, person = int(value(line, "frame", order)), int(value(line, "person", 0))
        people.append((frame, person, value(line, "stamp_s", None), points, score))
    return people


def _pattern(path, header):
    """The first index (0 or 1) and the pattern of the columns' names."""
    names = joint_set(JOINT_SET).keypoints
    for pattern in ("{axis}{index}", "{axis}_{index}", "{name}_{axis}", "{name}.{axis}"):
        for start in (0, 1):
            wanted = {
                pattern.format(axis=axis, index=index + start, name=names[index])
                for index in range(33)
                for axis in "xy"
            }
            if wanted <= set(header):
                return start, pattern
    raise ValueError(
        f"{path}: expected columns x0, y0 ... x32, y32 (or from 1, or nose_x ...), or frame, landmark, x, y; got "
        f"{header[:8]}"
    )


def _number(path: Path, cell: str | None) -> float:
    try:
        return float("nan") if cell is None or not cell.strip() else float(cell)
    except ValueError:
        raise ValueError(f"{path}: expected numbers in the table, got {cell!r}") from None


def _finish(path: Path, rows: Rows, frames: int, stamps_s: np.ndarray | None, size: tuple | None) -> Detections:
    if not rows.frame:
        raise ValueError(f"{path}: expected MediaPipe landmarks, got {frames} frames with nobody")
    largest = np.nanmax(np.abs(np.array(rows.keypoints)))
    return rows.detections(
        name=path.stem,
        format="MediaPipe landmarks",
        frames=frames,
        stamps_s=stamps_s,
        image_size_px=size,
        normalised=bool(largest <= LARGEST_SHARE),
    )
