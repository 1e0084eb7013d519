"""The samplers recover what an analytic denoiser knows, and aggregation picks by what the camera sees."""
# H hypotheses, B batch, T frames, J joints

import math

import numpy as np
import pytest
import torch

from dp3d_core.model.sampler import aggregate_jpma, aggregate_mean, ddim, hypotheses

MEAN, STD = 0.7, 0.4


def gaussian_denoiser(noisy, level):
    """E[x0 | y] for x0 ~ N(MEAN, STD^2) and y = (1 - s) x0 + s e."""
    s = level[..., None, None]
    gain = (1 - s) * STD**2 / ((1 - s) ** 2 * STD**2 + s**2)
    return MEAN + gain * (noisy - (1 - s) * MEAN)


def hand_computed_gain(steps):
    """What K steps make of unit noise around the mean, by the recursion written out for one number."""
    value = 1.0
    for index in range(steps):
        s, t = 1 - index / steps, 1 - (index + 1) / steps
        clean = (1 - s) * STD**2 / ((1 - s) ** 2 * STD**2 + s**2) * value
        value = (1 - t) * clean + t * (value - (1 - s) * clean) / s
    return value


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_ddim_recovers_the_analytic_map_of_gaussian_data(steps):
    noise = torch.randn(3, 5, 17, 3, generator=torch.Generator().manual_seed(0))
    out = ddim(gaussian_denoiser, noise, steps)
    torch.testing.assert_close(out, MEAN + hand_computed_gain(steps) * noise, atol=1e-5, rtol=1e-5)


def test_gains_of_one_two_steps_are_the_closed_forms():
    assert hand_computed_gain(1) == 0
    assert hand_computed_gain(2) == pytest.approx(STD**2 / (STD**2 + 1))


def test_more_steps_approach_the_data_distribution():
    gains = [hand_computed_gain(steps) for steps in (1, 2, 4, 16, 256)]
    assert gains == sorted(gains) and gains[-1] == pytest.approx(STD, rel=0.02)
    noise = torch.randn(2000, 1, 17, 3, generator=torch.Generator().manual_seed(0))
    out = ddim(gaussian_denoiser, noise, 64)
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.01) and float(out.std()) == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_zero_noise_gives_the_mean_and_a_sure_denoiser_its_answer(steps):
    zero = torch.zeros(2, 3, 17, 3)
    torch.testing.assert_close(ddim(gaussian_denoiser, zero, steps), torch.full_like(zero, MEAN))
    truth = torch.randn(2, 3, 17, 3)
    torch.testing.assert_close(ddim(lambda noisy, level: truth, torch.randn(2, 3, 17, 3), steps), truth)


def test_levels_fall_evenly_from_all_noise():
    levels = []
    ddim(lambda noisy, level: levels.append(level) or noisy, torch.zeros(2, 3, 17, 3), 4)
    assert [tuple(level.shape) for level in levels] == [(2, 3)] * 4
    np.testing.assert_allclose([float(level[0, 0]) for level in levels], [1, 0.75, 0.5, 0.25])


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_refused(steps):
    with pytest.raises(ValueError, match="steps: expected at least 1"):
        ddim(gaussian_denoiser, torch.zeros(1, 1, 17, 3), steps)


def test_hypotheses_are_the_samples_of_their_noises():
    noise = torch.randn(5, 2, 6, 17, 3, generator=torch.Generator().manual_seed(0))
    out = hypotheses(gaussian_denoiser, noise, 4)
    torch.testing.assert_close(out, MEAN + hand_computed_gain(4) * noise, atol=1e-5, rtol=1e-5)


def two_hypotheses():
    """(2, 1, 2, 3): joint 0 is right in the first hypothesis, joint 1 in the second; rays of the truth."""
    truth = np.array([[[0.2, 0.1, 4.0], [-0.3, 0.4, 5.0]]])
    wrong = truth + np.array([0.5, 0, 0])
    poses = np.stack([truth, truth])
    poses[0, :, 1], poses[1, :, 0] = wrong[:, 1], wrong[:, 0]
    return poses, truth, truth[..., :2] / truth[..., 2:]


def test_jpma_takes_each_joint_from_the_hypothesis_that_reprojects_best():
    poses, truth, rays = two_hypotheses()
    np.testing.assert_allclose(aggregate_jpma(poses, rays, np.ones((1, 2))), truth)


def test_soft_jpma_lies_between_the_best_and_the_mean():
    poses, truth, rays = two_hypotheses()
    mean = aggregate_mean(poses)
    np.testing.assert_allclose(aggregate_jpma(poses, rays, np.ones((1, 2)), softness=1e-4), truth, atol=1e-9)
    np.testing.assert_allclose(aggregate_jpma(poses, rays, np.ones((1, 2)), softness=1e6), mean, atol=1e-6)
    weight = math.exp(-np.linalg.norm([0.5 / 4, 0]) / 0.1)
    soft = aggregate_jpma(poses, rays, np.ones((1, 2)), softness=0.1)
    np.testing.assert_allclose(soft[0, 0], (truth[0, 0] + weight * poses[1, 0, 0]) / (1 + weight))


def test_jpma_of_unseen_joints_is_the_mean_and_of_equals_is_theirs():
    poses, truth, rays = two_hypotheses()
    out = aggregate_jpma(poses, np.where([[[True], [False]]], rays, 0), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(out[0, 0], truth[0, 0])
    np.testing.assert_allclose(out[0, 1], aggregate_mean(poses)[0, 1])
    np.testing.assert_allclose(aggregate_jpma(np.stack([truth, truth]), rays, np.ones((1, 2))), truth)


def test_jpma_of_people_behind_the_camera_is_finite():
    poses, _, rays = two_hypotheses()
    poses[..., 2] -= 10
    assert np.isfinite(aggregate_jpma(poses, rays, np.ones((1, 2)))).all()
