"""Noise, masks and layouts are what their names say, and every loss is the number computed by hand."""
# B batch, N rows, J = 17 joints

import math

import pytest
import torch

from dp3d_core.model import Prediction
from dp3d_core.model.diffusion import (
    band_mask,
    bone_lengths,
    causal_mask,
    diffuse,
    hallucination_weights,
    losses,
    rolling_layout,
)


def some(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prediction(clean, **parts):
    """A `Prediction` with zeros where nothing is given."""
    batch, rows = clean.shape[:2]
    return Prediction(
        clean, parts.get("log_variance", torch.zeros(batch, rows, 17)),
        parts.get("action_logits", torch.zeros(batch, rows, 4)), parts.get("neighbours"),
    )  # fmt: skip


def test_noise_level_zero_is_the_truth_and_one_is_the_noise():
    clean, noise = some(2, 3, 17, 3), some(2, 3, 17, 3, seed=1)
    torch.testing.assert_close(diffuse(clean, noise, torch.zeros(2, 3)), clean)
    torch.testing.assert_close(diffuse(clean, noise, torch.ones(2, 3)), noise)
    mixed = diffuse(clean, noise, torch.tensor([[0.25, 0, 0], [0, 0, 1.0]]))
    torch.testing.assert_close(mixed[0, 0], 0.75 * clean[0, 0] + 0.25 * noise[0, 0])
    torch.testing.assert_close(mixed[1, 1:], torch.stack([clean[1, 1], noise[1, 2]]))


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


@pytest.mark.parametrize(("frames", "expected"), [(1, ([], [])), (3, ([-1, 1], [1 / 2, 1 / 2])),
                                                  (5, ([-2, -1, 1, 2], [1 / 3, 1 / 2, 1 / 2, 1 / 3]))])  # fmt: skip
def test_hallucinated_neighbours_weigh_one_over_one_plus_distance(frames, expected):
    assert hallucination_weights(frames) == expected


def test_position_velocity_and_bone_by_hand():
    clean = torch.zeros(1, 3, 17, 3)
    clean[..., 1] = torch.arange(17.0)  # a ladder: bones of known lengths
    error = torch.zeros_like(clean)
    error[0, 0, 5] = torch.tensor([3.0, 4.0, 0.0])  # 5 units, in one joint of one of three frames
    error[0, 1, 5] = torch.tensor([3.0, 4.0, 0.0])
    pairs = torch.tensor([[0, 1], [1, 2]])
    parts = losses(prediction(clean + error), clean, None, 0.25, pairs=pairs)
    assert float(parts["position"]) == pytest.approx(0.25 * 10 / (3 * 17))
    assert float(parts["velocity"]) == pytest.approx(0.25 * 5 / (2 * 17))  # only from frame 1 to 2
    # bones 4-5 and 5-6 change: (0,1,0) + (3,4,0) has length sqrt(34), (0,1,0) - (3,4,0) sqrt(18)
    changed = 2 * ((math.sqrt(34) - 1) + (math.sqrt(18) - 1))
    assert float(parts["bone"]) == pytest.approx(0.25 * changed / (3 * 16), rel=1e-5)
    assert set(parts) == {"position", "velocity", "bone", "likelihood"}


def test_perfect_poses_cost_nothing_and_give_finite_gradients():
    clean = some(2, 3, 17, 3)
    guess = clean.clone().requires_grad_()
    parts = losses(prediction(guess), clean, None, 0.25, pairs=torch.tensor([[0, 1]]))
    assert all(float(parts[name].detach()) == 0 for name in ("position", "velocity", "bone"))
    sum(parts.values()).backward()
    assert torch.isfinite(guess.grad).all()


def test_likelihood_is_the_gaussian_one_and_does_not_move_the_pose():
    clean = torch.zeros(1, 1, 17, 3)
    guess = torch.full((1, 1, 17, 3), 0.2, requires_grad=True)
    log_variance = torch.full((1, 1, 17), -1.5, requires_grad=True)
    value = losses(prediction(guess, log_variance=log_variance), clean, None, 0.25)["likelihood"]
    normal = torch.distributions.Normal(0.0, math.exp(-0.75))
    expected = -3 * float(normal.log_prob(torch.tensor(0.2))) - 1.5 * math.log(2 * math.pi)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert guess.grad is None or (guess.grad == 0).all()
    assert (log_variance.grad[..., 0] == 0).all() and (log_variance.grad[..., 1:] != 0).all()


def test_likelihood_is_least_at_the_true_variance():
    clean = torch.zeros(64, 64, 17, 3)
    guess = 0.3 * some(64, 64, 17, 3)
    at = lambda log_variance: float(  # noqa: E731
        losses(prediction(guess, log_variance=torch.full((64, 64, 17), log_variance)), clean, None, 1.0)["likelihood"]
    )
    best = 2 * math.log(0.3)
    assert at(best) < at(best + 0.1) and at(best) < at(best - 0.1)


def test_action_loss_counts_only_labelled_sequences():
    logits = some(3, 5, 4)
    clean = torch.zeros(3, 5, 17, 3)
    parts = losses(prediction(clean, action_logits=logits), clean, None, 1.0, label=torch.tensor([2, -1, 0]))
    log = torch.log_softmax(logits[:, -1], -1)
    assert float(parts["action"]) == pytest.approx(float(-(log[0, 2] + log[2, 0]) / 2), rel=1e-5)
    assert "action" not in losses(prediction(clean), clean, None, 1.0, label=torch.tensor([-1, -1, -1]))


def test_hallucination_weighs_neighbours_and_skips_those_outside():
    """n = 5: four neighbours at weights 1/3, 1/2, 1/2, 1/3; the first frame has no f-2, f-1."""
    truth = torch.zeros(1, 1, 4, 17, 3)
    truth[0, 0, :2] = torch.nan
    guess = torch.stack([torch.full((17, 3), float(value)) for value in (9, 9, 2, 3)])[None, None].requires_grad_()
    clean = torch.zeros(1, 1, 17, 3)
    parts = losses(prediction(clean, neighbours=guess), clean, None, 0.5, neighbours=truth)
    # every joint is off by 2 and 3 in each of three coordinates
    expected = 0.5 * math.sqrt(3) * (2 / 2 + 3 / 3)
    assert float(parts["hallucination"]) == pytest.approx(expected)
    parts["hallucination"].backward()
    assert torch.isfinite(guess.grad).all() and (guess.grad[0, 0, :2] == 0).all()
    many = losses(
        prediction(clean.expand(4, -1, -1, -1), neighbours=guess.detach().expand(4, -1, -1, -1, -1)),
        clean.expand(4, -1, -1, -1), None, 0.5, neighbours=truth.expand(4, -1, -1, -1, -1),
    )  # fmt: skip
    assert float(many["hallucination"]) == pytest.approx(expected, rel=1e-5)


def test_neighbours_as_wrong_as_the_frame_count_by_lambda_beside_it():
    """n = 3: each neighbour half of what the frame itself counts (DreamPose3D: 1 / (1 + |k|))."""
    clean = torch.zeros(2, 5, 17, 3)
    off = torch.randn(2, 5, 17, 3, generator=torch.Generator().manual_seed(0))
    parts = losses(
        prediction(off, neighbours=torch.stack([off, off], 2)), clean, None, 0.25,
        neighbours=torch.zeros(2, 5, 2, 17, 3),
    )  # fmt: skip
    assert float(parts["hallucination"]) == pytest.approx(2 * 0.5 * float(parts["position"]), rel=1e-5)


def test_all_neighbours_outside_cost_nothing():
    clean = torch.zeros(1, 1, 17, 3)
    truth = torch.full((1, 1, 2, 17, 3), torch.nan)
    parts = losses(prediction(clean, neighbours=torch.ones(1, 1, 2, 17, 3)), clean, None, 0.5, neighbours=truth)
    assert float(parts["hallucination"]) == 0


def test_bone_lengths_of_a_known_pose():
    pose = torch.zeros(17, 3)
    pose[3] = torch.tensor([0.0, 3.0, 4.0])
    lengths = bone_lengths(pose)
    assert lengths.shape == (16,) and float(lengths.sum()) == 5
