"""Measure how a real detector errs, beside optical markers, to set the defaults of `noise.DetectorNoise`.

    dp3d fit-noise real_openpose_jitter.npz [--cameras real_openpose_4cam.npz] [--plot F] [--json F]

Compares the aligned residuals with those of the model on the same motions; sets nothing by itself.
Recipe and last figures: recipes/detector_noise.md.
"""
# T video frames; residuals in mm at the person

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tyro.conf import Positional

from dp3d_core.cli import run
from dp3d_core.data.align_markers import STANDING, VIDEO_HZ, load
from dp3d_core.data.noise import DetectorNoise

STATURE_MM = 1700.0
GROSS_MM = 120.0  # beyond this an error is a wrong place and no jitter
LAGS = 31


def jitter_residuals(pairs):
    """Residual tracks (T, 2) of the standing tasks with gross errors cut out (NaN) and the mean removed."""
    tracks = []
    for pair in pairs:
        if pair.name.startswith(STANDING):
            track = np.where(np.abs(pair.residual_mm).max(1, keepdims=True) > GROSS_MM, np.nan, pair.residual_mm)
            tracks.append(track - np.nanmean(track, 0))
    return tracks


def autocovariance(tracks, lags=LAGS):
    """Mean product of residuals `k` frames apart, (lags,) mm², over every track and axis with its gaps."""
    return np.array(
        [np.nanmean(np.concatenate([(t[: len(t) - k] * t[k:]).ravel() for t in tracks])) for k in range(lags)]
    )


def spectrum(tracks, size=128):
    """One-sided power density (frequency Hz, mm²/Hz) of gap-free Hann-windowed blocks, mean of tracks and axes."""
    window = np.hanning(size)
    power = [
        np.abs(np.fft.rfft((block - block.mean(0)) * window[:, None], axis=0)) ** 2
        for track in tracks
        for start in range(0, len(track) - size, size // 2)
        if np.isfinite(block := track[start : start + size]).all()
    ]
    return np.fft.rfftfreq(size, 1 / VIDEO_HZ), 2 * np.mean(power, (0, 2)) / (VIDEO_HZ * (window**2).sum())


def second_difference(tracks):
    """High-pass of the residuals, (sum of T, 2): its kurtosis shows the tails with slow error removed."""
    value = np.concatenate([np.diff(t, n=2, axis=0) for t in tracks])
    return value[np.isfinite(value).all(1)]


def excess_kurtosis(values):
    centred = values - values.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3)


def fit_two_parts(covariance):
    """White variance, drift variance and its decorrelation time by least squares over a grid of times."""
    lag_s = np.arange(len(covariance)) / VIDEO_HZ
    best = (np.inf, 0.0, 0.0, 0.1)
    for tau_s in np.geomspace(0.03, 3, 120):
        design = np.c_[lag_s == 0, np.exp(-lag_s / tau_s)].astype(float)
        solution = np.linalg.lstsq(design, covariance, rcond=None)[0]
        best = min(best, (((design @ solution - covariance) ** 2).sum(), *solution, tau_s))
    return best[1:]


def bursts(mask):
    """Share of frames and mean length in seconds of runs of True in a list of boolean tracks."""
    runs = sum(int(m[0]) + int((m[1:] & ~m[:-1]).sum()) for m in mask)
    frames = sum(int(m.sum()) for m in mask)
    return frames / sum(len(m) for m in mask), frames / max(runs, 1) / VIDEO_HZ


def confidence_fit(pairs):
    """logit(confidence) against |residual| in heights: level, slope, spread between and within tracks, its time."""
    errors, logits, levels, inner = [], [], [], []
    for pair in pairs:
        error = np.linalg.norm(pair.residual_mm, axis=1) / STATURE_MM
        good = np.isfinite(error) & (pair.confidence > 0)
        logit = np.log(pair.confidence.clip(1e-3, 0.995) / (1 - pair.confidence.clip(1e-3, 0.995)))
        errors.append(error[good] - error[good].mean())
        logits.append(logit[good] - logit[good].mean())
        levels.append(logit[good].mean())
        inner.append(np.where(good, logit, np.nan)[:, None] - logit[good].mean())
    error, logit = np.concatenate(errors), np.concatenate(logits)
    slope = -(error * logit).sum() / (error**2).sum()
    white, slow, tau_s = fit_two_parts(autocovariance(inner))
    return {
        "level_logit": float(np.mean(levels)),
        "between_tracks_std": float(np.std(levels)),
        "within_std": float(logit.std()),
        "lost_per_height": float(slope),
        "correlation": float(-np.corrcoef(error, logit)[0, 1]),
        "slow_std": float(np.sqrt(max(slow, 0))),
        "white_std": float(np.sqrt(max(white, 0))),
        "tau_s": float(tau_s),
    }


