"""CameraInfo of a camera that the node reads itself, of a file as camera_calibration writes it."""

from collections.abc import Callable
from pathlib import Path

from sensor_msgs.msg import CameraInfo

SIZES = {"camera_matrix": 9, "rectification_matrix": 9, "projection_matrix": 12}


def camera_info(path: str) -> Callable[..., CameraInfo]:
    """make(header, width, height) -> CameraInfo; ValueError or OSError where the file is no calibration.

    Without a file it tells the size only (K = 0): the lifter then assumes a field of view, if it may. With one of
    another resolution ditto.
    """
    if not path:
        return lambda header, width, height: CameraInfo(header=header, width=width, height=height)
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text())
        size = int(content["image_width"]), int(content["image_height"])
        k, r, p = ([float(value) for value in content[name]["data"]] for name in SIZES)
        distortion = [float(value) for value in content["distortion_coefficients"]["data"]]
        model = str(content["distortion_model"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"calibration {path}: expected a file of camera_calibration ({error!r})") from error
    if [len(k), len(r), len(p)] != list(SIZES.values()):
        raise ValueError(f"calibration {path}: expected {SIZES} numbers, got {[len(k), len(r), len(p)]}")

    def make(header, width: int, height: int) -> CameraInfo:
        if (width, height) != size:
            return CameraInfo(header=header, width=width, height=height)
        return CameraInfo(
            header=header, width=width, height=height, distortion_model=model, d=distortion, k=k, r=r, p=p
        )

    return make
