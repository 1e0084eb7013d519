"""The denoiser: exact where it says so, deaf where it must be, and its parts reach what they name."""

import math
from dataclasses import replace

import pytest
import torch

from dp3d_core.config import DenoiserConfig
from dp3d_core.model import motion_weights
from dp3d_core.model.hypotheses import estimate, ray_weights, sample
from dp3d_core.model.motion_denoiser import Context, MotionDenoiser
from dp3d_core.model.rolling import RollingMotions

CONFIG = DenoiserConfig(width=16, layers=1, heads=2, condition_width=16, feature_width=8, prompt_width=8, actions=3)
FRAMES = 10


def make(config=CONFIG, trained=False, seed=0):
    torch.manual_seed(seed)
    denoiser = MotionDenoiser(config).eval().requires_grad_(False)
    factor = torch.eye(51)
    factor[:3] = 0
    denoiser.joint_factor.copy_(factor)
    denoiser.spread.fill_(1.5)
    if trained:
        denoiser.head.weight.normal_(std=0.3)
        if denoiser.prompts is not None:
            denoiser.prompts.out.weight.normal_(std=0.5)
    return denoiser


def told(batch=2, frames=FRAMES, config=CONFIG, seed=1):
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(batch, frames, *shape, generator=generator)  # noqa: E731
    pose = normal(17, 3)
    pose[:, :, 0] = 0
    return Context(
        (torch.arange(frames) / 30).expand(batch, -1),
        pose,
        pose,
        normal(17, 3).abs() + 0.1,
        normal(17, 4),
        normal(config.feature_width),
        torch.softmax(normal(config.actions), -1),
    )


def test_an_untrained_network_is_the_exact_gaussian_posterior():
    denoiser, context, noisy = make(), told(), torch.randn(2, FRAMES, 17, 3)
    answer = denoiser(noisy, torch.full((2, 1), 0.8), context)
    moving = torch.ones(17, 1)
    moving[0] = 0
    torch.testing.assert_close(answer.clean, math.cos(0.8) * noisy * moving)
    assert (answer.raw == 0).all()


def test_at_low_noise_it_changes_little_whatever_it_has_learned():
    denoiser, context, noisy = make(trained=True), told(), torch.randn(2, FRAMES, 17, 3)
    noisy[:, :, 0] = 0
    answer = denoiser(noisy, torch.full((2, 1), 1e-4), context)
    torch.testing.assert_close(answer.clean, noisy, atol=1e-2, rtol=0)


def test_at_all_noise_the_noise_is_not_read():
    denoiser, context, angle = make(trained=True), told(), torch.full((2, 1), math.pi / 2)
    answers = [denoiser(torch.randn(2, FRAMES, 17, 3), angle, context).clean for _ in range(2)]
    assert answers[0].abs().max() > 0.01
    torch.testing.assert_close(*answers, atol=1e-5, rtol=0)


def test_pose_and_residual_are_inverse_and_the_root_stays():
    denoiser, context = make(), told()
    pose = torch.randn(2, FRAMES, 17, 3)
    pose[:, :, 0] = 0
    torch.testing.assert_close(denoiser.pose(denoiser.residual(pose, context), context), pose, atol=1e-5, rtol=0)
    assert (sample(denoiser, context, hypotheses=3, steps=2, generator=torch.Generator())[:, :, :, 0] == 0).all()


def test_part_prompts_reach_the_joints_that_they_name_and_no_others():
    denoiser = make(trained=True)
    joints = torch.randn(1, 2, 17, 16)
    before = denoiser.prompts(joints)
    arms = list(range(17))[11:17]
    denoiser.prompts.modifiers[4] += 1.0  # "arms"
    changed = (denoiser.prompts(joints) - before).abs().sum((0, 1, 3)) > 1e-6
    assert changed.nonzero().flatten().tolist() == arms


def test_the_action_distribution_changes_the_answer():
    denoiser, context, noisy = make(trained=True), told(), torch.randn(2, FRAMES, 17, 3)
    other = context._replace(action_probability=context.action_probability.flip(-1))
    angle = torch.full((2, 1), 1.0)
    assert not torch.equal(denoiser(noisy, angle, context).clean, denoiser(noisy, angle, other).clean)


