# F video frames, R rows (one person in one frame), K keypoints, D distortion coefficients
"""One npz of 2D keypoints of every person in every video frame: what a detector saw, raw, with its camera.

Knows nothing of detectors, networks or ROS; needs numpy only. Frames with nobody in them keep their stamp.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

import numpy as np

from dp3d_core.skeleton import joint_set

INTRINSICS = ("calibrated", "estimated", "assumed")
OPTIONAL_KEYS = ("ground_normal_cam", "ground_distance_m")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Keypoint rows of one video, sorted by frame; raises ValueError naming the field that is wrong.

    stamps_s (F,) float64, from 0, increasing; frame (R,) int32 row -> frame; person (R,) int32 track id, unique in
    a frame; keypoints_px (R, K, 2) float32 pixels of the full image; confidence (R, K) in [0, 1], 0 = missing;
    K (3, 3) pinhole matrix; distortion (D,) OpenCV order, may be empty; intrinsics: how K came about.
    Optional ground plane in the camera's optical frame: ground_normal_cam (3,) unit, from the ground up to the
    camera, and ground_distance_m, the camera's height: a point X lies on the ground when n.X + d = 0.
    """

    stamps_s: np.ndarray
    frame: np.ndarray
    person: np.ndarray
    keypoints_px: np.ndarray
    confidence: np.ndarray
    joint_set: str
    image_size_px: np.ndarray
    K: np.ndarray
    distortion: np.ndarray
    intrinsics: str
    source: str
    provenance: str
    ground_normal_cam: np.ndarray | None = None
    ground_distance_m: float | None = None

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            object.__setattr__(self, name, _array(name, getattr(self, name), dtype))
        self._check_frames()
        self._check_rows()
        self._check_camera()
        self._check_ground()

    def _check_frames(self) -> None:
        if self.stamps_s.ndim != 1 or len(self.stamps_s) == 0:
            raise ValueError(f"stamps_s: expected (F,) with F >= 1, got {self.stamps_s.shape}")
        if self.stamps_s[0] != 0 or np.any(np.diff(self.stamps_s) <= 0):
            raise ValueError("stamps_s: expected seconds from 0, strictly increasing; subtract the first and sort")

    def _check_rows(self) -> None:
        if self.keypoints_px.ndim != 3 or self.keypoints_px.shape[2] != 2:
            raise ValueError(
                f"keypoints_px: expected (R, K, 2) pixels, got {self.keypoints_px.shape}; pass confidence separately"
            )
        rows, joints = self.keypoints_px.shape[:2]
        for name, shape in (("frame", (rows,)), ("person", (rows,)), ("confidence", (rows, joints))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected {shape} to match keypoints_px, got {getattr(self, name).shape}")
        if np.any((self.confidence < 0) | (self.confidence > 1)):
            raise ValueError("confidence: expected values in [0, 1]; 0 means missing")
        if rows == 0:
            return
        if self.frame.min() < 0 or self.frame.max() >= len(self.stamps_s) or np.any(np.diff(self.frame) < 0):
            raise ValueError(f"frame: expected sorted indices into the {len(self.stamps_s)} stamps")
        if len(np.unique(np.stack([self.frame, self.person], 1), axis=0)) != rows:
            raise ValueError("person: one person appears twice in a frame; give each row of a frame its own id")

    def _check_camera(self) -> None:
        joints = len(joint_set(self.joint_set).keypoints)
        if self.keypoints_px.shape[1] != joints:
            raise ValueError(f"keypoints_px: {self.joint_set} has {joints} keypoints, got {self.keypoints_px.shape[1]}")
        if self.image_size_px.shape != (2,) or np.any(self.image_size_px <= 0):
            raise ValueError(f"image_size_px: expected positive (width, height), got {self.image_size_px}")
        if self.K.shape != (3, 3) or not np.array_equal(self.K[2], (0, 0, 1)) or min(self.K[0, 0], self.K[1, 1]) <= 0:
            raise ValueError(f"K: expected a (3, 3) pinhole matrix with positive focal lengths, got {self.K.tolist()}")
        if self.distortion.ndim != 1:
            raise ValueError(f"distortion: expected (D,) coefficients, got {self.distortion.shape}")
        if self.intrinsics not in INTRINSICS:
            raise ValueError(f"intrinsics: expected one of {', '.join(INTRINSICS)}, got {self.intrinsics!r}")

    def _check_ground(self) -> None:
        if self.ground_normal_cam is None and self.ground_distance_m is None:
            return
        if self.ground_normal_cam is None or self.ground_distance_m is None:
            raise ValueError("ground: expected ground_normal_cam and ground_distance_m together or neither")
        normal = _array("ground_normal_cam", self.ground_normal_cam, np.float64)
        if normal.shape != (3,) or abs(np.linalg.norm(normal) - 1) > 1e-3:
            raise ValueError(f"ground_normal_cam: expected a unit (3,) vector, got {normal.tolist()}")
        distance_m = float(self.ground_distance_m)
        if not (np.isfinite(distance_m) and distance_m > 0):
            raise ValueError(f"ground_distance_m: expected a positive camera height in metres, got {distance_m}")
        object.__setattr__(self, "ground_normal_cam", normal)
        object.__setattr__(self, "ground_distance_m", distance_m)

    def frames(self) -> Iterator[tuple[float, dict[int, tuple[np.ndarray, np.ndarray]]]]:
        """Yield (stamp_s, {person: (keypoints_px (K, 2) float32, confidence (K,) float32)}) for every frame."""
        bounds = np.searchsorted(self.frame, np.arange(len(self.stamps_s) + 1))
        for index, stamp_s in enumerate(self.stamps_s):
            rows = range(bounds[index], bounds[index + 1])
            yield float(stamp_s), {int(self.person[r]): (self.keypoints_px[r], self.confidence[r]) for r in rows}


_DTYPES = {
    "stamps_s": np.float64,
    "frame": np.int32,
    "person": np.int32,
    "keypoints_px": np.float32,
    "confidence": np.float32,
    "image_size_px": np.int32,
    "K": np.float64,
    "distortion": np.float64,
}
_TEXTS = ("joint_set", "intrinsics", "source", "provenance")


def load(path: str | Path) -> Recording:
    """Read and validate one recording; FileNotFoundError or ValueError say what is wrong with the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"recording: no file at {path}; make one with `python -m dp3d_core.detect VIDEO`")
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"recording {path}: expected an npz without pickles, could not read it ({error})") from error
    known = [field.name for field in fields(Recording)]
    missing = [key for key in known if key not in content and key not in OPTIONAL_KEYS]
    unknown = sorted(set(content) - set(known))
    if missing or unknown:
        raise ValueError(f"recording {path}: missing keys {missing}, unknown keys {unknown}; expected {known}")
    for key in _TEXTS:
        if content[key].shape != () or content[key].dtype.kind != "U":
            raise ValueError(f"recording {path}: {key}: expected one string, got {content[key].dtype}")
        content[key] = str(content[key])
    try:
        return Recording(**content)
    except ValueError as error:
        raise ValueError(f"recording {path}: {error}") from error


def save(path: str | Path, recording: Recording) -> None:
    """Write a recording as a compressed npz at exactly `path`, confidence as float16; same content, same bytes."""
    content = {field.name: getattr(recording, field.name) for field in fields(Recording)}
    content = {key: value for key, value in content.items() if value is not None}
    content["confidence"] = content["confidence"].astype(np.float16)
    with open(path, "wb") as file:  # given a name, numpy would append .npz to it
        np.savez_compressed(file, **content)


def shipped(name: str = "vtest") -> Path:
    """Path of a recording that comes with the package; FileNotFoundError lists the names there are."""
    folder = Path(str(resources.files("dp3d_core") / "recordings"))
    path = folder / f"{name}.npz"
    if not path.is_file():
        names = sorted(file.stem for file in folder.glob("*.npz"))
        raise FileNotFoundError(f"recording: expected one of the shipped {names}, got {name!r}")
    return path


def _array(name: str, value: object, dtype: type) -> np.ndarray:
    """`value` as a contiguous array of `dtype`, refusing text, NaN, infinity and fractions where integers belong."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected numbers, got {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity; give missing keypoints confidence 0")
    if np.issubdtype(dtype, np.integer) and array.size and np.any(array != np.floor(array)):
        raise ValueError(f"{name}: expected whole numbers")
    return np.ascontiguousarray(array.astype(dtype))
