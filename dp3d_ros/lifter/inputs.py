"""Where keypoints come from: one class per message type, all alike to the rest of the node.

A source subscribes and calls `deliver(header, convert)`, where convert(keypoint_count, camera) gives the `Converted`
message or raises BadMessage. Optional message packages are imported only by the source that needs them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from dp3d_core.config import StreamConfig
from dp3d_ros.lifter.health import Health
from dp3d_ros.lifter.statistics import SequenceGaps
from dp3d_ros.messages.hri import SkeletonFrames, people_from_skeletons
from dp3d_ros.messages.ids import IdTable, is_topic_token
from dp3d_ros.messages.keypoints import Converted
from dp3d_ros.messages.pointcloud2 import people_from_cloud
from dp3d_ros.messages.yolo import people_from_detections
from dp3d_ros.node.compat import SubscriptionEventCallbacks, with_info
from dp3d_ros.node.parameters import NodeConfig

MAX_BODIES = 64
"""More bodies than these in one list are a fault, not a crowd: each costs a subscription."""


BUILT = {"yolo_msgs": "build it from https://github.com/mgonzs13/yolo_ros, no distribution has it"}
"""How to get message packages that are in no distribution."""


def newest_wins() -> QoSProfile:
    """Best effort, depth 1: a node that falls behind drops frames instead of lagging."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def import_message(package: str, name: str, parameter: str) -> Any:
    """A class of an optional message package; ImportError names the package to install."""
    from importlib import import_module

    try:
        return getattr(import_module(f"{package}.msg"), name)
    except ImportError as error:
        how = BUILT.get(package, f"install ros-$ROS_DISTRO-{package.replace('_', '-')}")
        raise ImportError(f"{parameter}: needs {package}/{name}, which is not installed; {how}") from error


class Subscriptions:
    """Subscriptions of one source, made and ended together; incompatible publishers are reported, not just ignored."""

    def __init__(self, node, health: Health):
        self.health = health
        self._node = node
        self._alive: dict[str, Any] = {}

    def add(self, message_class, topic: str, callback: Callable, overridable: bool = True) -> str:
        """Subscribe; `qos_overrides` parameters of the topic apply. Returns the topic's name after all remappings."""
        self._alive[topic] = self._node.create_subscription(
            message_class,
            topic,
            callback,
            newest_wins(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self.health.incompatible_with(topic)),
            qos_overriding_options=QoSOverridingOptions.with_default_policies() if overridable else None,
        )
        return self._alive[topic].topic_name

    def add_keypoints(self, message_class, topic: str, callback: Callable, overridable: bool = True) -> None:
        """Subscribe likewise; messages that never arrived are counted."""
        gaps = SequenceGaps()

        def receive(message, info):
            self.health.statistics.lost(gaps.missed(info, lambda: self._node.count_publishers(name)))
            callback(message)

        name = self.add(message_class, topic, with_info(receive), overridable)

    def remove(self, topic: str) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._alive.pop(topic))

    def close(self) -> None:
        """Unsubscribe from all."""
        for topic in list(self._alive):
            self.remove(topic)

    def publishers(self) -> int:
        """How many publishers there are on all topics."""
        return sum(self._node.count_publishers(item.topic_name) for item in self._alive.values())

    def unheard(self) -> tuple[str, ...]:
        """The topics that nobody publishes."""
        names = [item.topic_name for item in self._alive.values()]
        return tuple(name for name in names if not self._node.count_publishers(name))


class CloudSource:
    """sensor_msgs/PointCloud2 keypoints."""

    joint_set = None

    def __init__(self, subscriptions: Subscriptions, topic: str, deliver: Callable):
        self.names = dict
        self._deliver = deliver
        self._tracked = False
        """Whether anybody ever had an id."""
        subscriptions.add_keypoints(*self.messages(), topic, self._receive)

    @staticmethod
    def messages():
        """The message classes that it needs; ImportError names the package to install. So for all sources."""
        return (import_message("sensor_msgs", "PointCloud2", "input: pointcloud2"),)

    def _receive(self, message):
        self._deliver(message.header, lambda count, camera: self._convert(message, count))

    def _convert(self, message, keypoint_count: int) -> Converted:
        converted = people_from_cloud(message, keypoint_count, self._tracked)
        self._tracked = self._tracked or bool(converted.keypoints.ids)
        return converted


