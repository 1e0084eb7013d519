"""Samplers: free functions over any denoiser `clean = denoise(noisy, noise_level)`. Know no network and no camera."""
# B batch, H hypotheses, T frames, J = 17 joints

from itertools import pairwise

import numpy as np
import torch

from dp3d_core.config import AGGREGATES


def ddim(denoise, noise, steps):
    """Deterministic few-step sampling of whole windows (DDIM, Song et al. 2021, eq. 12, for y = (1 - s) x0 + s e).

    noise (B, T, J, 3): standard normal for a sample, zeros for a point estimate. `denoise(noisy, level (B, T))`
    returns the clean estimate. One step is the estimate at all noise.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    levels = torch.linspace(1.0, 0.0, steps + 1).tolist()
    noisy = noise
    for level, following in pairwise(levels):
        clean = denoise(noisy, noise.new_full(noise.shape[:2], level))
        implied = (noisy - (1 - level) * clean) / level
        noisy = (1 - following) * clean + following * implied
    return noisy


def hypotheses(denoise, noise, steps):
    """`ddim` of each of several noises (H, B, T, J, 3), all standard normal: samples of the same shape.

    Each frame's noise is its own, as in training; the network makes the samples smooth. One noise held over all frames
    would be an input that it never saw (recipes/experiments.md, 7).
    """
    return torch.stack([ddim(denoise, sample, steps) for sample in noise])


JPMA_SOFTNESS = 0.005
"""Reprojection error in rays over which the soft form's weight falls to 1/e: about 6 px at a focal length of 1145."""


def check_aggregate(aggregate):
    """ValueError unless it is one of AGGREGATES."""
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate: expected one of {list(AGGREGATES)}, got {aggregate!r}")


def aggregate_placed(hypotheses_cam_m, rays, confidence, aggregate):
    """JPMA, or its soft form, of hypotheses (H, T, J, 3) that each stand at their own estimated root: (T, J, 3).

    All are first moved about the mean of their roots: joints that come from hypotheses at different depths make no
    body. The published form projects with the true root.
    """
    root = hypotheses_cam_m[:, :, :1].mean(0)
    about = hypotheses_cam_m - hypotheses_cam_m[:, :, :1] + root
    joints = aggregate_jpma(about, rays, confidence, JPMA_SOFTNESS if aggregate == "jpma_soft" else 0.0)
    return joints.astype(hypotheses_cam_m.dtype)


def aggregate_mean(hypotheses_m):
    """(H, ..., J, 3) to their mean (..., J, 3)."""
    return hypotheses_m.mean(0)


def aggregate_jpma(hypotheses_cam_m, rays, confidence, softness=0.0):
    """Joint-wise projection-based aggregation (D3DP): for each joint the hypothesis that reprojects best.

    hypotheses_cam_m (H, T, J, 3) in the camera frame with their *estimated* roots; rays (T, J, 2); confidence (T, J).
    softness > 0 (in rays) blends by exp(-error / softness) instead. Joints that are not seen take the mean.
    """
    projected = hypotheses_cam_m[..., :2] / np.maximum(hypotheses_cam_m[..., 2:], 0.05)
    error = np.linalg.norm(projected - rays, axis=-1)
    if softness > 0:
        weight = np.exp(-(error - error.min(0)) / softness)
    else:
        weight = (error == error.min(0)).astype(float)
    weight = np.where(confidence > 0, weight, 1.0)
    weight = weight / weight.sum(0)
    return (weight[..., None] * hypotheses_cam_m).sum(0)
