"""The bodies as ROS4HRI sees them (REP-155): ids, and per body the 2D skeleton, its box, its place and its velocity.

The 3D pose is in TF.

joint_states are left out: they need the URDF of each body (human_description), and would give the same frames twice.
"""

from geometry_msgs.msg import Point, PointStamped, Twist, TwistStamped, Vector3
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from dp3d_core import Camera
from dp3d_core.skeleton import joint_set
from dp3d_core.types import Keypoints, Skeletons
from dp3d_ros.lifter.inputs import import_message
from dp3d_ros.messages.hri import roi_from_keypoints, skeleton_from_keypoints
from dp3d_ros.messages.ids import topic_token
from dp3d_ros.node.publishers import lifecycle_publisher

ROOT = "/humans/bodies"


class HriOutput:
    """Publishers of `/humans/bodies`, one for all cameras of a node; those of a body live as long as it is tracked."""

    def __init__(self, node, joint_set_name: str):
        self._node = node
        self._joint_names = joint_set(joint_set_name).keypoints
        names = ("IdsList", "Skeleton2D", "NormalizedPointOfInterest2D", "NormalizedRegionOfInterest2D")
        self._ids_class, self._skeleton_class, self._point_class, self._roi_class = (
            import_message("hri_msgs", name, "publish_hri") for name in names
        )
        self._tracked = lifecycle_publisher(node, self._ids_class, f"{ROOT}/tracked", depth=1)
        self._bodies = {}
        """{(camera, person): (body, publishers of skeletons, boxes, places and velocities)}"""

    @staticmethod
    def names(frames: dict[int, str]) -> dict[int, str]:
        """The ids {person: text} as topic names can hold them."""
        return {person: topic_token(text, person) for person, text in frames.items()}

    def publish_ids(self, camera: str, header, frames: dict[int, str]) -> None:
        """The bodies {person: body} that this camera tracks now, listed with those of the others."""
        for key in [key for key in self._bodies if key[0] == camera]:
            if frames.get(key[1]) != self._bodies[key][0]:
                self._remove(key)
        for person, body in frames.items():
            if (camera, person) not in self._bodies:
                kinds = {
                    "skeleton2d": self._skeleton_class, "roi": self._roi_class, "position": PointStamped,
                    "velocity": TwistStamped,
                }  # fmt: skip
                self._bodies[camera, person] = (
                    body,
                    *(self._node.create_publisher(kind, f"{ROOT}/{body}/{name}", QoSProfile(depth=1))
                      for name, kind in kinds.items()),
                )  # fmt: skip
        self._tracked.publish(self._ids_class(header=header, ids=[body for body, *_ in self._bodies.values()]))

    def publish_keypoints(self, camera_name: str, header, keypoints: Keypoints, camera: Camera) -> None:
        """The 2D keypoints of the tracked bodies among them."""
        for person, keypoints_px, confidence in zip(keypoints.ids or (), keypoints.xy_px, keypoints.confidence):
            if (camera_name, person) not in self._bodies:
                continue
            _, skeletons, regions, *_ = self._bodies[camera_name, person]
            skeleton = self._skeleton_class(header=header)
            skeletons.publish(
                skeleton_from_keypoints(
                    keypoints_px, confidence, self._joint_names, camera, skeleton, self._point_class
                )
            )
            regions.publish(roi_from_keypoints(keypoints_px, confidence, camera, self._roi_class(header=header)))

    def publish_motion(self, camera_name: str, header, skeletons: Skeletons, velocities_m_s) -> None:
        """Place of the mid-hip and velocity (P, 3) of the tracked bodies among them."""
        for person, joints_m, velocity in zip(skeletons.ids, skeletons.joints_cam_m, velocities_m_s):
            if (camera_name, person) not in self._bodies:
                continue
            *_, places, velocities = self._bodies[camera_name, person]
            x, y, z = joints_m[0].tolist()
            places.publish(PointStamped(header=header, point=Point(x=x, y=y, z=z)))
            x, y, z = velocity.tolist()
            velocities.publish(TwistStamped(header=header, twist=Twist(linear=Vector3(x=x, y=y, z=z))))

    def forget(self, camera: str) -> None:
        """This camera tracks nobody any more; said only where it had said otherwise, and while anybody can hear it."""
        if any(key[0] == camera for key in self._bodies) and self._node.context.ok():
            self.publish_ids(camera, Header(stamp=self._node.get_clock().now().to_msg()), {})

    def close(self) -> None:
        """Take all publishers back."""
        for key in list(self._bodies):
            self._remove(key)
        self._node.destroy_lifecycle_publisher(self._tracked)

    def _remove(self, key):
        _, *publishers = self._bodies.pop(key)
        for publisher in publishers:
            self._node.destroy_publisher(publisher)