class YoloSource:
    """yolo_msgs/DetectionArray of yolo_ros."""

    joint_set = "coco17"

    def __init__(self, subscriptions: Subscriptions, topic: str, deliver: Callable):
        self._ids = IdTable()
        self.names = self._ids.names
        self._deliver = deliver
        subscriptions.add_keypoints(*self.messages(), topic, self._receive)

    @staticmethod
    def messages():
        return (import_message("yolo_msgs", "DetectionArray", "input: yolo"),)

    def _receive(self, message):
        self._deliver(message.header, lambda count, camera: people_from_detections(message, self._ids))


class HriSource:
    """hri_msgs/Skeleton2D of each body that /humans/bodies/tracked names (ROS4HRI)."""

    joint_set = "hri18"

    def __init__(self, subscriptions: Subscriptions, topic: str, deliver: Callable):
        self._ids = IdTable()
        self.names = self._ids.names
        self._deliver = deliver
        self._subscriptions = subscriptions
        self._skeleton_class, ids_class = self.messages()
        self._frames = SkeletonFrames()
        self._topics = {}
        # the bodies are beside the list, wherever that is remapped to
        self._root = subscriptions.add(ids_class, topic, self._track).rsplit("/", 1)[0]

    @staticmethod
    def messages():
        return tuple(import_message("hri_msgs", name, "input: hri") for name in ("Skeleton2D", "IdsList"))

    def _track(self, message):
        bodies = self._usable(message.ids)
        self._frames.track(bodies)
        for body in set(self._topics) - bodies:
            self._subscriptions.remove(self._topics.pop(body))
        for body in bodies - set(self._topics):
            self._topics[body] = f"{self._root}/{body}/skeleton2d"
            self._subscriptions.add_keypoints(
                self._skeleton_class, self._topics[body], partial(self._receive, body), overridable=False
            )
        if not bodies:
            self._send(self._frames.nobody(message.header))

    def _usable(self, ids):
        """The ids whose topics can exist; the others are counted, for no frame must wait for them."""
        bodies = sorted({body for body in ids if is_topic_token(body)})
        if len(bodies) < len(set(ids)):
            bad = next(body for body in ids if not is_topic_token(body))
            self._subscriptions.health.odd(
                "bad_body_id",
                f"IdsList.ids: {bad[:40]!r} fits in no topic name; use letters, digits and single _, letter first",
            )
        if len(bodies) > MAX_BODIES:
            self._subscriptions.health.odd("too_many_bodies", f"IdsList.ids: {len(bodies)} bodies, using {MAX_BODIES}")
        return set(bodies[:MAX_BODIES])

    def _receive(self, body, message):
        self._send(self._frames.add(body, message))

    def _send(self, frames):
        for header, bodies in frames:
            self._deliver(header, lambda count, camera, bodies=bodies: people_from_skeletons(bodies, self._ids, camera))


SOURCES = {"pointcloud2": CloudSource, "yolo": YoloSource, "hri": HriSource}
DEFAULT_TOPICS = {"pointcloud2": "~/keypoints", "yolo": "/yolo/tracking", "hri": "/humans/bodies/tracked"}


def stream_options(config: NodeConfig, stream_config: StreamConfig) -> StreamConfig:
    """`stream_config` as the input of `config` needs it; ImportError names a message package that is missing."""
    source = SOURCES[config.input]
    source.messages()  # what is missing shall be missed now, not when activated
    return stream_config if source.joint_set is None else replace(stream_config, joint_set=source.joint_set)
