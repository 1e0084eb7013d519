"""Stands in for tf2_ros, which no registry has: map is turned against the camera's frame and 1 m behind it."""

from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage


class TransformException(Exception):
    pass


class ExtrapolationException(TransformException):
    pass


class Buffer:
    def clear(self):
        print("forgets", flush=True)

    def lookup_transform(self, target, source, time):
        if (target, source) != ("map", "camera_optical_frame") or not time.nanoseconds:
            raise TransformException(f"{source!r} passed to lookupTransform does not exist")
        found = TransformStamped()
        found.transform.translation.x = 1.0
        rotation = found.transform.rotation  # z forward, y down to x forward, z up
        rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5
        return found


class TransformListener:
    """Hears what the real one hears."""

    def __init__(self, buffer, node, spin_thread):
        self._node = node
        self._subscriptions = [
            node.create_subscription(TFMessage, topic, lambda message: None, 100) for topic in ("/tf", "/tf_static")
        ]

    def unregister(self):
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
