"""The constant skeleton that is fitted to a stay, for BVH, glTF and avatars, and what its bones are called elsewhere.

Lifted bones vary by millimetres from frame to frame; a file of rotations has one length for each. The rotations are
those of `geometry.bone_rotations`; each offset is the mean over the stay in its parent's frame, which is the least
squares fit. y up, metres, rest pose a T-pose that faces +z.
"""
# T frames, N nodes (parents first), J = 17 joints

from dataclasses import dataclass

import numpy as np

from dp3d_core.geometry.bone_rotations import BoneRotations
from dp3d_core.skeleton import JOINT_NAMES

NODES = (
    ("hips", "", "Hip"), ("spine", "hips", "Spine"), ("neck", "spine", "Thorax"), ("head", "neck", "Nose"),
    ("headTop", "head", "Head"),
    ("leftShoulder", "spine", "Thorax"), ("leftUpperArm", "leftShoulder", "LShoulder"),
    ("leftLowerArm", "leftUpperArm", "LElbow"), ("leftHand", "leftLowerArm", "LWrist"),
    ("rightShoulder", "spine", "Thorax"), ("rightUpperArm", "rightShoulder", "RShoulder"),
    ("rightLowerArm", "rightUpperArm", "RElbow"), ("rightHand", "rightLowerArm", "RWrist"),
    ("leftUpperLeg", "hips", "LHip"), ("leftLowerLeg", "leftUpperLeg", "LKnee"), ("leftFoot", "leftLowerLeg", "LAnkle"),
    ("rightUpperLeg", "hips", "RHip"), ("rightLowerLeg", "rightUpperLeg", "RKnee"),
    ("rightFoot", "rightLowerLeg", "RAnkle"),
)  # fmt: skip
"""(VRM's humanoid bone, its parent, the joint at its origin). Feet, hands and head top do not rotate by themselves."""
MIXAMO = {
    "hips": "Hips", "spine": "Spine", "neck": "Neck", "head": "Head", "headTop": "HeadTop_End",
    "leftShoulder": "LeftShoulder", "leftUpperArm": "LeftArm", "leftLowerArm": "LeftForeArm", "leftHand": "LeftHand",
    "rightShoulder": "RightShoulder", "rightUpperArm": "RightArm", "rightLowerArm": "RightForeArm",
    "rightHand": "RightHand", "leftUpperLeg": "LeftUpLeg", "leftLowerLeg": "LeftLeg", "leftFoot": "LeftFoot",
    "rightUpperLeg": "RightUpLeg", "rightLowerLeg": "RightLeg", "rightFoot": "RightFoot",
}  # fmt: skip
"""VRM's name to Mixamo's, which there has the prefix `mixamorig:`."""
NAMES = tuple(name for name, _, _ in NODES)
PARENTS = tuple(NAMES.index(parent) if parent else -1 for _, parent, _ in NODES)
ENDS = tuple(name for name in NAMES if name not in {parent for _, parent, _ in NODES})
_JOINT = np.array([JOINT_NAMES.index(joint) for *_, joint in NODES])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Avatar:
    """A constant skeleton in motion."""

    offsets_m: np.ndarray
    """(N, 3) of each node in its parent's frame; zeros for the root."""
    root_m: np.ndarray
    """(T, 3) positions of the hips."""
    local: np.ndarray
    """(T, N, 3, 3) rotations in the parent's frame."""

    def joints_m(self) -> np.ndarray:
        """(T, 17, 3) positions of the joints, by forward kinematics."""
        placed, turned = [], []
        for node, parent in enumerate(PARENTS):
            if parent < 0:
                placed.append(self.root_m)
                turned.append(self.local[:, node])
            else:
                placed.append(placed[parent] + turned[parent] @ self.offsets_m[node])
                turned.append(turned[parent] @ self.local[:, node])
        joints_m = np.empty((len(self.root_m), 17, 3))
        joints_m[:, _JOINT] = np.stack(placed, 1)
        return joints_m


def fit(joints_y_up_m: np.ndarray) -> Avatar:
    """The avatar of one stay, joints_y_up_m (T, 17, 3)."""
    solver = BoneRotations()
    turned = dict(zip(solver.names, solver.solve(joints_y_up_m).transpose(1, 0, 2, 3)))
    at = joints_y_up_m[:, _JOINT]
    offsets_m, local = np.zeros((len(NODES), 3)), np.empty((len(at), len(NODES), 3, 3))
    for node, (name, parent, _) in enumerate(NODES):
        above = turned[parent] if parent else np.broadcast_to(np.eye(3), (len(at), 3, 3))
        turned.setdefault(name, above)
        local[:, node] = above.swapaxes(-1, -2) @ turned[name]
        if parent:
            offset = at[:, node] - at[:, PARENTS[node]]
            offsets_m[node] = (above.swapaxes(-1, -2) @ offset[..., None])[..., 0].mean(0)
    return Avatar(offsets_m=offsets_m, root_m=at[:, 0], local=local)


def fit_distance_m(avatar: Avatar, joints_y_up_m: np.ndarray) -> tuple[float, float]:
    """Mean and 95th percentile of the distance between the avatar's joints and the lifted ones."""
    distance_m = np.linalg.norm(avatar.joints_m() - joints_y_up_m, axis=-1)
    return float(distance_m.mean()), float(np.percentile(distance_m, 95))
