"""Few-step samplers of whole motions: free functions over any denoiser `clean = denoise(noisy, angle)`.

The forward process is y = cos(a) r + sin(a) e with an angle a in radians from 0 (clean) to pi / 2 (noise), and noise e
of the same covariance as r (the trigonometric flow; Lu & Song, 2024, arXiv 2410.11081). Know no network and no camera.
"""
# T frames, J = 17 joints

import math
from itertools import pairwise

import torch

LEVEL_POWER = 1.75
"""The angles of K steps are pi / 2 times (1 - k / K) to this power: most steps are at low levels."""
VARIANCE_RANGE = (1e-4, 4.0)


def gaussian_flow(denoise, noise, steps, power=LEVEL_POWER):
    """Few-step sampling that is exact for a Gaussian r of unit variance about any mean.

    noise (..., T, J, 3) with the covariance of r; `denoise(noisy, angle)` returns E[r | y] at an angle in radians. The
    last answer is the clean estimate at the lowest angle. One step is the conditional mean, whatever the noise.
    (DDIM, whose steps shrink a sample's spread to 0.7 in four steps, is `trig_ddim`.)
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    noisy = noise
    angles = angle_ladder(steps, power)
    for angle, following in pairwise(angles):
        clean = denoise(noisy, angle)
        noisy = turned(noisy, clean, *(noisy.new_full((), value) for value in (math.sin(angle), angle, following)))
    return denoise(noisy, angles[-1])


def trig_ddim(denoise, noise, steps, power=LEVEL_POWER):
    """DDIM (Song et al. 2021) for the same process, for comparison: the clean estimate and the noise are held."""
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    noisy = noise
    for angle, following in pairwise([*angle_ladder(steps, power), 0.0]):
        clean = denoise(noisy, angle)
        implied = (noisy - math.cos(angle) * clean) / math.sin(angle)
        noisy = math.cos(following) * clean + math.sin(following) * implied
    return noisy


def angle_ladder(steps, power=LEVEL_POWER):
    """`steps` angles from pi / 2 downwards, the lower the closer together."""
    return [math.pi / 2 * (1 - step / steps) ** power for step in range(steps)]


def turned(noisy, clean, std, angle, following):
    """y at the angle `following`, from y and the clean estimate with its posterior std at `angle`; all broadcast.

    Exact for Gaussian r: the estimate and its std say which mean m and variance v of r are meant, and the flow keeps
    (y - cos(a) m) over its standard deviation. std = sin(a) means v = 1.
    """
    cos, square = torch.cos(angle), torch.sin(angle).square()
    variance = std.square() * square / (square - (cos * std).square()).clamp(min=1e-6)
    variance = variance.clamp(*VARIANCE_RANGE)
    total = cos.square() * variance + square
    # clean = m + gain (y - cos m)
    gain = variance * cos / total
    mean = (clean - gain * noisy) / (1 - gain * cos).clamp(min=1e-6)
    total_next = torch.cos(following).square() * variance + torch.sin(following).square()
    return torch.cos(following) * mean + (total_next / total).sqrt() * (noisy - cos * mean)
