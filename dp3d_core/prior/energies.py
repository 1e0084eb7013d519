"""Evidence of a person as energies of joint positions, with analytic gradients and curvature (Gauss-Newton).

Joints known in 3D, keypoints with covariances, rivals and outliers, or a detector's heatmaps, sampled bilinearly. Each
says how its energy changes with the joints' places in the virtual camera, and which rays the root shall meet. Knows no
network.
"""
# H samples, T frames, J = 17 joints, G modes of a joint, R rows and C columns of a heatmap

from typing import NamedTuple

import torch
from torch import Tensor

KNOWN_SIGMA_M = 0.01
"""How far a joint known in 3D may be from its place."""
STRAY_AREA = 0.06
"""A joint that is where its detector shows nothing may be anywhere in so large an area of rays (1 m^2 at 4 m)."""
LEAST_SCORE = 1e-3
"""Score of a heatmap below which it says nothing."""
MIN_DEPTH_M = 0.3


class Pull(NamedTuple):
    """An energy about given places, to second order."""

    energy: Tensor
    """(H, T, 17) negative log likelihood, without constants."""
    gradient: Tensor
    """(H, T, 17, 3) per metre."""
    curvature: Tensor
    """(H, T, 17, 3, 3) positive semidefinite, per square metre."""


class Points:
    """Joints known in 3D: places (T, 17, 3) metres in the virtual camera where known (T, 17) is 1."""

    def __init__(self, places_m, known, sigma_m=KNOWN_SIGMA_M):
        self._places_m, self._precision = places_m, known / sigma_m**2

    def weighted(self):
        """Precision (T, 17) of each joint, 0 where unknown, and its place (T, 17, 3)."""
        return self._precision, self._places_m

    def pull(self, place_m, doubt_m=None):
        """The `Pull` at places (H, T, 17, 3); however far the places are in doubt, the joints are known."""
        away, precision = place_m - self._places_m, self._precision.expand(place_m.shape[:-1])
        curvature = precision[..., None, None] * torch.eye(3).to(place_m)
        return Pull(0.5 * precision * away.square().sum(-1), precision[..., None] * away, curvature)


class Keypoints:
    """Rays (T, 17, G, 2) with covariances (T, 17, G, 2, 2) and weights (T, 17, G), 0 for none, as a mixture.

    What the weights of a joint lack to 1 is the share of an outlier anywhere.
    """

    def __init__(self, rays, covariance, weight):
        self._rays, self._weight, self._covariance = rays, weight, covariance
        self._precision = torch.linalg.inv(covariance)
        self._density = torch.linalg.det(self._precision).sqrt() / (2 * torch.pi)
        self._stray = (1 - weight.sum(-1)).clamp(0, 1) / STRAY_AREA + 1e-6

    def shares(self, rays, doubt=None):
        """How likely each mode (H, T, 17, G) is the joint, if it is near rays (H, T, 17, 2); and the total density.

        doubt (H, T, 17): standard deviation of the rays, by which each mode is widened; None for none.
        """
        away = rays[..., None, :] - self._rays
        precision, scale = self._precision, self._density
        if doubt is not None:
            wide = self._covariance + doubt.square()[..., None, None, None] * torch.eye(2).to(rays)
            precision = torch.linalg.inv(wide)
            scale = torch.linalg.det(precision).sqrt() / (2 * torch.pi)
        squared = torch.einsum("...i,...ij,...j->...", away, precision.expand(*away.shape, 2), away)
        density = self._weight * scale * torch.exp(-0.5 * squared)
        total = density.sum(-1) + self._stray
        return density / total[..., None], total

    def in_rays(self, rays, doubt=None):
        """Energy, gradient (..., 2) and curvature (..., 2, 2) about rays (H, T, 17, 2); doubt as in `shares`."""
        share, total = self.shares(rays, doubt)
        there = (self._weight.sum(-1) > 0).to(rays)
        weighted = share[..., None, None] * self._precision
        gradient = torch.einsum("...gij,...gj->...i", weighted, rays[..., None, :] - self._rays)
        return -torch.log(total) * there, gradient, weighted.sum(-3)

    def pull(self, place_m, doubt_m=None):
        """The `Pull` at places (H, T, 17, 3), which are in doubt by doubt_m (H, T, 17): while they are, an outlier is
        not told from a joint that is still on its way."""
        doubt = None if doubt_m is None else doubt_m / place_m[..., 2].clamp(min=MIN_DEPTH_M)
        return through_projection(place_m, lambda rays: self.in_rays(rays, doubt))

    def heaviest(self):
        """The heaviest mode's ray (T, 17, 2) and precision (T, 17), 0 where there is none: where a root starts."""
        best = self._weight.argmax(-1)[..., None]
        rays = self._rays.gather(-2, best[..., None].expand(*best.shape, 2))[..., 0, :]
        precision = torch.diagonal(self._precision, dim1=-2, dim2=-1).mean(-1).gather(-1, best)[..., 0]
        return rays, precision * (self._weight.amax(-1) > 0)


