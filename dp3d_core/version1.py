"""The encoder that a file of version 1 holds: its denoiser at noise level 1 without a noisy pose, which is what served.

Only until the shipped weights are written anew.
"""

import numpy as np


def folded(old):
    """Arrays of an `Encoder` from those of a version-1 file."""
    new = {name: value for name, value in old.items() if not name.startswith(("noise_embed", "hallucinate"))}
    phase = 2.0 ** np.arange(4) * (np.pi / 2)
    hidden = old["noise_embed.0.weight"] @ np.concatenate([np.sin(phase), np.cos(phase)]) + old["noise_embed.0.bias"]
    hidden = hidden / (1 + np.exp(-hidden))
    new["condition"] = old["noise_embed.2.weight"] @ hidden + old["noise_embed.2.bias"]
    new["embed.weight"] = old["embed.weight"][:, 3:]
    width, frame = len(old["embed.bias"]), len(old["norm.bias"])
    new["up_to_joint.weight"], new["up_to_condition.weight"] = np.zeros((width, 4)), np.zeros((len(hidden), 4))
    new["contact_head.weight"], new["contact_head.bias"] = np.zeros((2, frame)), np.zeros(2)
    for name in ("variance_head.weight", "variance_head.bias"):
        if name in old:
            new[name] = old[name].repeat(2, 0)
    return {name: np.ascontiguousarray(value, np.float32) for name, value in new.items()}
