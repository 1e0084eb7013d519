"""Generated, completed and fitted motions come out in the formats of lifted ones."""

import numpy as np
import pytest

from dp3d_core import cli
from dp3d_core.data.bvh_format import read_bvh
from dp3d_core.skeleton import JOINT_NAMES


def test_generated_motion_is_a_bvh_that_stands_on_the_floor(tmp_path, capsys):
    arguments = ["generate", "--seconds", "0.4", "--fps", "10", "--samples", "2", "--out", str(tmp_path)]
    cli.main([*arguments, "--to", "bvh", "npz"])
    assert "generated.person1.bvh" in capsys.readouterr().out
    heights = read_bvh(tmp_path / "generated.person0.bvh").positions()[..., 1]
    assert heights.shape[0] == 4 and -0.1 < heights.min() < 0.2 and 0.8 < heights.max() < 2.2
    with np.load(tmp_path / "generated.npz") as held:
        assert held["joints_cam_m"].shape == (8, 17, 3) and np.isfinite(held["joints_world_m"]).all()
        people = held["joints_cam_m"].reshape(4, 2, 17, 3)
    assert np.abs(people[:, 0] - people[:, 1] - (people[:, 0, :1] - people[:, 1, :1])).max() > 0.01
    again = tmp_path / "again"
    cli.main([*arguments[:-1], str(again)])
    with np.load(again / "generated.npz") as held:
        np.testing.assert_array_equal(held["joints_cam_m"].reshape(4, 2, 17, 3), people)


def test_a_missing_wrist_is_completed_and_the_rest_stays(tmp_path):
    cli.main(["generate", "--seconds", "0.4", "--fps", "10", "--out", str(tmp_path / "whole")])
    with np.load(tmp_path / "whole" / "generated.npz") as held:
        joints_m, stamps_s = held["joints_cam_m"].copy(), held["stamps_s"]
    wrist = JOINT_NAMES.index("LWrist")
    joints_m[:, wrist] = np.nan
    np.savez(tmp_path / "holes.npz", joints_cam_m=joints_m, stamps_s=stamps_s)
    cli.main(["complete", str(tmp_path / "holes.npz"), "--out", str(tmp_path / "out"), "--to", "npz", "trc"])
    with np.load(tmp_path / "out" / "holes.npz") as held:
        found = held["joints_cam_m"]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.delete(found, wrist, 1), np.delete(joints_m, wrist, 1), atol=1e-4)
    assert np.linalg.norm(found[:, wrist] - found[:, wrist - 1], axis=-1).max() < 0.6


def test_heatmaps_are_fitted(tmp_path):
    heatmaps = np.zeros((4, 17, 64, 48), np.float32)
    heatmaps[:, np.arange(17), 10 + 2 * np.arange(17), 24] = 1
    K = np.array([[700.0, 0, 384], [0, 700, 288], [0, 0, 1]])
    np.savez(tmp_path / "maps.npz", heatmaps=heatmaps, stamps_s=np.arange(4) / 10, K=K, image_size_px=(768, 576))
    cli.main(["fit", str(tmp_path / "maps.npz"), "--out", str(tmp_path / "out")])
    with np.load(tmp_path / "out" / "maps.npz") as held:
        assert held["joints_cam_m"].shape == (4, 17, 3) and (held["joints_cam_m"][..., 2] > 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "--seconds", "0"], "two frames or more"),
        (["generate", "--samples", "0"], "--samples: expected at least 1"),
        (["complete", "no.npz"], "no.npz: no such file"),
        (["fit", __file__], "expected an npz"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments, "--out", str(tmp_path)])
    printed = capsys.readouterr().err
    assert stopped.value.code == 2 and words in printed and printed.count("\n") == 1
