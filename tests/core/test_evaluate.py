"""The evaluation scores by the published protocols, keeps its command line and JSON, and names every oracle."""
# T frames, H hypotheses, J = 17 joints

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import random_lifter, save_version1, swing, tiny_config, walking_motions
from test_h36m import SYMMETRY, camera_dicts
from test_mpi_inf_3dhp import CALIBRATION

from dp3d_core import checkpoint
from dp3d_core.cli import run as dp3d
from dp3d_core.data.h36m import KEPT_JOINTS
from dp3d_core.data.motions import save_motions
from dp3d_core.data.mpi_inf_3dhp import FROM_FILE, PCK_JOINTS, TEST_NAMES
from dp3d_core.evaluation import benchmarks, methods, report
from dp3d_core.evaluation.metrics import JOINTS_14, mpjpe_mm, p_mpjpe_mm
from dp3d_core.evaluation.scoring import action_scores, score

# documented for users: renaming one breaks their scripts
PROMISED = {
    "mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm", "accel_error_mm_per_frame2", "root_error_m", "coverage_90",
    "ece",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random weights, mocap, and both benchmarks in their own forms."""
    folder = tmp_path_factory.mktemp("data")
    # wide poses scatter about nothing: random weights near an upright person stand in front of the camera
    provenance = {"temperature_from": "motions.npz dev, noisy"}
    save_version1(folder / "weights.safetensors", random_lifter(tiny_config()).denoiser, provenance)
    save_motions(folder / "motions.npz", walking_motions())
    _write_h36m(folder)
    _write_3dhp(folder)
    return folder


def _write_h36m(folder):
    world, seen = {}, {}
    for subject, yaw in (("S9", 0.2), ("S11", 1.5)):
        world[subject], seen[subject] = {}, {}
        for name, frames in {"Walking": 9, "Walking 1": 8, "Sitting": 4}.items():
            pose = swing(np.arange(frames) / 50, yaw)[..., [0, 2, 1]] * np.array([1, 1, -1]) + [0, 0, 0.95]
            joints = np.zeros((frames, 32, 3), np.float32)
            joints[:, list(KEPT_JOINTS)] = pose
            world[subject][name] = joints
            seen[subject][name] = [(pose[..., :2] * 100 + 500 + camera).astype(np.float32) for camera in range(4)]
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=world)
    np.savez_compressed(folder / "data_2d_h36m_cpn.npz", positions_2d=seen, metadata=metadata)
    (folder / "cameras.json").write_text(json.dumps({subject: camera_dicts() for subject in world}))


def _write_3dhp(folder):
    data = {}
    for index, name in enumerate(TEST_NAMES):
        ours_m = swing(np.arange(8) / 25, yaw=0.5 * index) + [0, 0, 4]
        joints_mm, pixels = np.zeros((8, 17, 3)), np.zeros((8, 17, 2))
        joints_mm[:, list(FROM_FILE)] = ours_m * 1000
        pixels[:, list(FROM_FILE)] = ours_m[..., :2] / ours_m[..., 2:] * 1500 + 800
        valid = np.array([0, 1, 1, 1, 1, 0, 1, 1], np.float64)
        data[name] = {"data_2d": pixels, "data_3d": joints_mm, "valid": valid}
    np.savez_compressed(folder / "data_test_3dhp.npz", data=data)
    for name in ("ts1-4cameras.calib", "ts5-6cameras.calib"):
        (folder / name).write_text(CALIBRATION)


def run(folder, capsys, *options):
    """Printed text and the JSON report of one command line."""
    weights, out = str(folder / "weights.safetensors"), folder / "report.json"
    dp3d("evaluate", ["--weights", weights, "--json", str(out), *map(str, options)])
    return capsys.readouterr().out, json.loads(out.read_text())


def poses_of(text):
    """What is printed of poses: the action's line always names the oracle beside it."""
    return "\n".join(line for line in text.splitlines() if "action right in" not in line)


def h36m_options(folder, data_2d="gt"):
    data_2d = "gt" if data_2d == "gt" else folder / data_2d
    return "--h36m-3d", folder / "data_3d_h36m.npz", "--h36m-2d", data_2d, "--cameras", folder / "cameras.json"


def mpi_options(folder):
    return (
        "--mpi-test", folder / "data_test_3dhp.npz",
        "--calibration", folder / "ts1-4cameras.calib", folder / "ts5-6cameras.calib",
    )  # fmt: skip


def wrong_by(shifts_mm):
    """A method that answers the truth with joints shifted along x: {joint: mm}."""

    def method(sequence):
        joints = sequence.joints_cam_m.astype(np.float64).copy()
        for joint, shift in shifts_mm.items():
            joints[:, joint, 0] += shift / 1000
        return joints, np.full(joints.shape[:2], 0.05), np.ones(len(joints), bool)

    return method


def test_command_line_of_mocap_keeps_the_promised_json(folder, capsys):
    text, found = run(folder, capsys, "--motions", folder / "motions.npz", "--split", "dev", "--lookahead", 2)
    assert set(found["overall"]) > PROMISED and all(set(row) > PROMISED for row in found["groups"].values())
    assert found["data"] == {
        "motions": "motions.npz", "split": "dev", "clips": 1, "rate_hz": 30.0, "joint_set": "h36m17"
    }  # fmt: skip
    assert (found["mode"], found["lookahead"], found["seed"], found["detector"]) == ("stream", 2, 0, "noisy")
    assert found["detector_noise"] and found["weights"].endswith("weights.safetensors")
    assert set(found["baselines"]) == {"mean_pose", "per_frame"}
    assert "baseline mean_pose" in text and "stream: all" in text


def test_table_holds_every_lookahead_with_noisy_and_exact_2d(folder, capsys):
    text, found = run(folder, capsys, "--motions", folder / "motions.npz")
    expected = {"offline", *(f"stream, lookahead {lookahead}" for lookahead in (0, 2, 4))}
    assert set(found) == {f"{detector}: {row}" for detector in ("noisy", "exact") for row in expected}
    assert all(f"{name} | all" in text for name in found)
    assert found["exact: offline"]["detector_noise"] is None and "oracle 2D" in text


def test_flip_is_named_and_is_another_answer(folder, capsys):
    options = ("--motions", folder / "motions.npz", "--mode", "offline")
    (_, plain), (text, flipped) = run(folder, capsys, *options), run(folder, capsys, *options, "--flip")
    assert flipped["mode"] == "offline_flip" and "offline_flip: all" in text
    assert flipped["overall"]["mpjpe_mm"] != plain["overall"]["mpjpe_mm"]
    assert flipped["baselines"] == plain["baselines"]


def test_human36m_is_the_mean_of_actions_over_all_cameras(folder, capsys):
    text, found = run(folder, capsys, *h36m_options(folder), "--mode", "offline")
    assert set(found["groups"]) == {"Walking", "Sitting"}
    # 2 subjects, 4 cameras; Walking has two takes
    assert {name: row["frames"] for name, row in found["groups"].items()} == {"Walking": 136, "Sitting": 32}
    assert found["headline"] == "mean_of_groups"
    expected = np.mean([row["mpjpe_mm"] for row in found["groups"].values()])
    assert found["mean_of_groups"]["mpjpe_mm"] == pytest.approx(expected)
    assert "offline: mean of 2 groups *" in text and "only 2 of the 15 actions" in text and "oracle 2D" in text


def test_human36m_takes_detections_and_fourteen_joints(folder, capsys):
    text, found = run(
        folder, capsys, *h36m_options(folder, "data_2d_h36m_cpn.npz"), "--mode", "offline", "--joints", 14
    )
    assert found["data"]["joints"] == 14 and found["detector"] == "data_2d_h36m_cpn"
    assert "oracle" not in poses_of(text)


@pytest.mark.parametrize(("joints", "expected_mm"), [(17, (80 + 51) / 17), (14, 80 / 14)])
def test_root_counts_among_seventeen_and_spine_not_among_fourteen(folder, joints, expected_mm):
    benchmark = benchmarks.human36m(folder / "data_3d_h36m.npz", "gt", folder / "cameras.json", joints=joints)
    wrist, spine = 13, 7
    assert spine not in JOINTS_14
    result = score(wrong_by({wrist: 80, spine: 51}), benchmark.sequences, joints=benchmark.joints)
    assert result["mean_of_groups"]["mpjpe_mm"] == pytest.approx(expected_mm, rel=1e-4)


def test_3dhp_counts_valid_frames_and_its_own_joints(folder):
    calibrations = [folder / "ts1-4cameras.calib", folder / "ts5-6cameras.calib"]
    benchmark = benchmarks.mpi_inf_3dhp(folder / "data_test_3dhp.npz", calibrations)
    wrist, spine = 13, 7
    assert wrist in PCK_JOINTS and spine not in PCK_JOINTS
    result = score(
        wrong_by({wrist: 160, spine: 500}),
        benchmark.sequences,
        joints=benchmark.joints,
        pck_joints=benchmark.pck_joints,
    )
    assert set(result["groups"]) == set(TEST_NAMES) and result["overall"]["frames"] == 36
    for row in (result["overall"], result["mean_of_groups"], *result["groups"].values()):
        assert row["mpjpe_mm"] == pytest.approx((160 + 500) / 17, rel=1e-4)
        assert row["pck_150mm"] == pytest.approx(13 / 14) and row["auc"] == pytest.approx(13 / 14 * 30 / 31)
        assert np.isnan(row["root_error_m"])


def test_3dhp_says_which_annotation_was_scored(folder, capsys):
    text, found = run(folder, capsys, *mpi_options(folder), "--mode", "offline")
    assert "univ_annot3" in text and "pck_150mm" in text and found["overall"]["root_error_m"] is None
    text, found = run(folder, capsys, *mpi_options(folder), "--mode", "offline", "--annotation", "annot3")
    assert "truth is annot3" in text and found["overall"]["root_error_m"] > 0


def test_streams_run_on_benchmarks_too(folder, capsys):
    _, found = run(folder, capsys, *mpi_options(folder), "--lookahead", 2)
    assert found["mode"] == "stream" and set(found["groups"]) == set(TEST_NAMES)
    assert list(found["baselines"]) == ["per_frame"]


def test_best_of_hypotheses_is_named_oracle_and_is_its_definition(folder, capsys):
    options = ("--motions", folder / "motions.npz", "--mode", "offline", "--samples", 4, "--aggregate", "jpma")
    text, found = run(folder, capsys, *options)
    assert found["hypotheses"] == 4 and found["aggregation"] == "jpma" and found["oracle"]["m"] == 4
    printed = [line for line in text.splitlines() if "best" in line]
    assert printed and all("oracle" in line for line in printed)

    lifter = random_lifter(tiny_config())
    sequence = benchmarks.synthetic(walking_motions().split("dev")).sequences[0]
    hypotheses = methods.sampled(lifter, sequence, samples=4)[3]
    truth = sequence.joints_cam_m
    oracle = score(lambda one: methods.sampled(lifter, one, samples=4), [sequence])["oracle"]["overall"]
    by_pose = np.min([mpjpe_mm(one, truth) for one in hypotheses], axis=0).mean()
    by_joint = (
        np.min(
            [np.linalg.norm((one - one[:, :1]) - (truth - truth[:, :1]), axis=-1) for one in hypotheses], axis=0
        ).mean()
        * 1000
    )
    aligned = np.min([p_mpjpe_mm(one, truth) for one in hypotheses], axis=0).mean()
    assert oracle["oracle_best_of_m_pose_mpjpe_mm"] == pytest.approx(by_pose, rel=1e-5)
    assert oracle["oracle_best_of_m_joint_mpjpe_mm"] == pytest.approx(by_joint, rel=1e-4)
    assert oracle["oracle_best_of_m_pose_p_mpjpe_mm"] == pytest.approx(aligned, rel=1e-5)
    assert by_joint < by_pose


def test_whatever_saw_the_truth_prints_oracle(folder, capsys):
    motions = ("--motions", folder / "motions.npz", "--mode", "offline")
    plain, _ = run(folder, capsys, *motions, "--split", "train")
    assert "oracle" not in poses_of(plain)
    told, found = run(folder, capsys, *motions, "--oracle-label", "--split", "train")
    assert "given to 2 of 2 sequences (oracle label)" in told
    assert "offline_oracle_label: all" in told and found["mode"] == "offline_oracle_label"
    exact, _ = run(folder, capsys, *motions, "--detector", "exact", "--split", "train")
    assert "oracle 2D" in exact
    fitted, _ = run(folder, capsys, *motions)
    assert "fitted on this very split" in fitted and "(oracle)" in fitted


def test_a_tables_rows_and_lines_name_their_oracles(folder, capsys):
    motions = ("--motions", folder / "motions.npz", "--split", "train")
    text, found = run(folder, capsys, *motions, "--oracle-label", "--samples", 2)
    assert "noisy: offline_oracle_label" in found and "noisy: offline" not in found
    assert "noisy: offline_oracle_label | all" in text
    best = [line for line in text.splitlines() if "best of m" in line]
    assert best and all("offline_oracle_label | oracle best of m" in line for line in best)


def test_actions_are_scored_beside_always_the_most_frequent(folder, capsys):
    """Hand-computed: two sequences of walking and one of a ball game; the network says walk, once half sure."""

    class Sure:
        actions = ("walk", "ball")

    lifter, walk, ball = Sure(), np.array([0.9, 0.1]), np.array([0.5, 0.5])
    belief = {"a": [walk, walk], "b": [walk, ball], "c": [walk]}
    sequences = [
        SimpleNamespace(name=name, action=action, valid=np.ones(len(belief[name]), bool))
        for name, action in (("a", "walk"), ("b", "walk"), ("c", "ball"))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "action_probability", lambda _, sequence, causal: np.stack(belief[sequence.name]))
        found = action_scores(lifter, sequences, causal=True)
    assert found["frames"] == 5 and found["top1"] == pytest.approx(4 / 5)
    assert (found["most_frequent"], found["oracle_most_frequent_top1"]) == ("walk", pytest.approx(4 / 5))
    assert found["named"] == pytest.approx(4 / 5) and found["named_right"] == pytest.approx(3 / 4)
    text, report_ = run(folder, capsys, "--motions", folder / "motions.npz", "--split", "train", "--lookahead", 0)
    assert f"action right in {report_['actions']['top1']:.0%} of" in text and "oracle: always 'walk' 60%" in text


def test_an_oracle_label_that_no_sequence_has_is_refused(folder, capsys):
    told, _ = run(folder, capsys, *h36m_options(folder), "--mode", "offline", "--oracle-label")
    assert "given to 24 of 24 sequences (oracle label)" in told  # Walking, Walking 1 and Sitting, read by the rules
    with pytest.raises(SystemExit, match=r"oracle_label: expected actions among stand, walk.*got none in this data"):
        run(folder, capsys, *mpi_options(folder), "--mode", "offline", "--oracle-label")


def test_fitted_temperature_covers_ninety_percent_and_says_where_it_came_from(folder, capsys, tmp_path):
    fitted = tmp_path / "fitted.safetensors"
    dp3d("evaluate", [
        "--weights", str(folder / "weights.safetensors"), "--motions", str(folder / "motions.npz"),
        "--fit-temperature", str(fitted),
    ])  # fmt: skip
    assert "temperatures: offline 1.000 ->" in capsys.readouterr().out
    assert checkpoint.load(fitted).provenance["temperature_from"] == "motions.npz dev, noisy"
    dp3d("evaluate", [
        "--weights", str(fitted), "--motions", str(folder / "motions.npz"), "--lookahead", "0",
        "--json", str(tmp_path / "r.json"),
    ])  # fmt: skip
    assert json.loads((tmp_path / "r.json").read_text())["overall"]["coverage_90"] == pytest.approx(0.9, abs=0.05)


def test_json_writes_nan_as_null():
    assert report.strict({"a": (float("nan"), 1.0)}) == {"a": [None, 1.0]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected one of --motions, --recording, --h36m-3d and --mpi-test"),
        (("--h36m-3d", "missing.npz"), "expected --h36m-2d"),
        (("--mpi-test", "missing.npz"), "calibration: expected two files"),
        (("--motions", "missing.npz"), "missing.npz"),
        (("--motions", "{motions}", "--lookahead", "0", "--samples", "3"), "--samples: expected with --mode offline"),
        (("--motions", "{motions}", "--lookahead", "0", "--flip"), "--flip: expected with --mode offline"),
        (("--motions", "{motions}", "--split", "test"), "test"),
        (("--motions", "{motions}", "--rate-hz", "0"), "rate_hz: expected 1 to 240 frames per second, got 0"),
        (("--motions", "{motions}", "--rate-hz", "nan"), "rate_hz: expected 1 to 240"),
        (("--motions", "{motions}", "--mode", "offline", "--samples", "0"), "samples: expected at least 1"),
        (("--motions", "{motions}", "--mode", "offline", "--aggregate", "jpma"), "aggregate: expected more than one"),
        (("--motions", "{motions}", "--mode", "offline", "--steps", "0"), "steps: expected at least 1"),
    ],
)
def test_bad_requests_end_in_one_sentence(folder, options, message):
    options = [option.format(motions=folder / "motions.npz") for option in options]
    with pytest.raises(SystemExit, match=message) as stopped:
        dp3d("evaluate", ["--weights", str(folder / "weights.safetensors"), *options])
    assert str(stopped.value).startswith("evaluate: ") and "\n" not in str(stopped.value)
