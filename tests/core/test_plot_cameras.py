"""What the synthetic cameras see is measured rightly, and drawn."""
# B sequences

import numpy as np
import pytest
import torch
from helpers import walking_motions

from dp3d_core.cli import run as dp3d
from dp3d_core.data import cameras, plot_cameras
from dp3d_core.data.motions import save_motions
from dp3d_core.data.windows import MotionBank


def test_measured_angles_and_distances_are_those_drawn():
    ranges = cameras.CameraRange()
    found = plot_cameras.measure(MotionBank(walking_motions()), 2000, generator=torch.Generator().manual_seed(0))
    assert ranges.fov_deg[0] <= found["fov_deg"].min() and found["fov_deg"].max() <= ranges.fov_deg[1]
    assert found["distance_m"].min() > ranges.distance_m[0] - 0.1
    # drawn about the view's axis, measured about the horizon: the same where the camera hardly tilts
    level = np.abs(found["pitch_deg"]) < 20
    assert found["roll_deg"][level].std() == pytest.approx(ranges.roll_std_deg, rel=0.15)
    # a fifth hang high and look down, the others stand about as high as a pelvis
    assert np.median(found["pitch_deg"]) < 0 and 0.05 < (found["pitch_deg"] < -30).mean() < 0.4
    assert 0.8 < found["inside"].mean() <= 1


def test_command_line_prints_percentiles_and_draws(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    save_motions(tmp_path / "motions.npz", walking_motions())
    options = ["--plot", str(tmp_path / "c.png"), "--count", "50"]
    dp3d("plot-cameras", ["--motions", str(tmp_path / "motions.npz"), *options])
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "distance_m: 5 / 50 / 95 %" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"plot-cameras: .*absent.npz"):
        dp3d("plot-cameras", ["--motions", "absent.npz", "--plot", str(tmp_path / "c.png")])
