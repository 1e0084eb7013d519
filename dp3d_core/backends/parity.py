"""How far an engine's answers are from eager float32, in millimetres of joint position."""

import numpy as np

LIMIT_MM = {"float32": 0.1, "bfloat16": 1.0, "float16": 1.0}
"""Largest mean joint distance with which an engine of this precision may serve."""
FRAMES = 3


class ParityError(RuntimeError):
    """An engine's answers differ from eager's by more than its precision explains."""


def rolling_error_mm(engine, reference, arrays, pose_scale_m, frames=FRAMES):
    """Mean joint distance between two rolling steps over some frames, each on a memory of its own.

    arrays: inputs of `RollingStep`; new keys and values go into the cache, so errors in them show as millimetres too.
    """
    sides = [[array.copy() for array in arrays] for _ in range(2)]
    distances = []
    for frame in range(frames):
        clean = []
        for run, inputs in zip((engine, reference), sides, strict=True):
            outputs = run(*inputs)
            clean.append(outputs[0].copy())
            inputs[4][:, :, :, frame], inputs[5][:, :, :, frame], inputs[7][:] = outputs[3:6]
            inputs[3][:] += np.float32(1 / 30)
        distances.append(np.linalg.norm(clean[0].astype(np.float64) - clean[1], axis=-1))
    return mean_mm(distances, pose_scale_m)


def window_error_mm(engine, reference, arrays, pose_scale_m):
    """The same for one pass over a whole window."""
    difference = engine(*arrays)[0].astype(np.float64) - reference(*arrays)[0]
    return mean_mm([np.linalg.norm(difference, axis=-1)], pose_scale_m)


def mean_mm(distances, pose_scale_m):
    """Mean of network-unit distances in millimetres; infinite if any is not finite."""
    mean = float(np.mean(distances)) * pose_scale_m * 1e3
    return mean if np.isfinite(mean) else float("inf")


def check(error_mm, precision):
    """Raise `ParityError` if error_mm is more than this precision may have."""
    if error_mm >= LIMIT_MM[precision]:
        raise ParityError(
            f"parity: expected less than {LIMIT_MM[precision]} mm from eager float32 at {precision}, "
            f"got {error_mm:.3g} mm"
        )
