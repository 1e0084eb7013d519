"""The detector-noise model does what its parameters say, at any frame rate."""

from dataclasses import replace

import pytest
import torch

from dp3d_core.data.noise import DetectorNoise, apply, on_off_chains, person_height_px

OFF = replace(DetectorNoise.none(), constant_confidence=False, confidence_logit=2.0)


def person(batch, frames, rate_hz=30.0, seed=0):
    """One still person 800 px tall, seen `batch` times: keypoints (B, T, 17, 2), stamps (B, T)."""
    pose = torch.randn(17, 2, generator=torch.Generator().manual_seed(seed))
    pose = pose * (800 / person_height_px(pose)) + 600
    return pose.expand(batch, frames, 17, 2).clone(), (torch.arange(frames) / rate_hz).expand(batch, frames).double()


def run(noise, batch=64, frames=48, rate_hz=30.0, seed=1, **options):
    exact, stamps_s = person(batch, frames, rate_hz)
    noisy, confidence = apply(exact, stamps_s, noise=noise, generator=torch.Generator().manual_seed(seed), **options)
    return (noisy - exact) / 800, confidence, noisy, exact


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_none_is_identity_with_confidence_one(dtype):
    exact, stamps_s = person(4, 9)
    exact = exact.to(dtype) * 1.2345
    noisy, confidence = apply(exact, stamps_s, noise=DetectorNoise.none(), generator=None)
    assert noisy.dtype == confidence.dtype == dtype
    assert torch.equal(noisy, exact)
    assert torch.equal(confidence, torch.ones_like(confidence))


def test_gaussian_has_its_std_and_no_memory():
    error, confidence, *_ = run(replace(DetectorNoise.none(), white_frac=0.01), batch=200)
    assert error.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs((error[:, 1:] * error[:, :-1]).mean().item()) < 0.02 * 0.01**2
    assert confidence.min() == 1


def test_bias_is_constant_in_time_and_has_its_std():
    error, *_ = run(replace(OFF, bias_frac=0.02), batch=400)
    assert error.std(1).max() < 1e-6
    assert error[:, 0].std().item() == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("rate_hz", [10.0, 60.0])
def test_drift_decorrelates_in_seconds_at_any_frame_rate(rate_hz):
    error, *_ = run(replace(OFF, drift_frac=0.01, drift_tau_s=0.5), batch=600, frames=64, rate_hz=rate_hz)
    lag = int(0.5 * rate_hz)
    correlation = (error[:, lag:] * error[:, :-lag]).mean() / error.square().mean()
    assert correlation.item() == pytest.approx(torch.tensor(-1.0).exp().item(), abs=0.03)
    assert error.std().item() == pytest.approx(0.01, rel=0.03)


def test_tails_are_heavier_and_the_variance_stays():
    plain, *_ = run(replace(OFF, white_frac=0.01), batch=300)
    heavy, *_ = run(replace(OFF, white_frac=0.01, tail_log_std=0.4), batch=300)
    assert heavy.std().item() == pytest.approx(plain.std().item(), rel=0.05)
    kurtosis = [((e / e.std()) ** 4).mean().item() - 3 for e in (plain, heavy)]
    assert abs(kurtosis[0]) < 0.1
    assert kurtosis[1] == pytest.approx(3 * (torch.tensor(4 * 0.4**2).exp().item() - 1), rel=0.3)


def test_moving_joints_err_more_along_their_motion():
    exact, stamps_s = person(200, 48)
    moving = exact + torch.stack((stamps_s * 400, stamps_s * 0), -1)[:, :, None].float()  # half a height a second
    noise = replace(OFF, motion_white_s=0.004, motion_along_s=0.01)
    noisy, _ = apply(moving, stamps_s, noise=noise, generator=torch.Generator().manual_seed(0))
    along, across = ((noisy - moving) / 800).std((0, 1, 2))
    assert across.item() == pytest.approx(0.5 * 0.004, rel=0.05)
    assert along.item() == pytest.approx(0.5 * (0.004**2 + 0.01**2) ** 0.5, rel=0.05)


@pytest.mark.parametrize("rate_hz", [10.0, 60.0])
def test_bursts_have_their_share_and_duration_at_any_frame_rate(rate_hz):
    frames, batch = 1200, 1500
    dt_s = torch.full((frames, batch), 1 / rate_hz)
    share, duration_s = torch.full((batch, 1), 0.2), torch.tensor([0.8])
    uniforms = torch.rand(frames, batch, 1, generator=torch.Generator().manual_seed(0))
    on = on_off_chains(dt_s, share, duration_s, uniforms)[..., 0]
    assert on.float().mean().item() == pytest.approx(0.2, abs=0.01)
    stays = (on[1:] & on[:-1]).sum() / on[:-1].sum()
    keep = torch.exp(torch.tensor(-1 / rate_hz / (0.8 * 0.8)))
    assert stays.item() == pytest.approx((keep + (1 - keep) * 0.2).item(), abs=0.01)
    if rate_hz == 60.0:
        assert (on.sum() / ((on[1:] & ~on[:-1]).sum() + on[0].sum())).item() / rate_hz == pytest.approx(0.8, rel=0.06)


