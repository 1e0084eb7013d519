"""TF, ROS4HRI and target_frame of the live node over real DDS; the first two where their message packages are built."""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from bench import LOSSLESS

from dp3d_ros.conversions.pointcloud2 import skeletons_from_cloud
from dp3d_ros.conversions.tf import LINKS

pytestmark = pytest.mark.ros
TF2_ROS = '''
"""Stands in for tf2_ros, which no registry has: map is turned against the camera's frame and 1 m behind it."""
from geometry_msgs.msg import TransformStamped


class TransformException(Exception):
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
    def __init__(self, buffer, node, spin_thread):
        pass

    def unregister(self):
        pass
'''


@pytest.mark.skipif(find_spec("tf2_msgs") is None, reason="needs tf2_msgs")
def test_tf_has_the_frames_of_everybody_below_the_camera(start, bench):
    from tf2_msgs.msg import TFMessage

    heard = []
    bench.node.create_subscription(TFMessage, "/tf", heard.append, 100)
    start("fake", autostart=True, publish_tf=True, **LOSSLESS)
    bench.ready()
    bench.until(lambda: heard, "TF", every=lambda: bench.publish_people(2))
    stamp = bench.publish_people(2).stamp
    bench.until(lambda: heard[-1].transforms[0].header.stamp == stamp, "TF with the stamp of the frame")
    edges = {item.child_frame_id: item.header.frame_id for item in heard[-1].transforms}
    assert len(edges) == 2 * len(LINKS) == len(heard[-1].transforms)
    for person in (0, 1):
        assert edges[f"body_{person}"] == "camera_optical_frame" and edges[f"waist_{person}"] == f"body_{person}"
    (skeletons,) = (message for message in bench.skeletons if message.header.stamp == stamp)
    place = {item.child_frame_id: item.transform.translation for item in heard[-1].transforms}
    for person, (joints_m, *_) in skeletons_from_cloud(skeletons).items():
        root = place[f"body_{person}"]
        assert np.allclose((root.x, root.y, root.z), joints_m[0], atol=1e-4)


@pytest.mark.skipif(find_spec("hri_msgs") is None, reason="needs hri_msgs")
def test_ros4hri_has_the_ids_and_keypoints_of_the_bodies_that_are_there(start, bench):
    from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D

    tracked, skeletons, boxes = [], [], []
    bench.node.create_subscription(IdsList, "/humans/bodies/tracked", tracked.append, 10)
    bench.node.create_subscription(Skeleton2D, "/humans/bodies/b1/skeleton2d", skeletons.append, 10)
    bench.node.create_subscription(NormalizedRegionOfInterest2D, "/humans/bodies/b1/roi", boxes.append, 10)
    start("fake", autostart=True, publish_hri=True, **LOSSLESS)
    bench.ready()
    bench.until(lambda: skeletons and boxes, "the second body", every=lambda: bench.publish_people(2))
    assert list(tracked[-1].ids) == ["b0", "b1"]
    assert len(skeletons[-1].skeleton) == 18 and 0 <= boxes[-1].xmin < boxes[-1].xmax <= 1
    bench.until(lambda: list(tracked[-1].ids) == ["b0"], "one body", every=lambda: bench.publish_people(1))
    bench.until(lambda: not bench.node.count_publishers("/humans/bodies/b1/roi"), "the end of the second body's topics")


def test_target_frame_moves_the_people_and_counts_where_there_is_no_way(start, bench, tmp_path):
    (tmp_path / "tf2_ros.py").write_text(TF2_ROS)
    path = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).resolve().parents[2]}"}
    node = start("fake", autostart=True, target_frame="map", env=path, **LOSSLESS)
    bench.ready()
    bench.flush()
    before = bench.next_facts()
    message = bench.skeletons[-1]
    assert message.header.frame_id == "map" and "Traceback" not in node.text()
    ((joints_m, *_),) = skeletons_from_cloud(message).values()
    assert np.allclose(joints_m[:, 0], 3 + 1, atol=1e-3), "3 m ahead of the camera is 4 m ahead of map"
    elsewhere = bench.header()
    elsewhere.frame_id = "nowhere"
    bench.publish_people(1, header=elsewhere)
    bench.until(lambda: bench.facts().get("drop.no_transform"), "a drop")
    assert bench.settled(before, 1)["frames_out"] == before["frames_out"]
    node.wait_for("no transform to 'map'")


def test_transforms_of_later_times_are_forgotten_when_the_clock_jumps_back(start, bench, tmp_path):
    (tmp_path / "tf2_ros.py").write_text(TF2_ROS)
    path = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).resolve().parents[2]}"}
    node = start("fake", autostart=True, target_frame="map", env=path, **LOSSLESS)
    bench.ready()
    bench.flush()
    assert "forgets" not in node.text()
    bench.publish_people(stamp_ns=time.time_ns() - 20_000_000_000)
    node.wait_for("forgets")
