"""Which frames a row attends to (masks and row layouts), and bone lengths of poses. Knows no network and no data."""
# N rows, R rows of a rolling layout, J = 17 joints

from dataclasses import dataclass

import torch

from dp3d_core.skeleton import BONES

_PARENT = [parent for parent, _ in BONES]
_CHILD = [child for _, child in BONES]


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
        frame=torch.tensor(frame, device=device),
        noise_level=torch.tensor(level, device=device),
        mask=mask.to(device),
        pool_row=torch.tensor(pool, device=device),
    )


def bone_lengths(joints):
    """(..., 17, 3) to (..., 16)."""
    return (joints[..., _CHILD, :] - joints[..., _PARENT, :]).norm(dim=-1)
