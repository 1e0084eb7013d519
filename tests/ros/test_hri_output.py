"""Bodies as ROS4HRI has them, without hri_msgs: ids that fit in topic names, publishers that live as long as a body."""

import numpy as np
import pytest

from dp3d_core import Camera
from dp3d_ros import hri_output

CAMERA = Camera.from_fov(width=640, height=480)
KEYPOINTS = np.full((17, 2), 100, np.float32), np.full(17, 0.5, np.float32)


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
        self.topics = {}

    def create_publisher(self, kind, topic, qos):
        return Publisher(self.topics, topic)

    def destroy_publisher(self, publisher):
        del self.topics[publisher.topic]


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(hri_output, "import_message", lambda package, name, parameter: Message)
    return Node()


def output(node):
    return hri_output.HriOutput(node, lambda kind, topic, depth: Publisher(node.topics, topic), "coco17")


def test_ids_fit_in_topic_names_and_are_the_same_everywhere(node):
    bodies = output(node)
    frames = bodies.names({12: "12", 1_000_000: "a7f", 3: "left_3"})
    assert frames == {12: "b12", 1_000_000: "a7f", 3: "left_3"}
    bodies.publish_ids("header", frames)
    assert node.topics["/humans/bodies/tracked"].sent[0].ids == ["b12", "a7f", "left_3"]
    for body in frames.values():
        assert {f"/humans/bodies/{body}/roi", f"/humans/bodies/{body}/skeleton2d"} <= set(node.topics)


def test_publishers_end_when_a_body_is_no_longer_tracked(node):
    bodies = output(node)
    for tracked in ({1: "b1", 2: "b2"}, {2: "b2"}, {2: "other"}, {}):
        bodies.publish_ids("header", tracked)
        assert len(node.topics) == 1 + 2 * len(tracked)
    assert len(node.topics["/humans/bodies/tracked"].sent) == 4


def test_only_tracked_bodies_get_their_keypoints(node):
    bodies = output(node)
    bodies.publish_ids("old", {1: "b1"})
    bodies.publish_keypoints("header", {1: KEYPOINTS, 2: KEYPOINTS}, CAMERA)
    (skeleton,), (roi,) = (node.topics[f"/humans/bodies/b1/{name}"].sent for name in ("skeleton2d", "roi"))
    assert skeleton.header == roi.header == "header" and len(skeleton.skeleton) == 18
    assert roi.xmin == roi.xmax == pytest.approx(100 / 640)
    assert len(node.topics) == 3


def test_forgetting_ends_all_publishers_but_the_list(node):
    bodies = output(node)
    bodies.publish_ids("header", {1: "b1", 2: "b2"})
    bodies.forget()
    assert set(node.topics) == {"/humans/bodies/tracked"}