def fast_error_by_speed(pairs, tracks, edges=(0, 10, 30, 100, 300, 600, 900, 1300)):
    """Std in mm of white error along and across the motion in bins of speed: rows (speed rms mm/s, along, across)."""
    along, across, speeds = [], [], []
    for pair, track in zip(pairs, tracks, strict=True):
        motion = np.gradient(pair.path_mm, axis=0)[1:-1]
        unit = motion / np.linalg.norm(motion, axis=1, keepdims=True).clip(1e-6)
        fast = np.diff(track, n=2, axis=0) / np.sqrt(6)  # unit gain for white noise
        along.append((fast * unit).sum(1))
        across.append(fast[:, 0] * unit[:, 1] - fast[:, 1] * unit[:, 0])
        speeds.append(pair.speed_mm_s[1:-1])
    along, across, speeds = map(np.concatenate, (along, across, speeds))
    rows = []
    for low, high in pairwise(edges):
        use = np.isfinite(along) & (speeds >= low) & (speeds < high)
        rows.append([np.sqrt((speeds[use] ** 2).mean()), along[use].std(), across[use].std()])
    return np.array(rows)


def simulate(pairs, noise, generator):
    """The same motions seen by the model: pairs whose residual and confidence are those of a simulated wrist."""
    import torch

    from .noise import apply, person_height_px

    bones = torch.randn(17, 2, generator=generator)
    bones *= STATURE_MM / person_height_px(bones)
    simulated = []
    for pair in pairs:
        frames = np.arange(len(pair.path_mm))
        known = np.isfinite(pair.path_mm).all(1)
        path = np.stack([np.interp(frames, frames[known], axis[known]) for axis in pair.path_mm.T], 1)
        exact = bones + torch.tensor(path)[:, None]
        stamps_s = torch.tensor(frames / VIDEO_HZ)[None]
        noisy, confidence = apply(exact[None], stamps_s, noise=noise, generator=generator)
        residual = (noisy - exact)[0, :, 13].numpy()
        residual[(confidence[0, :, 13] == 0).numpy() | ~known] = np.nan
        simulated.append(replace(pair, residual_mm=residual, confidence=confidence[0, :, 13].numpy()))
    return simulated


def seen_standing(noise):
    """The model as the standing people were seen: nobody hidden or swapped, and coordinates on a grid."""
    off = ("swap_share", "limb_occlusion_share", "half_occlusion_share", "frame_missing_share")
    return replace(noise, **dict.fromkeys(off, 0.0), grid_probability=1.0)


def describe(pairs):
    """Every figure of one set of standing pairs, real or simulated, in mm and seconds."""
    tracks = jitter_residuals(pairs)
    white, slow, tau_s = fit_two_parts(autocovariance(tracks))
    fast = second_difference(tracks)
    gross = [np.nan_to_num(np.abs(p.residual_mm - np.nanmedian(p.residual_mm, 0)).max(1)) > GROSS_MM for p in pairs]
    return {
        "track_std_mm_percentiles_5_50_95": np.percentile([np.nanstd(t) for t in tracks], [5, 50, 95])
        .round(1)
        .tolist(),
        "white_std_mm": float(np.sqrt(white)),
        "slow_std_mm": float(np.sqrt(slow)),
        "slow_tau_s": float(tau_s),
        "fast_excess_kurtosis": excess_kurtosis(fast),
        "speed_along_across_mm": fast_error_by_speed(pairs, tracks).round(1).tolist(),
        "gross_share_duration_s": bursts(gross),
        "missing_share_duration_s": bursts([p.confidence == 0 for p in pairs]),
        "confidence": confidence_fit(pairs),
    }


