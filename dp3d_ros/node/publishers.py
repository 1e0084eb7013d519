"""How the lifter publishes: silent unless active, QoS as the user says, and aloud where a subscriber does not fit."""

from functools import partial

from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from dp3d_ros.node.compat import PublisherEventCallbacks


def lifecycle_publisher(node, message_class, topic, depth):
    """A publisher of a lifecycle node; `qos_overrides` parameters of the topic apply."""
    return node.create_lifecycle_publisher(
        message_class,
        topic,
        QoSProfile(depth=depth),
        event_callbacks=PublisherEventCallbacks(incompatible_qos=partial(_incompatible, node, topic)),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


def _incompatible(node, topic, event):
    node.warn(
        f"incompatible_qos{topic}",
        f"a subscriber of {topic} asks for a QoS that this node does not offer ({event.last_policy_kind}): change "
        "its QoS, or the qos_overrides parameters of this node",
    )
