"""How sure the network is: of joints across their rays, where 2D says much, and along them; of feet that stand."""

import numpy as np


def one_sigma(sigmas):
    """Root mean square over the three axes (...) of standard deviations (..., 2): of each axis across the ray, and
    along it."""
    across, along = sigmas[..., 0], sigmas[..., 1]
    return np.sqrt((2 * across * across + along * along) * np.float32(1 / 3))


def probability(logits):
    """The logistic function, of any shape; finite wherever the logits are."""
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
