"""What may be known of a person, and how it draws a prior's poses to itself: joints in 3D, or a detector's heatmaps.

`Points` and `Rays` combine, for each joint, a Gaussian belief (pose_m, sigma_m) with what was measured, in closed form,
and solve for where the person stands. Knows no network and no camera.
"""
# H samples, T frames, J = 17 joints, G modes of a joint's heatmap

from typing import NamedTuple

import numpy as np

from dp3d_core.geometry.root import DETECTOR_SIGMA_M, MIN_DEPTH_M, solve

KNOWN_SIGMA_M = 0.01
"""How far a known joint may be from its place: joint centres of different sources differ by centimetres."""
STRAY_AREA_M2 = 1.0
"""A joint that is where its heatmap shows nothing may be anywhere in so large an area at the person."""
ROUNDS = 2
"""Root, choice of modes and pose depend on each other and are found in turns."""


class Modes(NamedTuple):
    """What a detector's heatmaps say of 17 joints: a mixture of round Gaussians for each, in pixels."""

    centre_px: np.ndarray
    """(T, 17, G, 2)."""
    sigma_px: np.ndarray
    """(T, 17, G)."""
    weight: np.ndarray
    """(T, 17, G) in [0, 1], 0 = no such mode; those of a joint add up to its confidence."""


def modes_from_keypoints(keypoints_px, confidence, sigma_px=5.0):
    """`Modes` of plain keypoints: one a joint. keypoints_px (T, 17, 2), confidence (T, 17) with 0 = missing."""
    keypoints_px, confidence = np.asarray(keypoints_px, np.float64), np.asarray(confidence, np.float64)
    if keypoints_px.ndim != 3 or keypoints_px.shape[1:] != (17, 2) or confidence.shape != keypoints_px.shape[:2]:
        raise ValueError(
            "keypoints_px, confidence: expected (T, 17, 2) and (T, 17) in the order of dp3d_core.skeleton.JOINT_NAMES, "
            f"got {keypoints_px.shape} and {confidence.shape}; dp3d_core.skeleton.adapt makes them of other joint sets"
        )
    seen = np.isfinite(keypoints_px).all(-1) & (confidence > 0)
    return Modes(
        np.where(seen[..., None], keypoints_px, 0)[:, :, None],
        np.full((*confidence.shape, 1), float(sigma_px)),
        np.where(seen, np.clip(confidence, 0, 1), 0)[:, :, None],
    )


def modes_from_heatmaps(heatmaps, size_px, *, most=3, least=0.1):
    """The peaks of a detector's heatmaps as `Modes`.

    heatmaps (T, 17, rows, columns) of scores in [0, 1], one map a joint in the order of
    `dp3d_core.skeleton.JOINT_NAMES`, that cover the whole image of size_px = (width, height). Up to `most` peaks a
    joint that reach `least`; a peak's place and width are the moments of the 5 x 5 cells around it.
    """
    from scipy.ndimage import maximum_filter

    heatmaps = np.asarray(heatmaps, np.float32)
    if heatmaps.ndim != 4 or heatmaps.shape[1] != 17 or 0 in heatmaps.shape:
        raise ValueError(f"heatmaps: expected (T, 17, rows, columns), got {heatmaps.shape}")
    if not np.isfinite(heatmaps).all():
        raise ValueError("heatmaps: expected finite scores, got NaN or infinity")
    frames, joints, rows, columns = heatmaps.shape
    scale = np.array([size_px[0] / columns, size_px[1] / rows])
    peaks = (maximum_filter(heatmaps, size=(1, 1, 5, 5)) == heatmaps) & (heatmaps >= least)
    centre = np.zeros((frames, joints, most, 2))
    sigma, weight = np.ones((frames, joints, most)), np.zeros((frames, joints, most))
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (2, 2), (2, 2)))
    offset = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), -1)  # x, y
    for frame, joint in np.argwhere(peaks.any((2, 3))):
        found = np.argwhere(peaks[frame, joint])
        scores = heatmaps[frame, joint][tuple(found.T)]
        best = np.argsort(-scores)[:most]
        for mode, (row, column) in enumerate(found[best]):
            patch = np.clip(padded[frame, joint, row : row + 5, column : column + 5], 0, None)[..., None]
            mean = (patch * offset).sum((0, 1)) / patch.sum()
            spread = (patch * (offset - mean) ** 2).sum((0, 1)) / patch.sum()
            # cell (0, 0) covers the pixels from 0 to scale: its middle is half a cell in
            centre[frame, joint, mode] = (mean + (column + 0.5, row + 0.5)) * scale
            sigma[frame, joint, mode] = np.sqrt((spread * scale**2).mean() + (scale**2).mean() / 12)
        share = scores[best] / scores[best].sum()
        weight[frame, joint, : len(best)] = share * min(float(scores.max()), 1.0)
    return Modes(centre, sigma, weight)


