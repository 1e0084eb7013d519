"""Markers, TF and diagnostics: stable ids, true rotations, nothing lost in the text."""

import math
from dataclasses import replace

import numpy as np
import pytest
from figure import standing
from geometry_msgs.msg import TransformStamped
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from dp3d_core.skeleton import JOINT_NAMES
from dp3d_core.types import Skeletons
from dp3d_ros.lifter.motion import LinkTurns, Motion, Velocities, place_covariance
from dp3d_ros.lifter.statistics import Statistics
from dp3d_ros.lifter.target_frame import matrix, moved
from dp3d_ros.messages import diagnostics
from dp3d_ros.messages.markers import label_place, markers_from_skeletons, person_colour
from dp3d_ros.messages.people import (
    MOTION_DTYPE,
    ORIENTATION_DTYPE,
    motion_cloud,
    orientation_cloud,
    people_message,
    pose_array,
)
from dp3d_ros.messages.pointcloud2 import read_points
from dp3d_ros.messages.tf import LINK_NAMES, LINKS, SOLVER, link_transforms, quaternions, tf_from_skeletons, upright

HEADER = Header(frame_id="camera_optical_frame")


def skeletons(joints_m, ids=(1, 2), actions=None):
    count = len(ids)
    return Skeletons(
        stamp_s=0.0,
        ids=tuple(ids),
        joints_cam_m=np.broadcast_to(joints_m, (count, 17, 3)).astype(np.float32),
        sigma_m=np.full((count, 17), 0.05, np.float32),
        root_sigma_m=np.full(count, 0.2, np.float32),
        sigma_lateral_m=np.zeros((count, 17), np.float32),
        sigma_depth_m=np.zeros((count, 17), np.float32),
        stature_m=np.full(count, 1.7, np.float32),
        contact=np.zeros((count, 2), np.float32),
        predicted=np.zeros(count, bool),
        actions=actions or (None,) * count,
        metric=True,
    )


def test_markers_replace_those_of_the_last_frame():
    first = markers_from_skeletons(skeletons(standing()), HEADER, sigmas=2.0)
    again = markers_from_skeletons(skeletons(standing() + 1), HEADER, sigmas=2.0)
    keys = [(marker.ns, marker.id) for marker in first.markers]
    assert keys == [(marker.ns, marker.id) for marker in again.markers] and len(set(keys)) == len(keys) == 40
    assert {marker.ns for marker in first.markers} == {"body_1", "body_2"}
    assert all(marker.action == Marker.ADD and marker.header == HEADER for marker in first.markers)
    assert all(marker.lifetime.nanosec == 300_000_000 for marker in first.markers)


def test_markers_draw_joints_bones_label_and_uncertainty():
    people = skeletons(standing(), ids=(5,), actions=("walk",))
    joints, lines, label, *balls = markers_from_skeletons(people, HEADER, sigmas=2.0).markers
    assert joints.type == Marker.SPHERE_LIST and len(joints.points) == len(joints.colors) == 17
    assert lines.type == Marker.LINE_LIST and len(lines.points) == len(lines.colors) == 32
    assert label.text == "5 walk"
    assert len(balls) == 17 and all(ball.scale.x == pytest.approx(0.2) and ball.color.a < 0.5 for ball in balls)


@given(st.integers(0, 2**32 - 1))
def test_the_label_is_above_the_head_whichever_way_the_frame_has_up(seed):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    people = skeletons(standing() @ turn.T, ids=(5,))
    place = markers_from_skeletons(people, HEADER).markers[2].pose.position
    above_head_m = np.array((place.x, place.y, place.z)) - people.joints_cam_m[0, JOINT_NAMES.index("Head")]
    assert np.allclose(above_head_m, turn @ (0, -0.25, 0), atol=1e-5)


def test_the_label_of_a_person_without_a_neck_is_at_the_head():
    assert np.allclose(label_place(np.ones((17, 3))), 1)


