"""The few-step samplers recover what analytic denoisers know."""

import math

import pytest
import torch

from dp3d_core.model.flow import angle_ladder, gaussian_flow, trig_ddim, turned

MEAN = 0.7


def of_gaussian(variance):
    """E[r | y] for r ~ N(MEAN, variance)."""

    def denoise(noisy, angle):
        cos, sin = math.cos(angle), math.sin(angle)
        return MEAN + variance * cos / (variance * cos**2 + sin**2) * (noisy - cos * MEAN)

    return denoise


def noise(count=400, seed=0):
    return torch.randn(count, 2, 17, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [2, 3, 4, 8])
def test_samples_of_a_gaussian_of_unit_variance_have_its_mean_and_the_last_angles_share_of_its_spread(steps):
    drawn = noise()
    out = gaussian_flow(of_gaussian(1.0), drawn, steps)
    torch.testing.assert_close(out, MEAN + math.cos(angle_ladder(steps)[-1]) * drawn, atol=1e-5, rtol=1e-5)


def test_one_step_is_the_conditional_mean_whatever_the_noise():
    torch.testing.assert_close(gaussian_flow(of_gaussian(1.0), noise(3), 1), torch.full((3, 2, 17, 3), MEAN))


@pytest.mark.parametrize("variance", [0.25, 0.5, 2.0])
def test_many_steps_recover_the_spread_of_any_gaussian(variance):
    for sampler in (gaussian_flow, trig_ddim):
        out = sampler(of_gaussian(variance), noise(), 64)
        assert out.mean().item() == pytest.approx(MEAN, abs=0.02)
        assert out.std().item() == pytest.approx(math.sqrt(variance), rel=0.05)


@pytest.mark.parametrize("variance", [0.5, 1.0, 2.0])
def test_in_four_steps_the_spread_is_nearer_than_ddims(variance):
    wanted = math.sqrt(variance)
    spread = {
        sampler: sampler(of_gaussian(variance), noise(), 4).std().item() for sampler in (gaussian_flow, trig_ddim)
    }
    assert abs(spread[gaussian_flow] - wanted) < abs(spread[trig_ddim] - wanted)


def test_two_modes_are_both_found_and_nothing_between_them():
    def denoise(noisy, angle):
        cos, sin = math.cos(angle), math.sin(angle)
        total = 0.01 * cos**2 + sin**2
        weight = torch.softmax(torch.stack([-((noisy - cos * mode) ** 2) / 2 / total for mode in (-1, 1)]), 0)
        means = [mode + 0.01 * cos / total * (noisy - cos * mode) for mode in (-1, 1)]
        return weight[0] * means[0] + weight[1] * means[1]

    out = gaussian_flow(denoise, noise(), 16)
    assert (out > 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (out.abs() - 1).abs().mean().item() < 0.2


@pytest.mark.parametrize("variance", [0.1, 1.0, 3.0])
def test_a_turn_with_the_true_std_is_exact_for_any_gaussian(variance):
    angle, following = torch.tensor(1.2), torch.tensor(0.4)
    noisy = noise(50)
    total = variance * torch.cos(angle) ** 2 + torch.sin(angle) ** 2
    std = (variance * torch.sin(angle) ** 2 / total).sqrt()
    moved = turned(noisy, of_gaussian(variance)(noisy, 1.2), std, angle, following)
    after = variance * torch.cos(following) ** 2 + torch.sin(following) ** 2
    wanted = torch.cos(following) * MEAN + (after / total).sqrt() * (noisy - torch.cos(angle) * MEAN)
    torch.testing.assert_close(moved, wanted, atol=1e-4, rtol=1e-4)


def test_no_steps_are_refused():
    for sampler in (gaussian_flow, trig_ddim):
        with pytest.raises(ValueError, match="at least 1, got 0"):
            sampler(of_gaussian(1.0), noise(1), 0)
