"""Cameras of Human3.6M: where each stands, how its lens bends, and the two files they can be read from.

Knows nothing of motion or detections.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp3d_core.geometry.camera import Camera

# Key of one camera in the file -> how many numbers it takes (None: one value).
CAMERA_KEYS = {
    "id": None,
    "res_w": None,
    "res_h": None,
    "focal_length": 2,
    "center": 2,
    "radial_distortion": 3,
    "tangential_distortion": 2,
    "orientation": 4,
    "translation": 3,
}
LARGEST = 1e7
"""No pixel, millimetre or coefficient is larger; NaN and infinity are not below it either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCamera:
    """A camera in the world: intrinsics (OpenCV), orientation quaternion (w, x, y, z) camera to world, position in m.

    radial (k1, k2, k3) and tangential (2,) keep the distortion as VideoPose3D projects it, whose tangential part is
    not OpenCV's: it lacks a factor of two. In `camera` the nearest OpenCV values stand, at most
    half a pixel away within the image.
    """

    id: str
    camera: Camera
    orientation: tuple[float, ...]
    translation_m: tuple[float, ...]
    radial: tuple[float, ...]
    tangential: tuple[float, ...]

    def to_camera(self, points_world_m: np.ndarray) -> np.ndarray:
        """World points (..., 3) in the camera's optical frame, metres."""
        w, x, y, z = self.orientation
        to_world = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        return (np.asarray(points_world_m, np.float64) - self.translation_m) @ to_world

    def project_px(self, points_cam_m: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of camera-frame points, by the formula with which the published 2D truth was made."""
        plane = np.clip(points_cam_m[..., :2] / points_cam_m[..., 2:], -1, 1)
        r2 = (plane**2).sum(-1, keepdims=True)
        k1, k2, k3 = self.radial
        tangential = np.array(self.tangential)
        stretch = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + plane @ tangential[:, None]
        camera = self.camera
        return (plane * stretch + tangential * r2) * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def read_cameras(path: str | Path) -> dict[str, list[PlacedCamera]]:
    """Cameras of every subject, {subject: [4 cameras]}, from JSON or from VideoPose3D's common/h36m_dataset.py.

    JSON: {"S9": [{"id": "54138969", "res_w": 1000, "res_h": 1002, "focal_length": [px, px], "center": [px, px],
    "radial_distortion": [k1, k2, k3], "tangential_distortion": [p, p], "orientation": [w, x, y, z] (camera to world),
    "translation": [mm, mm, mm]}, … four in the order of the 2D file]}. From the Python file only the two lists of
    literals are taken; it is never run. ValueError names what is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected the cameras of Human3.6M, got no such file; give cameras.json (format: read_cameras) or "
            "the file common/h36m_dataset.py of your copy of VideoPose3D"
        )
    try:
        text = path.read_text(encoding="utf-8")
        described = _from_source(text) if path.suffix == ".py" else json.loads(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path}: expected JSON or VideoPose3D's h36m_dataset.py, got neither ({error})") from error
    if not isinstance(described, dict) or not described:
        raise ValueError(f"{path}: expected {{subject: [cameras]}}, got {type(described).__name__}")
    cameras = {}
    for subject, group in described.items():
        if not isinstance(group, list):
            raise ValueError(f"{path}: {subject}: expected a list of cameras, got {type(group).__name__}")
        if all(isinstance(one, dict) and "orientation" not in one for one in group):
            continue  # S2, S3, S4 have no published extrinsics
        cameras[subject] = [_placed(one, f"{path}: {subject}, camera {index}") for index, one in enumerate(group)]
        ids = [camera.id for camera in cameras[subject]]
        if len(set(ids)) < len(ids):
            raise ValueError(f"{path}: {subject}: expected cameras of different ids, got {', '.join(ids)}")
    return cameras


def _placed(one, title) -> PlacedCamera:
    if not isinstance(one, dict):
        raise ValueError(f"{title}: expected a dict of {', '.join(CAMERA_KEYS)}, got {type(one).__name__}")
    for key, length in CAMERA_KEYS.items():
        if key not in one:
            raise ValueError(f"{title}: expected {key}, got {sorted(one)}")
        values = [one[key]] if length is None else one[key]
        if key != "id" and (
            not isinstance(values, (list, tuple))
            or len(values) != (length or 1)
            or not all(isinstance(value, (int, float)) and abs(value) < LARGEST for value in values)
        ):
            raise ValueError(f"{title}: {key}: expected {length or 1} finite numbers, got {one[key]!r}")
    norm = float(np.linalg.norm(one["orientation"]))
    if abs(norm - 1) > 1e-3:
        raise ValueError(f"{title}: orientation: expected a unit quaternion (w, x, y, z), got length {norm:.4f}")
    (fx, fy), (cx, cy) = one["focal_length"], one["center"]
    radial, tangential = tuple(one["radial_distortion"]), tuple(one["tangential_distortion"])
    distortion = (*radial[:2], tangential[1], tangential[0], radial[2])  # OpenCV: k1 k2, p1 along y, p2 along x, k3
    try:
        camera = Camera(
            fx=fx, fy=fy, cx=cx, cy=cy, width=int(one["res_w"]), height=int(one["res_h"]), distortion=distortion
        )
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from error
    return PlacedCamera(
        id=str(one["id"]),
        camera=camera,
        orientation=tuple(np.divide(one["orientation"], norm).tolist()),
        translation_m=tuple(np.divide(one["translation"], 1000).tolist()),
        radial=radial,
        tangential=tangential,
    )


def _from_source(text: str) -> dict[str, list[dict]]:
    """The two lists of literals of VideoPose3D's h36m_dataset.py, merged; the text is parsed, not run."""
    wanted = ("h36m_cameras_intrinsic_params", "h36m_cameras_extrinsic_params")
    found = {
        target.id: ast.literal_eval(statement.value)
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id in wanted
    }
    if set(found) != set(wanted):
        raise ValueError(f"expected the lists {' and '.join(wanted)}, got {sorted(found)}")
    inner, outer = (found[name] for name in wanted)
    if not isinstance(inner, list) or not isinstance(outer, dict):
        raise ValueError(f"expected a list and a dict of lists, got {type(inner).__name__} and {type(outer).__name__}")
    for subject, group in outer.items():
        if len(group) != len(inner):
            raise ValueError(f"expected extrinsics of {len(inner)} cameras of {subject}, got {len(group)}")
    return {subject: [{**a, **b} for a, b in zip(inner, group)] for subject, group in outer.items()}
