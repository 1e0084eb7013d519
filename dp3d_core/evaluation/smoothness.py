"""`dp3d smoothness`: accuracy and lag against smoothness.

The stream at each lookahead beside One-Euro and Savitzky-Golay on the same network's raw per-frame output: whoever is
smoother at the same lag smooths better.
"""
# T frames, J = 17 joints

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from dp3d_core.config import LOOKAHEADS
from dp3d_core.data.motions import load_motions
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.evaluation import filters, methods
from dp3d_core.evaluation.metrics import Summary, algorithmic_lag_frames
from dp3d_core.evaluation.report import write_json
from dp3d_core.lift import Lifter

ONE_EURO = tuple((cutoff, beta) for cutoff in (0.5, 1.0, 2.0, 4.0) for beta in (0.0, 2.0, 5.0, 10.0))
SAVITZKY_GOLAY = ((5, 2), (9, 2), (15, 2), (21, 3))
MAX_LAG_FRAMES = 8


def measure(method, sequences):
    """MPJPE, acceleration error and lag in frames of a method; delay in frames adds what a lookahead waits."""
    summary, lags, weights = Summary(), [], []
    for sequence in sequences:
        joints, _, answered = method(sequence)
        valid = sequence.valid & answered
        summary.add(np.where(valid[:, None, None], joints, 0), sequence.joints_cam_m, valid=valid, group="all")
        first, last = np.flatnonzero(valid)[[0, -1]]
        span = slice(first, last + 1)
        if last + 1 - first >= 2 * MAX_LAG_FRAMES + 4:
            relative = (joints - joints[:, :1])[span, 1:]
            truth = (sequence.joints_cam_m - sequence.joints_cam_m[:, :1])[span, 1:]
            try:
                lags.append(algorithmic_lag_frames(relative, truth, max_lag_frames=MAX_LAG_FRAMES))
                weights.append(len(relative))
            except ValueError:  # a clip that hardly moves has no lag to measure
                continue
    overall = summary.result()["overall"]
    return {
        "mpjpe_mm": overall["mpjpe_mm"],
        "accel_error_mm_per_frame2": overall["accel_error_mm_per_frame2"],
        "mpjve_mm": overall["mpjve_mm"],
        "lag_frames": float(np.average(lags, weights=weights)) if lags else float("nan"),
    }


def rows(lifter, sequences):
    """Every method's figures, {name: row}; `delay_frames` is lag plus the frames that a method waits for."""
    raw = {id(sequence): methods.per_frame(lifter, sequence) for sequence in sequences}

    def filtered(apply, sequence):
        joints, sigma, known = raw[id(sequence)]
        first = int(np.argmax(known))
        out = joints.copy()
        out[first:] = apply(sequence.stamps_s[first:], joints[first:])
        return out, sigma, known

    table = {"per frame": measure(lambda sequence: raw[id(sequence)], sequences) | {"waits_frames": 0}}
    for lookahead in LOOKAHEADS:
        name = f"stream, lookahead {lookahead}"
        table[name] = measure(partial(methods.stream, lifter, lookahead=lookahead), sequences)
        table[name]["waits_frames"] = lookahead
    for cutoff, beta in ONE_EURO:
        make = partial(filters.OneEuro, min_cutoff_hz=cutoff, beta_hz_per_m_s=beta)
        apply = lambda stamps_s, joints, make=make: filters.filter_sequence(make(), stamps_s, joints)  # noqa: E731
        table[f"One-Euro {cutoff:g} Hz, {beta:g}"] = measure(partial(filtered, apply), sequences) | {"waits_frames": 0}
    for window, order in SAVITZKY_GOLAY:
        fits = [s for s in sequences if len(s.stamps_s) - int(np.argmax(raw[id(s)][2])) >= window]
        apply = partial(filters.savitzky_golay, window_frames=window, order=order)
        name = f"Savitzky-Golay {window}, {order}"
        table[name] = measure(partial(filtered, apply), fits) | {"waits_frames": window // 2}
    for row in table.values():
        row["delay_frames"] = row["lag_frames"] + row["waits_frames"]
    return table


def plot(table, path):
    """Delay (lag plus waiting) and MPJPE against acceleration error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), constrained_layout=True)
    kinds = {
        "per frame": ("k", "x"),
        "stream": ("tab:red", "o"),
        "One-Euro": ("tab:blue", "."),
        "Savitzky": ("tab:green", "^"),
    }
    for axis, key, label in ((axes[0], "delay_frames", "delay, frames"), (axes[1], "mpjpe_mm", "MPJPE, mm")):
        for kind, (colour, marker) in kinds.items():
            points = [row for name, row in table.items() if name.startswith(kind)]
            axis.scatter(
                [row["accel_error_mm_per_frame2"] for row in points],
                [row[key] for row in points],
                c=colour,
                marker=marker,
                label=kind,
            )
        axis.set_xlabel("acceleration error, mm/frame²")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


@dataclass(frozen=True, kw_only=True)
class SmoothnessOptions:
    """Measure accuracy and lag against smoothness: the stream beside filters on the raw output of each frame."""

    weights: str = "small"
    """Shipped name or path."""
    motions: str
    """Motion file (.npz)."""
    split: str = "dev"
    """Split of the motion file."""
    seed: int = 0
    """Seed of cameras and detector noise."""
    json: str | None = None
    """Write the figures to this file."""
    plot: str | None = None
    """Draw the figures to this file (PNG)."""


def command(options: SmoothnessOptions) -> None:
    """Measure every method and print a row each."""
    torch.set_num_threads(1)
    lifter = Lifter.load(options.weights)
    motions = load_motions(options.motions).split(options.split)
    table = rows(lifter, synthetic_sequences(motions, detector=DetectorNoise(), seed=options.seed))
    print(f"{'':24}{'MPJPE mm':>10}{'accel mm/f2':>13}{'lag frames':>12}{'waits':>7}{'delay':>8}")
    for name, row in table.items():
        print(
            f"{name:24}{row['mpjpe_mm']:10.1f}{row['accel_error_mm_per_frame2']:13.2f}{row['lag_frames']:12.2f}"
            f"{row['waits_frames']:7d}{row['delay_frames']:8.2f}"
        )
    if options.json:
        write_json(options.json, table)
    if options.plot:
        plot(table, options.plot)
