"""Ways to run the network, all with one signature: NumPy arrays in, NumPy arrays out.

`step(noisy, seen, noise_level, stamps_s, keys, values, filled, pooled, decay)` returns `(clean, log_variance,
action_logits, keys, values, pooled)`, shapes as in `Denoiser.step`. `window(noisy, seen, noise_level, stamps_s)` returns
`(clean, log_variance, action_logits)` of a whole window. A backend has `name`, `step` and `window`.
"""

from dp3d_core.backends.eager import Eager

BACKENDS = ("auto", "eager")


def available():
    """Names of the backends that can run here, and [(name, why not)] of the others."""
    return ["eager"], []


def make_backend(name, denoiser, *, threads=1, precision="float32", cache_dir=None):
    """The backend called `name`; ValueError lists the known ones. `auto` picks what this machine has."""
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {list(BACKENDS)}, got {name!r}")
    return Eager(denoiser)
