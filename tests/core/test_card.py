"""The tables of the card: every condition groups every frame, and one command writes them all."""

import numpy as np
import pytest
from helpers import walking_motions
from test_recorded import recording

from dp3d_core.cli import run as dp3d
from dp3d_core.data.motions import save_motions
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.evaluation import card


def test_every_frame_has_a_group_in_every_condition():
    sequence = synthetic_sequences(walking_motions())[0]
    for kind in card.CONDITIONS.values():
        assert kind(sequence).shape == (len(sequence),)
    tall = [synthetic_sequences(walking_motions(), height_m=height_m)[0] for height_m in (1.7, 2.0)]
    legs_m = [np.linalg.norm(one.joints_cam_m[:, 3] - one.joints_cam_m[:, 2], axis=-1).mean() for one in tall]
    assert legs_m[1] / legs_m[0] == pytest.approx(2.0 / 1.7, rel=1e-3)


def test_viewpoint_is_the_side_that_the_camera_sees():
    sequence = synthetic_sequences(walking_motions())[0]
    joints = np.zeros_like(sequence.joints_cam_m) + (0, 0, 4)
    joints[:, card.L_HIP] += (0.1, 0, 0)
    joints[:, card.R_HIP] -= (0.1, 0, 0)
    joints[:, card.THORAX] -= (0, 0.5, 0)
    for name, turned in (("front", joints), ("back", joints * (-1, 1, 1))):
        object.__setattr__(sequence, "joints_cam_m", turned)
        assert set(card.CONDITIONS["viewpoint"](sequence)) == {name}


def test_one_command_writes_all_tables(tmp_path, capsys):
    motions, out = tmp_path / "motions.npz", tmp_path / "card.md"
    save_motions(motions, walking_motions())
    given = ["--motions", str(motions), "--out", str(out)]
    dp3d("card", [*given, "--recordings", str(recording(tmp_path / "room.npz"))])
    text = out.read_text()
    for words in (
        "By action",
        "By viewpoint",
        "By distance",
        "not seen",
        "worst",
        "openpose",
        "10 Hz",
        "1.1 m",
        "rolled",
    ):
        assert words in text
    assert "room, up known" in text and "nan" not in text and "camera 1" in text
    with pytest.raises(SystemExit):
        dp3d("card", [*given, "--every", "0"])
    assert "--every: expected 1 or more" in capsys.readouterr().err
