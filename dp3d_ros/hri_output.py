"""The bodies as ROS4HRI sees them (REP-155): ids, and per body the 2D skeleton and its box. The 3D pose is in TF.

joint_states are left out: they need the URDF of each body (human_description), and would give the same frames twice.
"""

from rclpy.qos import QoSProfile

from dp3d_core.skeleton import joint_set
from dp3d_ros.conversions.hri import roi_from_keypoints, skeleton_from_keypoints
from dp3d_ros.conversions.ids import topic_token
from dp3d_ros.sources import import_message

ROOT = "/humans/bodies"


class HriOutput:
    """Publishers of `/humans/bodies`; those of a body live as long as it is tracked."""

    def __init__(self, node, tracked_publisher, joint_set_name):
        self._node = node
        self._joint_names = joint_set(joint_set_name).keypoints
        names = ("IdsList", "Skeleton2D", "NormalizedPointOfInterest2D", "NormalizedRegionOfInterest2D")
        self._ids_class, self._skeleton_class, self._point_class, self._roi_class = (
            import_message("hri_msgs", name, "publish_hri") for name in names
        )
        self._tracked = tracked_publisher(self._ids_class, f"{ROOT}/tracked", depth=1)
        self._bodies = {}

    @staticmethod
    def names(frames):
        """The ids {person: text} as topic names can hold them."""
        return {person: topic_token(text) for person, text in frames.items()}

    def publish_ids(self, header, frames):
        """The bodies that are tracked; publishers of others end."""
        for person in [person for person, (body, *_) in self._bodies.items() if frames.get(person) != body]:
            self._remove(person)
        for person, body in frames.items():
            if person not in self._bodies:
                self._bodies[person] = (
                    body,
                    self._node.create_publisher(self._skeleton_class, f"{ROOT}/{body}/skeleton2d", QoSProfile(depth=1)),
                    self._node.create_publisher(self._roi_class, f"{ROOT}/{body}/roi", QoSProfile(depth=1)),
                )
        self._tracked.publish(self._ids_class(header=header, ids=list(frames.values())))

    def publish_keypoints(self, header, keypoints, camera):
        """Keypoints {person: (keypoints_px (K, 2), confidence (K,))} of the tracked bodies among them."""
        for person, (keypoints_px, confidence) in keypoints.items():
            if person not in self._bodies:
                continue
            _, skeletons, regions = self._bodies[person]
            skeleton = self._skeleton_class(header=header)
            skeletons.publish(
                skeleton_from_keypoints(
                    keypoints_px, confidence, self._joint_names, camera, skeleton, self._point_class
                )
            )
            regions.publish(roi_from_keypoints(keypoints_px, confidence, camera, self._roi_class(header=header)))

    def forget(self):
        """End the publishers of all bodies."""
        for person in list(self._bodies):
            self._remove(person)

    def _remove(self, person):
        _, *publishers = self._bodies.pop(person)
        for publisher in publishers:
            self._node.destroy_publisher(publisher)
