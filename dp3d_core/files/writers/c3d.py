"""C3D: joint positions in millimetres, z up, a file for each stay; frames not seen have the residual -1."""

from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Y_UP_FROM_WORLD, Result
from dp3d_core.skeleton import JOINT_NAMES


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """A file for each stay."""
    try:
        import ezc3d
    except ImportError as error:
        raise ImportError(f"--to c3d needs ezc3d ({error}); pip install 'dp3d_ros[files]'") from error
    paths = []
    for stay in result.stays():
        rate_hz, joints_m, measured = stay.uniform()
        file = ezc3d.c3d()
        points = np.ones((4, 17, len(joints_m)))
        points[:3] = (joints_m @ Y_UP_FROM_WORLD * 1000).transpose(2, 1, 0)
        points[:3, :, ~measured] = np.nan
        file["parameters"]["POINT"]["RATE"]["value"] = [rate_hz]
        file["parameters"]["POINT"]["LABELS"]["value"] = list(JOINT_NAMES)
        file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
        file["data"]["points"] = points
        file["data"]["meta_points"]["residuals"] = np.where(measured, 0.0, -1.0)[None, None].repeat(17, 1)
        path = out / f"{stay.name}.c3d"
        with beside(path) as unfinished:
            file.write(str(unfinished))
        paths.append(path)
    return paths
