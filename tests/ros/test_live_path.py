"""One frame walks from the subscription's callback to the publisher: through few files, and never back."""

import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from fake_lifter import FakeLifter
from figure import CAMERA, people
from std_msgs.msg import Header

import dp3d_core
import dp3d_ros
from dp3d_core.config import StreamConfig, to_dict
from dp3d_ros.lifter import camera as camera_file
from dp3d_ros.lifter import outputs
from dp3d_ros.lifter.camera import CameraChannel
from dp3d_ros.lifter.shared_pass import SharedPass
from dp3d_ros.messages.camera_info import info_from_camera
from dp3d_ros.messages.pointcloud2 import cloud_from_people, skeletons_from_cloud
from dp3d_ros.node.parameters import NodeConfig

MOST_DEPTH, MOST_FILES = 10, 10
ROOTS = [Path(package.__file__).parent for package in (dp3d_ros, dp3d_core)]
LEAVES = (
    "dp3d_core/geometry",
    "dp3d_core/skeleton.py",
    "dp3d_core/backends",
    "dp3d_core/types.py",
)
"""Called on the way; what they call is among themselves."""


class Node:
    """The part of rclpy's node that one camera uses."""

    def __init__(self):
        self.sent, self.callbacks = {}, {}
        self.nanoseconds = 10**18

    def create_subscription(self, kind, topic, callback, qos, **options):
        self.callbacks[topic] = callback
        return namedtuple("Subscription", "topic_name")(topic)

    def get_subscription_count(self):
        return 1

    def get_clock(self):
        return self

    now = get_clock

    def count_publishers(self, topic):
        return 1

    def warn(self, cause, text):
        raise AssertionError(f"a good frame is warned about: {text}")


class Publisher:
    def __init__(self):
        self.sent = []

    def publish(self, message):
        self.sent.append(message)

    def get_subscription_count(self):
        return 0  # of markers


class Walk:
    """Notes, while a function runs, the files of ours that it comes through and how deep they call each other.

    Comprehensions, which some Pythons run as functions, are no calls.
    """

    def __init__(self):
        self.files, self.deepest, self.called_back = set(), [], set()
        self._stack = []

    def __call__(self, frame, event, _):
        file = self._ours(frame.f_code.co_filename)
        if event == "call":
            before = next((name for name in reversed(self._stack) if name), None)
            self._stack.append(file and f"{file} {frame.f_code.co_name}")
            if file:
                self.files.add(file)
                path = [name for name in self._stack if name and not name.startswith(LEAVES) and name[-1] != ">"]
                self.deepest = max(self.deepest, path, key=len)
                if before and before.startswith(LEAVES) and not file.startswith(LEAVES):
                    self.called_back.add((before, file))
        elif event == "return" and self._stack:
            self._stack.pop()

    @staticmethod
    def _ours(name):
        for root in ROOTS:
            if name.startswith(f"{root}/"):
                return f"{root.name}/{Path(name).relative_to(root)}"
        return None

    def of(self, function, *args):
        sys.setprofile(self)
        try:
            function(*args)
        finally:
            sys.setprofile(None)


@pytest.fixture
def channel(monkeypatch):
    """(node, publishers by topic) of an active camera that knows its CameraInfo."""
    node, publishers = Node(), {}
    monkeypatch.setattr(
        outputs, "lifecycle_publisher", lambda node, kind, topic, depth: publishers.setdefault(topic, Publisher())
    )
    config, options = NodeConfig(), StreamConfig()
    streams = FakeLifter().streams({"": CAMERA}, **to_dict(options))
    made = CameraChannel(node, "", streams[""], SharedPass(node, streams), None, config, options)
    made.activate()
    node.callbacks["camera_info"](info_from_camera(CAMERA, Header(frame_id="camera")))
    return node, publishers


@pytest.mark.parametrize("count", [1, 3])
def test_a_frame_comes_through_ten_files_ten_calls_deep_and_nothing_turns_back(channel, count):
    node, publishers = channel
    walk = Walk()
    for index in range(3):
        header = Header(frame_id="camera")
        header.stamp.sec, header.stamp.nanosec = divmod(10**18 + index * 33_000_000, 10**9)
        message = cloud_from_people(people(count), header)
        information = {"publication_sequence_number": index, "publisher_gid": {"data": b"1"}}
        walk = Walk()
        walk.of(node.callbacks["~/keypoints"], message, information)
    (*_, sent) = publishers["~/skeletons"].sent
    assert sent.header == header and len(publishers["~/skeletons"].sent) == 3
    found = skeletons_from_cloud(sent)
    assert len(found) == count and all(np.isclose(joints_m[0, 2], 3, atol=0.2) for joints_m, *_ in found.values())
    path = {file for file in walk.files if not file.startswith(LEAVES)}
    print(len(walk.deepest), sorted(path))
    assert len(walk.deepest) <= MOST_DEPTH, walk.deepest
    assert len(path) <= MOST_FILES, sorted(path)
    assert not walk.called_back
    assert Path(camera_file.__file__).relative_to(ROOTS[0].parent).as_posix() in path, "the walk sees our files"
