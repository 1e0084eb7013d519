"""The denoiser's parts do what their papers say: masks, prompts, affinity, hallucination, time in seconds."""
# B batch, N rows, J = 17 joints

import pytest
import torch
from helpers import by_joint_config, random_denoiser, random_seen, tiny_config

from dp3d_core.config import PRESETS, ModelConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model import Denoiser
from dp3d_core.model.attention import ROTARY_PERIOD_S, Affinity, attend, kinship, rotary_frequencies, rotate
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.prompts import POOL_TIMES_S, pool_causal, pool_step
from dp3d_core.skeleton import PARENTS

BOTH = pytest.mark.parametrize("config", [tiny_config(), by_joint_config()], ids=["frame tokens", "joint tokens"])


def some(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def question(batch=2, rows=8, window=6, seed=0):
    """Arguments of `Denoiser.forward` for causal rows at irregular stamps."""
    generator = torch.Generator().manual_seed(seed)
    stamps_s = torch.cumsum(0.01 + 0.08 * torch.rand(batch, rows, generator=generator), 1)
    noisy = 0.5 * some(batch, rows, 17, 3, seed=seed + 1)
    return [noisy, random_seen(batch, rows, seed), torch.rand(batch, rows, generator=generator), stamps_s,
            causal_mask(rows, window)[None]]  # fmt: skip


@BOTH
@torch.no_grad()
def test_shapes_root_at_origin_and_variance_in_range(config):
    out = random_denoiser(config)(*question())
    assert out.clean.shape == (2, 8, 17, 3) and out.log_variance.shape == (2, 8, 17)
    assert out.action_logits.shape == (2, 8, len(ACTIONS))
    assert (out.clean[:, :, 0] == 0).all()
    assert out.log_variance.min() >= -9 and out.log_variance.max() <= 3


@BOTH
@torch.no_grad()
def test_rows_see_their_window_and_nothing_of_the_future(config):
    denoiser = random_denoiser(config)
    arguments = question()
    before = denoiser(*arguments).clean
    changed = [argument.clone() for argument in arguments]
    changed[0][:, 5:] += 1
    changed[1][:, 5:, :, :2] += 1
    changed[3][:, 5:] += 0.2
    after = denoiser(*changed).clean
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert ((after - before)[:, 5:].abs().amax((2, 3)) > 1e-3).all()
    # and the past within reach does matter, beyond what the action pooling says
    changed = [argument.clone() for argument in arguments]
    changed[0][:, 2] += 1
    moved = (denoiser(*changed).clean - before).abs().amax((0, 2, 3))
    assert (moved[:2] == 0).all() and (moved[2:8] > 1e-4).all()


@torch.no_grad()
def test_one_block_forgets_what_leaves_the_window():
    denoiser = random_denoiser(tiny_config(frame_layers=1, window_frames=3))
    arguments = question(window=3)
    before = denoiser(*arguments).clean
    arguments[0][:, 2] += 1
    moved = (denoiser(*arguments).clean - before).abs().amax((0, 2, 3))
    assert (moved[2:5] > 1e-4).all() and (moved[5:] == 0).all()


@BOTH
@torch.no_grad()
def test_two_sequences_in_one_batch_equal_each_alone(config):
    denoiser = random_denoiser(config)
    both = question(batch=2)
    together = denoiser(*both)
    for index in range(2):
        alone = denoiser(*(a if a.shape[0] == 1 else a[index : index + 1] for a in both))
        for left, right in zip(together[:3], alone[:3]):
            torch.testing.assert_close(left[index], right[0], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_only_time_differences_matter():
    """Rotary positions in seconds: a sequence an hour later, modulo the period, is the same sequence."""
    denoiser = random_denoiser()
    arguments = question()
    before = denoiser(*arguments)
    for shift_s in (5.0, ROTARY_PERIOD_S):
        later = [*arguments[:3], arguments[3] + shift_s, arguments[4]]
        torch.testing.assert_close(denoiser(*later).clean, before.clean, atol=2e-3, rtol=1e-3)
    faster = [*arguments[:3], arguments[3] / 2, arguments[4]]
    assert (denoiser(*faster).clean - before.clean).abs().max() > 1e-2


@pytest.mark.parametrize("count", [1, 4, 16, 32])
def test_rotary_frequencies_repeat_after_the_period(count):
    frequencies = rotary_frequencies(count)
    multiples = frequencies * ROTARY_PERIOD_S
    torch.testing.assert_close(multiples, multiples.round())
    assert len(set(multiples.tolist())) == count and (frequencies > 0).all() and frequencies.max() <= 8 + 1e-6


def test_rotation_keeps_lengths_and_scores_depend_on_the_difference():
    q, k = some(1, 1, 1, 16), some(1, 1, 1, 16, seed=1)
    at = lambda x, t: rotate(x, *(f(torch.full((1, 1, 1, 1, 4), t)) for f in (torch.cos, torch.sin)), 2)  # noqa: E731
    torch.testing.assert_close(at(q, 0.7).norm(), q.norm())
    score = lambda a, b: (at(q, a).unflatten(-1, (2, 8)) * at(k, b).unflatten(-1, (2, 8))).sum(-1)  # noqa: E731
    torch.testing.assert_close(score(0.3, 1.0), score(2.3, 3.0), atol=1e-5, rtol=1e-5)


def test_attention_equals_pytorchs():
    q, k, v = some(2, 5, 16), some(2, 7, 16, seed=1), some(2, 7, 16, seed=2)
    mask = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(3)) > 0.4
    mask[..., 0] = True
    heads = lambda x: x.unflatten(-1, (4, 4)).transpose(1, 2)  # noqa: E731
    expected = torch.nn.functional.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=mask)
    out = attend(q, k, v, torch.where(mask, 0.0, -1e4), 4)
    torch.testing.assert_close(out, expected.transpose(1, 2).flatten(-2), atol=1e-5, rtol=1e-4)


