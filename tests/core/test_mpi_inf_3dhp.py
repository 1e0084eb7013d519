"""MPI-INF-3DHP in P-STMO's form: tiny files of exactly that structure."""

import numpy as np
import pytest
from helpers import swing

from dp3d_core.data.mpi_inf_3dhp import (
    FILE_JOINTS,
    FROM_FILE,
    PCK_JOINTS,
    SIZE_PX,
    TEST_NAMES,
    load_3dhp_test,
    load_3dhp_train,
    read_calibration,
)
from dp3d_core.evaluation.benchmarks import mpi_inf_3dhp
from dp3d_core.evaluation.metrics import auc, mpjpe_mm, pck
from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import JOINT_NAMES

FRAMES = 6
# The data set's own names: its 28 joints, P-STMO's choice of 17 among them.
ALL_28 = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top", "left_clavicle", "left_shoulder",
    "left_elbow", "left_wrist", "left_hand", "right_clavicle", "right_shoulder", "right_elbow", "right_wrist",
    "right_hand", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe", "right_hip", "right_knee",
    "right_ankle", "right_foot", "right_toe",
)  # fmt: skip
CHOSEN = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
CALIBRATION = """tc camera calibration v0.3
camera\t0\tname
\tframe\t0
\t\tsensorSize\t10\t5\t# in mm
\t\tfocalLength\t8\t# in mm
\t\tpixelAspect\t0.99\t# y / x
\t\tcenterOffset\t-0.1\t0.2\t# in mm (positive values move right and down)
\t\tdistortionModel\tOpenCV
\t\tdistortion\t\t-0.2 0.1 0.001 -0.002 0.05
\t\t\torigin\t1 2 3
"""


def view(seed, frames=FRAMES):
    joints_mm = np.zeros((frames, 17, 3))
    joints_mm[:, FROM_FILE] = 1000 * swing(np.arange(frames) / 25, yaw=0.3 * seed) + [0, 0, 4000]
    return {"data_2d": np.random.default_rng(seed).uniform(0, 1000, (frames, 17, 2)), "data_3d": joints_mm}


def camera_of(name):
    width, height = SIZE_PX[name]
    return Camera.from_fov(width=width, height=height)


CAMERAS = {name: camera_of(name) for name in TEST_NAMES}


@pytest.fixture
def test_data():
    valid = np.array([0, 1, 1, 0, 0, 1], np.float64)  # as MATLAB gives it
    return {name: {**view(seed), "valid": valid} for seed, name in enumerate(TEST_NAMES)}


def save(path, data):
    np.savez_compressed(path, data=data)
    return path


def test_every_joint_comes_from_the_joint_of_its_name():
    same = {"Hip": "Pelvis", "Thorax": "Neck", "Nose": "Head", "Head": "Head top"}
    assert [FILE_JOINTS[joint] for joint in FROM_FILE] == [same.get(name, name) for name in JOINT_NAMES]
    sides = {"R": "right_", "L": "left_"}
    for number, ours in zip(CHOSEN, FILE_JOINTS):
        name = sides.get(ours[0], "") + (ours[1:] if ours[0] in "RL" else ours.replace(" ", "_"))
        assert ALL_28[number] == name.lower()


def test_test_sequences_have_the_files_frames_joints_and_metres(tmp_path, test_data):
    sequences = load_3dhp_test(save(tmp_path / "test.npz", test_data), CAMERAS)
    assert [sequence.name for sequence in sequences] == list(TEST_NAMES)
    for sequence in sequences:
        held = test_data[sequence.name]
        np.testing.assert_array_equal(sequence.valid, held["valid"] == 1)
        hip, wrist = JOINT_NAMES.index("Hip"), JOINT_NAMES.index("LWrist")
        np.testing.assert_allclose(sequence.joints_cam_m[:, hip], held["data_3d"][:, 14] / 1000, rtol=1e-6)
        np.testing.assert_allclose(sequence.keypoints_px[:, wrist], held["data_2d"][:, 7], rtol=1e-6)
        assert (sequence.camera.width, sequence.camera.height) == SIZE_PX[sequence.name]
        assert not sequence.metric and sequence.fps == 25
    assert load_3dhp_test(tmp_path / "test.npz", CAMERAS, names=("TS5",), universal=False)[0].metric


def test_the_protocol_counts_fourteen_joints_of_valid_frames(tmp_path, test_data):
    assert len(PCK_JOINTS) == len(set(PCK_JOINTS)) == 14 and JOINT_NAMES.index("Hip") not in PCK_JOINTS
    truth_m = load_3dhp_test(save(tmp_path / "test.npz", test_data), CAMERAS, names=("TS1",))[0].joints_cam_m
    wrong_m = truth_m + [1, 2, 3]  # pelvis-aligned: nothing
    wrong_m[:, JOINT_NAMES.index("LWrist")] += [0.16, 0, 0]
    wrong_m[:, JOINT_NAMES.index("Spine")] += [0.5, 0, 0]  # not among the fourteen
    np.testing.assert_allclose(pck(wrong_m, truth_m, joints=PCK_JOINTS), 13 / 14)
    np.testing.assert_allclose(auc(wrong_m, truth_m, joints=PCK_JOINTS), 13 / 14 * 30 / 31, atol=1e-6)
    np.testing.assert_allclose(mpjpe_mm(wrong_m, truth_m), (160 + 500) / 17, rtol=1e-4)