def test_markers_without_extras_are_two_a_person():
    assert len(markers_from_skeletons(skeletons(standing()), HEADER, labels=False).markers) == 4
    assert not markers_from_skeletons(Skeletons.empty(0.0), HEADER).markers


def test_people_have_colours_of_their_own():
    colours = {person_colour(person) for person in range(-5, 30)}
    assert len(colours) == 35 and all(0 <= value <= 1 for colour in colours for value in colour)


def test_a_person_facing_the_camera_has_rep155_axes():
    rotations = SOLVER.solve(standing()[None])[0]
    for link in ("body", "waist", "torso", "l_shoulder", "r_elbow", "l_hip", "r_knee", "l_ankle"):
        x, y, z = rotations[LINK_NAMES.index(link)].T
        assert np.allclose(x, (0, 0, -1), atol=0.05), link  # forward is towards the camera
        assert np.allclose(y, (1, 0, 0), atol=0.05), link  # their left is at our right
        assert np.allclose(z, (0, -1, 0), atol=0.05), link


@given(st.integers(0, 2**32 - 1), st.sampled_from(["random", "T", "collapsed"]))
def test_link_frames_are_rotations_and_lead_back_to_the_joints(seed, kind):
    joints_m = standing() + np.random.default_rng(seed).normal(size=(17, 3)) * (0.3 if kind == "random" else 0)
    if kind == "T":
        for side, sign in (("L", 1), ("R", -1)):
            joints_m[JOINT_NAMES.index(f"{side}Elbow")] = (sign * 0.5, -0.5, 3)
            joints_m[JOINT_NAMES.index(f"{side}Wrist")] = (sign * 0.8, -0.5, 3)
    if kind == "collapsed":
        joints_m[:] = (0, 0, 3)
    rotations = SOLVER.solve(joints_m[None])
    assert np.allclose(rotations @ rotations.swapaxes(-1, -2), np.eye(3), atol=1e-6)
    assert np.allclose(np.linalg.det(rotations), 1)
    offsets, turns = (item[0] for item in link_transforms(joints_m[None], rotations))
    place, turn = {}, {}
    for link, (parent, joint) in LINKS.items():
        index = LINK_NAMES.index(link)
        local = matrix_of(turns[index])
        turn[link] = turn[parent] @ local if parent else local
        place[link] = place[parent] + turn[parent] @ offsets[index] if parent else offsets[index]
        assert np.allclose(place[link], joints_m[JOINT_NAMES.index(joint)], atol=1e-6)
        assert np.allclose(turn[link], rotations[0, index], atol=1e-6)


class Vector:
    def __init__(self, values):
        self.x, self.y, self.z, *rest = values
        self.w = rest[0] if rest else None


def matrix_of(quaternion):
    return matrix(Vector((0, 0, 0)), Vector(quaternion))[0]


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1))
def test_quaternions_invert_matrices(values):
    quaternion = np.array(values) / np.linalg.norm(values)
    found = quaternions(matrix_of(quaternion))
    assert found[3] >= 0 and np.allclose(matrix_of(found), matrix_of(quaternion), atol=1e-7)


@pytest.mark.parametrize("up", [(0, -1, 0), (0.3, -0.9, -0.2), (0, 0, -1), (0, 0, 1), (0, 1, 0)])
def test_an_upright_frame_has_z_against_gravity_and_x_ahead(up):
    turn = matrix_of(upright(up))
    np.testing.assert_allclose(turn @ np.array(up) / np.linalg.norm(up), (0, 0, 1), atol=1e-9)
    ahead = turn @ (0, 0, 1) if abs(up[2]) < 1 else turn @ (0, -1, 0)
    assert ahead[0] > 0.5 and abs(ahead[1]) < 1e-9


class TransformArray:
    def __init__(self, transforms):
        self.transforms = transforms


def test_tf_names_follow_rep155():
    one = skeletons(standing(), ids=(3,))
    message = tf_from_skeletons(one, HEADER, LinkTurns().follow(one), {3: "a1b"}, message_class=TransformArray)
    edges = {item.child_frame_id: item.header.frame_id for item in message.transforms}
    assert edges["body_a1b"] == "camera_optical_frame"
    assert edges["waist_a1b"] == "body_a1b" and edges["l_wrist_a1b"] == "l_elbow_a1b"
    assert len(edges) == len(LINKS) == 16 and isinstance(message.transforms[0], TransformStamped)


