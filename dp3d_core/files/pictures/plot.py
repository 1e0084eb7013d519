"""Joint angles and heights of one person over time, as PNG."""

from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result, Stay
from dp3d_core.skeleton import JOINT_NAMES

ANGLES = {
    "knee": ("Hip", "Knee", "Ankle"), "hip": ("Shoulder", "Hip", "Knee"), "elbow": ("Shoulder", "Elbow", "Wrist"),
    "shoulder": ("Elbow", "Shoulder", "Hip"),
}  # fmt: skip
"""Angle at the middle joint: 180 degrees is straight, of the shoulder 0 is a hanging arm."""
HEIGHTS = ("Head", "Hip", "LWrist", "RWrist", "LAnkle", "RAnkle")
LEAST_S = 1.0


def write_plots(result: Result, out: Path) -> list[Path]:
    """A picture for each stay of at least a second, or of the longest one."""
    import matplotlib

    stays = [stay for stay in result.stays() if np.ptp(stay.stamps_s) >= LEAST_S]
    stays = stays or [max(result.stays(), key=lambda stay: len(stay.rows))]
    paths = []
    for stay in stays:
        path = out / f"{stay.name}.png"
        with matplotlib.rc_context({"axes.grid": True, "grid.alpha": 0.3}), beside(path) as unfinished:
            _figure(stay, result.metric).savefig(unfinished, dpi=100, format="png")
        paths.append(path)
    return paths


def angles_deg(joints_m: np.ndarray) -> dict[str, np.ndarray]:
    """{"left knee": (T,) ...} of joints (T, 17, 3)."""
    angles = {}
    for name, parts in ANGLES.items():
        for side, letter in (("left", "L"), ("right", "R")):
            a, b, c = (joints_m[:, JOINT_NAMES.index(letter + part)] for part in parts)
            first, second = a - b, c - b
            across = np.linalg.norm(np.cross(first, second), axis=-1)
            angles[f"{side} {name}"] = np.degrees(np.arctan2(across, (first * second).sum(-1)))
    return angles


def _figure(stay: Stay, metric: bool):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 10), layout="constrained")
    axes = figure.subplots(len(ANGLES) + 1, 1, sharex=True)
    angles = angles_deg(stay.joints_y_up_m)
    for axis, name in zip(axes, ANGLES):
        for side, colour in (("left", "tab:blue"), ("right", "tab:red")):
            axis.plot(stay.stamps_s, angles[f"{side} {name}"], color=colour, label=side)
        axis.set_ylabel(f"{name} (degrees)")
    axes[0].legend(loc="upper right", ncols=2)
    for name in HEIGHTS:
        axes[-1].plot(stay.stamps_s, stay.joints_y_up_m[:, JOINT_NAMES.index(name), 1], label=name)
    axes[-1].set_ylabel("height (m)" if metric else "height (assumed camera)")
    axes[-1].set_xlabel("time (s)")
    axes[-1].legend(loc="upper right", ncols=3)
    figure.suptitle(stay.name)
    return figure
