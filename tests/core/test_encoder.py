"""The encoder: a stream answers as the whole sequence does, rows see what their mask says, up is felt once learned."""

import pytest
import torch
from helpers import tiny_config

from dp3d_core.model.attention import ROTARY_PERIOD_S
from dp3d_core.model.diffusion import causal_mask, rolling_layout
from dp3d_core.model.encoder import Encoder
from dp3d_core.model.prompts import POOL_TIMES_S


def random_encoder(**changes):
    torch.manual_seed(0)
    encoder = Encoder(tiny_config(**changes), 14).eval()
    with torch.no_grad():
        for value in encoder.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return encoder.requires_grad_(False)


def sight(frames, people=2):
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(people, frames, 17, 4, generator=generator)
    seen[..., 2] = torch.rand(people, frames, 17, generator=generator)
    up = torch.randn(people, frames, 4, generator=generator)
    stamps_s = torch.cumsum(0.01 + 0.1 * torch.rand(people, frames, generator=generator), 1)
    return seen, up, stamps_s


@pytest.mark.parametrize("token", ["frame", "joint"])
@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_stream_answers_as_the_whole_sequence_does(token, lookahead):
    encoder = random_encoder(temporal_token=token)
    window, frames = encoder.config.window_frames, encoder.config.window_frames + 6
    seen, up, stamps_s = sight(frames)
    newest = list(range(lookahead, frames))
    layout = rolling_layout(frames, window, lookahead, newest)
    whole = encoder(
        seen[:, layout.frame], up[:, layout.frame], stamps_s[:, layout.frame], layout.mask[None], layout.pool_row
    )
    context = encoder.empty_context(2, lookahead + 1)
    keys, values, pooled = [], [], context.pooled
    for frame in range(frames):
        first = max(0, frame - lookahead)
        rows = [first] * (lookahead + 1 - (frame + 1 - first)) + list(range(first, frame + 1))
        filled = torch.zeros_like(context.filled)
        past = min(len(keys), window - 1)
        filled[:, window - 1 - past : window - 1] = 1
        filled[:, -(frame + 1 - first) :] = 1
        k, v = context.keys.clone(), context.values.clone()
        if past:
            k[:, :, :, window - 1 - past :] = torch.stack(keys[-past:], 3)
            v[:, :, :, window - 1 - past :] = torch.stack(values[-past:], 3)
        dt_s = stamps_s[:, frame] - stamps_s[:, max(frame - 1, 0)]
        decay = torch.exp(-dt_s[:, None] / torch.tensor(POOL_TIMES_S))
        now = context._replace(keys=k, values=v, filled=filled, pooled=pooled)
        answer, key, value, pooled = encoder.step(
            seen[:, rows], up[:, rows], stamps_s[:, rows] % ROTARY_PERIOD_S, now, decay
        )
        keys.append(key), values.append(value)
        for left, right in zip(answer, whole):
            torch.testing.assert_close(left[:, -1], right[:, frame], atol=2e-4, rtol=1e-3)
        if lookahead and frame >= lookahead:
            oldest = frames + newest.index(frame) * lookahead
            torch.testing.assert_close(answer.pose[:, 0], whole.pose[:, oldest], atol=2e-4, rtol=1e-3)


def test_a_fresh_encoder_ignores_up_and_a_trained_one_does_not():
    seen, up, stamps_s = sight(5)
    mask = causal_mask(5, 4)[None]
    fresh = Encoder(tiny_config(), 14).eval()
    torch.testing.assert_close(fresh(seen, up, stamps_s, mask).pose, fresh(seen, 0 * up, stamps_s, mask).pose)
    trained = random_encoder()
    assert not torch.allclose(trained(seen, up, stamps_s, mask).pose, trained(seen, 0 * up, stamps_s, mask).pose)


def test_rows_see_what_their_mask_says():
    encoder = random_encoder()
    seen, up, stamps_s = sight(6)
    mask = causal_mask(6, 4)[None]
    before = encoder(seen, up, stamps_s, mask)
    seen[:, 5], up[:, 5] = 0.3, -0.2
    after = encoder(seen, up, stamps_s, mask)
    for left, right in zip(before, after):
        torch.testing.assert_close(left[:, :5], right[:, :5])
    assert not torch.allclose(before.pose[:, 5], after.pose[:, 5])


def test_shapes_and_the_root_at_the_origin():
    seen, up, stamps_s = sight(5)
    answer = random_encoder()(seen, up, stamps_s, causal_mask(5, 4)[None])
    assert answer.pose.shape == (2, 5, 17, 3) and not answer.pose[:, :, 0].any()
    assert answer.log_variance.shape == (2, 5, 17, 2) and answer.contacts.shape == (2, 5, 2)
    assert answer.action_logits.shape == (2, 5, 14) and answer.features.shape == (2, 5, 32)
