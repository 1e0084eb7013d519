"""The stick figure of all tests of the nodes: somebody who stands 3 m before the camera, facing it, arms hanging."""

import numpy as np

from dp3d_core import Camera
from dp3d_core.skeleton import JOINT_NAMES, joint_set

CAMERA = Camera(fx=600.0, fy=600.0, cx=320.0, cy=240.0, width=640, height=480)
# x right, y down, z forward; so the figure's left is at +x
STANDING = {
    "Hip": (0, 0, 3), "RHip": (-0.1, 0, 3), "RKnee": (-0.1, 0.45, 3), "RAnkle": (-0.1, 0.9, 3), "LHip": (0.1, 0, 3),
    "LKnee": (0.1, 0.45, 3), "LAnkle": (0.1, 0.9, 3), "Spine": (0, -0.25, 3), "Thorax": (0, -0.5, 3),
    "Nose": (0, -0.6, 2.9), "Head": (0, -0.75, 3), "LShoulder": (0.2, -0.5, 3), "LElbow": (0.2, -0.2, 3),
    "LWrist": (0.2, 0.05, 3), "RShoulder": (-0.2, -0.5, 3), "RElbow": (-0.2, -0.2, 3), "RWrist": (-0.2, 0.05, 3),
}  # fmt: skip


def standing():
    """(17, 3) metres."""
    return np.array([STANDING[name] for name in JOINT_NAMES], float)


def people(count, side_m=2.4):
    """{id: (keypoints_px (17, 2), confidence (17,))}: COCO keypoints of people who stand side by side."""
    ours = {f"{side}_{part}": f"{side[0].upper()}{part.capitalize()}" for side in ("left", "right") for part in
            ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")}  # fmt: skip
    figure_m = np.array([STANDING[ours.get(name, "Nose")] for name in joint_set("coco17").keypoints])
    result = {}
    for person in range(count):
        right_m = side_m * ((person + 0.5) / count - 0.5)
        keypoints_px = CAMERA.project(figure_m + (right_m, 0, 0)).astype(np.float32)
        result[person] = keypoints_px, np.full(17, 0.9, np.float32)
    return result
