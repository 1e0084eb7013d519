"""The Gaussian model of motion that the denoiser starts from: noise as smooth as motion, and its exact posterior.

A normalised residual r (what the encoder, or the mean pose, gets wrong, over its standard deviation) is modelled as a
Gaussian process with covariance K over time and C over joints and axes. The diffusion's noise e has the same
covariance, so y = cos(a) r + sin(a) e keeps it at every angle a, and E[r | y] = cos(a) y exactly (the trigonometric
flow of Lu & Song, 2024, arXiv 2410.11081, with coloured noise). Knows no network, camera or metric scale.
"""
# B batch, T frames, J = 17 joints, S kernel scales

import numpy as np
import torch

SCALES_S = (0.05, 0.15, 0.4, 1.0, 3.0)
"""Standard deviations of the squared-exponential parts of K, in seconds; the last share is white."""
WHITE_SHARE, FASTEST_SHARE = 0.002, 0.01
"""K's share of white noise, and the most of the shortest scale: more than motion has makes every sample jitter. White
noise also keeps the Cholesky factor stable in float32."""
LEAST_STD = 1e-3


def kernel(stamps_s, share):
    """K (B, T, T) with unit diagonal at stamps (B, T) in seconds; share (S + 1,) sums to one, the last is white."""
    squared = (stamps_s[:, :, None] - stamps_s[:, None, :]).square()
    scales = torch.tensor(SCALES_S, device=stamps_s.device, dtype=stamps_s.dtype)
    parts = torch.exp(-0.5 * squared[..., None] / scales.square()) @ share[:-1].to(stamps_s.dtype)
    return parts + share[-1] * torch.eye(stamps_s.shape[1], device=stamps_s.device, dtype=stamps_s.dtype)


def coloured(white, stamps_s, share, joint_factor):
    """Noise (B, T, 17, 3) with covariance K over time and C over joints, from white noise of the same shape.

    joint_factor (51, 51) is a square root of C. Frames later in time are made of what came before and something new
    (the Cholesky factor is lower triangular): a prefix of the white noise gives the same prefix of the result.
    """
    factor = torch.linalg.cholesky(kernel(stamps_s, share))
    return (factor @ white.flatten(-2) @ joint_factor.T).unflatten(-1, white.shape[-2:])


def continued(before, white, stamps_s, share, joint_factor):
    """Noise of frames M after frames N whose noise `before` (B, N, 17, 3) is known: (B, M, 17, 3), as `coloured`.

    white (B, M, 17, 3), stamps_s (B, N + M).
    """
    factor, known = torch.linalg.cholesky(kernel(stamps_s, share)), before.shape[1]
    past = torch.linalg.solve_triangular(factor[:, :known, :known], before.flatten(-2), upper=False)
    fresh = white.flatten(-2) @ joint_factor.T
    return (factor[:, known:] @ torch.cat([past, fresh], 1)).unflatten(-1, white.shape[-2:])


def posterior(noisy, angle, covariance, white=None):
    """Mean and standard deviation, each (B, T, 17, 3), of r, given y = cos(a) r + sin(a) e + w.

    angle (B, 1) for one level a sequence or (B, T) for one a frame, radians in [0, pi / 2]; covariance() makes
    K (B, T, T); white (B, T, 17, 3): variance of independent noise w beside e, None for none. Joints count as
    independent here.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    if white is None and angle.shape[1] == 1:
        return cos[..., None, None] * noisy, sin[..., None, None].clamp(min=LEAST_STD).expand(noisy.shape)
    cos, sin = cos.expand(noisy.shape[:2]), sin.expand(noisy.shape[:2])
    covariance = covariance()
    total = (covariance * (cos[:, :, None] * cos[:, None, :] + sin[:, :, None] * sin[:, None, :]))[:, None]
    if white is None:  # one system for all joints and axes
        values = noisy.flatten(2)[:, None]
    else:
        total = total + torch.diag_embed(white.flatten(2).transpose(1, 2))
        values = noisy.flatten(2).transpose(1, 2)[..., None]
    factor = torch.linalg.cholesky(total)
    cross = (covariance * cos[:, None, :])[:, None]  # of r with y
    mean = cross @ torch.cholesky_solve(values, factor)
    mean = mean[:, 0] if white is None else mean[..., 0].transpose(1, 2)
    half = torch.linalg.solve_triangular(factor, cross.transpose(-1, -2), upper=False)
    std = (1 - half.square().sum(-2)).clamp(min=LEAST_STD**2).sqrt().transpose(1, 2)
    return mean.unflatten(-1, noisy.shape[2:]), std.expand(-1, -1, noisy[0, 0].numel()).unflatten(-1, noisy.shape[2:])


def fit_statistics(residual, stamps_s):
    """Measure what the Gaussian model needs of residuals (N, T, 17, 3) at stamps (N, T) in seconds.

    Returns spread (17, 3), the standard deviation of each joint and axis; joint_factor (51, 51), a square root of the
    correlations C; and kernel_share (S + 1,). The root is 0 by definition and stays so.
    """
    from scipy.optimize import nnls

    values = residual.double()
    spread = values.square().mean((0, 1)).sqrt().clamp(min=1e-6)
    unit = (values / spread)[:, :, 1:].flatten(2)
    correlation = unit.flatten(0, 1).T @ unit.flatten(0, 1) / unit.shape[0] / unit.shape[1]
    correlation = 0.98 * correlation + 0.02 * torch.eye(len(correlation), dtype=torch.float64)
    factor = torch.zeros(51, 51, dtype=torch.float64)
    factor[3:, 3:] = torch.linalg.cholesky(correlation)
    lags = (stamps_s[:, :, None] - stamps_s[:, None, :]).abs().double()
    products = unit @ unit.transpose(1, 2) / unit.shape[2]
    edges = torch.tensor([-1.0, 1e-6, *np.geomspace(0.02, 3.0, 24)], dtype=torch.float64)
    index = torch.bucketize(lags.flatten(), edges) - 1
    count = torch.bincount(index, minlength=len(edges)).clamp(min=1)
    lag = torch.bincount(index, lags.flatten(), minlength=len(edges)) / count
    measured = torch.bincount(index, products.flatten(), minlength=len(edges)) / count
    there = torch.bincount(index, minlength=len(edges)) > 50
    scales = torch.tensor(SCALES_S, dtype=torch.float64)
    parts = torch.exp(-0.5 * (lag[:, None] / scales).square())
    parts = torch.cat([parts, (lag < 1e-6).double()[:, None]], 1)[there]
    share, _ = nnls(parts.numpy(), measured[there].clamp(min=0).numpy())
    share = torch.from_numpy(share) + 1e-9
    share[0] = share[0].clamp(max=FASTEST_SHARE * share.sum())
    share = torch.cat([share[:-1] / share[:-1].sum() * (1 - WHITE_SHARE), torch.tensor([WHITE_SHARE]).double()])
    spread[0] = 1.0  # no division by zero: the root's residual is 0
    return spread.float(), factor.float(), share.float()
