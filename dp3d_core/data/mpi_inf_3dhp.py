"""MPI-INF-3DHP in the npz files of P-STMO (Shan et al. 2022): the test set TS1-TS6 and the training views.

The data is licensed and comes from you. P-STMO's scripts write `data_test_3dhp.npz` with data = {"TS1": {data_2d
(T, 17, 2) px, data_3d (T, 17, 3) mm, valid (T,)}} and `data_train_3dhp.npz` with data = {"S1 Seq1": [{"0": {data_2d,
data_3d}, …cameras 0, 1, 2, 4 to 8}, fps]}. Both hold the 17 "relevant" joints of the data set's 28, in its CPM order
(FILE_JOINTS), and as 3D the *universal* annotation univ_annot3: camera axes, millimetres, the person scaled to one
height. So only errors relative to the pelvis mean something (EvalSequence.metric is False), and a network that answers
in true metres is wrong here by the person's height; published numbers train on the same scale. With annot3 in its
place (convert the .mat files yourself) the truth is metric: say so by universal=False.

Protocol (the data set's mpii_test_predictions): valid frames only, the others are context; pelvis-aligned; PCK below
150 mm and its mean over 0, 5, …, 150 mm (AUC), both over PCK_JOINTS, each of eight groups weighted by its joints; MPJPE
over all 17.

Knows nothing of images, networks or error metrics.

# T frames, J = 17 joints
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dp3d_core.data.sequences import FARTHEST_PX, EvalSequence, check_joint_order
from dp3d_core.data.vp3d_npz import read_vp3d
from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import JOINT_NAMES

TEST_NAMES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
SIZE_PX = {**dict.fromkeys(TEST_NAMES[:4], (2048, 2048)), **dict.fromkeys(TEST_NAMES[4:], (1920, 1080))}
TRAIN_SIZE_PX = (2048, 2048)
TEST_FPS = 25.0
"""Assumed: nothing in the files says it."""
FILE_JOINTS = (
    "Head top", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip", "RKnee", "RAnkle",
    "LHip", "LKnee", "LAnkle", "Pelvis", "Spine", "Head",
)  # fmt: skip
# The file's number of each of our joints: its neck stands for Thorax, its head (the skull's base) for Nose.
FROM_FILE = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
# Head top, neck, shoulders, elbows, wrists, hips, knees and ankles, in our numbers.
PCK_JOINTS = tuple(JOINT_NAMES.index(name) for name in (
    "Head", "Thorax", "RShoulder", "LShoulder", "RElbow", "LElbow", "RWrist", "LWrist", "RHip", "LHip", "RKnee",
    "LKnee", "RAnkle", "LAnkle",
))  # fmt: skip
FARTHEST_MM = 20_000


def load_3dhp_test(
    path: str | Path,
    cameras: dict[str, Camera],
    *,
    names: tuple[str, ...] = TEST_NAMES,
    fps: float = TEST_FPS,
    universal: bool = True,
) -> list[EvalSequence]:
    """The test sequences in the order of names, each with its camera (read_calibration); ValueError names the fault.

    cameras: {"TS1": Camera, …}. 2D is the annotated one, with confidence 1. In frames that do not count it is 0 where a
    joint has none; in a valid frame every joint needs its 2D and 3D, for a score over fewer is not the published one.
    """
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names: expected at least one of {', '.join(TEST_NAMES)}, each once; got {names}")
    if not 1 <= fps <= 240:
        raise ValueError(f"fps: expected 1 to 240 frames per second, got {fps}")
    for name in names:
        if name not in TEST_NAMES:
            raise ValueError(f"names: expected some of {', '.join(TEST_NAMES)}; got {name!r}")
        if name not in cameras:
            raise ValueError(
                f"cameras: expected one for {name}, got those of {sorted(cameras)}; read_calibration reads the test "
                "set's camera_calibration files, Camera.from_fov makes a guess"
            )
        if (cameras[name].width, cameras[name].height) != SIZE_PX[name]:
            raise ValueError(
                f"cameras: expected {SIZE_PX[name]} px for {name}, got {(cameras[name].width, cameras[name].height)}"
            )
    held = _data(path)
    sequences = []
    for name in names:
        if not isinstance(held.get(name), dict):
            raise ValueError(f"{path}: expected sequence {name}, got {sorted(map(str, held))}")
        valid = held[name].get("valid")
        if not isinstance(valid, np.ndarray) or valid.ndim != 1 or valid.dtype.kind not in "biuf":
            raise ValueError(f"{path}: {name}: valid: expected (T,) of 0 and 1, got {_form(valid)}")
        if not np.isin(valid, (0, 1)).all():
            raise ValueError(f"{path}: {name}: valid: expected only 0 and 1, got {np.unique(valid)[:5].tolist()}")
        sequences.append(
            _sequence(
                held[name],
                path,
                name,
                valid=valid.astype(bool),
                camera=cameras[name],
                action="",
                subject=name,
                fps=fps,
                universal=universal,
            )
        )
    return sequences


def load_3dhp_train(path: str | Path, cameras: dict[str, Camera], *, universal: bool = True) -> list[EvalSequence]:
    """Every training view as one sequence; cameras by the file's camera number, {"0": Camera, …}.

    All frames count but those without 3D; ValueError names file, sequence and camera.
    """
    sequences = []
    for title, pair in _data(path).items():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], dict):
            raise ValueError(f"{path}: {title}: expected [{{camera: arrays}}, fps], got {type(pair).__name__}")
        views, fps = pair
        if not isinstance(fps, (int, float)) or not 1 <= fps <= 240:
            raise ValueError(f"{path}: {title}: fps: expected 1 to 240 frames per second, got {fps!r}")
        for number, view in views.items():
            if number not in cameras:
                raise ValueError(
                    f"cameras: expected one for camera {number!r} of {title} in {path}, got {sorted(map(str, cameras))}"
                )
            sequences.append(
                _sequence(
                    view,
                    path,
                    f"{title}/{number}",
                    valid=None,
                    camera=cameras[number],
                    action="",
                    subject=str(title).split(" ")[0],
                    fps=float(fps),
                    universal=universal,
                )
            )
    if not sequences:
        raise ValueError(f"{path}: expected training views, got none")
    return sequences


def read_calibration(path: str | Path, *, width_px: int, height_px: int) -> Camera:
    """The camera of one of the test set's calibration files (ts1-4cameras.calib, ts5-6cameras.calib).

    They give lengths on the sensor in mm: focal length, pixel aspect (y over x), offset of the centre (right and down),
    OpenCV distortion. ValueError names the first entry that is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a calibration file of MPI-INF-3DHP's test set, got no such file")
    entries = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split("#")[0].split()
        if words:
            entries.setdefault(words[0], words[1:])
    counts = {"sensorSize": 2, "focalLength": 1, "pixelAspect": 1, "centerOffset": 2, "distortion": 5}
    values = {}
    for key, count in counts.items():
        try:
            values[key] = [float(word) for word in entries[key]]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}: {key}: expected {count} numbers, got {entries.get(key)}") from error
        if len(values[key]) != count or not np.isfinite(values[key]).all():
            raise ValueError(f"{path}: {key}: expected {count} finite numbers, got {values[key]}")
    sensor_mm, offset_mm = values["sensorSize"], values["centerOffset"]
    if min(sensor_mm) <= 0:
        raise ValueError(f"{path}: sensorSize: expected positive millimetres, got {sensor_mm}")
    for key in ("focalLength", "pixelAspect"):
        if values[key][0] <= 0:
            raise ValueError(f"{path}: {key}: expected a positive number, got {values[key][0]}")
    fx = values["focalLength"][0] / sensor_mm[0] * width_px
    return Camera(
        fx=fx,
        fy=fx * values["pixelAspect"][0],
        cx=width_px / 2 + offset_mm[0] / sensor_mm[0] * width_px,
        cy=height_px / 2 + offset_mm[1] / sensor_mm[1] * height_px,
        width=width_px,
        height=height_px,
        distortion=tuple(values["distortion"]),
    )


