"""The Gaussian model: noise has the covariance it claims, the posterior is the textbook's, statistics are recovered."""

import math

import pytest
import torch

from dp3d_core.model.gaussian import SCALES_S, WHITE_SHARE, coloured, continued, fit_statistics, kernel, posterior

STAMPS = torch.cumsum(torch.full((1, 12), 1 / 30), 1)


def share(white=0.01):
    parts = torch.tensor([0.0, 0.6, 0.0, 0.4, 0.0, 0.0]) * (1 - white)
    parts[-1] = white
    return parts


def draw(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.linalg.cholesky(0.5 * torch.eye(51) + 0.5)
    return coloured(torch.randn(count, 12, 17, 3, generator=generator), STAMPS.expand(count, -1), share(), factor)


def test_noise_has_the_covariance_of_its_kernel_and_joints():
    noise = draw(4000)
    over_time = torch.einsum("btjc,bsjc->ts", noise, noise) / noise[:, 0].numel()
    torch.testing.assert_close(over_time, kernel(STAMPS, share())[0], atol=0.06, rtol=0)
    flat = noise.flatten(2).flatten(0, 1)
    assert (flat.T @ flat / len(flat))[0, 1:].mean().item() == pytest.approx(0.5, abs=0.05)


def test_a_prefix_of_the_white_noise_gives_a_prefix_of_the_noise():
    white = torch.randn(2, 12, 17, 3)
    stamps = STAMPS.expand(2, -1)
    whole = coloured(white, stamps, share(), torch.eye(51))
    torch.testing.assert_close(coloured(white[:, :7], stamps[:, :7], share(), torch.eye(51)), whole[:, :7])


@pytest.mark.parametrize("known", [0, 7])
def test_noise_goes_on_as_if_it_had_been_drawn_at_once(known):
    white, factor = torch.randn(2, 12, 17, 3), torch.linalg.cholesky(0.5 * torch.eye(51) + 0.5)
    stamps = STAMPS.expand(2, -1)
    whole = coloured(white, stamps, share(), factor)
    more = continued(whole[:, :known], white[:, known:], stamps, share(), factor)
    torch.testing.assert_close(more, whole[:, known:], atol=1e-3, rtol=0)


def test_one_angle_is_plain_shrinkage_and_agrees_with_the_general_solution():
    noisy, angle = draw(2), torch.tensor([[0.3], [1.1]])
    covariance = kernel(STAMPS.expand(2, -1), share())
    mean, std = posterior(noisy, angle, lambda: covariance)
    torch.testing.assert_close(mean, torch.cos(angle)[..., None, None] * noisy)
    general, general_std = posterior(noisy, angle.expand(-1, 12), lambda: covariance)
    torch.testing.assert_close(mean, general, atol=2e-3, rtol=0)
    torch.testing.assert_close(std, general_std, atol=2e-3, rtol=0)


def test_with_independent_noise_it_is_the_textbook_posterior():
    noisy, covariance = draw(1), kernel(STAMPS, share())
    white = torch.rand(1, 12, 17, 3) + 0.1
    mean, std = posterior(noisy, torch.zeros(1, 1), lambda: covariance, white)
    system = covariance[0] + torch.diag(white[0, :, 5, 1])
    gain = covariance[0] @ torch.linalg.inv(system)
    torch.testing.assert_close(mean[0, :, 5, 1], gain @ noisy[0, :, 5, 1], atol=1e-4, rtol=0)
    expected = (1 - (gain * covariance[0]).sum(1)).sqrt()
    torch.testing.assert_close(std[0, :, 5, 1], expected, atol=1e-4, rtol=0)


def test_known_frames_fix_their_own_residual_and_inform_their_neighbours():
    noisy, covariance = draw(1), kernel(STAMPS, share(WHITE_SHARE))
    angle = torch.full((1, 12), math.pi / 2)
    angle[:, :6] = 0
    mean, std = posterior(noisy, angle, lambda: covariance)
    torch.testing.assert_close(mean[:, :6], noisy[:, :6], atol=1e-3, rtol=0)
    assert (std[:, :6] < 0.02).all() and (std[0, 6:, 0, 0].diff() > 0).all()


def test_statistics_of_drawn_residuals_are_recovered():
    residual = draw(600) * 3.0
    residual[:, :, 0] = 0
    spread, factor, found = fit_statistics(residual, STAMPS.expand(600, -1))
    torch.testing.assert_close(spread[1:], torch.full((16, 3), 3.0), atol=0.2, rtol=0)
    assert found.sum().item() == pytest.approx(1) and found[-1].item() == pytest.approx(WHITE_SHARE)
    assert (factor[:3] == 0).all() and len(found) == len(SCALES_S) + 1
    torch.testing.assert_close(kernel(STAMPS, found)[0, 0], kernel(STAMPS, share())[0, 0], atol=0.1, rtol=0)
