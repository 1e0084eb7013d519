"""Noise levels, the forward process and the training losses. Knows no network and no data source.

Forward process (rectified flow, Liu et al. 2023): y = (1 - s) x0 + s e, with noise level s in [0, 1] per frame and e
either standard normal or zero. With e = 0 the network returns the conditional mean directly: that is what point
estimates use, so that no sampling noise becomes jitter. The network predicts x0.
"""
# B batch, N rows, J = 17 joints, k offset of a hallucinated frame

from dataclasses import dataclass

import torch

from dp3d_core.skeleton import BONES

_PARENT = [parent for parent, _ in BONES]
_CHILD = [child for _, child in BONES]


def diffuse(clean, noise, noise_level):
    """y = (1 - s) x0 + s e. clean, noise (B, N, J, 3), noise_level (B, N)."""
    level = noise_level[..., None, None]
    return (1 - level) * clean + level * noise


def triangular_levels(lookahead, device=None):
    """(lookahead + 1,) noise levels of the working window, oldest first: 1/(l+1) ... 1. The newest is all noise; what
    the oldest's pass returns leaves the window clean (the lower-triangular schedule of FloodDiffusion, 2512.03520)."""
    return torch.arange(1, lookahead + 2, device=device, dtype=torch.float32) / (lookahead + 1)


def causal_mask(frames, window, device=None):
    """(N, N) bool: row n sees its own and the window - 1 older frames."""
    index = torch.arange(frames, device=device)
    age = index[:, None] - index[None, :]
    return (age >= 0) & (age < window)


def band_mask(frames, window, device=None):
    """(N, N) bool: row n sees every frame less than `window` away, before and after."""
    index = torch.arange(frames, device=device)
    return (index[:, None] - index[None, :]).abs() < window


def rows_ahead(frames, window, device=None):
    """(N,) the row whose action pooling a row of `band_mask` uses: as far ahead as it sees, or the last."""
    return (torch.arange(frames, device=device) + window - 1).clamp(max=frames - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """The offline layout of a rolling window: causal rows of all frames, then rows being refined."""

    frame: torch.Tensor
    """(R,) frame of each row; the first N are the causal rows 0..N-1."""
    noise_level: torch.Tensor
    """(R,)."""
    mask: torch.Tensor
    """(R, R) bool."""
    pool_row: torch.Tensor
    """(R,) the row whose action pooling a row uses: its window's newest."""


def rolling_layout(frames, window, lookahead, newest, device=None):
    """Rows and mask that make one offline pass equal to streaming with `lookahead` at the moments `newest`.

    For each frame index in `newest` (a list), the `lookahead` frames before it are rows under refinement: they attend
    to the causal rows of their window's newest frame and the window - 1 before it, and to each other.
    """
    frame, level, pool = list(range(frames)), [1.0] * frames, list(range(frames))
    windows = []
    for moment in newest:
        ages = [age for age in range(lookahead, 0, -1) if moment - age >= 0]
        windows.append((moment, range(len(frame), len(frame) + len(ages))))
        frame += [moment - age for age in ages]
        level += [1 - age / (lookahead + 1) for age in ages]
        pool += [moment] * len(ages)
    mask = torch.zeros(len(frame), len(frame), dtype=torch.bool)
    mask[:frames, :frames] = causal_mask(frames, window)
    for moment, rows in windows:
        rows = list(rows)
        for row in rows:
            mask[row, max(0, moment - window + 1) : moment + 1] = True
            mask[row, rows] = True
    return Rolling(
        frame=torch.tensor(frame, device=device), noise_level=torch.tensor(level, device=device),
        mask=mask.to(device), pool_row=torch.tensor(pool, device=device),
    )  # fmt: skip


def bone_lengths(joints):
    """(..., 17, 3) to (..., 16)."""
    return (joints[..., _CHILD, :] - joints[..., _PARENT, :]).norm(dim=-1)


def hallucination_weights(frames):
    """Offsets k and weights 1/(1+|k|) of the n - 1 neighbours of a frame (DreamPose3D, HPD); n = 3: k = -1, +1."""
    reach = frames // 2
    offsets = [k for k in range(-reach, reach + 1) if k]
    return offsets, [1 / (1 + abs(k)) for k in offsets]


def losses(prediction, clean, noise_level, pose_scale_m, *, label=None, pairs=None, neighbours=None):
    """Every part of the training loss, unweighted, as a dict of scalars.

    clean (B, N, 17, 3) network units; noise_level (B, N); label (B,) action class, -1 unknown; pairs (M, 2) rows that
    are consecutive frames, for the velocity; neighbours (B, N, n - 1, 17, 3) the true f±k, NaN where outside.
    Position, velocity and bones are in metres, so that their weights mean the same in every preset.
    """
    error = (prediction.clean - clean).float()
    distance = error.norm(dim=-1)
    out = {"position": distance.mean() * pose_scale_m}
    if pairs is not None and len(pairs):
        difference = error[:, pairs[:, 1]] - error[:, pairs[:, 0]]
        out["velocity"] = difference.norm(dim=-1).mean() * pose_scale_m
    out["bone"] = (bone_lengths(prediction.clean.float()) - bone_lengths(clean)).abs().mean() * pose_scale_m
    # The error is detached: the variance head describes the pose's error and must not be able to trade it away.
    variance = prediction.log_variance.float()[:, :, 1:]
    squared = distance.detach()[:, :, 1:] ** 2
    out["likelihood"] = 0.5 * (3 * variance + squared * torch.exp(-variance)).mean()
    if label is not None and (label >= 0).any():
        logits = prediction.action_logits.float()[:, -1]
        out["action"] = torch.nn.functional.cross_entropy(logits, label, ignore_index=-1)
    if prediction.neighbours is not None and neighbours is not None:
        # as for the frame itself, whose weight is 1: how much the neighbours count beside it is what lambda says
        known = ~torch.isnan(neighbours[..., 0, 0])
        _, weights = hallucination_weights(prediction.neighbours.shape[2] + 1)
        miss = (prediction.neighbours.float() - torch.nan_to_num(neighbours)).norm(dim=-1).mean(-1) * known
        mean = miss.sum((0, 1)) / known.sum((0, 1)).clamp(min=1)
        out["hallucination"] = (mean * mean.new_tensor(weights)).sum() * pose_scale_m
    return out
