"""What a run shows while it trains: scalars and pictures in TensorBoard, a bar; nothing where neither is installed."""
# B sequences, T frames, J = 17 joints

import sys

import numpy as np
import pytest
import torch
from helpers import swing

from dp3d_core.training.report import HALF_HEIGHT_M, PICTURED, TILE_PX, Reporter, draw_poses


def test_scalars_and_pictures_can_be_read_back(tmp_path, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("tqdm")
    reporter = Reporter(tmp_path, 3, 10)
    poses = torch.from_numpy(swing(np.zeros(8)))[:, None].float()
    reporter.scalars({"causal/position": 0.25, "lr": 1e-3}, 5)
    reporter.picture(lambda: (poses, poses), 5)
    reporter.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("causal/position")] == [(5, 0.25)]
    (image,) = events.Images("dev/answer_beside_truth")
    assert (image.height, image.width, image.step) == (2 * TILE_PX, PICTURED * TILE_PX, 5)
    shown = capsys.readouterr().err
    assert "5/10" in shown and "causal/position=0.25" in shown


def test_a_pose_is_drawn_where_it_is_in_both_views():
    pytest.importorskip("matplotlib")
    pose = np.zeros((1, 17, 3))
    pose[0, 16] = (0.5, -0.5, 0.25)  # the right wrist, blue
    image = draw_poses(pose, np.full_like(pose, np.nan)).astype(int)
    blue = image[..., 2] - image[..., 0] > 60

    def near(x_m, y_m, view):
        x, y = (int((metres / HALF_HEIGHT_M + 1) * TILE_PX / 2) for metres in (x_m, y_m))
        y += view * TILE_PX
        return blue[y - 2 : y + 3, x - 2 : x + 3].any()

    assert near(0.5, -0.5, 0) and near(0.25, -0.5, 1)
    assert not near(-0.5, 0.5, 0) and not near(0.25, -0.5, 0)


def test_without_tensorboard_and_tqdm_training_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    reporter = Reporter(tmp_path, 0, 10)
    reporter.scalars({"lr": 1.0}, 1)
    reporter.picture(lambda: pytest.fail("nobody looks"), 1)
    reporter.close()
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ""
