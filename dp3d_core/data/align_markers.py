"""Put a detector's keypoints over optical markers that were recorded unsynchronised and without a camera.

Knows the archive layout `<task>/<person>/<joint>/openpose_px_30hz` (x, y, confidence) and `.../coda_mm_100hz`.
A shift, a clock rate and an affine map are fitted per joint, so constant and affine errors cannot be seen afterwards.
"""
# T video frames, R marker rows; a marker row of zeros is a lost marker

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIDEO_HZ, MARKER_HZ = 30.0, 100.0
STANDING = ("bsq", "ohp")  # raw coordinates; the lying task "slr" is interpolated and smoothed by its authors


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """One joint of one recording: residual_mm (T, 2) with NaN where unknown, confidence (T,), speed_mm_s (T,)."""

    name: str
    residual_mm: np.ndarray
    confidence: np.ndarray
    speed_mm_s: np.ndarray
    path_mm: np.ndarray  # (T, 2) where the marker's image would be, in mm
    grid_mm: float  # step between the detector's coordinates, 0 where none is seen


def affine_fit(keypoints_px, markers_mm, offset_s, rate, stride=1):
    """Robust affine map of markers to pixels at one shift.

    Returns cost, residual (T, 2) px, prediction (T, 2) px and the markers' spread in mm; None where fewer than half of
    the frames have a marker or it does not move.
    """
    row = (np.arange(len(keypoints_px)) / VIDEO_HZ * rate + offset_s) * MARKER_HZ
    below = np.floor(row).astype(int)
    inside = (below >= 0) & (below < len(markers_mm) - 1)
    below = below.clip(0, len(markers_mm) - 2)
    weight = (row - below)[:, None]
    at = markers_mm[below] * (1 - weight) + markers_mm[below + 1] * weight
    lost = (markers_mm == 0).all(1)
    known = inside & (keypoints_px[:, 2] > 0) & ~lost[below] & ~lost[below + 1]
    use = np.flatnonzero(known)[::stride]
    if len(use) * stride < 0.5 * len(known) or markers_mm[below[use]].std(0).max() < 60:
        return None
    design = np.c_[at - at[use].mean(0), np.full(len(at), 100.0)]
    ridge = 0.01 * len(use) * np.diag([100.0, 100.0, 100.0, 0.0])  # motion under 1 cm tells nothing of an axis
    w = np.ones(len(use))
    for _ in range(6):
        left = design[use] * w[:, None]
        solution = np.linalg.solve(left.T @ design[use] + ridge, left.T @ keypoints_px[use, :2])
        miss = np.linalg.norm(keypoints_px[use, :2] - design[use] @ solution, axis=1)
        w = 1 / (1 + (miss / 12.0) ** 2)
    spread = np.linalg.norm(keypoints_px[use, :2] - np.median(keypoints_px[use, :2], 0), axis=1)
    cost = np.minimum(miss, 60).sum() / np.minimum(spread, 60).sum() / np.sqrt(known.mean())
    predicted = design @ solution
    predicted[~known] = np.nan
    return cost, keypoints_px[:, :2] - predicted, predicted, np.sqrt(at[use].var(0).sum())


def align(name, keypoints_px, markers_mm):
    """Find shift and clock rate by grid search, coarse to fine; None where the pair cannot be matched."""
    video_s, marker_s = len(keypoints_px) / VIDEO_HZ, len(markers_mm) / MARKER_HZ
    grid = [(shift, 1.0) for shift in np.arange(-0.5 * video_s, marker_s - 0.5 * video_s, 0.06)]
    best, stride = (np.inf, 0.0, 1.0), 4
    for shift_step, rate_step in ((0.02, 0.003), (0.006, 0.001), (0.0, 0.0)):
        for shift, rate in grid:
            fit = affine_fit(keypoints_px, markers_mm, shift, rate, stride)
            best = min(best, (fit[0] if fit else np.inf, shift, rate))
        if not np.isfinite(best[0]):
            return None
        half = video_s / 2
        grid = [
            (best[1] + a * shift_step - b * rate_step * half, best[2] + b * rate_step)
            for a in range(-4, 5)
            for b in range(-2, 3)
        ]
        best, stride = (np.inf, *best[1:]), 1 if shift_step < 0.01 else 2
    fit = affine_fit(keypoints_px, markers_mm, best[1], best[2])
    if fit is None or fit[0] > 0.35:
        return None
    _, residual_px, predicted_px, spread_mm = fit
    px_per_mm = np.sqrt(np.nanvar(predicted_px, 0).sum()) / spread_mm
    steps = np.abs(np.diff(keypoints_px[:, :2], axis=0))
    steps = steps[(steps > 2) & (steps < 5)]
    speed = np.linalg.norm(np.gradient(predicted_px, axis=0), axis=1) * VIDEO_HZ / px_per_mm
    return Aligned(
        name=name,
        residual_mm=residual_px / px_per_mm,
        confidence=keypoints_px[:, 2],
        speed_mm_s=speed,
        path_mm=predicted_px / px_per_mm,
        grid_mm=float(np.median(steps)) / px_per_mm if name.startswith(STANDING) else 0.0,
    )


def load(path):
    """Every pair in the archive that can be aligned, and how many there were."""
    with np.load(path, allow_pickle=False) as archive:
        names = sorted({key.rsplit("/", 1)[0] for key in archive.files})
        pairs = [(n, archive[f"{n}/openpose_px_30hz"], archive[f"{n}/coda_mm_100hz"]) for n in names]
    aligned = [align(n, k.astype(np.float64), m.astype(np.float64)) for n, k, m in pairs]
    return [a for a in aligned if a is not None], len(pairs)
