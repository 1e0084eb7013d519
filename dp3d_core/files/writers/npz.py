"""dp3d's own npz: what the recorder node writes, with camera, ground, keypoints and quality."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """One file: see `content`."""
    path = out / f"{result.name}.npz"
    with beside(path) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **content(result, facts))
    return [path]


def content(result: Result, facts: dict) -> dict[str, Any]:
    """The arrays by name; a plane point X of the ground has ground_normal_cam . X + ground_distance_m = 0."""
    camera = result.camera
    return {
        "stamps_s": result.stamps_s,
        "frame": result.frame.astype(np.int32),
        "person": result.person.astype(np.int32),
        "stay": result.stay.astype(np.int32),
        "joints_cam_m": result.joints_cam_m,
        "joints_world_m": result.joints_world_m.astype(np.float32),
        "sigma_m": result.sigma_m,
        "sigma_lateral_m": result.sigma_lateral_m,
        "sigma_depth_m": result.sigma_depth_m,
        "stature_m": result.stature_m,
        "contact": result.contact,
        "root_sigma_m": result.root_sigma_m,
        "keypoints_px": result.keypoints_px.astype(np.float32),
        "confidence": result.keypoint_confidence.astype(np.float16),
        "joint_set": np.array(result.joint_set),
        "K": camera.matrix,
        "distortion": np.array(camera.distortion, np.float64),
        "distortion_model": np.array(camera.model),
        "image_size_px": np.array((camera.width, camera.height), np.int32),
        "metric": np.array(result.metric),
        "ground_normal_cam": result.ground.normal_cam,
        "ground_distance_m": np.array(result.ground.distance_m),
        "frame_id": np.array("camera"),
        "source": np.array(result.source),
        "quality": np.array(json.dumps(facts)),
    }