def test_a_row_without_any_key_is_finite():
    out = attend(some(1, 2, 16), some(1, 3, 16), some(1, 3, 16), torch.full((1, 1, 2, 3), -1e4), 4)
    assert torch.isfinite(out).all()


def test_affinity_is_symmetric_after_any_learning():
    affinity = Affinity(8, 2)
    with torch.no_grad():
        affinity.learned += some(17, 17)
        affinity.head_gain += 1.0
    matrix = affinity.matrix()
    torch.testing.assert_close(matrix, matrix.T)
    _, bias = affinity(some(2, 3, 17, 8))
    torch.testing.assert_close(bias, bias.transpose(-1, -2))


def test_kinship_is_the_row_normalised_tree():
    tree = kinship()
    torch.testing.assert_close(tree.sum(1), torch.ones(17))
    for joint in range(17):
        linked = {joint, PARENTS[joint], *(c for c in range(17) if PARENTS[c] == joint)} - {-1}
        assert set(tree[joint].nonzero()[:, 0].tolist()) == linked


def test_affinity_mixes_by_its_matrix_with_own_weights_on_the_diagonal():
    affinity = Affinity(4, 2)
    with torch.no_grad():
        affinity.own.weight.copy_(2 * torch.eye(4))
        affinity.others.weight.copy_(3 * torch.eye(4))
    tokens = some(17, 4)
    matrix = affinity.matrix()
    rest = matrix - torch.diag(matrix.diagonal())
    torch.testing.assert_close(affinity(tokens)[0], 2 * matrix.diagonal()[:, None] * tokens + 3 * rest @ tokens)


def test_pooling_step_by_step_equals_pooling_at_once():
    features, stamps_s = some(2, 20, 5), torch.cumsum(torch.rand(2, 20), 1)
    present = (torch.rand(2, 20) > 0.3).float()
    at_once = pool_causal(features, stamps_s, present)
    state = torch.zeros(2, len(POOL_TIMES_S), 6)
    for frame in range(20):
        dt_s = stamps_s[:, frame] - stamps_s[:, max(frame - 1, 0)]
        decay = torch.exp(-dt_s[:, None] / torch.tensor(POOL_TIMES_S))
        pooled, state = pool_step(features[:, frame], present[:, frame], state, decay)
        torch.testing.assert_close(pooled, at_once[:, frame], atol=1e-5, rtol=1e-4)


def test_pooling_before_anything_is_seen_is_zero():
    assert (pool_causal(some(1, 3, 5), torch.arange(3.0)[None], torch.zeros(1, 3)) == 0).all()


@BOTH
def test_modifiers_and_residual_prompts_receive_gradients(config):
    denoiser = random_denoiser(config)
    denoiser(*question()).clean.square().sum().backward()
    gradient = denoiser.prompts.modifier.grad
    assert (gradient.abs().sum(1) > 0).all()  # each of the part and action prompts
    assert denoiser.prompts.residual.weight.grad.abs().sum() > 0
    assert denoiser.action_encoder.embed[0].weight.grad.abs().sum() > 0


