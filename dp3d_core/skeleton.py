"""The 17-joint skeleton inside dp3d, the joint sets that detectors speak, and the adapters between them.

Knows nothing of cameras, networks or ROS.
"""
# K keypoints of a detector, J = 17 joints (Human3.6M order)

from dataclasses import dataclass, field

import numpy as np

from dp3d_core.joint_sets import KEYPOINTS, MIDPOINTS

JOINT_NAMES = (
    "Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Spine", "Thorax", "Nose", "Head",
    "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
)  # fmt: skip
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
LEFT = (4, 5, 6, 11, 12, 13)
RIGHT = (1, 2, 3, 14, 15, 16)
BONES = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)
MIRROR = tuple(
    RIGHT[LEFT.index(joint)] if joint in LEFT else LEFT[RIGHT.index(joint)] if joint in RIGHT else joint
    for joint in range(17)
)
"""MIRROR[j] is the joint on the other side; applying it twice is the identity."""


def mirror(joints):
    """The person in a mirror, twice the identity: (..., 17, C), array or tensor, with x the first channel.

    Left and right are exchanged, and x is negated.
    """
    turned = joints[..., list(MIRROR), :]
    turned[..., 0] *= -1
    return turned


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSet:
    """A detector's keypoints: names in order, limbs to draw, and how each of the 17 joints is made of them."""

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    weights_JK: np.ndarray
    """(17, K) float32: rows sum to one, or to zero where this detector has no such joint."""
    first_J: np.ndarray = field(init=False)
    """(17,) the keypoint that each joint is made of, or the first of two; anything where there is no such joint."""
    second_J: np.ndarray = field(init=False)
    """(17,) the second of two, else as `first_J`."""
    exists_J: np.ndarray = field(init=False)
    """(17,) float32: 1 where this detector has the joint, else 0."""

    def __post_init__(self):
        used_JK = self.weights_JK > 0
        if not np.isin(self.weights_JK, (0, 0.5, 1)).all() or used_JK.sum(1).max() > 2:
            raise ValueError(f"joint set {self.name}: expected joints of one keypoint or halfway between two")
        object.__setattr__(self, "first_J", used_JK.argmax(1))
        object.__setattr__(self, "second_J", used_JK.shape[1] - 1 - used_JK[:, ::-1].argmax(1))
        object.__setattr__(self, "exists_J", used_JK.any(1).astype(np.float32))


# Each joint of ours from a detector's keypoints. Spine and head top have no counterpart in the common detectors and
# stay missing; the network infers them. Necks and pelvises of Halpe, Kinect and ZED lie elsewhere than ours, so they
# are not used; those of OpenPose are midpoints as ours are.
_SOURCES = {
    "Hip": ("left_hip", "right_hip"),
    "Thorax": ("left_shoulder", "right_shoulder"),
    "Nose": ("nose",),
} | {
    ("R" if side == "right" else "L") + part.capitalize(): (f"{side}_{part}",)
    for side in ("right", "left")
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
}
_MIDPOINT_SOURCES = {"Hip": ("mid_hip",), "Thorax": ("neck",)}
_LIMB_NAMES = (
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), ("nose", "left_ear"), ("nose", "right_ear"),
)  # fmt: skip


def _make(name, keypoints):
    weights_JK = np.zeros((17, len(keypoints)), np.float32)
    for joint, names in _SOURCES.items():
        midpoint = _MIDPOINT_SOURCES.get(joint, ()) if name in MIDPOINTS else ()
        if midpoint and midpoint[0] in keypoints:
            names = midpoint
        for source in names:
            weights_JK[JOINT_NAMES.index(joint), keypoints.index(source)] = 1 / len(names)
    limbs = tuple((keypoints.index(a), keypoints.index(b)) for a, b in _LIMB_NAMES if a in keypoints and b in keypoints)
    return JointSet(name=name, keypoints=keypoints, limbs=limbs, weights_JK=weights_JK)


JOINT_SETS = {
    "h36m17": JointSet(name="h36m17", keypoints=JOINT_NAMES, limbs=BONES, weights_JK=np.eye(17, dtype=np.float32)),
} | {name: _make(name, keypoints) for name, keypoints in KEYPOINTS.items()}


def joint_set(name: str) -> JointSet:
    """The joint set called `name`; ValueError lists the known ones."""
    if name not in JOINT_SETS:
        raise ValueError(f"joint_set: expected one of {sorted(JOINT_SETS)}, got {name!r}")
    return JOINT_SETS[name]


def adapt(keypoints_px, confidence, source):
    """A detector's keypoints as our 17 joints, in pixels.

    keypoints_px (..., K, 2), confidence (..., K) in [0, 1] with 0 = missing, source a `JointSet`. Returns
    (..., 17, 2) float32 and (..., 17) float32; a joint made of several keypoints is as sure as the least sure of
    them, and missing if one is missing.
    """
    first, second = source.first_J, source.second_J
    least = np.minimum(confidence.take(first, -1), confidence.take(second, -1)) * source.exists_J
    joints_px = (keypoints_px.take(first, -2) + keypoints_px.take(second, -2)) * np.float32(0.5)
    # where, not times: a missing keypoint may hold anything
    joints_px = np.where(least[..., None] > 0, joints_px, np.float32(0))
    return joints_px.astype(np.float32, copy=False), least.astype(np.float32, copy=False)
