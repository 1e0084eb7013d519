"""Bodies as ROS4HRI has them, without hri_msgs: ids that fit in topic names, publishers that live as long as a body."""

from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from dp3d_core import Camera
from dp3d_core.types import Keypoints, Skeletons
from dp3d_ros.lifter import hri_output

CAMERA = Camera.from_fov(width=640, height=480)
KEYPOINTS = Keypoints(
    ids=(1, 2), xy_px=np.full((2, 17, 2), 100, np.float32), confidence=np.full((2, 17), 0.5, np.float32)
)


class Message:
    """Any message of hri_msgs."""

    def __init__(self, x=0.0, y=0.0, c=0.0, **values):
        self.x, self.y, self.c = x, y, c
        self.__dict__.update(values)


class Publisher:
    def __init__(self, topics, topic):
        self.topic, self.sent = topic, []
        topics[topic] = self

    def publish(self, message):
        self.sent.append(message)


class Node:
    """The part of rclpy's node that the output uses."""

    def __init__(self):
        self.topics, self.alive = {}, True
        self.context = self

    def ok(self):
        return self.alive

    def create_publisher(self, kind, topic, qos):
        return Publisher(self.topics, topic)

    def destroy_publisher(self, publisher):
        del self.topics[publisher.topic]

    destroy_lifecycle_publisher = destroy_publisher

    def get_clock(self):
        return self

    def now(self):
        return self

    def to_msg(self):
        return Time(sec=7)

    def tracked(self):
        """The lists that were sent."""
        return [message.ids for message in self.topics["/humans/bodies/tracked"].sent]


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(hri_output, "import_message", lambda package, name, parameter: Message)
    made = Node()
    monkeypatch.setattr(
        hri_output, "lifecycle_publisher", lambda node, kind, topic, depth: Publisher(made.topics, topic)
    )
    return made


@pytest.fixture
def bodies(node):
    return hri_output.HriOutput(node, "coco17")


def test_ids_fit_in_topic_names_and_are_the_same_everywhere(node, bodies):
    frames = bodies.names({12: "12", 1_000_000: "a7f", 3: "left_3"})
    assert frames == {12: "b12", 1_000_000: "a7f", 3: "left_3"}
    bodies.publish_ids("", "header", frames)
    assert node.tracked() == [["b12", "a7f", "left_3"]]
    for body in frames.values():
        names = ("roi", "skeleton2d", "position", "velocity")
        assert {f"/humans/bodies/{body}/{name}" for name in names} <= set(node.topics)


def test_publishers_end_when_a_body_is_no_longer_tracked(node, bodies):
    for tracked in ({1: "b1", 2: "b2"}, {2: "b2"}, {2: "other"}, {}):
        bodies.publish_ids("", "header", tracked)
        assert len(node.topics) == 1 + 4 * len(tracked)
    assert len(node.tracked()) == 4


def test_only_tracked_bodies_get_their_keypoints(node, bodies):
    bodies.publish_ids("", "old", {1: "b1"})
    bodies.publish_keypoints("", "header", KEYPOINTS, CAMERA)
    (skeleton,), (roi,) = (node.topics[f"/humans/bodies/b1/{name}"].sent for name in ("skeleton2d", "roi"))
    assert skeleton.header == roi.header == "header" and len(skeleton.skeleton) == 18
    assert roi.xmin == roi.xmax == pytest.approx(100 / 640)
    assert len(node.topics) == 5


def test_tracked_bodies_get_their_place_and_velocity(node, bodies):
    bodies.publish_ids("", "header", {1: "b1"})
    header = Header(frame_id="map")
    people = replace(Skeletons.empty(0.0), ids=(1, 2), joints_cam_m=np.full((2, 17, 3), 2.0, np.float32))
    bodies.publish_motion("", header, people, np.array([[0.5, 0, 0.25], [9, 9, 9]]))
    (place,), (velocity,) = (node.topics[f"/humans/bodies/b1/{name}"].sent for name in ("position", "velocity"))
    assert place.header == velocity.header == header and place.point.z == 2.0
    assert (velocity.twist.linear.x, velocity.twist.linear.z) == (0.5, 0.25) and len(node.topics) == 5


def test_the_list_has_the_bodies_of_all_cameras(node, bodies):
    bodies.publish_ids("left", "header", {1: "left_1"})
    bodies.publish_ids("right", "header", {1: "right_1", 2: "right_2"})
    bodies.publish_ids("left", "header", {})
    bodies.forget("right")
    assert node.tracked() == [["left_1"], ["left_1", "right_1", "right_2"], ["right_1", "right_2"], []]
    assert node.topics["/humans/bodies/tracked"].sent[-1].header.stamp.sec == 7


def test_that_nobody_is_tracked_any_more_is_said_once_and_only_while_it_can_be(node, bodies):
    bodies.publish_ids("", "header", {1: "b1", 2: "b2"})
    bodies.forget("")
    bodies.forget("")
    assert node.tracked() == [["b1", "b2"], []] and set(node.topics) == {"/humans/bodies/tracked"}
    bodies.publish_ids("", "header", {1: "b1"})
    node.alive = False
    bodies.forget("")
    assert len(node.tracked()) == 3
    bodies.close()
    assert not node.topics