class Points:
    """Joints in 3D, (T, 17, 3) metres, where `known` (T, 17), each a Gaussian of KNOWN_SIGMA_M."""

    def __init__(self, joints_m, known, stamps_s):
        self._joints_m, self._known, self._stamps_s = joints_m, known, stamps_s

    def combine(self, pose_m, sigma_m):
        """A root-relative pose (H, T, 17, 3), whose joints are believed to within sigma_m (H, T, 17), drawn to the
        evidence; and the root (H, T, 1, 3) on which it stands."""
        weight = self._known / (sigma_m**2 + KNOWN_SIGMA_M**2)
        root_m = ((self._joints_m - pose_m) * weight[..., None]).sum(2)
        root_m /= np.maximum(weight.sum(-1), 1e-12)[..., None]
        root_m = _bridged(root_m, self._known.any(-1), self._stamps_s)[:, :, None]
        gain = sigma_m**2 / (sigma_m**2 + KNOWN_SIGMA_M**2)
        missed = gain[..., None] * (self._joints_m - root_m - pose_m)
        # what the prior gets wrong of a joint it gets wrong a moment before and after, too
        for joint in range(missed.shape[2]):
            missed[:, :, joint] = _bridged(missed[:, :, joint], self._known[:, joint], self._stamps_s)
        pose_m = pose_m + missed
        # a known root is the origin, whatever it was drawn by
        return pose_m - pose_m[:, :, :1], root_m + pose_m[:, :, :1]


class Rays:
    """Modes of heatmaps as rays (T, 17, G, 2) with sigma (T, 17, G) in rays and weight (T, 17, G), 0 = none."""

    def __init__(self, rays, sigma, weight, stamps_s):
        self._rays, self._variance, self._weight, self._stamps_s = rays, sigma**2, weight, stamps_s
        self._stray = 1 - weight.sum(-1).clip(0, 1)
        self.shares: np.ndarray | None = None
        """(H, T, 17, G) how likely each mode was found to be the joint when last combined."""

    def combine(self, pose_m, sigma_m):
        """As `Points.combine`; the ray's share is one Gauss-Newton step about what the prior expects."""
        belief_m = pose_m
        best = self._weight * (self._weight == self._weight.max(-1, keepdims=True))
        target, precision = self._merged(np.broadcast_to(best, (len(pose_m), *best.shape)))
        for _ in range(ROUNDS):
            root_m = self._root(pose_m, sigma_m, target, precision)
            self.shares = self._shares(belief_m + root_m, sigma_m)
            target, precision = self._merged(self.shares)
            pose_m = _drawn(belief_m, root_m, sigma_m, target, precision)
        return pose_m, root_m

    def _shares(self, place_m, sigma_m):
        """How likely each mode (H, T, 17, G) is the joint that the prior expects at place_m (H, T, 17, 3)."""
        depth = np.maximum(place_m[..., 2:], MIN_DEPTH_M)
        variance = self._variance + (sigma_m[..., None] / depth) ** 2
        squared = ((self._rays - (place_m[..., :2] / depth)[..., None, :]) ** 2).sum(-1)
        density = self._weight * np.exp(-0.5 * squared / variance) / (2 * np.pi * variance)
        stray = self._stray * depth[..., 0] ** 2 / STRAY_AREA_M2
        return density / np.maximum(density.sum(-1) + stray, 1e-12)[..., None]

    def _merged(self, share):
        """The modes of each joint, (H, T, 17, G) shares, as one ray (H, T, 17, 2) and its precision (H, T, 17)."""
        precision = share / self._variance
        total = precision.sum(-1)
        return (precision[..., None] * self._rays).sum(-2) / np.maximum(total, 1e-12)[..., None], total

    def _root(self, pose_m, sigma_m, target, precision):
        """(H, T, 1, 3) by weighted least squares, bridged over frames in which it cannot be solved."""
        trust = np.sqrt(precision / np.maximum(precision.max(-1, keepdims=True), 1e-12))
        flat = (array.reshape(-1, *array.shape[2:]) for array in (pose_m, target, trust, sigma_m))
        root_m, _, solved = solve(*flat)
        shape = pose_m.shape[:2]
        return _bridged(root_m.reshape(*shape, 3), solved.reshape(shape), self._stamps_s)[:, :, None]


def _drawn(belief_m, root_m, sigma_m, target, precision):
    """Each joint of belief_m (H, T, 17, 3) moved to where belief and ray agree best."""
    place = belief_m + root_m
    depth = np.maximum(place[..., 2], MIN_DEPTH_M)
    rays = place[..., :2] / depth[..., None]
    jacobian = np.zeros((*belief_m.shape[:-1], 2, 3))
    jacobian[..., 0, 0] = jacobian[..., 1, 1] = 1 / depth
    jacobian[..., 2] = -rays / depth[..., None]
    # the detector's joint is not quite the body's
    precision = precision / (1 + precision * (DETECTOR_SIGMA_M / depth) ** 2)
    gain = (precision * sigma_m**2)[..., None, None]
    system = gain * (jacobian @ jacobian.swapaxes(-1, -2)) + np.eye(2)
    step = gain * (jacobian.swapaxes(-1, -2) @ np.linalg.solve(system, (target - rays)[..., None]))
    step[..., 0, :, :] = 0  # the root's ray moves the root, not the pose
    return belief_m + step[..., 0]


def _bridged(values, known, stamps_s):
    """(H, T, 3) with frames that are not `known`, (H, T) or (T,), interpolated over time; 0 where none is known."""
    known = np.broadcast_to(known, values.shape[:2])
    if known.all():
        return values
    out = np.zeros_like(values)
    for sample, there in enumerate(known):
        if there.any():
            for axis in range(3):
                out[sample, :, axis] = np.interp(stamps_s, stamps_s[there], values[sample, there, axis])
    return out
