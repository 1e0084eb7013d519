"""Everything as text: {"format": "dp3d", "version": 1, "camera", "ground", "joints", "quality", "frames"}.

A frame is {"stamp_s", "people": [{"id", "joints_cam_m": 17 x 3, "joints_world_m", "sigma_m": 17, "root_sigma_m",
"stature_m", "contact": right and left foot}]};
frames with nobody have an empty list.
"""

import json
from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result
from dp3d_core.skeleton import BONES, JOINT_NAMES


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """One file."""
    path = out / f"{result.name}.json"
    with beside(path) as unfinished:
        unfinished.write_text(json.dumps(content(result, facts), ensure_ascii=False), encoding="utf-8")
    return [path]


def content(result: Result, facts: dict) -> dict:
    """The object that is written."""
    world_m = result.joints_world_m
    frames = [{"stamp_s": float(stamp_s), "people": []} for stamp_s in result.stamps_s]
    for row, frame in enumerate(result.frame):
        frames[frame]["people"].append({
            "id": int(result.person[row]),
            "joints_cam_m": rounded(result.joints_cam_m[row]),
            "joints_world_m": rounded(world_m[row]),
            "sigma_m": rounded(result.sigma_m[row]),
            "root_sigma_m": rounded(result.root_sigma_m[row]),
            "stature_m": rounded(result.stature_m[row]),
            "contact": rounded(result.contact[row]),
        })  # fmt: skip
    return {
        "format": "dp3d", "version": 1, "source": result.source, "camera": camera_of(result),
        "ground": {
            "normal_cam": rounded(result.ground.normal_cam), "distance_m": rounded(result.ground.distance_m),
            "world_from_cam": rounded(result.ground.world_from_cam),
        },
        "joints": list(JOINT_NAMES), "bones": [list(bone) for bone in BONES], "metric": bool(result.metric),
        "quality": facts, "frames": frames,
    }  # fmt: skip


def camera_of(result: Result) -> dict:
    """The camera as plain values."""
    camera = result.camera
    return {
        "width": camera.width, "height": camera.height, "K": camera.matrix.tolist(), "model": camera.model,
        "distortion": list(camera.distortion), "from": result.camera_from,
    }  # fmt: skip


def rounded(values: np.ndarray | float) -> list | float:
    """As plain numbers with five digits: a hundredth of a millimetre."""
    return np.round(np.asarray(values, np.float64), 5).tolist()
