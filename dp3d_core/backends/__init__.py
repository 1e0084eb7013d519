"""Ways to run the rolling step, all with one signature: NumPy arrays in, NumPy arrays out.

`step(noisy, seen, noise_level, stamps_s, keys, values, filled, pooled, decay)` returns `(clean, log_variance,
action_logits, keys, values, pooled)`, shapes as in `Denoiser.step`. A backend has `name` and `step`, nothing else.
"""

from dp3d_core.backends.eager import Eager

BACKENDS = ("auto", "eager")


def make_backend(name, denoiser):
    """The backend called `name`; ValueError lists the known ones. `auto` picks what this machine has."""
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {list(BACKENDS)}, got {name!r}")
    return Eager(denoiser)
