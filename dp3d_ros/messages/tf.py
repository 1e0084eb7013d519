"""Skeletons as REP-155 body frames: `body_<id>` at mid-hip (x forward, y left, z up) and its bone-aligned links.

The numbers need NumPy only; message classes are imported to write, tf2_msgs being an optional package.
"""
# P people, L links

import numpy as np
from scipy.spatial.transform import Rotation

from dp3d_core.geometry.bone_rotations import BoneRotations, Segment
from dp3d_core.skeleton import JOINT_NAMES

_AT = {name: JOINT_NAMES.index(name) for name in JOINT_NAMES}
FORWARD, LEFT, UP, DOWN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)
RIGHT = (0.0, -1.0, 0.0)
_HIPS, _SHOULDERS = ("RHip", "LHip"), ("RShoulder", "LShoulder")


def _link(name, parent, start, end, rest, **more):
    return Segment(name=name, parent=parent, start=start, end=end, rest=rest, **more)


def _limbs(side, letter):
    """(joint at the link's origin, link): x forward and z up for somebody who stands with hanging arms."""
    shoulder, elbow, wrist, hip, knee, ankle = (
        letter + joint for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
    )
    # the hinge of an elbow that bends forward points right, that of a knee, which bends back, left
    upper_arm = _link(f"{side}_shoulder", "torso", shoulder, elbow, DOWN, bend=wrist, side_rest=RIGHT)
    upper_leg = _link(f"{side}_hip", "waist", hip, knee, DOWN, bend=ankle, side_rest=LEFT)
    return (
        (shoulder, upper_arm),
        (elbow, _link(f"{side}_elbow", f"{side}_shoulder", elbow, wrist, DOWN)),
        (wrist, _link(f"{side}_wrist", f"{side}_elbow", elbow, wrist, DOWN)),
        (hip, upper_leg),
        (knee, _link(f"{side}_knee", f"{side}_hip", knee, ankle, DOWN)),
        (ankle, _link(f"{side}_ankle", f"{side}_knee", knee, ankle, DOWN)),
    )


_LINKS = (
    ("Hip", _link("body", "", "Hip", "Thorax", UP, side=_HIPS, side_rest=LEFT)),
    ("Hip", _link("waist", "body", "Hip", "Spine", UP, side=_HIPS, side_rest=LEFT)),
    ("Spine", _link("torso", "waist", "Spine", "Thorax", UP, side=_SHOULDERS, side_rest=LEFT)),
    ("Head", _link("head", "torso", "Thorax", "Head", UP)),
    *_limbs("l", "L"),
    *_limbs("r", "R"),
)
LINKS = {link.name: (link.parent, origin) for origin, link in _LINKS}
"""Link: (parent link, joint at its origin)."""
LINK_NAMES = tuple(LINKS)
SOLVER = BoneRotations([link for _, link in _LINKS])
ORIGINS = np.array([_AT[origin] for origin, _ in _LINKS])
_PARENT = np.array([LINK_NAMES.index(parent) if parent else -1 for parent, _ in LINKS.values()])


def quaternions(rotations):
    """Rotation matrices (..., 3, 3) to unit quaternions (..., 4) as x, y, z, w with w >= 0."""
    rotations = np.asarray(rotations, np.float64)
    found = np.empty((*rotations.shape[:-2], 4))
    if found.size:
        found[...] = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(found.shape)
    return np.where(found[..., 3:] < 0, -found, found)


def upright(up_cam) -> np.ndarray:
    """Unit quaternion (4,) x, y, z, w of an optical frame in a frame with z up and x ahead of the camera.

    up_cam (3,) points against gravity. Where the camera looks straight up or down, the top of its picture is ahead.
    """
    up = np.asarray(up_cam, np.float64) / np.linalg.norm(up_cam)
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    if np.linalg.norm(ahead) < 1e-3:
        ahead = np.array([0.0, -1.0, 0.0]) + up[1] * up
    ahead /= np.linalg.norm(ahead)
    return quaternions(np.stack([ahead, np.cross(up, ahead), up]))


def link_transforms(joints_m, rotations):
    """Each link relative to its parent (the body relative to the sensor).

    joints_m (P, 17, 3), rotations (P, L, 3, 3). Returns translations (P, L, 3) metres and quaternions (P, L, 4) x, y,
    z, w.
    """
    origins = joints_m[:, ORIGINS]
    parents = rotations[:, _PARENT].copy()
    parents[:, 0] = np.eye(3)
    offsets = origins - np.where(_PARENT[:, None] >= 0, origins[:, _PARENT], 0)
    inverse = parents.swapaxes(-1, -2)
    return (inverse @ offsets[..., None])[..., 0], quaternions(inverse @ rotations)


def tf_from_skeletons(skeletons, header, rotations, names=None, message_class=None):
    """tf2_msgs/TFMessage of all bodies; rotations (P, L, 3, 3) of their links, names {person: text} overrides the
    number in the frame names."""
    from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3

    if message_class is None:
        message_class = tf_message_class()
    translations, turns = link_transforms(np.asarray(skeletons.joints_cam_m, np.float64), rotations)
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