@torch.no_grad()
def test_each_sample_is_paired_with_its_own_prompt():
    """Another action for one sample of the batch changes that sample and no other."""
    denoiser = random_denoiser()
    arguments = question(batch=3)
    oracle = torch.full((3, len(ACTIONS)), 1 / len(ACTIONS))
    before = denoiser(*arguments, action_probability=oracle).clean
    oracle[1] = torch.nn.functional.one_hot(torch.tensor(2), len(ACTIONS)).float()
    after = denoiser(*arguments, action_probability=oracle).clean
    moved = (after - before).abs().amax((1, 2, 3))
    assert moved[1] > 1e-3 and moved[0] < 1e-6 and moved[2] < 1e-6
    keys, _, _ = denoiser.prompts.read(some(3, 1, 128), oracle[:, None])
    mixture = keys[:, 0, denoiser.prompts.parts]
    bank = denoiser.prompts.norm(denoiser.prompts.baked + denoiser.prompts.modifier)[denoiser.prompts.parts :]
    torch.testing.assert_close(mixture[1], denoiser.prompts.key(bank[2]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixture[0], denoiser.prompts.key(bank.mean(0)), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("without", [None, "action_prompts", "part_prompts"])
def test_prompts_projected_once_are_what_each_frame_would_project(without):
    denoiser = random_denoiser(tiny_config(**({without: False} if without else {})))
    prompts, summary = denoiser.prompts, some(3, 5, 128)
    probability = torch.softmax(some(3, 5, len(ACTIONS)), -1)
    bank = prompts.norm(prompts.baked + prompts.modifier)
    tokens = [bank[: prompts.parts].expand(3, 5, -1, -1)]
    if prompts.actions:
        tokens += [(probability @ bank[prompts.parts :])[..., None, :], prompts.residual(summary)[..., None, :]]
    tokens = torch.cat(tokens, -2)
    keys, values, share = prompts.read(summary, probability)
    torch.testing.assert_close(keys, prompts.key(tokens), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(values, prompts.value(tokens), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(share, prompts.condition(tokens.mean(-2)), atol=1e-5, rtol=1e-5)


def test_noise_breaks_nothing_of_what_plain_passes_taught_and_is_learned_from_there():
    """A new network answers noise as it answers zeros, yet its weights for noise receive gradients."""
    denoiser = Denoiser(tiny_config(), len(ACTIONS)).eval()
    noisy, *others = question()
    answer = denoiser(noisy, *others).clean
    assert noisy.abs().max() > 0.1
    torch.testing.assert_close(answer, denoiser(0 * noisy, *others).clean, rtol=0, atol=0)
    answer.square().mean().backward()
    assert denoiser.embed.weight.grad[:, :3].abs().max() > 0


@torch.no_grad()
def test_oracle_label_changes_only_the_conditioning():
    denoiser = random_denoiser()
    arguments = question()
    free = denoiser(*arguments)
    one_hot = torch.nn.functional.one_hot(torch.tensor([1, 3]), len(ACTIONS)).float()
    told = denoiser(*arguments, action_probability=one_hot)
    torch.testing.assert_close(told.action_logits, free.action_logits, rtol=0, atol=0)
    assert (told.clean - free.clean).abs().max() > 1e-3
    # told what it believes anyway, it says the same
    one = question(rows=1)
    believed = denoiser(*one)
    again = denoiser(*one, action_probability=torch.softmax(believed.action_logits[:, 0], -1))
    torch.testing.assert_close(again.clean, believed.clean)


@torch.no_grad()
def test_action_is_read_from_the_2d_alone():
    denoiser = random_denoiser()
    arguments = question()
    before = denoiser(*arguments).action_logits
    arguments[0] = arguments[0] + 1
    arguments[2] = arguments[2] * 0.5
    torch.testing.assert_close(denoiser(*arguments).action_logits, before, rtol=0, atol=0)


@pytest.mark.parametrize("part", ["action_prompts", "part_prompts", "affinity", "log_variance"])
def test_every_part_can_be_left_out(part):
    denoiser = random_denoiser(tiny_config(**{part: False}))
    full = sum(p.numel() for p in random_denoiser().parameters())
    assert sum(p.numel() for p in denoiser.parameters()) < full
    out = denoiser(*question())
    assert torch.isfinite(out.clean).all() and (out.clean.abs() > 0).any()


def test_conditions_matter_once_film_has_learned():
    denoiser = random_denoiser()
    arguments = question()
    before = denoiser(*arguments).clean
    arguments[2] = 1 - arguments[2]
    assert (denoiser(*arguments).clean - before).abs().max() > 1e-3


def test_fresh_film_and_affinity_are_the_identity():
    torch.manual_seed(0)
    denoiser = Denoiser(tiny_config(), len(ACTIONS))
    block = denoiser.spatial[0]
    tokens = some(2, 3, 17, 16)
    torch.testing.assert_close(block.film(tokens, some(2, 3, 1, 16)), tokens)
    assert (block.affinity(tokens)[0] == 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_frames": 1}, "window_frames"), ({"temporal_token": "part"}, "temporal_token"),
        ({"heads": 3}, "heads"), ({"joint_heads": 5}, "joint_heads"), ({"hallucinated_frames": 2}, "odd"),
        ({"affinity": 1}, "expected bool"), ({"pose_scale_m": float("nan")}, "pose_scale_m"),
        ({"frame_width": 8.0}, "expected int"),
    ],
)  # fmt: skip
def test_impossible_models_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**changes)


def test_small_is_small():
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in Denoiser(c, len(ACTIONS)).parameters()) for name, c in PRESETS.items()}
    assert sizes["small"] <= 3.5e6 and sizes["base"] <= 12.5e6 and 40e6 < sizes["paper"] < 70e6
