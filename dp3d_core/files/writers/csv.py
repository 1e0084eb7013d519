"""A table with a row for each joint of each person in each frame."""

import csv
from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result
from dp3d_core.skeleton import JOINT_NAMES

COLUMNS = (
    "frame", "stamp_s", "person", "joint", "x_cam_m", "y_cam_m", "z_cam_m", "x_world_m", "y_world_m", "z_world_m",
    "sigma_m", "root_sigma_m", "u_px", "v_px", "confidence",
)  # fmt: skip


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """One file in UTF-8 with a header; u_px, v_px are empty where the joint was not seen."""
    path = out / f"{result.name}.csv"
    world_m = result.joints_world_m
    with beside(path) as unfinished, open(unfinished, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in range(len(result.frame)):
            head = result.frame[row], f"{result.stamps_s[result.frame[row]]:.6f}", result.person[row]
            positions = np.concatenate([result.joints_cam_m[row], world_m[row]], 1)
            for joint, name in enumerate(JOINT_NAMES):
                seen = result.confidence[row, joint]
                table.writerow((
                    *head, name, *(f"{value:.5f}" for value in positions[joint]), f"{result.sigma_m[row, joint]:.5f}",
                    f"{result.root_sigma_m[row]:.5f}",
                    *(f"{value:.2f}" if seen else "" for value in result.joints_px[row, joint]), f"{seen:.3f}",
                ))  # fmt: skip
    return [path]