def raised(degrees):
    """The standing figure with the left arm raised sideways by so much, straight."""
    joints_m, angle = standing(), np.radians(degrees)
    along = np.array([np.sin(angle), np.cos(angle), 0])
    at = joints_m[JOINT_NAMES.index("LShoulder")]
    joints_m[JOINT_NAMES.index("LElbow")], joints_m[JOINT_NAMES.index("LWrist")] = at + 0.3 * along, at + 0.55 * along
    return joints_m


@pytest.mark.parametrize("live", [True, False])
def test_a_link_turns_as_far_as_its_bone_and_no_farther(live):
    """An arm that rises by one degree a frame, past the height at which frames from a fixed axis flip."""
    clip = np.stack([raised(degrees) for degrees in range(170)])
    turns = LinkTurns()
    rotations = (
        np.stack([turns.follow(skeletons(frame, ids=(4,)))[0] for frame in clip]) if live else SOLVER.solve(clip)
    )
    trace = np.einsum("tlij,tlij->tl", rotations[1:], rotations[:-1])
    turned = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    for link in LINK_NAMES:
        assert turned[:, LINK_NAMES.index(link)].max() < 2, link


def test_who_was_gone_starts_anew_and_others_are_carried_on():
    turns = LinkTurns()
    both, one = skeletons(raised(120), ids=(1, 2)), skeletons(raised(120), ids=(2,))
    turns.follow(both)
    kept = turns.follow(one)
    assert set(turns._before) == {2} and np.isfinite(kept).all()
    assert turns.follow(Skeletons.empty(0.0)).shape == (0, len(LINK_NAMES), 3, 3) and not turns._before


def test_velocity_is_that_of_the_root_after_a_while_and_zero_at_first():
    velocities, unknown = Velocities(), np.zeros((1, 3, 3))
    for frame in range(60):
        moved_on = replace(skeletons(standing() + (0.5 * frame / 30, 0, 0), ids=(7,)), stamp_s=frame / 30)
        found = velocities.follow(moved_on, unknown)
        assert frame or (found.velocity_m_s == 0).all()
    np.testing.assert_allclose(found.velocity_m_s, [[0.5, 0, 0]], atol=0.02)
    again = velocities.follow(moved_on, unknown)
    np.testing.assert_array_equal(again.velocity_m_s, found.velocity_m_s)
    assert velocities.follow(Skeletons.empty(3.0), unknown[:0]).velocity_m_s.shape == (0, 3)


def test_the_covariance_of_a_velocity_is_as_large_as_its_errors():
    """A steady walk seen with errors of 2 cm that last 0.2 s, as those of a smoothed skeleton do."""
    rng, errors, claimed, lasting = np.random.default_rng(0), [], [], np.exp(-1 / 30 / 0.2)
    for walk in range(20):
        velocities, error = Velocities(), rng.normal(0, 0.02, 3)
        for frame in range(90):
            error = lasting * error + (1 - lasting**2) ** 0.5 * rng.normal(0, 0.02, 3)
            people = skeletons(standing() + (0.5 * frame / 30, 0, 0) + error, ids=(walk,))
            found = velocities.follow(replace(people, stamp_s=frame / 30), np.zeros((1, 3, 3)))
            if frame > 45:
                errors.append(found.velocity_m_s[0] - (0.5, 0, 0))
                claimed.append(np.trace(found.velocity_covariance[0]) / 3)
    assert 0.5 < np.sqrt(np.mean(np.square(errors)) / np.mean(claimed)) < 1