def four_cameras(path):
    """Second look: reprojection error per joint in thousandths of the height, (3, 17): offset, slow spread, white std.

    The reference was triangulated from the same 2D, so it takes part of the error with it; medians over cameras.
    """
    import cv2
    import torch

    from .noise import person_height_px

    rows, names = [], None
    with np.load(path, allow_pickle=False) as archive:
        names, joints = archive["names"].tolist(), archive["joints_3d_world"].astype(np.float64)
        for c in range(len(archive["K"])):
            turn = cv2.Rodrigues(archive["R"][c])[0]
            image = cv2.projectPoints(
                joints.reshape(-1, 3), turn, archive["t"][c], archive["K"][c], archive["dist"][c]
            )[0].reshape(*joints.shape[:2], 2)
            error = 1000 * (archive["keypoints_2d"][c] - image) / np.median(person_height_px(torch.tensor(image)))
            error[archive["conf"][c] <= 0] = np.nan
            offset = np.nanmedian(error, 0)
            fast = np.diff(error, n=2, axis=0) / np.sqrt(6)
            spread = [1.48 * np.nanmedian(np.abs(e), (0, 2)) for e in (error - offset, fast)]
            rows.append([np.abs(offset).mean(1), *spread])
    return names, np.median(rows, 0)


def plot(path, real, model):
    """Jitter spectrum, autocorrelation, fast error against speed and confidence against error, real beside model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(16, 3.6), constrained_layout=True)
    for pairs, label, style in ((real, "OpenPose beside markers", "k-"), (model, "model", "C1--")):
        tracks = jitter_residuals(pairs)
        axes[0].loglog(*(v[1:] for v in spectrum(tracks)), style, label=label)
        covariance = autocovariance(tracks)
        axes[1].plot(np.arange(LAGS) / VIDEO_HZ, covariance / covariance[0], style)
        speed, along, across = fast_error_by_speed(pairs, tracks).T
        axes[2].plot(speed / 1000, along, style, marker="o")
        axes[2].plot(speed / 1000, across, style, marker="x")
        error = np.concatenate([np.linalg.norm(t, axis=1) for t in tracks])
        confidence = np.concatenate([np.where(p.confidence > 0, p.confidence, np.nan) for p in pairs])
        edges = np.array([0, 5, 10, 15, 20, 30, 40, 60, 80, 160])
        bins = [confidence[(error >= a) & (error < b)] for a, b in pairwise(edges)]
        middle = (edges[1:] + edges[:-1]) / 2
        for percentile, width in ((50, 2), (10, 0.8), (90, 0.8)):
            axes[3].plot(middle, [np.nanpercentile(b, percentile) for b in bins], style, linewidth=width)
    axes[0].set(xlabel="Hz", ylabel="mm²/Hz", title="spectrum of the error")
    axes[0].legend()
    axes[1].set(xlabel="s", title="autocorrelation")
    axes[2].set(xlabel="speed, m/s", ylabel="mm", title="fast error: o along, x across the motion")
    axes[3].set(xlabel="error, mm", title="confidence: 10, 50, 90 %", ylim=(0, 1))
    figure.savefig(path, dpi=70)
    plt.close(figure)


@dataclass(frozen=True, kw_only=True)
class FitNoiseOptions:
    """Compare the detector-noise model with detections beside optical markers."""

    archive: Positional[Path]
    """Keypoints beside markers (.npz)."""
    cameras: Path | None = None
    """Keypoints of calibrated cameras (.npz), for a second look at each joint."""
    plot: Path | None = None
    """Picture to write (PNG)."""
    json: Path | None = None
    """Write every figure to this file."""


def command(options: FitNoiseOptions) -> None:
    """Measure, print and draw."""
    pairs, total = load(options.archive)
    standing = [pair for pair in pairs if pair.name.startswith(STANDING)]
    if not standing:
        raise ValueError(f"{options.archive}: none of {total} recordings could be aligned with its markers")
    model = simulate(standing, seen_standing(DetectorNoise()), torch.Generator().manual_seed(0))
    figures = {
        "recordings": total,
        "aligned": len(pairs),
        "standing": len(standing),
        "grid_mm": float(np.median([pair.grid_mm for pair in standing])),
        "real": describe(standing),
        "model": describe(model),
    }
    lying = [pair for pair in pairs if not pair.name.startswith(STANDING)]
    if lying:
        gross = [np.nan_to_num(np.linalg.norm(pair.residual_mm, axis=1)) > GROSS_MM for pair in lying]
        figures["lying"] = {
            "recordings": [pair.name for pair in lying],
            "gross_share_duration_s": bursts(gross),
            "missing_share_duration_s": bursts([pair.confidence == 0 for pair in lying]),
            "confidence": confidence_fit(lying),
        }
    if options.cameras:
        names, rows = four_cameras(options.cameras)
        figures["four_cameras_permille"] = dict(zip(names, rows.T.round(1).tolist(), strict=True))
    text = json.dumps(figures, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    if options.plot:
        plot(options.plot, standing, model)
    print(text)


if __name__ == "__main__":
    run("fit-noise")