def test_an_estimate_is_the_first_sample_and_samples_of_one_step_are_refused():
    denoiser, context = make(trained=True), told()
    one = sample(denoiser, context, hypotheses=1, steps=1, generator=torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(one, estimate(denoiser, context), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="at least 2 for 4 hypotheses, got 1"):
        sample(denoiser, context, hypotheses=4, steps=1, generator=torch.Generator())


def test_samples_in_chunks_are_the_samples(monkeypatch):
    denoiser, context = make(trained=True), told()
    whole = sample(denoiser, context, hypotheses=5, steps=2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("dp3d_core.model.hypotheses.MOST_TOKENS", 2 * 2 * FRAMES * 17)
    parts = sample(denoiser, context, hypotheses=5, steps=2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)


def test_a_motion_that_meets_its_rays_outweighs_one_that_does_not():
    motions = torch.zeros(2, 4, 17, 3)
    motions[1, :, 3, 0] = 0.2
    root = torch.tensor([0.0, 0.0, 4.0]).expand(2, 4, 1, 3)
    weights = ray_weights(motions, root, torch.zeros(4, 17, 2), torch.ones(4, 17), torch.full((4, 17), 0.05))
    assert weights.sum().item() == pytest.approx(1) and weights[0] > 0.7


def roll(lookahead, steps, hypotheses, frames=14):
    context = told(batch=1, frames=frames)
    context = context._replace(centre=0 * context.centre, sigma=torch.ones_like(context.sigma))
    rolling = RollingMotions(make(), hypotheses=hypotheses, steps=steps, lookahead=lookahead, past=4)
    answers = [
        rolling.push(context.crop(slice(max(0, newest + 1 - rolling.rows), newest + 1))) for newest in range(frames)
    ]
    assert [answer is None for answer in answers] == [frame < lookahead for frame in range(frames)]
    return torch.stack(answers[lookahead:], 1) / 1.5


@pytest.mark.parametrize(("lookahead", "steps"), [(0, 3), (1, 4)])
def test_rolling_hypotheses_are_motions_of_the_models_own_spread_and_smoothness(lookahead, steps):
    motions = roll(lookahead, steps, 24)[:, :, 1:]
    assert motions[:, 4:].std().item() == pytest.approx(1, abs=0.35)
    step = motions.diff(dim=1)[:, 4:].std().item()
    assert step < 0.3 * motions.std().item()  # white noise would make it 1.4
    assert motions[:, -1].std(0).mean().item() > 0.5  # hypotheses stay apart


def test_a_stream_of_one_hypothesis_and_step_answers_the_mean():
    assert roll(0, 1, 1).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 3, "lookahead": 1}, "multiple of lookahead"), ({"steps": 0}, "multiple of lookahead"),
        ({"steps": 1, "hypotheses": 2}, "at least 2 for 2"), ({"steps": 2, "hypotheses": 0}, "at least 1 and 0"),
        ({"steps": 64, "lookahead": 63}, "less than the 31 frames"),
    ],
)  # fmt: skip
def test_what_a_denoiser_cannot_serve_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RollingMotions(make(), **{"hypotheses": 1, **options})


def test_a_prior_is_refused_in_a_stream_and_generates_without_context():
    prior = make(replace(CONFIG, feature_width=0, part_prompts=False))
    with pytest.raises(ValueError, match="got a prior"):
        RollingMotions(prior, hypotheses=1, steps=1)
    context = prior.blind_context((torch.arange(FRAMES) / 30)[None])
    assert sample(prior, context, hypotheses=3, steps=4, generator=torch.Generator()).shape == (3, 1, FRAMES, 17, 3)


def test_weights_survive_the_disk_in_half_precision(tmp_path):
    denoiser = make(trained=True)
    motion_weights.save(tmp_path / "w.safetensors", denoiser=denoiser, provenance={"steps": 3})
    found = motion_weights.load(tmp_path / "w.safetensors")
    assert found.prior is None and found.provenance == {"steps": 3} and found.denoiser.config == CONFIG
    for name, value in denoiser.state_dict().items():
        torch.testing.assert_close(found.denoiser.state_dict()[name], value, atol=2e-3, rtol=2e-3)


def test_files_that_are_none_of_its_weights_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="not a safetensors file"):
        motion_weights.load(path)
    denoiser = make()
    denoiser.head.bias.fill_(torch.nan)
    motion_weights.save(path, denoiser=denoiser)
    with pytest.raises(ValueError, match="not finite"):
        motion_weights.load(path)