def test_a_place_is_unsure_along_its_ray():
    people = replace(skeletons(standing() + (3, 0, 0), ids=(7,)), root_sigma_m=np.full(1, 0.3, np.float32))
    ray = people.joints_cam_m[0, 0] / np.linalg.norm(people.joints_cam_m[0, 0])
    (covariance,) = place_covariance(people)
    assert ray @ covariance @ ray == pytest.approx(0.09, rel=1e-5)
    across = np.cross(ray, (0, 1, 0))
    assert (across @ covariance @ across) ** 0.5 < 0.05 and np.linalg.eigvalsh(covariance).min() > 0


class Record:
    def __init__(self, **values):
        self.__dict__.update(values)


def test_poses_people_and_orientations_are_of_the_same_people():
    people = skeletons(standing(), ids=(3, 9))
    rotations = LinkTurns().follow(people)
    poses = pose_array(people, HEADER, rotations).poses
    assert len(poses) == 2 and (poses[0].position.x, poses[0].position.z) == (0, 3)
    turn = matrix_of([getattr(poses[1].orientation, axis) for axis in "xyzw"])
    np.testing.assert_allclose(turn[:, 0], (0, 0, -1), atol=0.05)  # forward is towards the camera
    motion = Motion(
        np.full((2, 3), 0.5), np.stack([np.diag((1.0, 4, 9))] * 2), np.stack([np.diag((0.1, 0.2, 0.3))] * 2)
    )
    message = people_message(people, HEADER, motion, {3: "a", 9: "b"}, (Record, Record))
    assert [person.name for person in message.people] == ["a", "b"] and message.people[0].velocity.z == 0.5
    assert 0 < message.people[0].reliability < 1 and message.people[0].tags[1] == "false"
    assert message.people[0].tags[2] == f"{(14 / 3) ** 0.5:.3f}"
    point = read_points(motion_cloud(people, HEADER, motion), MOTION_DTYPE.names)[1]
    assert [round(float(point[name]), 4) for name in ("x", "z", "vy", "cov_xx", "cov_xy", "cov_zz", "vcov_yy")] == [
        0, 3, 0.5, 0.1, 0, 0.3, 4,
    ]  # fmt: skip
    assert point["person"] == 9 and not point["predicted"] and point["contact_left"] == people.contact[1, 1]
    nobody = Motion(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3, 3)))
    assert motion_cloud(Skeletons.empty(0.0), HEADER, nobody).width == 0
    cloud = orientation_cloud(people, HEADER, rotations)
    points = read_points(cloud, ORIENTATION_DTYPE.names)
    assert len(points) == 2 * len(LINKS) and set(points["person"]) == {3, 9}
    quaternion = np.array([points[name][len(LINKS)] for name in ("qx", "qy", "qz", "qw")])
    np.testing.assert_allclose(matrix_of(quaternion), rotations[1, 0], atol=1e-5)
    assert orientation_cloud(Skeletons.empty(0.0), HEADER, rotations[:0]).width == 0


def test_moving_to_another_frame_turns_and_shifts():
    turn = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    people = moved(skeletons(standing()), turn, np.array([0, 0, 1.0]))
    assert np.allclose(people.joints_cam_m[0], standing() @ turn.T + (0, 0, 1), atol=1e-6)
    assert people.joints_cam_m.dtype == np.float32


def test_diagnostics_tell_all_and_come_back():
    statistics = Statistics()
    statistics.messages_in, statistics.missed, statistics.last_error = 10, 2, "x: y"
    statistics.drops["no_camera_info"] = 3
    statistics.compute.add(0.004)
    values = diagnostics.facts(statistics, 0.0, backend="eager")
    message = diagnostics.status("/lifter", "", diagnostics.WARN, "text", values)
    back = diagnostics.values_of(message)
    assert back == values and back["dropped"] == back["drop.no_camera_info"] == 3
    assert back["compute_p99_ms"] == 4.0 and back["backend"] == "eager"


def test_diagnostics_count_nobody_once_the_frames_have_stopped():
    statistics = Statistics()
    statistics.people = 3
    statistics.output_rate.tick(10.0)
    assert [diagnostics.facts(statistics, now_s)["people"] for now_s in (11.0, 13.0)] == [3, 0]
