"""Publishers of one camera: typed skeletons, markers, TF, ROS4HRI; each switchable. Knows nothing of lifting."""

from typing import Any

from dp3d_core import Camera
from dp3d_core.types import Keypoints, Skeletons
from dp3d_ros.lifter.hri_output import HriOutput
from dp3d_ros.lifter.inputs import import_message
from dp3d_ros.lifter.motion import LinkTurns, Velocities, place_covariance
from dp3d_ros.lifter.target_frame import TargetFrame
from dp3d_ros.messages.markers import markers_from_skeletons
from dp3d_ros.messages.people import motion_cloud, orientation_cloud, people_message, pose_array
from dp3d_ros.messages.pointcloud2 import cloud_from_skeletons
from dp3d_ros.messages.tf import tf_from_skeletons, tf_message_class
from dp3d_ros.node.parameters import NodeConfig
from dp3d_ros.node.publishers import lifecycle_publisher


class Outputs:
    """Publishes one frame in every form that the configuration asks for.

    hri: the `HriOutput` that all cameras of the node share, or None.
    """

    def __init__(self, node, camera: str, config: NodeConfig, hri: HriOutput | None):
        from geometry_msgs.msg import PoseArray
        from sensor_msgs.msg import PointCloud2
        from visualization_msgs.msg import MarkerArray

        self.config = config
        self._node = node
        self._camera, self._prefix = camera, f"{camera}_" if camera else ""
        self._hri = hri
        self._publishers: list[Any] = []
        self._target: TargetFrame | None = None
        self._tf: Any = None
        if config.target_frame:
            self._target = TargetFrame(node, config.target_frame)
        if config.publish_tf:
            self._tf = self._publisher(tf_message_class(), "/tf", depth=100)
        home = f"~/{camera}/" if camera else "~/"
        self._turns, self._velocities = LinkTurns(), Velocities()
        self._poses = self._publisher(PoseArray, f"{home}poses") if config.publish_poses else None
        self._orientations = (
            self._publisher(PointCloud2, f"{home}orientations") if config.publish_orientations else None
        )
        self._motion = self._publisher(PointCloud2, f"{home}motion") if config.publish_motion else None
        self._people: Any = None
        if config.publish_people:
            self._people_classes = tuple(
                import_message("people_msgs", name, "publish_people") for name in ("People", "Person")
            )
            self._people = self._publisher(self._people_classes[0], f"{home}people")
        self._skeletons = self._publisher(PointCloud2, f"{home}skeletons")
        self._markers = self._publisher(MarkerArray, f"{home}markers")

    def publish(self, skeletons: Skeletons, header, names: dict[int, str]) -> None:
        """One frame; also one with nobody, so that whoever listens knows that the lifter lives.

        names {person: text}: ids of the detector that are no numbers.
        """
        frames = {person: f"{self._prefix}{names.get(person, person)}" for person in skeletons.ids}
        if self._hri is not None:
            frames = self._hri.names(frames)
            self._hri.publish_ids(self._camera, header, frames)
        moves = self._people is not None or self._motion is not None or self._hri is not None
        covariance = place_covariance(skeletons) if moves else None
        if self._target is not None:
            skeletons, header, turn = self._target.apply(skeletons, header)
            covariance = None if covariance is None else turn @ covariance @ turn.T
        if self.config.publish_skeletons:
            self._skeletons.publish(cloud_from_skeletons(skeletons, header))
        if self.config.publish_markers and self._markers.get_subscription_count():
            self._markers.publish(
                markers_from_skeletons(
                    skeletons,
                    header,
                    lifetime_s=self.config.marker_lifetime_s,
                    sigmas=self.config.marker_sigmas,
                    labels=self.config.marker_labels,
                    prefix=self._prefix,
                    names=names,
                )
            )
        if covariance is not None:
            self._publish_motion(skeletons, header, frames, covariance)
        if self._tf is not None or self._poses is not None or self._orientations is not None:
            self._publish_turns(skeletons, header, frames)

    def _publish_motion(self, skeletons: Skeletons, header, frames: dict[int, str], covariance) -> None:
        """All that needs the velocity of the roots; covariance (P, 3, 3) of their places."""
        motion = self._velocities.follow(skeletons, covariance)
        if self._people is not None:
            self._people.publish(people_message(skeletons, header, motion, frames, self._people_classes))
        if self._motion is not None:
            self._motion.publish(motion_cloud(skeletons, header, motion))
        if self._hri is not None:
            self._hri.publish_motion(self._camera, header, skeletons, motion.velocity_m_s)

    def _publish_turns(self, skeletons: Skeletons, header, frames: dict[int, str]) -> None:
        """All that needs the orientation of the links."""
        rotations = self._turns.follow(skeletons)
        if self._tf is not None and skeletons.ids:
            self._tf.publish(tf_from_skeletons(skeletons, header, rotations, frames))
        if self._poses is not None:
            self._poses.publish(pose_array(skeletons, header, rotations))
        if self._orientations is not None:
            self._orientations.publish(orientation_cloud(skeletons, header, rotations))

    def publish_keypoints(self, header, keypoints: Keypoints | None, camera: Camera) -> None:
        """The 2D keypoints of the frame that just came in, for ROS4HRI."""
        if self._hri is not None and keypoints is not None:
            self._hri.publish_keypoints(self._camera, header, keypoints, camera)

    def clock_jumped_back(self) -> None:
        """What is known of later times is of another run."""
        self._turns, self._velocities = LinkTurns(), Velocities()
        if self._target is not None:
            self._target.forget()

    def deactivate(self) -> None:
        """Nobody is tracked any more."""
        if self._hri is not None:
            self._hri.forget(self._camera)

    def close(self) -> None:
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        if self._target is not None:
            self._target.close()

    def _publisher(self, message_class, topic: str, depth: int = 5) -> Any:
        self._publishers.append(lifecycle_publisher(self._node, message_class, topic, depth))
        return self._publishers[-1]
