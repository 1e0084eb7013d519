"""People as points with a heading and a velocity: PoseArray, people_msgs/People, a typed cloud; and link orientations.

Knows nothing of rclpy; message classes are imported to write, people_msgs being an optional package.
"""
# P people, L links

from typing import Any

import numpy as np

from dp3d_core.types import Skeletons
from dp3d_ros.messages.pointcloud2 import write_cloud
from dp3d_ros.messages.tf import LINK_NAMES, ORIGINS, quaternions

ORIENTATION_DTYPE = np.dtype(
    {"names": ["x", "y", "z", "qx", "qy", "qz", "qw", "person", "link"], "formats": ["<f4"] * 7 + ["<i4", "u1"],
     "offsets": [0, 4, 8, 12, 16, 20, 24, 28, 32], "itemsize": 36}
)  # fmt: skip


_UPPER = np.triu_indices(3)
_PAIRS = ("xx", "xy", "xz", "yy", "yz", "zz")
_MOTION = (
    "x", "y", "z", "vx", "vy", "vz", *(f"cov_{pair}" for pair in _PAIRS), *(f"vcov_{pair}" for pair in _PAIRS),
    "contact_right", "contact_left", "stature",
)  # fmt: skip
MOTION_DTYPE = np.dtype(
    {"names": [*_MOTION, "person", "predicted"], "formats": [*["<f4"] * len(_MOTION), "<i4", "u1"],
     "offsets": [*range(0, 4 * len(_MOTION) + 4, 4), 4 * len(_MOTION) + 4], "itemsize": 4 * len(_MOTION) + 8}
)  # fmt: skip


def pose_array(skeletons: Skeletons, header, rotations: np.ndarray):
    """A pose for each person, in the order of the skeleton cloud: mid-hip, x forward and z up the trunk.

    rotations (P, L, 3, 3) of the links.
    """
    from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion

    poses = [
        Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=a, y=b, z=c, w=w))
        for (x, y, z), (a, b, c, w) in zip(
            skeletons.joints_cam_m[:, 0].tolist(), quaternions(rotations[:, LINK_NAMES.index("body")]).tolist()
        )
    ]
    return PoseArray(header=header, poses=poses)


def people_message(skeletons: Skeletons, header, motion, names: dict, classes: tuple[Any, Any]):
    """people_msgs/People: name, place and velocity of the root; motion: a `Motion`, names {person: text}.

    reliability falls from 1 with the standard deviation of the distance. classes: People and Person of people_msgs.
    """
    from geometry_msgs.msg import Point

    people_class, person_class = classes
    people = []
    for index, person in enumerate(skeletons.ids):
        x, y, z = skeletons.joints_cam_m[index, 0].tolist()
        vx, vy, vz = motion.velocity_m_s[index].tolist()
        speed_sigma_m_s = (np.trace(motion.velocity_covariance[index]) / 3) ** 0.5
        people.append(
            person_class(
                name=names[person],
                position=Point(x=x, y=y, z=z),
                velocity=Point(x=vx, y=vy, z=vz),
                reliability=1 / (1 + float(skeletons.root_sigma_m[index])),
                tagnames=["root_sigma_m", "predicted", "velocity_sigma_m_s"],
                tags=[
                    f"{skeletons.root_sigma_m[index]:.3f}",
                    str(bool(skeletons.predicted[index])).lower(),
                    f"{speed_sigma_m_s:.3f}",
                ],
            )
        )
    return people_class(header=header, people=people)


def motion_cloud(skeletons: Skeletons, header, motion):
    """sensor_msgs/PointCloud2, a point a person: place and velocity of mid-hip with their covariances, standing feet.

    motion: a `Motion`. cov_* in m^2 and vcov_* in (m/s)^2 are the upper triangles; contact_*: probability that the foot
    stands; stature in metres.
    """
    points = np.zeros(len(skeletons.ids), MOTION_DTYPE)
    if points.size:
        columns = [skeletons.joints_cam_m[:, 0], motion.velocity_m_s]
        columns += [full[(slice(None), *_UPPER)] for full in (motion.place_covariance, motion.velocity_covariance)]
        columns += [skeletons.contact, skeletons.stature_m[:, None]]
        for name, values in zip(_MOTION, np.concatenate(columns, 1).T, strict=True):
            points[name] = values
        points["person"], points["predicted"] = skeletons.ids, skeletons.predicted
    return write_cloud(points, header)


def orientation_cloud(skeletons: Skeletons, header, rotations: np.ndarray):
    """sensor_msgs/PointCloud2 of the links: place of the origin, unit quaternion in the header's frame, person, link.

    `link` counts the links as `dp3d_ros.messages.tf.LINK_NAMES` lists them.
    """
    points = np.zeros(rotations.shape[:2], ORIENTATION_DTYPE)
    if points.size:
        points["x"], points["y"], points["z"] = np.moveaxis(skeletons.joints_cam_m[:, ORIGINS], -1, 0)
        for name, values in zip(("qx", "qy", "qz", "qw"), np.moveaxis(quaternions(rotations), -1, 0)):
            points[name] = values
        points["person"] = np.array(skeletons.ids)[:, None]
        points["link"] = np.arange(rotations.shape[1])
    return write_cloud(points.reshape(-1), header)
