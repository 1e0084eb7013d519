"""Skeletons as REP-155 body frames: `body_<id>` at mid-hip (x forward, y left, z up) and its bone-aligned links.

The numbers need NumPy only; message classes are imported to write, tf2_msgs being an optional package.
"""
# P people, L links

import numpy as np
from scipy.spatial.transform import Rotation

from dp3d_core.skeleton import JOINT_NAMES

_AT = {name: JOINT_NAMES.index(name) for name in JOINT_NAMES}
# link: (parent link, joint at its origin, from joint, to joint): z points from the first to the second of the last two,
# which is up for someone standing with hanging arms.
LINKS = {
    "body": ("", "Hip", "Hip", "Thorax"),
    "waist": ("body", "Hip", "Hip", "Spine"),
    "torso": ("waist", "Spine", "Spine", "Thorax"),
    "head": ("torso", "Head", "Thorax", "Head"),
}
for _side, _letter in (("l", "L"), ("r", "R")):
    LINKS |= {
        f"{_side}_shoulder": ("torso", f"{_letter}Shoulder", f"{_letter}Elbow", f"{_letter}Shoulder"),
        f"{_side}_elbow": (f"{_side}_shoulder", f"{_letter}Elbow", f"{_letter}Wrist", f"{_letter}Elbow"),
        f"{_side}_wrist": (f"{_side}_elbow", f"{_letter}Wrist", f"{_letter}Wrist", f"{_letter}Elbow"),
        f"{_side}_hip": ("waist", f"{_letter}Hip", f"{_letter}Knee", f"{_letter}Hip"),
        f"{_side}_knee": (f"{_side}_hip", f"{_letter}Knee", f"{_letter}Ankle", f"{_letter}Knee"),
        f"{_side}_ankle": (f"{_side}_knee", f"{_letter}Ankle", f"{_letter}Ankle", f"{_letter}Knee"),
    }
LINK_NAMES = tuple(LINKS)
_ORIGIN = np.array([_AT[origin] for _, origin, _, _ in LINKS.values()])
_FROM = np.array([_AT[start] for _, _, start, _ in LINKS.values()])
_TO = np.array([_AT[end] for _, _, _, end in LINKS.values()])
_PARENT = np.array([LINK_NAMES.index(parent) if parent else -1 for parent, *_ in LINKS.values()])


def _unit(vectors, fallback):
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), fallback)


def link_rotations(joints_m):
    """(P, 17, 3) metres to (P, L, 3, 3): columns are each link's x (forward), y (left), z (up its bone)."""
    left = _unit(joints_m[:, _AT["LHip"]] - joints_m[:, _AT["RHip"]], np.array([1.0, 0, 0]))[:, None]
    z = _unit(joints_m[:, _TO] - joints_m[:, _FROM], np.array([0, -1.0, 0]))
    y = left - (left * z).sum(-1, keepdims=True) * z
    # A bone along the hip axis (an arm stretched sideways) takes its forward direction from the trunk instead.
    forward = _unit(np.cross(left, z[:, :1]), np.array([0, 0, -1.0]))
    sideways = np.cross(z, forward)
    y = _unit(np.where(np.linalg.norm(y, axis=-1, keepdims=True) > 0.1, y, sideways), np.array([1.0, 0, 0]))
    x = _unit(np.cross(y, z), forward)
    y = np.cross(z, x)
    return np.stack([x, y, z], axis=-1)


def quaternions(rotations):
    """Rotation matrices (..., 3, 3) to unit quaternions (..., 4) as x, y, z, w with w >= 0."""
    rotations = np.asarray(rotations, np.float64)
    found = np.empty((*rotations.shape[:-2], 4))
    if found.size:
        found[...] = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(found.shape)
    return np.where(found[..., 3:] < 0, -found, found)


def link_transforms(joints_m):
    """Each link relative to its parent (the body relative to the sensor).

    joints_m (P, 17, 3). Returns translations (P, L, 3) metres and quaternions (P, L, 4) x, y, z, w.
    """
    rotations = link_rotations(joints_m)
    origins = joints_m[:, _ORIGIN]
    parents = rotations[:, _PARENT].copy()
    parents[:, 0] = np.eye(3)
    offsets = origins - np.where(_PARENT[:, None] >= 0, origins[:, _PARENT], 0)
    inverse = parents.swapaxes(-1, -2)
    return (inverse @ offsets[..., None])[..., 0], quaternions(inverse @ rotations)


def tf_from_skeletons(skeletons, header, names=None, message_class=None):
    """tf2_msgs/TFMessage of all bodies; names {person: text} overrides the number in the frame names."""
    from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3

    if message_class is None:
        message_class = tf_message_class()
    translations, turns = link_transforms(np.asarray(skeletons.joints_cam_m, np.float64))
    transforms = []
    for index, person in enumerate(skeletons.ids):
        body = (names or {}).get(person, str(person))
        for link, (parent, *_), offset, turn in zip(
            LINK_NAMES, LINKS.values(), translations[index].tolist(), turns[index].tolist(), strict=True
        ):
            stamped = TransformStamped(header=header, child_frame_id=f"{link}_{body}")
            if parent:
                stamped.header = type(header)(stamp=header.stamp, frame_id=f"{parent}_{body}")
            stamped.transform = Transform(
                translation=Vector3(x=offset[0], y=offset[1], z=offset[2]),
                rotation=Quaternion(x=turn[0], y=turn[1], z=turn[2], w=turn[3]),
            )
            transforms.append(stamped)
    return message_class(transforms=transforms)


def tf_message_class():
    """tf2_msgs/TFMessage; ImportError names the package to install."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        raise ImportError(
            "publish_tf: needs tf2_msgs, which is not installed; install ros-$ROS_DISTRO-tf2-msgs or set publish_tf "
            "to false"
        ) from error
    return TFMessage