def test_frames_that_do_not_count_may_be_empty(tmp_path, test_data):
    test_data["TS1"]["data_3d"][0] = np.nan
    test_data["TS1"]["data_2d"][0] = np.nan
    sequence = load_3dhp_test(save(tmp_path / "test.npz", test_data), CAMERAS, names=("TS1",))[0]
    assert (sequence.confidence[0] == 0).all() and (sequence.confidence[1:] == 1).all()


@pytest.mark.parametrize("key", ["data_2d", "data_3d"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_valid_frames_may_lack_nothing(tmp_path, test_data, key, value):
    test_data["TS1"][key][2, 5, 0] = value
    message = rf"test\.npz: TS1: {key}: expected finite numbers in the frames that count, .* in 1 of 3, first frame 2"
    with pytest.raises(ValueError, match=message):
        load_3dhp_test(save(tmp_path / "test.npz", test_data), CAMERAS, names=("TS1",))


def test_joints_in_another_order_are_refused_in_both_files(tmp_path, test_data):
    test_data["TS3"]["data_3d"] = test_data["TS3"]["data_3d"][:, ::-1]
    message = r"\.npz: {}: data_3d: expected a body with its joints in the order Head top, Neck, RShoulder"
    with pytest.raises(ValueError, match=message.format("TS3")):
        load_3dhp_test(save(tmp_path / "test.npz", test_data), CAMERAS)
    ours = {"data_2d": view(0)["data_2d"], "data_3d": view(0)["data_3d"][:, FROM_FILE]}
    with pytest.raises(ValueError, match=message.format("S1 Seq1/0")):
        load_3dhp_train(save(tmp_path / "train.npz", {"S1 Seq1": [{"0": ours}, 25]}), {"0": camera_of("TS1")})


def test_notes_name_the_sequences_that_were_scored(tmp_path, test_data):
    path = save(tmp_path / "test.npz", test_data)
    calibrations = [tmp_path / name for name in ("ts1-4cameras.calib", "ts5-6cameras.calib")]
    for calibration in calibrations:
        calibration.write_text(CALIBRATION)
    whole = mpi_inf_3dhp(path, calibrations).notes[0]
    assert whole == "MPI-INF-3DHP protocol: valid frames of TS1 to TS6, PCK and AUC over 14 joints, MPJPE over 17"
    part = mpi_inf_3dhp(path, calibrations, names=("TS1", "TS4")).notes[0]
    assert part.startswith("not the published MPI-INF-3DHP protocol")
    assert part.endswith("only TS1, TS4 were scored; TS2, TS3, TS5, TS6 are missing")
    for names in ((), ("TS1", "TS1")):
        with pytest.raises(ValueError, match=r"names: expected at least one of TS1.*each once"):
            mpi_inf_3dhp(path, calibrations, names=names)


def test_training_views_keep_their_frame_rate_and_subject(tmp_path):
    data = {
        "S1 Seq1": [{"0": view(0), "4": view(1)}, 25],
        "S3 Seq2": [{"0": view(2, frames=4)}, np.int64(50)],
    }
    cameras = {number: camera_of("TS1") for number in ("0", "4")}
    sequences = load_3dhp_train(save(tmp_path / "train.npz", data), cameras)
    assert [sequence.name for sequence in sequences] == ["S1 Seq1/0", "S1 Seq1/4", "S3 Seq2/0"]
    assert [(sequence.subject, sequence.fps, len(sequence)) for sequence in sequences[1:]] == [
        ("S1", 25, 6),
        ("S3", 50, 4),
    ]
    np.testing.assert_allclose(sequences[2].stamps_s, np.arange(4) / 50)
    assert sequences[0].valid.all()
    with pytest.raises(ValueError, match=r"expected one for camera '4' of S1 Seq1 in .*train\.npz, got \['0'\]"):
        load_3dhp_train(tmp_path / "train.npz", {"0": camera_of("TS1")})
    empty = {"data_2d": view(0)["data_2d"], "data_3d": np.full((FRAMES, 17, 3), np.nan)}
    sequences = (view(0), [{"0": view(0)}, 0], [{"0": 3}, 25], [{"0": empty}, 25])
    for broken in (*({"S1 Seq1": sequence} for sequence in sequences), {}):
        with pytest.raises(ValueError, match=r"train\.npz"):
            load_3dhp_train(save(tmp_path / "train.npz", broken), cameras)


def test_training_frames_without_3d_do_not_count(tmp_path):
    held = view(0)
    held["data_3d"][3] = np.nan
    held["data_2d"][3, 4] = np.nan
    path = save(tmp_path / "train.npz", {"S1 Seq1": [{"0": held}, 25]})
    (sequence,) = load_3dhp_train(path, {"0": camera_of("TS1")})
    assert np.flatnonzero(~sequence.valid).tolist() == [3] and (sequence.confidence[3] == 0).sum() == 1


def change(name, key, value):
    def apply(data):
        data[name][key] = value

    return apply


BROKEN = {
    "sequence": (lambda data: data.pop("TS3"), r"expected sequence TS3, got \['TS1', 'TS2', 'TS4'"),
    "2D": (
        change("TS2", "data_2d", np.zeros((FRAMES, 28, 2))),
        r"TS2: data_2d: expected \(T, 17, 2\), got \(6, 28, 2\)",
    ),
    "3D": (change("TS2", "data_3d", None), r"TS2: data_3d: expected \(T, 17, 3\)"),
    "metres": (change("TS4", "data_3d", view(0)["data_3d"] / 1000), "TS4: data_3d: expected millimetres"),
    "text": (change("TS2", "data_2d", np.full((FRAMES, 17, 2), "a")), "TS2: data_2d: expected numbers, got .* <U1"),
    "valid": (change("TS1", "valid", np.full(FRAMES, 2)), r"TS1: valid: expected only 0 and 1, got \[2\]"),
    "valid missing": (lambda data: data["TS1"].pop("valid"), "TS1: valid: expected"),
    "frames": (
        change("TS6", "valid", np.ones(FRAMES + 1)),
        "TS6: expected as many frames of 2D, 3D and valid, got 6, 6",
    ),
    "none valid": (change("TS6", "valid", np.zeros(FRAMES)), "TS6: expected at least one frame with valid = 1"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_files_are_refused_by_name(tmp_path, test_data, case):
    apply, message = BROKEN[case]
    apply(test_data)
    with pytest.raises(ValueError, match=rf"test\.npz: {message}"):
        load_3dhp_test(save(tmp_path / "test.npz", test_data), CAMERAS)


def test_frame_rates_are_plausible(tmp_path, test_data):
    path = save(tmp_path / "test.npz", test_data)
    for fps in (0, np.nan, 1e6):
        with pytest.raises(ValueError, match="fps: expected 1 to 240 frames per second, got"):
            load_3dhp_test(path, CAMERAS, fps=fps)


def test_cameras_must_be_there_and_of_the_right_size(tmp_path, test_data):
    path = save(tmp_path / "test.npz", test_data)
    with pytest.raises(ValueError, match=r"expected one for TS1, got those of \[\]; read_calibration"):
        load_3dhp_test(path, {})
    with pytest.raises(ValueError, match=r"expected \(1920, 1080\) px for TS5, got \(2048, 2048\)"):
        load_3dhp_test(path, {**CAMERAS, "TS5": camera_of("TS1")})
    with pytest.raises(ValueError, match="names: expected some of TS1"):
        load_3dhp_test(path, CAMERAS, names=("TS7",))


def test_calibration_on_the_sensor_becomes_pixels(tmp_path):
    (tmp_path / "a.calib").write_text(CALIBRATION)
    camera = read_calibration(tmp_path / "a.calib", width_px=2000, height_px=1000)
    assert camera.fx == pytest.approx(1600) and camera.fy == pytest.approx(1584)
    assert camera.cx == pytest.approx(980) and camera.cy == pytest.approx(540)
    assert camera.distortion == (-0.2, 0.1, 0.001, -0.002, 0.05) and not camera.assumed


@pytest.mark.parametrize("key", ["sensorSize", "focalLength", "pixelAspect", "centerOffset", "distortion"])
def test_damaged_calibration_names_the_entry(tmp_path, key):
    for replacement in ("other", f"{key} x", f"{key} nan", f"{key} 1 2 3 4 5 6 7 #"):
        text = "\n".join(
            line.replace(f"\t{key}\t", f"\t{replacement}\t") if line.split()[0] == key else line
            for line in CALIBRATION.splitlines()
        )
        (tmp_path / "a.calib").write_text(text)
        with pytest.raises(ValueError, match=rf"a\.calib: {key}: expected"):
            read_calibration(tmp_path / "a.calib", width_px=2000, height_px=1000)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_calibration(tmp_path / "nowhere", width_px=1, height_px=1)


@pytest.mark.parametrize(("key", "held"), [("focalLength", "8"), ("pixelAspect", "0.99"), ("sensorSize", "10\t5")])
def test_lengths_on_the_sensor_are_positive(tmp_path, key, held):
    (tmp_path / "a.calib").write_text(CALIBRATION.replace(f"{key}\t{held}", f"{key}\t-{held}"))
    with pytest.raises(ValueError, match=rf"a\.calib: {key}: expected .*positive .*, got \[?-"):
        read_calibration(tmp_path / "a.calib", width_px=2000, height_px=1000)