class Heatmaps:
    """A detector's heatmaps (T, 17, R, C) of scores in [0, 1], as published: -log of the score at the projected joint.

    rotation (T, 3, 3) from the camera to the virtual camera; focal_cells and centre_cells (2,) of the camera without
    distortion, in cells of the map (x, y); sigma_cells: width of the detector's peaks, which scales the steps.
    """

    def __init__(self, heatmaps, rotation, focal_cells, centre_cells, sigma_cells=2.0):
        self._maps, self._rotation = heatmaps, rotation
        self._focal, self._centre, self._sigma = focal_cells, centre_cells, sigma_cells

    def pull(self, place_m, doubt_m=None):
        """The `Pull` at places (H, T, 17, 3); flat where a map says nothing, however far the places are in doubt."""
        in_camera = torch.einsum("tji,htkj->htki", self._rotation, place_m)

        def in_rays(rays):
            energy, gradient, score = heatmap_energy(rays * self._focal + self._centre, self._maps)
            trust = (score / (score + LEAST_SCORE))[..., None, None]
            curvature = trust * torch.diag_embed((self._focal / self._sigma).square())
            return energy, gradient * self._focal, curvature

        pull = through_projection(in_camera, in_rays)
        turned = torch.einsum("tij,htkj->htki", self._rotation, pull.gradient)
        curvature = torch.einsum("tij,htkjl,tml->htkim", self._rotation, pull.curvature, self._rotation)
        return Pull(pull.energy, turned, curvature)


def through_projection(place_m, in_rays):
    """A `Pull` at places (H, T, 17, 3) from `in_rays`, which gives energy, gradient and curvature at rays."""
    depth = place_m[..., 2:].clamp(min=MIN_DEPTH_M)
    rays = place_m[..., :2] / depth
    jacobian = place_m.new_zeros(*rays.shape[:-1], 2, 3)
    jacobian[..., 0, 0] = jacobian[..., 1, 1] = 1 / depth[..., 0]
    jacobian[..., 2] = torch.where(place_m[..., 2:] > MIN_DEPTH_M, -rays / depth, 0.0)
    energy, gradient, curvature = in_rays(rays)
    return Pull(
        energy, torch.einsum("...ij,...i->...j", jacobian, gradient), jacobian.transpose(-1, -2) @ curvature @ jacobian
    )


def heatmap_energy(cells, heatmaps):
    """-log(h + LEAST_SCORE) at cells (H, T, 17, 2) of heatmaps (T, 17, R, C); its gradient per cell; and h.

    Bilinear between the middles of cells (cell (0, 0) has its middle at 0.5, 0.5), 0 outside; the gradient is that of
    the bilinear surface, in closed form.
    """
    rows, columns = heatmaps.shape[-2:]
    padded = torch.nn.functional.pad(heatmaps, (1, 1, 1, 1))
    x = (cells[..., 0] + 0.5).clamp(0, columns + 1 - 1e-6)
    y = (cells[..., 1] + 0.5).clamp(0, rows + 1 - 1e-6)
    inside = ((cells[..., 0] + 0.5 == x) & (cells[..., 1] + 0.5 == y)).to(cells)
    left, top = x.floor().long().clamp(max=columns), y.floor().long().clamp(max=rows)
    right, low = x - left, y - top
    flat = padded.flatten(-2)

    def at(row, column):
        index = (row * (columns + 2) + column).movedim(0, -1)  # (T, 17, H)
        return flat.gather(-1, index).movedim(-1, 0)

    a, b, c, d = at(top, left), at(top, left + 1), at(top + 1, left), at(top + 1, left + 1)
    score = (1 - low) * ((1 - right) * a + right * b) + low * ((1 - right) * c + right * d)
    slope_x = (1 - low) * (b - a) + low * (d - c)
    slope_y = (1 - right) * (c - a) + right * (d - b)
    total = score + LEAST_SCORE
    gradient = -torch.stack([slope_x, slope_y], -1) / total[..., None] * inside[..., None]
    return -torch.log(total), gradient, score
