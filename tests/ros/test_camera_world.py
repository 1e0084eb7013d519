"""The camera's pose from TF, an IMU or parameters: at the image's stamp, in bounded time, counted where it lacks."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import Transform
from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from dp3d_core.types import Frame
from dp3d_ros.lifter import camera_world
from dp3d_ros.lifter.camera_world import CameraWorld
from dp3d_ros.node.parameters import NodeConfig

HEADER = Header(frame_id="camera_optical_frame")
HEADER.stamp.sec = 7


class Timer:
    """Ticks when told to."""

    def __init__(self, callback):
        self.callback, self.running = callback, True

    def reset(self):
        self.running = True

    def cancel(self):
        self.running = False


class Node:
    def create_timer(self, period_s, callback):
        self.timer = Timer(callback)
        return self.timer


class Tf:
    """Answers as told: a transform, or None and whether it may still come."""

    answer = (None, False)

    def __init__(self, node, parameter):
        pass

    def at(self, target, source, stamp):
        return self.answer

    def latest(self, target, source):
        return self.answer[0]


def level(height_m=1.2, **rotation):
    """The transform of a level camera that looks along x, z up."""
    found = Transform()
    found.translation.z = height_m
    found.rotation.x, found.rotation.y, found.rotation.z, found.rotation.w = -0.5, 0.5, -0.5, 0.5
    for name, value in rotation.items():
        setattr(found.rotation, name, value)
    return found


@pytest.fixture
def world(monkeypatch):
    """world(**parameters): a `CameraWorld` with node, tf, clock_s, counted and forwarded."""

    def make(**parameters):
        tf = type("OwnTf", (Tf,), {})
        monkeypatch.setattr(camera_world, "TfListener", tf)
        made = SimpleNamespace(node=Node(), tf=tf, counted=Counter(), forwarded=[], clock_s=0.0)
        monkeypatch.setattr(camera_world, "time", SimpleNamespace(monotonic=lambda: made.clock_s))
        health = SimpleNamespace(odd=lambda cause, text: made.counted.update([cause]))
        made.world = CameraWorld(made.node, NodeConfig(**parameters), health)

        def push():
            posed = made.world.posed(Frame(0.0, {}, HEADER), made.forwarded.append)
            made.forwarded.extend([] if posed is None else [posed])

        made.push = push
        return made

    return make


def test_nothing_is_known_by_default(world):
    made = world()
    made.push()
    assert made.forwarded[0].pose is None and not made.counted


def test_parameters_say_where_a_camera_without_tf_hangs(world):
    made = world(camera_up="0, -2 0", camera_height_m=1.5)
    made.push()
    pose = made.forwarded[0].pose
    assert pose.up_cam.tolist() == [0, -1, 0] and pose.height_m == 1.5 and pose.rotation is None


@pytest.mark.parametrize("up", ("0 0 0", "up", "1 2", "nan 0 0", "inf 0 0"))
def test_a_vector_that_is_none_is_refused(up):
    with pytest.raises(ValueError, match="camera_up: expected three numbers"):
        NodeConfig(camera_up=up)


def test_tf_gives_up_height_and_place(world):
    made = world(fixed_frame="odom", fixed_floor_m=0.2)
    made.tf.answer = level(), False
    made.push()
    pose = made.forwarded[0].pose
    np.testing.assert_allclose(pose.up_cam, (0, -1, 0), atol=1e-12)
    assert pose.height_m == pytest.approx(1.0) and not made.counted


def test_a_transform_that_is_missing_is_counted_and_the_frame_goes_on(world):
    made = world(fixed_frame="odom")
    made.push()
    assert made.forwarded[0].pose is None and made.counted == {"no_pose": 1}


def test_a_frame_waits_for_a_late_transform_and_no_longer_than_told(world):
    made = world(fixed_frame="odom", fixed_frame_wait_s=0.05)
    made.tf.answer = None, True
    made.push()
    made.node.timer.callback()
    assert not made.forwarded
    made.tf.answer = level(), False
    made.node.timer.callback()
    assert made.forwarded[0].pose is not None and not made.counted and not made.node.timer.running
    made.tf.answer = None, True
    made.push()
    made.clock_s = 0.06
    made.node.timer.callback()
    assert made.forwarded[1].pose is None and made.counted == {"no_pose": 1}


def test_the_next_frame_does_not_overtake_one_that_waits(world):
    made = world(fixed_frame="odom")
    made.tf.answer = None, True
    made.push()
    made.world.flush()
    assert len(made.forwarded) == 1 and made.counted == {"no_pose": 1}
    made.world.flush()
    assert len(made.forwarded) == 1


@pytest.mark.parametrize("found", (level(-1.0), level(40.0), level(0.0), level(x=2.0), level(w=float("nan"))), ids=str)
def test_a_transform_that_is_no_camera_is_counted_and_the_frame_goes_on(world, found):
    made = world(fixed_frame="odom")
    made.tf.answer = found, False
    made.push()
    assert made.forwarded[0].pose is None and made.counted == {"bad_pose": 1}


def reading(x=0.0, y=-9.8, z=0.0, sec=7, orientation=None):
    message = Imu(header=Header(frame_id=HEADER.frame_id))
    message.header.stamp.sec = sec
    message.orientation_covariance[0] = -1.0 if orientation is None else 0.01
    if orientation is not None:
        message.orientation = orientation
    message.linear_acceleration.x, message.linear_acceleration.y, message.linear_acceleration.z = x, y, z
    return message


def test_an_imu_says_where_up_is(world):
    made = world(imu_topic="/imu", camera_height_m=1.1)
    made.world.on_imu(reading())
    made.push()
    pose = made.forwarded[0].pose
    np.testing.assert_allclose(pose.up_cam, (0, -1, 0), atol=1e-6)
    assert pose.height_m == 1.1 and pose.up_sigma_rad > 0
    made.world.on_imu(reading(orientation=level().rotation))
    made.push()
    np.testing.assert_allclose(made.forwarded[1].pose.up_cam, (0, -1, 0), atol=1e-6)


def test_an_imu_that_accelerates_or_is_silent_is_not_believed(world):
    made = world(imu_topic="/imu")
    made.push()
    assert made.forwarded[0].pose is None and made.counted == {"no_pose": 1}
    made.world.on_imu(reading())
    for x in (5.0, float("nan")):
        made.world.on_imu(reading(x=x))
    made.push()
    np.testing.assert_allclose(made.forwarded[1].pose.up_cam, (0, -1, 0), atol=1e-6)
    made.world.on_imu(reading(sec=1))
    made.push()
    assert made.counted["imu_accelerates"] == 2 and made.counted["no_pose"] == 2