def test_swap_exchanges_left_and_right_and_nothing_else():
    _, _, noisy, exact = run(replace(OFF, swap_share=0.2), batch=100)
    mirror = torch.tensor([0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13])
    same = (noisy == exact).all(-1)
    other = (noisy == exact[:, :, mirror]).all(-1)
    assert (same | other).all()
    assert 0.15 < 1 - same[..., 3].float().mean() < 0.45
    assert same[..., [0, 7, 8, 9, 10]].all()


def test_missing_is_zero_and_lasts_for_its_share():
    noise = replace(OFF, frame_missing_share=0.1, joint_missing_share=0.1)
    _, confidence, noisy, _ = run(noise, batch=600)
    missing = confidence == 0
    assert (noisy[missing] == 0).all()
    assert (noisy[~missing] != 0).any(-1).all()
    assert missing.all(-1).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert missing.float().mean().item() == pytest.approx(0.19, abs=0.01)


def test_joints_outside_the_image_are_missing_or_doubtful_guesses():
    visible = torch.ones(64, 48, 17, dtype=torch.bool)
    visible[..., 16] = False
    noise = replace(OFF, hallucination_share=0.4, hallucination_frac=0.06)
    error, confidence, *_ = run(noise, in_image=visible)
    guessed = confidence[..., 16] > 0
    assert guessed.float().mean().item() == pytest.approx(0.4, abs=0.06)
    assert confidence[..., 16].max() < confidence[..., :16].min()
    assert error[..., 16, :][guessed].std() > 10 * error[..., :16, :].std()


def test_not_finite_joints_are_missing():
    exact, stamps_s = person(8, 20)
    exact[:, 5, 3], exact[:, 6, 0] = float("nan"), float("inf")
    noisy, confidence = apply(exact, stamps_s, noise=DetectorNoise(), generator=torch.Generator().manual_seed(0))
    assert noisy.isfinite().all() and confidence.isfinite().all()
    assert (confidence[:, 5, 3] == 0).all() and (confidence[:, 6, 0] == 0).all()


def test_central_joints_share_the_errors_and_gaps_of_their_sides():
    noise = replace(OFF, white_frac=0.01, joint_missing_share=0.1, central_from_sides_probability=1.0)
    error, confidence, *_ = run(noise)
    seen = confidence[..., 0] > 0
    assert torch.equal(seen, (confidence[..., [1, 4]] > 0).all(-1))
    assert torch.allclose(error[..., 0, :][seen], error[..., [1, 4], :].mean(-2)[seen], atol=1e-5)


def test_confidence_falls_with_the_error_and_stays_between_0_and_1():
    error, confidence, *_ = run(DetectorNoise(), batch=400, seed=3)
    size, seen = error.norm(dim=-1), confidence > 0
    good, bad = confidence[seen & (size < 0.01)].mean(), confidence[seen & (size > 0.08)].mean()
    assert good > bad + 0.15
    assert confidence.min() >= 0 and confidence.max() <= 1


def test_noise_grows_with_the_person_and_not_with_the_place():
    exact, stamps_s = person(8, 20)
    noise = replace(DetectorNoise(), grid_probability=0.0)
    near, near_confidence = apply(exact, stamps_s, noise=noise, generator=torch.Generator().manual_seed(5))
    far, far_confidence = apply(exact / 4, stamps_s, noise=noise, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(near, far * 4, atol=1e-2)
    assert torch.allclose(near_confidence, far_confidence, atol=1e-4)


def test_grid_leaves_few_coordinates():
    _, _, noisy, _ = run(replace(OFF, white_frac=0.005, grid_frac=0.01, grid_probability=1.0))
    assert torch.allclose(noisy / 8, (noisy / 8).round(), atol=1e-2)


def test_same_generator_same_output():
    first, second, third = (run(DetectorNoise(), seed=s) for s in (1, 1, 2))
    assert torch.equal(first[2], second[2]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[2], third[2])


@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (2, 2), (3, 64)])
def test_any_length_and_repeated_or_distant_stamps_give_finite_numbers(batch, frames):
    exact, stamps_s = person(batch, frames)
    for stamps in (stamps_s, stamps_s * 0, stamps_s * 1e6):
        noisy, confidence = apply(exact * 0, stamps, noise=DetectorNoise(), generator=torch.Generator().manual_seed(0))
        assert noisy.isfinite().all() and confidence.isfinite().all()
        assert noisy.shape == (batch, frames, 17, 2) and confidence.shape == (batch, frames, 17)


def test_wrong_shapes_and_stamps_are_refused():
    exact, stamps_s = person(2, 5)
    for arguments, options, words in (
        ((exact[..., :16, :], stamps_s), {}, "keypoints_px: expected"),
        ((exact, stamps_s[0]), {}, "stamps_s: expected"),
        ((exact, stamps_s.flip(1)), {}, "never decrease"),
        ((exact, stamps_s * float("nan")), {}, "never decrease"),
        ((exact, stamps_s), {"in_image": torch.ones(2, 5, 17)}, "in_image: expected bool"),
    ):
        with pytest.raises(ValueError, match=words):
            apply(*arguments, noise=DetectorNoise(), generator=None, **options)


def test_bad_parameters_are_refused():
    for bad in ({"swap_share": 1.5}, {"drift_tau_s": 0.0}, {"bias_frac": -1.0}, {"joint_scale": (1.0,)},
                {"white_frac": float("nan")}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(bad))):
            DetectorNoise(**bad)