def _data(path) -> dict:
    held = read_vp3d(path, keys=("data",))["data"]
    if not isinstance(held, dict):
        raise ValueError(f"{path}: data: expected a dict of sequences, got {type(held).__name__}")
    return held


def _sequence(view, path, name, *, valid, camera, action, subject, fps, universal) -> EvalSequence:
    title = f"{path}: {name}"
    if not isinstance(view, dict):
        raise ValueError(f"{title}: expected a dict of arrays, got {type(view).__name__}")
    arrays = {}
    for key, axes in (("data_2d", 2), ("data_3d", 3)):
        array = view.get(key)
        if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[1:] != (17, axes):
            raise ValueError(f"{title}: {key}: expected (T, 17, {axes}), got {_form(array)}")
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{title}: {key}: expected numbers, got {_form(array)}")
        arrays[key] = array[:, FROM_FILE].astype(np.float64)
    keypoints_px, joints_mm = arrays["data_2d"], arrays["data_3d"]
    if len(keypoints_px) != len(joints_mm) or (valid is not None and len(valid) != len(joints_mm)):
        raise ValueError(
            f"{title}: expected as many frames of 2D, 3D and valid, got {len(keypoints_px)}, "
            f"{len(joints_mm)} and {'none' if valid is None else len(valid)}"
        )
    seen = (np.abs(keypoints_px) < FARTHEST_PX).all(axis=-1)  # not where it is NaN
    known = np.isfinite(joints_mm).all(axis=(1, 2))
    counted = known if valid is None else valid
    if not counted.any():
        what = "3D" if valid is None else "valid = 1"
        raise ValueError(f"{title}: expected at least one frame with {what}, got none of {len(counted)}")
    # Like Human3.6M's: taken for a missing joint, a NaN here would change the published score without a word.
    for key, whole in (("data_2d", seen.all(axis=1)), ("data_3d", known)):
        bad = np.flatnonzero(counted & ~whole)
        if len(bad):
            raise ValueError(
                f"{title}: {key}: expected finite numbers in the frames that count, got NaN, infinity "
                f"or the like in {len(bad)} of {counted.sum()}, first frame {bad[0]}"
            )
    size_mm = np.abs(joints_mm[counted]).max()
    if not 100 < size_mm < FARTHEST_MM:
        raise ValueError(f"{title}: data_3d: expected millimetres, got values up to {size_mm:.3g}")
    check_joint_order(joints_mm[counted] / 1000, title=f"{title}: data_3d", order=", ".join(FILE_JOINTS))
    return EvalSequence(
        name=name,
        action=action,
        subject=subject,
        fps=fps,
        stamps_s=np.arange(len(joints_mm)) / fps,
        keypoints_px=np.where(seen[..., None], keypoints_px, 0).astype(np.float32),
        confidence=seen.astype(np.float32),
        joints_cam_m=(joints_mm / 1000).astype(np.float32),
        camera=camera,
        valid=counted,
        metric=not universal,
    )


def _form(value) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
