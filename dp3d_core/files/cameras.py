"""Camera files: ROS camera_info YAML, OpenCV's FileStorage (YAML, XML, JSON) and Pose2Sim's TOML, to `Camera`; and ROS
YAML back.
"""

from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.geometry.camera import Camera

_MATRIX = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "intrinsic_matrix", "K", "mtx", "M1")
_DISTORTION = ("distortion_coefficients", "dist_coeffs", "distCoeffs", "Distortion_Coefficients", "D", "dist", "D1")
_WIDTH, _HEIGHT = ("image_width", "image_Width", "width"), ("image_height", "image_Height", "height")


def read_camera(path: str | Path, name: str | None = None, *, size_px: tuple[int, int] | None = None) -> Camera:
    """The camera of a file; `name` chooses one of several, `size_px` is the picture's size where the file has none.

    FileNotFoundError or ValueError say in one sentence what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such camera file")
    values = _toml(path, name) if path.suffix.lower() == ".toml" else _ros(path) or _opencv(path)
    size = values.get("size") or size_px
    if size is None:
        raise ValueError(f"{path}: expected the picture's width and height in the file, got none; give --image-size")
    K, distortion = np.asarray(values["K"], float), np.ravel(np.asarray(values["D"], float))
    if K.shape != (3, 3):
        raise ValueError(f"{path}: expected a 3 x 3 camera matrix, got {K.shape}")
    while len(distortion) and len(distortion) not in (4, 5, 8, 12, 14) and distortion[-1] == 0:
        distortion = distortion[:-1]
    model = values["model"] or ("rational_polynomial" if len(distortion) > 5 else "plumb_bob")
    try:
        return Camera(
            fx=K[0, 0],
            fy=K[1, 1],
            cx=K[0, 2],
            cy=K[1, 2],
            width=int(size[0]),
            height=int(size[1]),
            distortion=tuple(distortion.tolist()),
            model=model,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_ground(path: str | Path) -> tuple[np.ndarray, float] | None:
    """The ground plane that `write_ros_yaml` put into a camera file, None where there is none."""
    path = Path(path)
    if path.suffix.lower() not in (".yaml", ".yml") or b"ground_normal_cam:" not in path.read_bytes():
        return None
    import yaml

    held = yaml.safe_load(path.read_text(encoding="utf-8"))
    normal, distance_m = np.array(held["ground_normal_cam"], float), float(held.get("ground_distance_m", 0))
    if normal.shape != (3,) or not np.linalg.norm(normal) > 0 or not distance_m > 0:
        raise ValueError(
            f"{path}: expected ground_normal_cam with 3 numbers and a positive ground_distance_m, got "
            f"{normal.tolist()} and {distance_m}"
        )
    return normal, distance_m


def write_ros_yaml(
    path: str | Path,
    camera: Camera,
    *,
    name: str,
    comments: tuple[str, ...] = (),
    ground: tuple[np.ndarray, float] | None = None,
) -> None:
    """The camera as `camera_calibration` writes it, with comments above; camera_info_manager reads it.

    ground: normal (3,), which points up, and distance of the ground plane in the camera's optical frame; two more keys
    that ROS ignores.
    """
    k = camera.matrix
    lines = [
        *(f"# {comment}" for comment in comments),
        f"image_width: {camera.width}",
        f"image_height: {camera.height}",
        f"camera_name: {name}",
        *_matrix("camera_matrix", k),
        f"distortion_model: {camera.model}",
        *_matrix("distortion_coefficients", np.array([camera.distortion or (0.0,) * 5])),
        *_matrix("rectification_matrix", np.eye(3)),
        *_matrix("projection_matrix", np.concatenate([k, np.zeros((3, 1))], 1)),
    ]
    if ground is not None:
        lines += [_vector("ground_normal_cam", ground[0]), f"ground_distance_m: {float(ground[1])!r}"]
    with beside(path) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _matrix(name: str, values: np.ndarray) -> list[str]:
    data = ", ".join(repr(float(value)) for value in values.ravel())
    return [f"{name}:", f"  rows: {values.shape[0]}", f"  cols: {values.shape[1]}", f"  data: [{data}]"]


def _vector(name: str, values: np.ndarray) -> str:
    return f"{name}: [{', '.join(repr(float(value)) for value in values)}]"


def _ros(path: Path) -> dict | None:
    """A ROS camera_info file, None for anything else."""
    text = path.read_bytes()
    if path.suffix.lower() not in (".yaml", ".yml") or text.startswith(b"%YAML") or b"!!opencv" in text:
        return None
    import yaml

    try:
        held = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a camera file in YAML, could not read it ({_line(error)})") from error
    try:
        return {
            "K": np.reshape(held["camera_matrix"]["data"], (3, 3)),
            "D": held["distortion_coefficients"]["data"],
            "model": {"fisheye": "equidistant"}.get(held.get("distortion_model"), held.get("distortion_model")),
            "size": (held["image_width"], held["image_height"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a ROS camera file with image_width, image_height, camera_matrix and "
            f"distortion_coefficients, could not read {error}"
        ) from error


def _opencv(path: Path) -> dict:
    import cv2

    problem = f"{path}: expected a camera file (ROS YAML, OpenCV's YAML, XML or JSON, or Pose2Sim's TOML)"
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    except (cv2.error, SystemError) as error:
        raise ValueError(f"{problem}, OpenCV cannot read it") from error
    if not storage.isOpened():
        raise ValueError(f"{problem}, OpenCV cannot read it")

    def first(names):
        nodes = (storage.getNode(name) for name in names)
        return next((node for node in nodes if not node.empty()), None)

    K, distortion = first(_MATRIX), first(_DISTORTION)
    if K is None or K.mat() is None:
        raise ValueError(f"{problem}, found no camera matrix under any of {', '.join(_MATRIX)}")
    width, height = first(_WIDTH), first(_HEIGHT)
    return {
        "K": K.mat(), "D": () if distortion is None else distortion.mat(), "model": None,
        "size": None if width is None or height is None else (width.real(), height.real()),
    }  # fmt: skip


def _toml(path: Path, name: str | None) -> dict:
    """One camera of Pose2Sim's calibration: [cam_01] name, size, matrix, distortions, fisheye."""
    try:
        import tomllib
    except ImportError as error:
        raise ImportError(
            f"{path}: reading TOML needs Python 3.11 or newer ({error}); give the camera as YAML"
        ) from error

    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected Pose2Sim's camera file in TOML, could not read it ({error})") from error
    cameras = {key: part for key, part in held.items() if isinstance(part, dict) and "matrix" in part}
    if not cameras:
        raise ValueError(f"{path}: expected cameras with a matrix in the TOML file, got {sorted(held)[:6]}")
    chosen = [part for key, part in cameras.items() if name in (key, part.get("name"))]
    if len(cameras) == 1:
        chosen = list(cameras.values())
    if len(chosen) != 1:
        raise ValueError(f"{path}: expected --camera-name to be one of {', '.join(cameras)}, got {name}")
    camera = chosen[0]
    return {
        "K": camera["matrix"], "D": camera.get("distortions", ()), "size": camera.get("size"),
        "model": "equidistant" if camera.get("fisheye") else None,
    }  # fmt: skip


def _line(error: object) -> str:
    return " ".join(str(error).split())
