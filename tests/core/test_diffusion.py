"""Masks and row layouts are what their names say."""

import pytest
import torch

from dp3d_core.model.diffusion import band_mask, bone_lengths, causal_mask, rolling_layout


def test_masks_see_a_window_and_never_the_future_of_a_stream():
    causal, band = causal_mask(7, 3), band_mask(7, 3)
    for row in range(7):
        assert causal[row].nonzero()[:, 0].tolist() == [m for m in range(7) if 0 <= row - m < 3]
        assert band[row].nonzero()[:, 0].tolist() == [m for m in range(7) if abs(row - m) < 3]


@pytest.mark.parametrize("lookahead", [0, 2, 4])
def test_rolling_layout_by_hand(lookahead):
    frames, window, newest = 9, 4, [0, 1, 5, 8]
    rows = rolling_layout(frames, window, lookahead, newest)
    assert rows.frame[:frames].tolist() == list(range(frames)) and (rows.noise_level[:frames] == 1).all()
    torch.testing.assert_close(rows.mask[:frames, :frames], causal_mask(frames, window))
    assert not rows.mask[:frames, frames:].any()  # causal rows, whose keys are cached, know nothing of the refined
    row = frames
    for moment in newest:
        ages = [age for age in range(lookahead, 0, -1) if moment >= age]
        for index, age in enumerate(ages):
            assert int(rows.frame[row + index]) == moment - age
            assert float(rows.noise_level[row + index]) == pytest.approx((lookahead + 1 - age) / (lookahead + 1))
            assert int(rows.pool_row[row + index]) == moment
            attended = rows.mask[row + index].nonzero()[:, 0].tolist()
            cached = list(range(max(0, moment - window + 1), moment + 1))
            assert attended == cached + list(range(row, row + len(ages)))
        row += len(ages)
    assert row == len(rows.frame) == len(rows.mask)


def test_bone_lengths_of_a_known_pose():
    pose = torch.zeros(17, 3)
    pose[3] = torch.tensor([0.0, 3.0, 4.0])
    lengths = bone_lengths(pose)
    assert lengths.shape == (16,) and float(lengths.sum()) == 5
