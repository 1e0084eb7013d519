"""The commands take a prior in place of a lifter, and the papers' table is what it claims."""

import numpy as np
import pytest

from dp3d_core import cli
from dp3d_core.config import DenoiserConfig
from dp3d_core.evaluation import benchmarks
from dp3d_core.evaluation.papers import COLUMNS, table
from dp3d_core.model import motion_weights
from dp3d_core.model.motion_denoiser import MotionDenoiser
from tests.core.helpers import random_lifter, tiny_config, walking_motions
from tests.core.test_energies import CAMERA, FRAMES, STAMPS, as_modes, person, prior

VIEW = {"K": CAMERA.matrix, "image_size_px": (CAMERA.width, CAMERA.height), "stamps_s": STAMPS}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "prior.safetensors"
    motion_weights.save(path, prior=prior()[0]._network)
    return str(path)


def run(name, tmp_path, weights, *options):
    out = tmp_path / "out"
    cli.run(name, [*map(str, options), "--weights", weights, "--out", str(out)])
    (written,) = out.glob("*.npz")
    return np.load(written)


def test_a_prior_generates(tmp_path, weights):
    found = run("generate", tmp_path, weights, "--samples", 2, "--seconds", 0.3)
    assert np.isfinite(found["joints_cam_m"]).all() and len(found["joints_cam_m"]) == 2 * 9


def test_a_prior_completes(tmp_path, weights):
    given = person(prior()[1])
    given[:, 13] = np.nan
    np.savez(tmp_path / "in.npz", joints_cam_m=given, stamps_s=STAMPS)
    found = run("complete", tmp_path, weights, tmp_path / "in.npz")["joints_cam_m"]
    known = np.isfinite(given)
    np.testing.assert_allclose(found.reshape(given.shape)[known], given[known], atol=1e-4)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("evidence", ["keypoints", "heatmaps"])
def test_a_prior_fits_keypoints_with_rivals_and_heatmaps(tmp_path, weights, evidence):
    modes = as_modes(person(prior()[1]))
    if evidence == "keypoints":
        pixels = np.concatenate([modes.centre_px, modes.centre_px + 50], 2)
        pixels[0, 3, 1] = np.nan
        confidence = np.concatenate([0.8 * modes.weight, 0.1 * modes.weight], 2)
        covariance = np.broadcast_to(25 * np.eye(2), (FRAMES, 17, 2, 2, 2))
        arrays = {"keypoints_px": pixels, "confidence": confidence, "covariance_px": covariance}
    else:
        heatmaps = np.zeros((FRAMES, 17, 48, 64), np.float32)
        cells = (modes.centre_px[:, :, 0] / 10).astype(int)
        frame, joint = np.indices(cells.shape[:2])
        heatmaps[frame, joint, cells[..., 1], cells[..., 0]] = 1
        arrays = {"heatmaps": heatmaps}
    np.savez(tmp_path / "in.npz", **VIEW, **arrays)
    assert np.isfinite(run("fit", tmp_path, weights, tmp_path / "in.npz")["joints_cam_m"]).all()


def test_an_input_without_evidence_and_weights_without_a_prior_are_refused(tmp_path, weights, capsys):
    np.savez(tmp_path / "in.npz", **VIEW)
    with pytest.raises(SystemExit):
        run("fit", tmp_path, weights, tmp_path / "in.npz")
    assert "expected heatmaps, or keypoints_px and confidence" in capsys.readouterr().err
    path = tmp_path / "none.safetensors"
    motion_weights.save(path, denoiser=MotionDenoiser(DenoiserConfig(width=16, layers=1, heads=2, feature_width=8)))
    with pytest.raises(SystemExit):
        run("generate", tmp_path, str(path))
    assert "expected a network without context" in capsys.readouterr().err


def test_the_papers_table_orders_its_oracles_before_what_a_user_gets():
    sequence = benchmarks.synthetic(walking_motions().split("dev")).sequences[0]
    rows = table(random_lifter(tiny_config()), [sequence], (1, 3), (2,))
    assert list(rows) == ["K = 2, H = 1", "K = 2, H = 3"]
    joint, clip, _, mean = (rows["K = 2, H = 3"][name] for name in COLUMNS)
    assert joint <= clip + 1e-6 and clip <= rows["K = 2, H = 1"]["oracle P-Best"] + 1e-6
    one = rows["K = 2, H = 1"]
    assert one["P-Agg"] == pytest.approx(one["oracle P-Best"]) and mean > 0
    assert all(row[name + ", P-MPJPE"] <= row[name] + 1e-6 for row in rows.values() for name in COLUMNS[1:])
