"""One training step's question to the encoder: which rows see which others; and what its answers cost.

The layouts are those that are served: causal rows (a stream), a stream's rows that look a few frames ahead, and rows
that see both ways (offline).
"""
# B batch, T frames, R rows, J = 17 joints

import torch

from dp3d_core.geometry.observation import LOG_SIZE_CENTRE
from dp3d_core.model.diffusion import band_mask, bone_lengths, causal_mask, rolling_layout

LAYOUTS = ("causal", "ahead", "offline")
LAYOUT_SHARES = (0.5, 0.25, 0.25)
LOOKAHEADS = (2, 4)


def weigh(parts, train):
    """The total loss from its parts, by the weights of a `TrainConfig`."""
    weight = lambda name: 1.0 if name == "position" else getattr(train, f"{name}_weight")  # noqa: E731
    total = sum(weight(name) * value for name, value in parts.items())
    assert isinstance(total, torch.Tensor)
    return total


def draw_layout(generator):
    """One of LAYOUTS, by its share."""
    return LAYOUTS[int(torch.multinomial(torch.tensor(LAYOUT_SHARES), 1, generator=generator))]


def step_losses(network, config, batch, layout, generator):
    """Loss parts of one `windows.Batch` in one layout. `network` is the encoder or its data-parallel wrapper."""
    seen, up, stamps_s, truth_m = batch.seen, batch.up, batch.stamps_s, batch.pose_m
    label, contact = batch.label, batch.contact
    frames, device, window = seen.shape[1], seen.device, config.window_frames
    follows = torch.arange(frames - 1, device=device)
    if layout == "causal":
        encoded = network(seen, up, stamps_s, causal_mask(frames, window, device)[None])
    elif layout == "offline":
        last = torch.full((frames,), frames - 1, device=device)
        encoded = network(seen, up, stamps_s, band_mask(frames, window, device)[None], last)
    else:
        # its rows are twice as many: half the sequences keep the step's time
        half = max(1, len(seen) // 2)
        lookahead = LOOKAHEADS[int(torch.randint(len(LOOKAHEADS), (1,), generator=generator))]
        first = int(torch.randint(lookahead + 1, (1,), generator=generator))
        rows = rolling_layout(frames, window, lookahead, list(range(first, frames, lookahead + 1)), device)
        seen, up, stamps_s, truth_m, contact = (
            value[:half, rows.frame] for value in (seen, up, stamps_s, truth_m, contact)
        )
        encoded = network(seen, up, stamps_s, rows.mask[None], rows.pool_row)
        follows, label = (rows.frame.diff() == 1).nonzero()[:, 0], None
    return losses(encoded, truth_m / config.pose_scale_m, seen, contact, label, follows, config.pose_scale_m)


def losses(encoded, truth, seen, contact, label, follows, pose_scale_m):
    """Every part of the loss, unweighted, as a dict of scalars; lengths in metres.

    truth (B, N, 17, 3) network units; seen (B, N, 17, 4); contact (B, N, 2), NaN where unknown; label (B,) action, -1
    unknown, or None; follows (M,) rows whose next row is the next frame, for velocity and acceleration.
    """
    error = (encoded.pose - truth).float()
    distance = error.norm(dim=-1)
    difference = error[:, follows + 1] - error[:, follows]
    # of three frames in a row
    triples = (follows.diff() == 1).nonzero()[:, 0]
    jerked = difference[:, triples + 1] - difference[:, triples]
    # the rays of seen joints in the person's view; the others count nothing
    rays = seen[..., :2] * torch.exp(seen[..., 3:] + LOG_SIZE_CENTRE)
    visible = (seen[..., 2] > 0).float()
    across = (error[..., :2] - rays * error[..., 2:]).norm(dim=-1)
    out = {
        "position": distance.mean() * pose_scale_m,
        "velocity": difference.norm(dim=-1).mean() * pose_scale_m,
        "acceleration": jerked.norm(dim=-1).mean() * pose_scale_m,
        "reprojection": (across * visible).sum() / visible.sum().clamp(min=1) * pose_scale_m,
        "bone": (bone_lengths(encoded.pose.float()) - bone_lengths(truth)).abs().mean() * pose_scale_m,
        "likelihood": _likelihood(encoded.log_variance.float(), error.detach(), rays),
    }
    known = ~torch.isnan(contact)
    # those that stand are as many as those that do not, about
    miss = torch.nn.functional.binary_cross_entropy_with_logits(
        encoded.contacts.float(), torch.nan_to_num(contact), reduction="none"
    )
    out["contact"] = (miss * known).sum() / known.sum().clamp(min=1)
    if label is not None and (label >= 0).any():
        logits = encoded.action_logits.float()[:, -1]
        out["action"] = torch.nn.functional.cross_entropy(logits, label, ignore_index=-1)
    return out


def _likelihood(log_variance, error, rays):
    """Negative log likelihood of the errors (B, N, 17, 3) across and along their rays (B, N, 17, 2), without the root.

    The error is detached: the variance describes the pose's error and must not be able to trade it away.
    """
    ray = torch.nn.functional.pad(rays, (0, 1), value=1.0)
    along = (error * ray).sum(-1).square() / ray.square().sum(-1)
    across = (error.square().sum(-1) - along).clamp(min=0)
    of_across, of_along = log_variance.unbind(-1)
    cost = 2 * of_across + of_along + across * torch.exp(-of_across) + along * torch.exp(-of_along)
    return 0.5 * cost[:, :, 1:].mean()
