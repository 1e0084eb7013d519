"""Recordings by calibrated cameras: what is loaded projects to its own 2D, and what does not fit is named."""

import numpy as np
import pytest

from dp3d_core.data.recorded import load_recorded
from dp3d_core.evaluation import benchmarks, methods
from dp3d_core.evaluation.evaluate import evaluate
from dp3d_core.lift import Lifter

FRAMES = 12


def recording(path, **changes):
    """Two cameras, the second on its side, before somebody who sways; the 2D is exact."""
    generator = np.random.default_rng(0)
    body = np.cumsum(generator.normal(0, 0.12, (17, 3)), 0) + (0, 0, 1)
    world = body + 0.05 * np.sin(np.arange(FRAMES) / 4)[:, None, None]
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    sideways = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ upright
    keys = {
        "joints_3d_world": world, "K": np.tile([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]], (2, 1, 1)),
        "R": np.stack([upright, sideways]), "t": np.tile([0.0, 1.0, 5.0], (2, 1)), "dist": np.zeros((2, 4)),
        "size": np.tile([640, 480], (2, 1)), "fps": np.float64(30),
    }  # fmt: skip
    cam = np.einsum("cij,tkj->ctki", keys["R"], world) + keys["t"][:, None, None]
    keys["keypoints_2d"] = cam[..., :2] / cam[..., 2:] * 800 + (320, 240)
    keys["conf"] = np.full((2, FRAMES, 17), 0.8)
    keys |= changes
    np.savez(path, **{key: value for key, value in keys.items() if value is not None})
    return path


def test_the_reference_projects_to_the_2d_of_every_camera_and_up_is_known(tmp_path):
    nan = np.full((17, 3), np.nan)
    path = recording(tmp_path / "a.npz")
    world = np.load(path)["joints_3d_world"]
    world[3] = nan
    sequences, joints, counted = load_recorded(recording(path, joints_3d_world=world))
    assert joints == "h36m17" and counted == tuple(range(1, 17))
    assert [sequence.action for sequence in sequences] == ["camera 0", "camera 1"]
    for sequence, up in zip(sequences, ((0, -1, 0), (1, 0, 0)), strict=True):
        np.testing.assert_allclose(sequence.up_cam, up, atol=1e-9)
        assert sequence.valid.tolist() == [frame != 3 for frame in range(FRAMES)]
        joints_m = sequence.joints_cam_m[sequence.valid]
        projected = joints_m[..., :2] / joints_m[..., 2:] * 800 + (320, 240)
        np.testing.assert_allclose(projected, sequence.keypoints_px[sequence.valid], atol=0.01)


def test_joints_that_the_reference_lacks_do_not_count(tmp_path):
    path = recording(tmp_path / "a.npz")
    world = np.load(path)["joints_3d_world"]
    world[:, 10], world[0, 3] = np.nan, np.nan
    benchmark = benchmarks.recorded(recording(path, joints_3d_world=world))
    assert benchmark.joints == (*range(1, 10), *range(11, 17)) and "lacks Head" in benchmark.notes[-1]
    assert benchmark.sequences[0].valid.tolist() == [False] + [True] * (FRAMES - 1)
    found = evaluate(lifter=Lifter.load("small", backend="eager"), benchmark=benchmark)
    assert np.isfinite(found["overall"]["mpjpe_mm"])


def test_it_is_evaluated_by_camera_with_and_without_up(tmp_path):
    benchmark, lifter = benchmarks.recorded(recording(tmp_path / "a.npz")), Lifter.load("small", backend="eager")
    found = [evaluate(lifter=lifter, benchmark=benchmark, up_known=known) for known in (False, True)]
    assert set(found[0]["groups"]) == {"camera 0", "camera 1"} and "up was told" in " ".join(found[1]["notes"])
    assert found[0]["overall"]["mpjpe_mm"] != found[1]["overall"]["mpjpe_mm"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"K": None}, "expected K, got R, conf"),
        ({"keypoints_2d": None}, "expected one of mediapipe33_2d, keypoints_2d"),
        ({"conf": np.ones((2, 3, 17))}, r"conf: expected \(2, 12, 17\), got \(2, 3, 17\)"),
        ({"joints_3d_world": np.full((FRAMES, 17, 3), np.nan)}, "expected a reference with the pelvis"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_recorded(recording(tmp_path / "a.npz", **changes))


def test_a_file_of_another_kind_and_data_without_up_are_one_sentence(tmp_path):
    (tmp_path / "a.npz").write_text("no")
    with pytest.raises(ValueError, match=r"is not a \.npz file of plain arrays"):
        load_recorded(tmp_path / "a.npz")
    sequence = benchmarks.recorded(recording(tmp_path / "b.npz")).sequences[0]
    object.__setattr__(sequence, "up_cam", None)
    with pytest.raises(ValueError, match="--up-known: expected data that say what is up"):
        methods.offline(Lifter.load("small", backend="eager"), sequence, up_known=True)
