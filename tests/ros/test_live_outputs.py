"""TF, ROS4HRI and target_frame of the live node over real DDS, some with stand-ins for packages of no registry."""

import time
from importlib.util import find_spec

import numpy as np
import pytest
from bench import LOSSLESS, STAND_INS
from geometry_msgs.msg import Point32, PointStamped, TwistStamped
from sensor_msgs.msg import JointState, PointCloud, PointCloud2

from dp3d_ros.messages.people import MOTION_DTYPE
from dp3d_ros.messages.pointcloud2 import read_points, skeletons_from_cloud
from dp3d_ros.messages.tf import LINKS

pytestmark = pytest.mark.ros


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


def test_the_list_has_the_bodies_of_all_cameras_and_nobody_once_inactive(start, bench):
    tracked = []
    bench.node.create_subscription(JointState, "/humans/bodies/tracked", tracked.append, 1000)
    start("fake", autostart=True, publish_hri=True, cameras="[left, right]", env=STAND_INS)

    def publish_both():
        for side in ("left", "right"):
            bench.publish_info(topic=f"/{side}/camera_info")
            bench.publish_people(1, topic=f"/lifter/{side}/keypoints")

    both = {"left_0", "right_0"}
    bench.until(lambda: tracked and set(tracked[-1].name) == both, "bodies of both", every=publish_both)
    before = len(tracked)
    bench.until(lambda: len(tracked) > before + 10, "more lists", every=publish_both)
    assert all(set(message.name) == both for message in tracked[before:]), "whichever camera's frame it was"
    assert bench.transition("deactivate")
    bench.until(lambda: not tracked[-1].name, "an empty list")
    assert tracked[-1].header.stamp.sec > 0


def test_ros4hri_bodies_are_found_beside_a_remapped_list_and_what_is_missed_is_counted(start, bench):
    env = STAND_INS | {"FAKE_DELAY_S": "0.05"}
    start("fake", autostart=True, input="hri", remaps={"/humans/bodies/tracked": "/robot/bodies/tracked"}, env=env)
    listed = bench.node.create_publisher(JointState, "/robot/bodies/tracked", 1)
    bodies = [bench.node.create_publisher(PointCloud, f"/robot/bodies/{body}/skeleton2d", 100) for body in ("a", "b")]

    def publish():
        header = bench.header()
        listed.publish(JointState(header=header, name=["a", "b"]))
        points = [Point32(x=0.5, y=0.1 + 0.04 * joint, z=0.9) for joint in range(18)]
        for publisher in bodies:
            publisher.publish(PointCloud(header=header, points=points))

    bench.until(
        lambda: bench.skeletons and bench.skeletons[-1].width == 2 * 17,
        "both bodies in a frame",
        every=lambda: (bench.publish_info(), publish()),
    )
    bench.until(lambda: bench.facts().get("missed"), "missed messages", every=lambda: [publish() for _ in range(10)])
    assert not bench.facts()["missed_unknown"]


def test_motion_and_bodies_have_places_and_velocities_in_the_target_frame(start, bench):
    motions, places, velocities = [], [], []
    bench.node.create_subscription(PointCloud2, "/lifter/motion", motions.append, 100)
    bench.node.create_subscription(PointStamped, "/humans/bodies/b0/position", places.append, 10)
    bench.node.create_subscription(TwistStamped, "/humans/bodies/b0/velocity", velocities.append, 10)
    start("fake", autostart=True, publish_motion=True, publish_hri=True, target_frame="map", env=STAND_INS, **LOSSLESS)
    bench.ready()
    bench.until(lambda: motions and places and velocities, "motion of a body", every=lambda: bench.publish_people(1))
    assert motions[-1].header.frame_id == places[-1].header.frame_id == velocities[-1].header.frame_id == "map"
    (point,) = read_points(motions[-1], MOTION_DTYPE.names)
    np.testing.assert_allclose(
        [point[name] for name in "xyz"], [places[-1].point.x, places[-1].point.y, places[-1].point.z]
    )
    assert point["cov_xx"] > 10 * point["cov_yy"] > 0, "map's x is along the camera's ray"
    assert 0 <= point["contact_left"] <= 1 and 1 < point["stature"] < 2.2 and point["person"] == 0
    speed = velocities[-1].twist.linear
    assert np.linalg.norm([speed.x, speed.y, speed.z]) < 0.3, "somebody who stands"


def test_target_frame_moves_the_people_and_counts_where_there_is_no_way(start, bench):
    node = start("fake", autostart=True, target_frame="map", env=STAND_INS, **LOSSLESS)
    bench.ready()
    bench.flush()
    before = bench.next_facts()
    message = bench.skeletons[-1]
    assert message.header.frame_id == "map" and "Traceback" not in node.text()
    ((joints_m, *_),) = skeletons_from_cloud(message).values()
    assert np.allclose(joints_m[:, 0], 3 + 1, atol=0.15), "3 m ahead of the camera is 4 m ahead of map"
    elsewhere = bench.header()
    elsewhere.frame_id = "nowhere"
    bench.publish_people(1, header=elsewhere)
    bench.until(lambda: bench.facts().get("drop.no_transform"), "a drop")
    assert bench.settled(before, 1)["frames_out"] == before["frames_out"]
    node.wait_for("no transform to 'map'")


def test_transforms_of_later_times_are_forgotten_when_the_clock_jumps_back(start, bench):
    node = start("fake", autostart=True, target_frame="map", env=STAND_INS, **LOSSLESS)
    bench.ready()
    bench.flush()
    assert "forgets" not in node.text()
    bench.publish_people(stamp_ns=time.time_ns() - 20_000_000_000)
    node.wait_for("forgets")
