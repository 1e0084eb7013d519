"""Publishers of one camera: typed skeletons, markers, TF, tracked ids; each switchable. Knows nothing of lifting."""

from functools import partial

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from dp3d_ros.conversions.markers import markers_from_skeletons
from dp3d_ros.conversions.pointcloud2 import cloud_from_skeletons
from dp3d_ros.conversions.tf import tf_from_skeletons, tf_message_class
from dp3d_ros.sources import import_message
from dp3d_ros.transforms import TargetFrame


class Outputs:
    """Publishes one frame in every form that the configuration asks for."""

    def __init__(self, node, camera, config):
        from sensor_msgs.msg import PointCloud2
        from visualization_msgs.msg import MarkerArray

        self.config = config
        self._node = node
        self._prefix = f"{camera}_" if camera else ""
        self._publishers = []
        self._target = self._tf = self._tracked = None
        if config.target_frame:
            self._target = TargetFrame(node, config.target_frame)
        if config.publish_tf:
            self._tf = self._publisher(tf_message_class(), "/tf", depth=100)
        if config.publish_hri:
            self._ids_list = import_message("hri_msgs", "IdsList", "publish_hri")
            self._tracked = self._publisher(self._ids_list, "/humans/bodies/tracked", depth=1)
        home = f"~/{camera}/" if camera else "~/"
        self._skeletons = self._publisher(PointCloud2, f"{home}skeletons")
        self._markers = self._publisher(MarkerArray, f"{home}markers")

    def publish(self, skeletons, header, names):
        """One frame; also one with nobody, so that whoever listens knows that the lifter lives."""
        if self._target is not None:
            skeletons, header = self._target.apply(skeletons, header)
        if self.config.publish_skeletons:
            self._skeletons.publish(cloud_from_skeletons(skeletons, header))
        if self.config.publish_markers and self._markers.get_subscription_count():
            self._markers.publish(
                markers_from_skeletons(
                    skeletons, header, lifetime_s=self.config.marker_lifetime_s, sigmas=self.config.marker_sigmas,
                    labels=self.config.marker_labels, prefix=self._prefix, names=names,
                )
            )  # fmt: skip
        frames = {person: f"{self._prefix}{names.get(person, person)}" for person in skeletons.ids}
        if self._tf is not None and skeletons.ids:
            self._tf.publish(tf_from_skeletons(skeletons, header, frames))
        if self._tracked is not None:
            self._tracked.publish(self._ids_list(header=header, ids=list(frames.values())))

    def close(self):
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        if self._target is not None:
            self._target.close()

    def _publisher(self, message_class, topic, depth=5):
        publisher = self._node.create_lifecycle_publisher(
            message_class, topic, QoSProfile(depth=depth),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=partial(self._incompatible, topic)),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )  # fmt: skip
        self._publishers.append(publisher)
        return publisher

    def _incompatible(self, topic, event):
        self._node.warn(
            f"incompatible_qos{topic}",
            f"a subscriber of {topic} asks for a QoS that this node does not offer ({event.last_policy_kind}): change "
            "its QoS, or the qos_overrides parameters of this node",
        )
