"""One training step's question to the denoiser: which rows, which noise, which mask; and the weighted answer.

The mixture matches what is served: causal rows (a stream's zero-lag pass), rolling windows refined from the network's
own earlier estimates, and bidirectional windows at every noise level, some with all 2D dropped (the prior). The
objective "regression" is the baseline without any of that: one pass from zeros.
"""
# B batch, T frames, R rows, J = 17 joints

import torch

from dp3d_core.model.diffusion import band_mask, causal_mask, diffuse, losses, rolling_layout

LAYOUTS = ("causal", "rolling", "offline")
LAYOUT_SHARES = (0.55, 0.20, 0.25)
LOOKAHEADS = (2, 4)
AT_END_SHARE = 0.7
"""Share of whole windows at noise level 1. The others are at every level, a fifth of them at one of its own a frame."""
POINT_SHARE = 0.9
"""Share of all-noise sequences whose noise is zero: the mode of point estimates. The others see real noise."""
OWN_SHARE = 0.7
"""Share of rolling sequences whose rows under refinement hold the network's own estimate; the others hold the truth
with real noise, as in plain diffusion."""


def weigh(parts, train) -> torch.Tensor:
    """The total loss from its parts, by the weights of a `TrainConfig`."""
    weights = {
        "position": 1.0, "velocity": train.velocity_weight, "bone": train.bone_weight, "action": train.action_weight,
        "likelihood": train.likelihood_weight, "hallucination": train.hallucination_weight,
    }  # fmt: skip
    total = sum(weights[name] * value for name, value in parts.items())
    assert isinstance(total, torch.Tensor)
    return total


def draw_layout(generator, objective="diffusion"):
    """One of LAYOUTS, by its share. Plain regression refines nothing: its rolling share is causal."""
    layout = LAYOUTS[int(torch.multinomial(torch.tensor(LAYOUT_SHARES), 1, generator=generator))]
    return "causal" if objective == "regression" and layout == "rolling" else layout


def step_losses(denoiser, network, batch, layout, train, generator, hallucinate=True):
    """Loss parts of one batch in one layout. `network` is what is called: the denoiser or its data-parallel wrapper."""
    config = denoiser.config
    scale = config.pose_scale_m
    clean, seen, stamps = batch.pose_m / scale, batch.seen, batch.stamps_s
    frames = clean.shape[1]
    device = clean.device
    uniform = lambda *shape: torch.rand(shape, generator=generator).to(device)  # noqa: E731
    noise = torch.randn(clean.shape, generator=generator).to(device)
    reach = batch.next_pose_m.shape[2] // 2
    neighbours = None
    if hallucinate and config.hallucinated_frames > 1:
        neighbours = torch.cat([batch.next_pose_m[:, :, :reach], batch.next_pose_m[:, :, reach + 1 :]], 2) / scale

    if train.objective == "regression":
        prediction = one_pass(network, config, seen, stamps, layout)
        pairs = consecutive(frames, device)
        return losses(prediction, clean, None, scale, label=batch.label, pairs=pairs, neighbours=neighbours)

    if layout == "causal":
        point = (uniform(len(clean)) < POINT_SHARE)[:, None, None, None]
        noisy = torch.where(point, torch.zeros_like(noise), noise)
        mask = causal_mask(frames, config.window_frames, device)
        prediction = network(noisy, seen, torch.ones_like(stamps), stamps, mask[None])
        pairs = consecutive(frames, device)
        return losses(prediction, clean, None, scale, label=batch.label, pairs=pairs, neighbours=neighbours)

    if layout == "offline":
        level = uniform(len(clean), 1).expand(-1, frames)
        by_frame = uniform(len(clean), 1) < 0.2
        level = torch.where(by_frame, uniform(len(clean), frames), level)
        kind = uniform(len(clean))
        at_end = (kind < AT_END_SHARE)[:, None]
        level = torch.where(at_end, torch.ones_like(level), level)
        point = at_end & (uniform(len(clean), 1) < POINT_SHARE)
        noisy = diffuse(clean, torch.where(point[..., None, None], torch.zeros_like(noise), noise), level)
        # The prior is learnt where there is real noise to take away, never at zero noise with nothing seen.
        blind = (~point[:, 0]) & (uniform(len(clean)) < train.unconditional)
        seen = torch.where(blind[:, None, None, None], torch.zeros_like(seen), seen)
        label = torch.where(blind, torch.full_like(batch.label, -1), batch.label)
        mask = band_mask(frames, config.window_frames, device)
        last = torch.full((frames,), frames - 1, device=device)
        prediction = network(noisy, seen, level, stamps, mask[None], last)
        pairs = consecutive(frames, device)
        return losses(prediction, clean, level, scale, label=label, pairs=pairs, neighbours=neighbours)

    # rolling costs more than two causal passes: half the sequences keep the step's time
    half = max(1, len(clean) // 2)
    clean, seen, stamps, noise = clean[:half], seen[:half], stamps[:half], noise[:half]
    lookahead = LOOKAHEADS[int(torch.randint(len(LOOKAHEADS), (1,), generator=generator))]
    first = int(torch.randint(lookahead + 1, (1,), generator=generator))
    newest = list(range(first, frames, lookahead + 1))
    rows = rolling_layout(frames, config.window_frames, lookahead, newest, device)
    with torch.no_grad():
        causal = causal_mask(frames, config.window_frames, device)
        own = network(torch.zeros_like(noise), seen, torch.ones_like(stamps), stamps, causal[None]).clean.float()
    level = rows.noise_level.expand(half, -1)
    truth = clean[:, rows.frame]
    use_own = (uniform(half) < OWN_SHARE)[:, None, None, None]
    noisy = torch.where(
        use_own,
        diffuse(own[:, rows.frame], torch.zeros_like(truth), level),
        diffuse(truth, noise[:, rows.frame], level),
    )
    point = (uniform(half) < POINT_SHARE)[:, None, None, None] & (level >= 1)[..., None, None]
    noisy = torch.where(point, torch.zeros_like(noisy), noisy)
    prediction = network(noisy, seen[:, rows.frame], level, stamps[:, rows.frame], rows.mask[None], rows.pool_row)
    follows = (rows.frame[1:] - rows.frame[:-1] == 1).nonzero()[:, 0]
    pairs = torch.stack([follows, follows + 1], 1)
    return losses(
        prediction, truth, level, scale, label=None, pairs=pairs,
        neighbours=None if neighbours is None else neighbours[:half][:, rows.frame],
    )  # fmt: skip


def one_pass(network, config, seen, stamps_s, layout):
    """Plain regression: the network's answer to zeros at noise level 1, looking back only or both ways."""
    if layout not in ("causal", "offline"):
        raise ValueError(f"layout: expected causal or offline for regression, got {layout!r}")
    frames, device = seen.shape[1], seen.device
    noisy, level = seen.new_zeros(*seen.shape[:3], 3), torch.ones_like(stamps_s)
    if layout == "causal":
        return network(noisy, seen, level, stamps_s, causal_mask(frames, config.window_frames, device)[None])
    last = torch.full((frames,), frames - 1, device=device)
    return network(noisy, seen, level, stamps_s, band_mask(frames, config.window_frames, device)[None], last)


def consecutive(frames, device):
    """(T - 1, 2) rows of neighbouring frames."""
    index = torch.arange(frames - 1, device=device)
    return torch.stack([index, index + 1], 1)
