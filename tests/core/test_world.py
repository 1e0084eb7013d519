"""People in the world: cameras' poses are checked and help, with sizes, floors and feet; bad ones do no harm."""
# T frames, J = 17 joints

import json

import numpy as np
import pytest
from helpers import CAMERA, random_lifter, seen, swing, walk, walking_motions

from dp3d_core import CameraPose
from dp3d_core.cli import main
from dp3d_core.data.motions import save_motions
from dp3d_core.geometry.camera_pose import jumped, motion_between
from dp3d_core.geometry.placement import Placement, Seen, World
from dp3d_core.geometry.settle import Settling
from dp3d_core.skeleton import BONES

LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""From the optical frame of a level camera that looks along y to a frame with z up."""
ALL = slice(None)


def about_z(angle):
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


# --- poses -------------------------------------------------------------------------------------------------------


def test_a_transform_gives_up_height_and_the_way_to_the_fixed_frame():
    pose = CameraPose.from_transform(about_z(0.5) @ LEVEL, (1, 2, 1.5), floor_m=0.3)
    np.testing.assert_allclose(pose.up_cam, (0, -1, 0), atol=1e-12)
    assert pose.height_m == pytest.approx(1.2)
    np.testing.assert_allclose(pose.to_fixed(np.array([0, 1.2, 0.0])), (1, 2, 0.3), atol=1e-12)


@pytest.mark.parametrize(
    "rotation, place, text",
    (
        (2 * LEVEL, (0, 0, 1), "orthonormal"),
        (LEVEL * (-1, 1, 1), (0, 0, 1), "left-handed"),
        (LEVEL * np.nan, (0, 0, 1), "finite"),
        (LEVEL[:2], (0, 0, 1), "shape"),
        ("nonsense", (0, 0, 1), "numbers"),
        (LEVEL, (0, 0, np.inf), "finite"),
        (LEVEL, (0, 0, 0), "height above floor_m"),
        (LEVEL, (0, 0, -1), "height above floor_m"),
        (LEVEL, (0, 0, 40), "height above floor_m"),
        (LEVEL, (1e9, 0, 1), "metres"),
    ),
)
def test_what_is_no_transform_is_refused_in_one_sentence(rotation, place, text):
    with pytest.raises(ValueError, match=text) as error:
        CameraPose.from_transform(rotation, place)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "up, height, text",
    (((0, 0, 0), None, "length"), ((np.nan, 0, 0), 1, "finite"), ((0, -1), 1, "shape"), ((0, -1, 0), 0, "0.05 to 20"),
     ((0, -1, 0), -1, "0.05 to 20"), ((0, -1, 0), 40, "0.05 to 20"), ((0, -1, 0), "tall", "metres")),
)  # fmt: skip
def test_what_is_no_up_or_height_is_refused(up, height, text):
    with pytest.raises(ValueError, match=text):
        CameraPose.from_up(up, height)


def test_motion_between_two_poses_moves_points_as_the_camera_did():
    first = CameraPose.from_transform(LEVEL, (0, 0, 1.0))
    second = CameraPose.from_transform(about_z(0.4) @ LEVEL, (0.5, -0.2, 1.1))
    turn, shift = motion_between(first, second)
    point = np.array([0.3, 0.4, 5.0])
    np.testing.assert_allclose(second.to_fixed(turn @ point + shift), first.to_fixed(point), atol=1e-12)
    assert motion_between(first, CameraPose.from_up((0, -1, 0))) is None is motion_between(None, second)
    assert jumped(np.eye(3), np.array([3.0, 0, 0]), 1 / 30) and not jumped(turn, shift, 1.0)


# --- a stream with a pose ----------------------------------------------------------------------------------------


def push_all(joints_cam_m, poses, **options):
    """Skeletons of a stream whose network has random weights, and the stream."""
    stream = random_lifter().stream(camera=CAMERA, joint_set="h36m17", **options)
    pixels, confidence = seen(joints_cam_m)
    return [
        stream.push(frame / 30, {1: (pixels[frame], confidence[frame])}, pose=pose) for frame, pose in enumerate(poses)
    ], stream


@pytest.mark.parametrize("lookahead", (0, 2))
def test_every_kind_of_pose_is_taken_and_says_what_it_can(lookahead):
    joints = walk(np.arange(20) / 30)
    for pose in (None, CameraPose.from_up((0, -1, 0)), CameraPose.from_up((0, -1, 0), 1.2),
                 CameraPose.from_transform(LEVEL, (0, 0, 1.2))):  # fmt: skip
        out, stream = push_all(joints, [pose] * 20, lookahead=lookahead)
        last = out[-1]
        assert last.sigma_lateral_m.shape == last.sigma_depth_m.shape == (1, 17) and last.contact.shape == (1, 2)
        mean = np.sqrt((2 * last.sigma_lateral_m**2 + last.sigma_depth_m**2) / 3)
        np.testing.assert_allclose(mean, last.sigma_m, rtol=1e-4)
        full = pose is not None and pose.rotation is not None
        assert (last.joints_fixed_m is not None) == full == (stream.latest.joints_fixed_m is not None)
        if full:
            np.testing.assert_allclose(last.joints_fixed_m[0], pose.to_fixed(last.joints_cam_m[0]), rtol=1e-5)
        assert np.isfinite(last.joints_cam_m).all() and not stream.counters


def test_a_rolled_camera_with_up_known_sees_as_an_upright_one():
    """The view is turned upright before the network: the same picture, and so the same answer."""
    joints, roll = walk(np.arange(15) / 30, start_m=(0, 0, 4.5)), about_z(1.2)
    upright, _ = push_all(joints, [CameraPose.from_up((0, -1, 0))] * 15)
    rolled, _ = push_all(joints @ roll.T, [CameraPose.from_up(roll @ (0, -1, 0))] * 15)
    np.testing.assert_allclose(rolled[-1].joints_cam_m[0] @ roll, upright[-1].joints_cam_m[0], atol=2e-3)


def test_a_frame_of_several_cameras_may_bring_a_pose():
    streams = random_lifter().streams({"a": CAMERA, "b": CAMERA}, joint_set="h36m17")
    pixels, confidence = seen(walk(np.arange(3) / 30))
    pose = CameraPose.from_transform(LEVEL, (0, 0, 1.2))
    for frame in range(3):
        people = {1: (pixels[frame], confidence[frame])}
        out = streams.push({"a": (frame / 30, people, None, pose), "b": (frame / 30, people)})
    assert out["a"].joints_fixed_m is not None and out["b"].joints_fixed_m is None
    assert out["a"].floor.given and out["b"].floor is None
    with pytest.raises(ValueError, match="expected a CameraPose or None, got str"):
        streams["a"].push(1.0, {}, pose="level")


def test_a_frame_that_jumps_is_counted_and_moves_nobody():
    joints = walk(np.arange(20) / 30, velocity_m_s=(0, 0, 0))
    poses = [CameraPose.from_transform(LEVEL, (0 if frame < 10 else 50, 0, 1.2)) for frame in range(20)]
    out, stream = push_all(joints, poses)
    steady, _ = push_all(joints, poses[:1] * 20)
    assert stream.counters["pose_jumped"] == 1
    distance = [np.linalg.norm(s.joints_cam_m[0, 0]) for s in (out[-1], steady[-1])]
    assert distance[0] == pytest.approx(distance[1], rel=0.02)


def test_up_that_points_down_is_contradicted_by_everybody_and_left_out():
    joints = walk(np.arange(60) / 30)
    wrong, stream = push_all(joints, [CameraPose.from_up((0, 1, 0), 1.2)] * 60)
    assert stream.counters["up_contradicted"] > 30
    assert wrong[-1].floor is None and np.isfinite(wrong[-1].joints_cam_m).all()


def test_offline_takes_one_pose_or_one_a_frame():
    lifter, joints = random_lifter(), walk(np.arange(12) / 30)
    pixels, confidence = seen(joints)

    def lift(pose):
        stamps_s = np.arange(12) / 30
        return lifter.lift(pixels, confidence, stamps_s, camera=CAMERA, joint_set="h36m17", pose=pose)

    pose = CameraPose.from_transform(LEVEL, (0, 0, 1.2))
    one, each = lift(pose), lift([pose] * 12)
    np.testing.assert_array_equal(one.joints_cam_m, each.joints_cam_m)
    np.testing.assert_allclose(one.joints_fixed_m, pose.to_fixed(one.joints_cam_m), rtol=1e-5)
    assert one.contact.shape == (12, 2) and lift(None).joints_fixed_m is None
    for wrong in ([pose] * 3, "level", 3):
        with pytest.raises(ValueError, match="pose: expected"):
            lift(wrong)


# --- sizes, floors, feet -------------------------------------------------------------------------------------------


def stand(sizes, roots_m, height_m, up_cam=(0.0, -1.0, 0.0), frames=40, above_m=0.0, placement=None):
    """Standing people of these true sizes (network's: 1), seen exactly; the placement and its last answer.

    height_m: told of the camera, whose true height is 1.3 m; above_m: of what the people stand on.
    """
    pose = swing(np.zeros(1), yaw=0.3)[0]
    pose = np.stack([pose] * len(sizes))
    roots = np.array(roots_m, float)
    # the ankles of a body of size s are 0.86 s below its root and 0.095 above the floor
    roots[:, 1] = 1.3 - 0.095 - above_m - 0.86 * np.array(sizes)
    points = roots[:, None] + np.array(sizes)[:, None, None] * pose
    placement = placement or Placement(len(sizes))
    seen_now = Seen(
        pose.astype(np.float32),
        np.full((len(sizes), 17), 0.03, np.float32),
        np.tile(np.eye(3), (len(sizes), 1, 1)),
        points[..., :2] / points[..., 2:],
        np.full((len(sizes), 17), 0.9),
        np.full(len(sizes), 1 / 30),
    )
    world = World(slice(0, len(sizes)), None, None if up_cam is None else np.array(up_cam), 0.005, height_m)
    for _ in range(frames):
        placed = placement.step(slice(0, len(sizes)), seen_now, [world])
    return placement, placed, points


@pytest.mark.parametrize("size", (0.6, 0.8, 1.0, 1.2))
def test_a_known_floor_tells_how_large_a_standing_person_is(size):
    _, placed, points = stand([size], [(0.2, 0, 4.0)], 1.3)
    assert placed.size[0] == pytest.approx(size, rel=0.03)
    np.testing.assert_allclose(placed.joints_cam_m[0], points[0], atol=0.12)
    _, guess, _ = stand([size], [(0.2, 0, 4.0)], None, up_cam=None)
    assert guess.size[0] == 1 and guess.root_sigma_m[0] > 3 * placed.root_sigma_m[0]


def test_feet_of_several_people_find_an_unknown_floor():
    _, placed, _ = stand([1.0, 1.0, 1.0, 0.6], [(-1, 0, 4.0), (0, 0, 5.0), (1, 0, 6.0), (0.5, 0, 4.0)], None)
    floor = placed.floors[0]
    assert not floor.given and floor.height_m == pytest.approx(1.3, abs=2 * floor.sigma_m)
    assert placed.size[3] < 0.8 < 0.9 < placed.size[:3].min()
    _, alone, _ = stand([1.0], [(0, 0, 4.0)], None)
    assert alone.floors[0].sigma_m > 1.5 * floor.sigma_m and alone.size[0] == pytest.approx(1, abs=0.05)


def test_who_cannot_stand_on_the_told_floor_is_counted_and_judged_as_without():
    _, placed, points = stand([1.0], [(0, 0, 4.0)], 1.3, above_m=0.6)
    assert placed.contradicted == [1] and placed.size[0] == 1
    assert np.linalg.norm(placed.joints_cam_m[0, 0] - points[0, 0]) < 0.05 * 4


def test_a_learned_size_survives_a_step_up():
    placement, _, _ = stand([1.0], [(0, 0, 4.0)], 1.3, frames=90)
    _, placed, _ = stand([1.0], [(0, 0, 4.0)], 1.3, frames=60, above_m=0.2, placement=placement)
    assert placed.size[0] == pytest.approx(1, rel=0.05)


def test_a_standing_foot_stays_and_lets_go_without_a_jump():
    generator, settling = np.random.default_rng(0), Settling(1)
    pose, both, dt_s = swing(np.zeros(1))[0] + (0, 0, 4.0), np.ones((1, 2), bool), np.full(1, 1 / 30)
    out = []
    for frame in range(90):
        noisy = (pose + 0.01 * generator.normal(size=(1, 17, 3))) if frame < 60 else pose[None] + (0.03, 0, 0)
        out.append(settling.hold(ALL, noisy, both if frame < 60 else ~both, dt_s)[0])
    ankles = np.array(out)[:, [3, 6]]
    # along the leg nothing is held: that would bend the knee
    assert np.linalg.norm(np.diff(ankles[30:60], axis=0)[..., [0, 2]], axis=-1).mean() < 0.005
    steps = np.linalg.norm(np.diff(ankles[59:], axis=0), axis=-1)
    assert steps[1:].max() < 0.012 and np.linalg.norm(ankles[-1] - pose[[3, 6]] - (0.03, 0, 0), axis=-1).max() < 0.005


def test_joints_move_to_their_rays_and_keep_their_bones():
    settling, root = Settling(1), np.array([0.2, 0.1, 4.0])
    truth = swing(np.full(1, 0.2)) + root
    direction = truth / np.linalg.norm(truth, axis=-1, keepdims=True)
    answer = (truth - root) @ about_z(0.12).T + root
    sigma, confidence = np.full((1, 17), 0.04), np.ones((1, 17))
    for _ in range(60):
        settled = settling.to_rays(ALL, answer, direction, confidence, sigma, np.full(1, 1 / 30))
    across = lambda joints: np.linalg.norm(np.cross(joints, direction), axis=-1)[:, 1:].mean()  # noqa: E731
    assert across(settled) < 0.6 * across(answer)
    bones = [[np.linalg.norm(j[0, b] - j[0, a]) for a, b in BONES] for j in (settled, answer)]
    np.testing.assert_allclose(bones[0], bones[1], rtol=0.05)
    unseen = Settling(1).to_rays(ALL, answer, direction, 0 * confidence, sigma, np.full(1, 1.0))
    np.testing.assert_allclose(unseen, answer, atol=1e-6)


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_prints_the_table_of_a_tiny_motion_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dp3d_core.evaluation.world.Lifter.load", lambda weights: random_lifter())
    path = tmp_path / "motions.npz"
    save_motions(path, walking_motions())
    main(["world", "--motions", str(path), "--clips", "1", "--seconds", "1.2", "--json", str(tmp_path / "out.json")])
    table = json.loads((tmp_path / "out.json").read_text())
    assert len(table) == len(capsys.readouterr().out.splitlines()) == 24
    assert all(np.isfinite(value) for row in table.values() for value in row.values())
