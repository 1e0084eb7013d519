"""Human3.6M in VideoPose3D's form: tiny files of exactly that structure, and geometry checked by other means."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import swing
from scipy.spatial.transform import Rotation

from dp3d_core.cli import run as dp3d
from dp3d_core.data.actions import clip_labels
from dp3d_core.data.h36m import ACTIONS_15, KEPT_JOINTS, TEST_SUBJECTS, TRAIN_SUBJECTS, load_h36m, load_h36m_motions
from dp3d_core.data.h36m_cameras import read_cameras
from dp3d_core.data.motions import load_motions
from dp3d_core.data.mpi_inf_3dhp import FROM_FILE
from dp3d_core.data.sequences import EvalSequence, check_joint_order
from dp3d_core.evaluation.benchmarks import human36m
from dp3d_core.skeleton import JOINT_NAMES, MIRROR, PARENTS

SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
# Names of the original 32 joints, as Human3.6M orders them.
ORIGINAL = (
    "Hip", "RHip", "RKnee", "RAnkle", "RToeBase", "RToeEnd", "LHip", "LKnee", "LAnkle", "LToeBase", "LToeEnd",
    "SpineBase", "Spine", "Thorax", "Nose", "Head", "LShoulderBase", "LShoulder", "LElbow", "LWrist", "LHandBase",
    "LThumb", "LHand", "LHandEnd", "RShoulderBase", "RShoulder", "RElbow", "RWrist", "RHandBase", "RThumb", "RHand",
    "RHandEnd",
)  # fmt: skip
VIDEOS = {"Walking": 6, "Walking 1": 4, "Sitting": 5, "Photo 1": 3}


def look_at(position_m):
    """Camera-to-world rotation of a camera at this place that looks at the origin with the horizon level."""
    forward = -np.asarray(position_m) / np.linalg.norm(position_m)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    return Rotation.from_matrix(np.stack([right, np.cross(forward, right), forward], axis=1))


def camera_dicts():
    cameras = []
    for index, (x, y) in enumerate([(4, 4), (4, -4), (-4, 4), (-4, -4)]):
        position_m = np.array([x, y, 1.5])
        qx, qy, qz, qw = look_at(position_m).as_quat().tolist()
        cameras.append({
            "id": f"camera{index}", "res_w": 1000, "res_h": 1002, "focal_length": [1145.0, 1143.0],
            "center": [512.0, 515.0], "radial_distortion": [-0.2, 0.24, -0.003],
            "tangential_distortion": [-0.001, -0.0014], "orientation": [qw, qx, qy, qz],
            "translation": (position_m * 1000).tolist(),
        })  # fmt: skip
    return cameras


def positions(frames, seed):
    """A walker, Z up, in 32 joints; those that are not kept lie anywhere."""
    world_m = np.random.default_rng(seed).uniform(-0.8, 0.8, (frames, 32, 3)) + [0, 0, 0.9]
    world_m[:, KEPT_JOINTS] = swing(np.arange(frames) / 50, yaw=0.3 * seed)[..., [0, 2, 1]] * [1, 1, -1] + [0, 0, 0.9]
    return world_m.astype(np.float32)


@pytest.fixture
def files(tmp_path):
    subjects = (*TEST_SUBJECTS, *TRAIN_SUBJECTS)
    world = {
        subject: {name: positions(frames, seed) for seed, (name, frames) in enumerate(VIDEOS.items())}
        for subject in subjects
    }
    world["S11"]["Directions"] = positions(2, 9)
    seen = {
        subject: {
            name: [np.full((len(one) + 2, 17, 2), 100 * camera, np.float32) for camera in range(4)]
            for name, one in group.items()
        }
        for subject, group in world.items()
    }
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY}
    np.savez_compressed(tmp_path / "data_3d.npz", positions_3d=world)
    np.savez_compressed(tmp_path / "data_2d.npz", positions_2d=seen, metadata=metadata)
    (tmp_path / "cameras.json").write_text(json.dumps({subject: camera_dicts() for subject in subjects}))
    return tmp_path


def load(files, data_2d="data_2d.npz", **options):
    data_2d = None if data_2d is None else files / data_2d
    return load_h36m(files / "data_3d.npz", data_2d, files / "cameras.json", **options)


def test_kept_joints_are_the_seventeen_by_name():
    assert [ORIGINAL[joint] for joint in KEPT_JOINTS] == list(JOINT_NAMES)
    assert len(JOINT_NAMES) == len(PARENTS) == 17


def test_one_sequence_a_video_and_camera_with_numbered_takes_merged(files):
    sequences = load(files)
    assert len(sequences) == 2 * len(VIDEOS) * 4
    assert {sequence.subject for sequence in sequences} == {"S9", "S11"}
    assert {sequence.action for sequence in sequences} == {"Walking", "Sitting", "Photo"} < set(ACTIONS_15)
    walking = [sequence for sequence in sequences if sequence.action == "Walking" and sequence.subject == "S9"]
    assert [sequence.name for sequence in walking[:5]] == [
        "S9/Walking/camera0", "S9/Walking/camera1", "S9/Walking/camera2", "S9/Walking/camera3",
        "S9/Walking 1/camera0",
    ]  # fmt: skip
    assert sum(len(sequence) for sequence in walking) == 4 * (6 + 4)
    assert all(sequence.fps == 50 and sequence.metric and sequence.valid.all() for sequence in sequences)
    np.testing.assert_allclose(walking[0].stamps_s, np.arange(6) / 50)


def test_the_corrupted_video_is_left_out(files):
    with pytest.raises(ValueError, match="got none"):
        load(files, subjects=("S11",), actions=("Directions",))


def test_truth_is_in_the_optical_frame(files):
    world_m = positions(6, 0)[:, list(KEPT_JOINTS)]
    for sequence, camera in zip(load(files)[:4], camera_dicts()):
        qw, qx, qy, qz = camera["orientation"]
        expected = (
            Rotation.from_quat([qx, qy, qz, qw])
            .inv()
            .apply(world_m.reshape(-1, 3) - np.divide(camera["translation"], 1000))
        )
        np.testing.assert_allclose(sequence.joints_cam_m, expected.reshape(-1, 17, 3), atol=1e-5)
        assert (sequence.joints_cam_m[..., 2] > 2).all()


def test_higher_joints_are_higher_in_the_image(files):
    placed = read_cameras(files / "cameras.json")["S9"][0]
    low, high = placed.project_px(placed.to_camera(np.array([[0, 0, 0.2], [0, 0, 1.7]])))
    assert high[1] < low[1] and abs(high[0] - low[0]) < 20


def test_projected_truth_follows_the_published_formula_and_opencv_nearly(files):
    for sequence in load(files, data_2d=None):
        joints = sequence.joints_cam_m.astype(np.float64)
        x, y = joints[..., 0] / joints[..., 2], joints[..., 1] / joints[..., 2]
        r2 = x * x + y * y
        stretch = 1 - 0.2 * r2 + 0.24 * r2**2 - 0.003 * r2**3 - 0.001 * x - 0.0014 * y
        u, v = 1145 * (x * stretch - 0.001 * r2) + 512, 1143 * (y * stretch - 0.0014 * r2) + 515
        np.testing.assert_allclose(sequence.keypoints_px, np.stack([u, v], -1), atol=1e-2)
        np.testing.assert_allclose(sequence.camera.project(joints), sequence.keypoints_px, atol=0.5)


def test_detections_are_cut_to_the_motion_and_keep_their_camera(files):
    for index, sequence in enumerate(load(files)[:8]):
        assert len(sequence) == (6 if index < 4 else 4)
        assert (sequence.keypoints_px == 100 * (index % 4)).all() and (sequence.confidence == 1).all()


def test_training_motion_is_world_motion_relative_to_the_hip(files):
    motions = load_h36m_motions(files / "data_3d.npz", split="train")
    assert len(motions) == len(TRAIN_SUBJECTS) * len(VIDEOS) and motions.fps == 50
    np.testing.assert_allclose(motions.clip(0).joints_m, positions(6, 0)[:, list(KEPT_JOINTS)], atol=1e-6)
    assert set(motions.actions) == {"Walking", "Sitting", "Photo"} and set(motions.splits) == {"train"}


def test_the_command_writes_motions_that_train_and_none_of_the_tests(files, capsys):
    dp3d("h36m", [str(files / "data_3d.npz"), "--out", str(files / "motions.npz")])
    motions = load_motions(files / "motions.npz")
    assert len(motions.split("dev")) == len(VIDEOS) and set(motions.split("dev").subjects) == {"S8"}
    assert set(motions.split("train").subjects) == {"S1", "S5", "S6", "S7"} and motions.fps == 50
    assert clip_labels(motions).max() >= 0 and "clips" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^h36m: .*absent.npz"):
        dp3d("h36m", [str(files / "absent.npz"), "--out", str(files / "motions.npz")])


def test_cameras_are_read_from_videopose3d_source_without_running_it(files):
    inner = ("id", "center", "focal_length", "radial_distortion", "tangential_distortion", "res_w", "res_h")
    one = camera_dicts()
    text = (
        f"import does_not_exist\nraise SystemExit\n"
        f"h36m_cameras_intrinsic_params = {[{key: camera[key] for key in inner} for camera in one]}\n"
        f"h36m_cameras_extrinsic_params = {{'S2': [{{}}, {{}}, {{}}, {{}}], 'S9': "
        f"{[{key: camera[key] for key in ('orientation', 'translation')} for camera in one]}}}\n"
    )
    (files / "h36m_dataset.py").write_text(text)
    assert read_cameras(files / "h36m_dataset.py") == {"S9": read_cameras(files / "cameras.json")["S9"]}
    broken = {
        "h36m_cameras_intrinsic_params = open('x')\n": "expected JSON or",
        "h36m_cameras_intrinsic_params = []\nh36m_cameras_extrinsic_params = []\n": "expected a list and a dict",
        text.replace("[{}, {}, {}, {}]", "[{}]"): "expected extrinsics of 4 cameras of S2, got 1",
    }
    for content, message in broken.items():
        (files / "h36m_dataset.py").write_text(content)
        with pytest.raises(ValueError, match=rf"h36m_dataset\.py: .*{message}"):
            read_cameras(files / "h36m_dataset.py")


def change_camera(**changes):
    cameras = camera_dicts()
    cameras[2].update(changes)
    return {"S9": cameras}


BROKEN_CAMERAS = {
    "text": ("no json", "expected JSON"),
    "list": ("[]", "expected {subject"),
    "no list": ('{"S9": 4}', "S9: expected a list of cameras"),
    "number": (json.dumps({"S9": [camera_dicts()[0], 3]}), "S9, camera 1: expected a dict"),
    "missing": (json.dumps({"S9": [{k: v for k, v in camera_dicts()[0].items() if k != "center"}]}), "expected center"),
    "short": (json.dumps(change_camera(radial_distortion=[0.1])), "S9, camera 2: radial_distortion: expected 3"),
    "quaternion": (json.dumps(change_camera(orientation=[1, 1, 0, 0])), "orientation: expected a unit quaternion"),
    "infinite": (json.dumps(change_camera(translation=[0, 0, float("inf")])), "translation: expected 3 finite"),
    "focal": (json.dumps(change_camera(focal_length=[-1, 1])), "S9, camera 2: camera: expected positive focal"),
    "huge": (json.dumps(change_camera(res_w=10**400)), "res_w: expected 1 finite"),
    "same id": (json.dumps(change_camera(id="camera1")), "expected cameras of different ids, got camera0, camera1"),
}


@pytest.mark.parametrize("case", BROKEN_CAMERAS)
def test_malformed_camera_files_are_refused(tmp_path, case):
    content, message = BROKEN_CAMERAS[case]
    (tmp_path / "cameras.json").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_cameras(tmp_path / "cameras.json")
    assert "cameras.json: " in str(caught.value)


def test_missing_cameras_say_what_to_give(files):
    with pytest.raises(FileNotFoundError, match=r"give cameras\.json .* or the file common/h36m_dataset\.py"):
        load_h36m(files / "data_3d.npz", None, files / "nowhere.json")
    (files / "cameras.json").write_text(json.dumps({"S9": camera_dicts()}))
    with pytest.raises(ValueError, match=r"cameras\.json: expected the cameras of S11, got those of \['S9'\]"):
        load(files)


def test_cameras_that_look_away_are_refused(files):
    cameras = {subject: camera_dicts() for subject in TEST_SUBJECTS}
    for camera in cameras["S9"]:
        camera["translation"] = [-millimetres for millimetres in camera["translation"]]
    (files / "cameras.json").write_text(json.dumps(cameras))
    with pytest.raises(ValueError, match=r"cameras\.json: camera camera0 of S9: .* behind it in .*data_3d\.npz: S9/"):
        load(files)


def broken_3d(change):
    def apply(files):
        world = {"S9": {"Walking": positions(6, 0)}}
        change(world)
        np.savez(files / "data_3d.npz", positions_3d=world)

    return apply


def broken_2d(seen=None, symmetry=SYMMETRY):
    def apply(files):
        views = {"S9": {"Walking": seen if seen is not None else [np.zeros((6, 17, 2))] * 4}}
        metadata = {"keypoints_symmetry": symmetry} if symmetry else {}
        np.savez(files / "data_3d.npz", positions_3d={"S9": {"Walking": positions(6, 0)}})
        np.savez(files / "data_2d.npz", positions_2d=views, metadata=metadata)

    return apply


BROKEN = {
    "subject": (broken_3d(lambda world: world.pop("S9")), "expected subject S9"),
    "joints": (
        broken_3d(lambda world: world["S9"].update(Walking=np.zeros((6, 20, 3)))),
        r"S9/Walking: .*\(6, 20, 3\)",
    ),
    "NaN": (broken_3d(lambda world: world["S9"].update(Walking=np.full((6, 32, 3), np.nan))), "finite metres"),
    "millimetres": (broken_3d(lambda world: world["S9"].update(Walking=positions(6, 0) * 1000)), "divide millimetres"),
    "action": (broken_3d(lambda world: world["S9"].update(Swimming=positions(6, 0))), "S9: action: .*'Swimming'"),
    "number": (broken_3d(lambda world: world["S9"].update({7: positions(6, 0)})), "S9: action: .*got 7"),
    "empty": (broken_3d(lambda world: world["S9"].clear()), "S9: expected {action: array}, got no action"),
    "text": (broken_3d(lambda world: world["S9"].update(Walking=np.full((6, 17, 3), "a"))), r"Walking: .*got .* <U1"),
    "order": (
        broken_3d(lambda world: world["S9"].update(Walking=positions(6, 0)[:, ::-1])),
        "S9/Walking: expected a body with its joints in the order of Human3.6M's 32",
    ),
    "order of 17": (
        broken_3d(lambda world: world["S9"].update(Walking=positions(6, 0)[:, KEPT_JOINTS][:, np.argsort(FROM_FILE)])),
        "S9/Walking: expected a body with its joints in the order Hip, RHip",
    ),
    "dict": (lambda files: np.savez(files / "data_3d.npz", positions_3d=np.zeros(3)), "positions_3d: expected"),
    "2D cameras": (broken_2d([np.zeros((6, 17, 2))] * 3), "S9/Walking: expected 2D of 4 cameras, got 3"),
    "2D short": (broken_2d([np.zeros((5, 17, 2))] * 4), "at least the 6 frames of the motion, got 5"),
    "2D joints": (broken_2d([np.zeros((6, 16, 2))] * 4), r"expected \(T, 17, 2\) pixels, got \(6, 16, 2\)"),
    "2D NaN": (
        broken_2d([np.zeros((6, 17, 2)), np.full((6, 17, 2), np.nan), *[np.zeros((6, 17, 2))] * 2]),
        "data_2d.npz: S9/Walking/camera1: expected finite pixels.* in 6 of 6 frames, first frame 0",
    ),
    "2D huge": (broken_2d([np.full((6, 17, 2), 1e300)] * 4), "S9/Walking/camera0: expected finite pixels"),
    "2D text": (broken_2d([np.full((6, 17, 2), "a")] * 4), r"expected \(T, 17, 2\) pixels, got \(6, 17, 2\) <U1"),
    "2D infinite joint": (broken_2d(symmetry=[[np.inf], [1]]), "metadata: expected keypoints_symmetry"),
    "2D COCO": (broken_2d(symmetry=[[1, 3, 5], [2, 4, 6]]), "cpn_ft_h36m_dbb"),
    "2D metadata": (broken_2d(symmetry=None), "metadata: expected keypoints_symmetry"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_data_is_refused_by_name(files, case):
    change, message = BROKEN[case]
    change(files)
    with pytest.raises(ValueError, match=message) as caught:
        load(files, subjects=("S9",))
    assert any(f"{files / name}: " in str(caught.value) for name in ("data_3d.npz", "data_2d.npz"))


def test_training_refuses_unknown_actions_and_orders_too(files):
    for case in ("action", "order"):
        change, message = BROKEN[case]
        change(files)
        with pytest.raises(ValueError, match=rf"data_3d\.npz: {message}"):
            load_h36m_motions(files / "data_3d.npz", subjects=("S9",), split="train")


def test_a_subject_without_a_chosen_video_is_refused(files):
    world = {"S9": {"Walking": positions(6, 0)}, "S11": {"Sitting": positions(6, 0)}}
    np.savez(files / "data_3d.npz", positions_3d=world)
    with pytest.raises(ValueError, match=r"data_3d\.npz: expected videos of Walking by S11, got none; .* Sitting"):
        load(files, data_2d=None, actions=("Walking",))
    for options in ({"subjects": ()}, {"actions": ()}, {"subjects": ("S9", "S9")}):
        with pytest.raises(ValueError, match="expected at least one and each once"):
            load(files, data_2d=None, **options)


def whole_test_set(files, change=lambda world, cameras: None):
    """Every video of the protocol, as short as can be; the notes of its benchmark after a change."""
    takes = [action + number for action in ACTIONS_15 for number in ("", " 1")]
    world = {subject: {take: positions(2, 0) for take in takes} for subject in TEST_SUBJECTS}
    del world["S11"]["Directions"]
    cameras = {subject: camera_dicts() for subject in TEST_SUBJECTS}
    change(world, cameras)
    np.savez(files / "data_3d.npz", positions_3d=world)
    (files / "cameras.json").write_text(json.dumps(cameras))


def notes(files, **options):
    return human36m(files / "data_3d.npz", "gt", files / "cameras.json", **options).notes


def test_the_whole_test_set_is_noted_as_the_protocol(files):
    whole_test_set(files)
    first, second = notes(files)
    assert first == "Human3.6M protocol: S9 and S11, 50 Hz, every frame, 17 joints, mean of the 15 actions"
    assert "oracle" in second


PARTS = {
    "camera": (lambda world, cameras: cameras.update(S9=cameras["S9"][1:2]), {}, r"S9 has 1 of 4 cameras \(camera1\)$"),
    "subject": (lambda world, cameras: None, {"subjects": ("S9",)}, "S11 is missing$"),
    "other subject": (
        lambda world, cameras: [part.update(S5=part["S9"]) for part in (world, cameras)],
        {"subjects": ("S9", "S11", "S5")},
        "also scored: S5$",
    ),
    "action": (
        lambda world, cameras: [world["S11"].pop(take) for take in ("Photo", "Photo 1")],
        {},
        "of S11 these actions are missing: Photo$",
    ),
    "take": (lambda world, cameras: world["S9"].pop("Directions"), {}, r"S9 has takes of Directions \(1 of 2\)$"),
    "options": (
        lambda world, cameras: None,
        {"actions": ("Walking",)},
        "of S11 these actions are missing: Directions,",
    ),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_part_of_the_test_set_is_noted_with_what_is_missing(files, case):
    change, options, message = PARTS[case]
    whole_test_set(files, change)
    first = notes(files, **options)[0]
    assert first.startswith("not the published Human3.6M protocol (S9 and S11")
    assert re.search(message, first), first


def test_unknown_actions_are_refused(files):
    with pytest.raises(ValueError, match="actions: expected some of Directions"):
        load(files, actions=("Jumping",))


def walker(frames=60):
    return swing(np.arange(frames) / 50)


ORDERS = {
    "reversed": range(16, -1, -1),
    "MPI-INF-3DHP's": np.argsort(FROM_FILE),
    "MPII's": (3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13, 7),
    "shifted": np.roll(np.arange(17), 1),
    "hips last": (*range(1, 17), 0),
}


@pytest.mark.parametrize("name", ORDERS)
def test_other_orders_have_no_body(name):
    with pytest.raises(ValueError, match=r"^f\.npz: S9/x: expected a body with its joints in the order A, B; got "):
        check_joint_order(walker()[:, list(ORDERS[name])], title="f.npz: S9/x", order="A, B")


def test_random_orders_have_no_body():
    generator = np.random.default_rng(0)
    for _ in range(100):
        with pytest.raises(ValueError, match="in the order"):
            check_joint_order(walker()[:, generator.permutation(17)], title="", order="")


def test_sizes_mirrors_and_some_corrupt_frames_pass():
    """One height for all, as in univ_annot3, is a change of size; a mirrored body is one that bones cannot tell."""
    corrupt = walker()
    corrupt[10:30] = np.random.default_rng(0).normal(size=(20, 17, 3))
    for joints_m in (walker(), 0.85 * walker(), 1.15 * walker(), walker()[:, list(MIRROR)], walker()[:1], corrupt):
        check_joint_order(joints_m, title="", order="")


@pytest.mark.skipif("DP3D_DATA" not in os.environ, reason="DP3D_DATA names no data folder")
def test_all_motion_capture_has_bodies():
    motions = load_motions(Path(os.environ["DP3D_DATA"]) / "motions.npz")
    for index in range(len(motions)):
        pose_m = motions.clip(index).pose_m
        check_joint_order(pose_m, title=motions.names[index], order="")
        with pytest.raises(ValueError, match="in the order"):
            check_joint_order(pose_m[:, ::-1], title="", order="")


def sequence_fields(frames=3):
    from dp3d_core.geometry.camera import Camera

    camera = Camera(fx=1000.0, fy=1000.0, cx=500.0, cy=500.0, width=1000, height=1000)
    return {
        "name": "x", "action": "Walking", "subject": "S9", "fps": 50.0, "stamps_s": np.arange(frames) / 50,
        "keypoints_px": np.zeros((frames, 17, 2)), "confidence": np.ones((frames, 17)),
        "joints_cam_m": np.zeros((frames, 17, 3)), "camera": camera,
    }  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), [
    ({"keypoints_px": np.zeros((3, 17, 3))}, r"x: keypoints_px: expected \(3, 17, 2\)"),
    ({"confidence": np.full((3, 17), 1.5)}, "confidence: expected 0 to 1"),
    ({"joints_cam_m": np.full((3, 17, 3), np.nan)}, "joints_cam_m: expected finite"),
    ({"stamps_s": np.zeros(3)}, "strictly increasing"),
    ({"valid": np.zeros(3, bool)}, "at least one valid frame"),
    ({"valid": np.ones(3)}, "valid: expected bool"),
])  # fmt: skip
def test_sequences_check_their_arrays(changes, message):
    with pytest.raises(ValueError, match=message):
        EvalSequence(**(sequence_fields() | changes))


def test_frames_that_do_not_count_need_no_truth():
    joints_cam_m = np.zeros((3, 17, 3))
    joints_cam_m[1] = np.nan
    EvalSequence(**(sequence_fields() | {"joints_cam_m": joints_cam_m, "valid": np.array([True, False, True])}))
