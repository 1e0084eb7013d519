"""The commands that measure smoothness and robustness: what they vary, and that their zero is zero."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import random_lifter, walking_motions

from dp3d_core import checkpoint
from dp3d_core.cli import run as dp3d
from dp3d_core.data.motions import save_motions
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.evaluation import smoothness, stress


@pytest.fixture(scope="module")
def sequences():
    return synthetic_sequences(walking_motions(lengths=(60, 50, 45)), seed=3)


def test_dropped_frames_are_gone_and_the_others_untouched(sequences):
    whole = sequences[0]
    dropped = stress.drop_frames(whole, 0.3, seed=1)
    assert 0.5 * len(whole.stamps_s) < len(dropped.stamps_s) < 0.9 * len(whole.stamps_s)
    kept = np.isin(whole.stamps_s, dropped.stamps_s)
    np.testing.assert_array_equal(whole.keypoints_px[kept], dropped.keypoints_px)
    np.testing.assert_array_equal(whole.joints_cam_m[kept], dropped.joints_cam_m)


def test_dropped_joints_are_missing_and_the_truth_is_whole(sequences):
    dropped = stress.drop_joints(sequences[0], 0.3, seed=1)
    gone = dropped.confidence == 0
    assert 0.2 < gone.mean() < 0.4 and (dropped.keypoints_px[gone] == 0).all()
    np.testing.assert_array_equal(dropped.joints_cam_m, sequences[0].joints_cam_m)


def test_a_stream_does_not_drift_on_looped_motion(sequences):
    slow = replace(sequences[0], fps=sequences[0].fps / 4, stamps_s=sequences[0].stamps_s * 4)  # fewer frames a minute
    minutes = stress.drift(random_lifter(), slow, minutes=3, lookahead=2)
    # the first minute also holds the first frames, which have no past
    assert len(minutes) == 3 and minutes[2] == pytest.approx(minutes[1], rel=1e-3)
    assert minutes[1] == pytest.approx(minutes[0], rel=0.05)


def test_every_disturbance_has_a_row_and_no_nan():
    table = stress.rows(random_lifter(), walking_motions(lengths=(40, 30, 30)))
    assert {"undisturbed", "30% of frames dropped", "30% of joints dropped", "COCO joints", "10 Hz", "60 Hz"} <= set(
        table
    )
    assert all(np.isfinite(row["mpjpe_mm"]) for row in table.values())


def test_the_truth_has_no_error_and_no_lag(sequences):
    def truth(sequence):
        return sequence.joints_cam_m, np.ones(sequence.joints_cam_m.shape[:2]), np.ones(len(sequence.stamps_s), bool)

    row = smoothness.measure(truth, sequences)
    assert row["mpjpe_mm"] == pytest.approx(0) and row["lag_frames"] == pytest.approx(0, abs=1e-6)


def test_a_late_answer_has_its_lag(sequences):
    def late(sequence):
        joints = np.concatenate([np.repeat(sequence.joints_cam_m[:1], 2, 0), sequence.joints_cam_m[:-2]])
        return joints, np.ones(joints.shape[:2]), np.ones(len(joints), bool)

    assert smoothness.measure(late, sequences)["lag_frames"] == pytest.approx(2, abs=0.3)


def test_all_filters_stand_beside_the_stream(sequences, tmp_path):
    table = smoothness.rows(random_lifter(), sequences[:1])
    assert {"per frame", "stream, lookahead 0", "stream, lookahead 4"} <= set(table)
    assert sum(name.startswith("One-Euro") for name in table) == len(smoothness.ONE_EURO)
    assert table["Savitzky-Golay 9, 2"]["waits_frames"] == 4
    pytest.importorskip("matplotlib")
    smoothness.plot(table, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


@pytest.mark.parametrize(("command", "options"), [("stress", ["--minutes", "1"]), ("smoothness", [])])
def test_commands_write_what_they_print(command, options, tmp_path, capsys):
    lifter = random_lifter()
    checkpoint.save(tmp_path / "w.safetensors", lifter.encoder, actions=lifter.actions, provenance={})
    save_motions(tmp_path / "motions.npz", walking_motions(lengths=(40, 30, 30)))
    files = ["--weights", tmp_path / "w.safetensors", "--motions", tmp_path / "motions.npz"]
    dp3d(command, [*map(str, files), *options, "--json", str(tmp_path / "out.json")])
    written, printed = json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out
    for name, row in written.get("rows", written).items():
        (line,) = [line for line in printed.splitlines() if line.startswith(name + "  ")]
        assert f"{row['mpjpe_mm']:.1f}" in line
    assert command != "stress" or len(written["drift_mpjpe_mm_per_minute"]) == 1


def test_commands_say_what_is_wrong_with_the_motions(tmp_path):
    for command in ("stress", "smoothness"):
        with pytest.raises(SystemExit, match=r"no\.npz"):
            dp3d(command, ["--motions", str(tmp_path / "no.npz")])
