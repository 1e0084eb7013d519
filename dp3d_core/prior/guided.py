"""Guided sampling: a diffusion prior's motions drawn to evidence at every step (Flexible Geometric Guidance,
arXiv 2602.03126; only its abstract is public).

At each noise level the clean estimate is moved along the gradient of the evidence's energy, through the projection and
not through the network. The step is a Gauss-Newton step in which the prior's own doubt at that level, a Gaussian over
all frames and joints, is the metric: what is not seen moves with what is. The root is solved again before each step.
"""
# H samples, T frames, J = 17 joints

from itertools import pairwise

import numpy as np
import torch

from dp3d_core.geometry.root import solve
from dp3d_core.model.flow import angle_ladder, turned
from dp3d_core.model.gaussian import kernel
from dp3d_core.prior.energies import Points

ROUNDS, ROUNDS_OF_ONE = 2, 8
"""Gauss-Newton steps at each noise level, and at the only one: root, choice of modes and pose depend on each other."""
CONJUGATE_STEPS = 20
MOST_STEP_M = 0.3
"""No joint moves farther in one step: the projection is linear only nearby."""
LEAST_STD = 0.05
"""Least doubt of the prior's estimate, in units of its spread: the network at low noise is not exact."""


@torch.inference_mode()
def guided_sample(denoiser, context, evidence, *, samples, steps, generator, weight=1.0, start=None):
    """Poses (H, T, 17, 3) and roots (H, T, 1, 3), metres in the virtual camera, of `samples` motions.

    context: a `Context` of one sequence; evidence: `Points`, `Keypoints` or `Heatmaps`; weight: factor on the energy,
    or a function of the angle that gives it; start: rays (T, 17, 2) and precision (T, 17) from which the first root is
    solved (not for `Points`).
    """
    if samples < 1 or steps < 1:
        raise ValueError(f"samples, steps: expected at least 1, got {samples} and {steps}")
    repeated = context.repeat(samples)
    frames = context.stamps_s.shape[1]
    white = torch.randn(samples, frames, 17, 3, generator=generator).to(context.stamps_s.device)
    noisy = denoiser.noise(white, repeated.stamps_s)
    metric = Metric(denoiser, repeated)
    roots = Roots(evidence, start, context.stamps_s[0])
    pose_m = torch.zeros_like(noisy)
    for angle, following in pairwise([*angle_ladder(steps), 0.0]):
        level = noisy.new_full((samples, 1), angle)
        answer = denoiser(noisy, level, repeated)
        factor = weight(angle) if callable(weight) else weight
        pose_m = denoiser.pose(answer.clean, repeated) * metric.unit_m
        doubt = max(float(np.sin(angle)), LEAST_STD)
        for _ in range(ROUNDS if steps > 1 else ROUNDS_OF_ONE):
            root_m = roots.solved(pose_m, metric.doubt_m(doubt))
            pull = evidence.pull(pose_m + root_m, metric.doubt_m(doubt))
            pose_m = pose_m + metric.step(pull, factor, doubt)
        clean = denoiser.residual(pose_m / metric.unit_m, repeated)
        values = (noisy.new_tensor(value) for value in (np.sin(angle), angle, following))
        noisy = turned(noisy, clean, *values) if following > 0 else clean
    return pose_m, roots.solved(pose_m, metric.doubt_m(LEAST_STD))


class Metric:
    """The prior's Gaussian doubt over all frames and joints, and Gauss-Newton steps in it."""

    def __init__(self, denoiser, context):
        self.unit_m = denoiser.config.pose_scale_m
        self._time = torch.linalg.cholesky(kernel(context.stamps_s[:1], denoiser.kernel_share))[0]
        self._joints = denoiser.joint_factor
        self._scale_m = denoiser.scale(context) * self.unit_m

    def doubt_m(self, doubt):
        """(H, T, 17) standard deviation of each joint across the view, metres."""
        return doubt * self._scale_m[..., :2].mean(-1)

    def _spread(self, white, doubt):
        """White (H, T, 17, 3) to metres with the doubt's covariance."""
        mixed = self._time @ white.flatten(-2) @ self._joints.T
        return doubt * self._scale_m * mixed.unflatten(-1, (17, 3))

    def _gathered(self, gradient, doubt):
        """The transpose of `_spread`."""
        mixed = (doubt * self._scale_m * gradient).flatten(-2)
        return (self._time.T @ mixed @ self._joints).unflatten(-1, (17, 3))

    def step(self, pull, weight, doubt):
        """The step (H, T, 17, 3) in metres that a `Pull` asks for: (1 + L'HL) z = -L'g by conjugate gradients."""
        curvature = weight * pull.curvature

        def system(white):
            bent = torch.einsum("htkij,htkj->htki", curvature, self._spread(white, doubt))
            return white + self._gathered(bent, doubt)

        goal = -self._gathered(weight * pull.gradient, doubt)
        white, left = torch.zeros_like(goal), goal
        direction, square = left, left.square().sum((1, 2, 3), keepdim=True)
        for _ in range(CONJUGATE_STEPS):
            image = system(direction)
            length = square / (direction * image).sum((1, 2, 3), keepdim=True).clamp(min=1e-20)
            white, left = white + length * direction, left - length * image
            following = left.square().sum((1, 2, 3), keepdim=True)
            direction, square = left + following / square.clamp(min=1e-20) * direction, following
        step = self._spread(white, doubt)
        longest = step.norm(dim=-1).amax((1, 2), keepdim=True)[..., None]
        return step * (MOST_STEP_M / longest.clamp(min=MOST_STEP_M))


class Roots:
    """Where the person stands, solved anew from each pose; frames without an answer are bridged over time."""

    def __init__(self, evidence, start, stamps_s):
        self._evidence, self._start, self._stamps_s = evidence, start, stamps_s.double().cpu().numpy()
        self._last_m = None
        if start is None and not isinstance(evidence, Points):
            raise ValueError("start: expected rays and their precision for the first root, got none")

    def solved(self, pose_m, doubt_m):
        """(H, T, 1, 3) for poses (H, T, 17, 3) whose joints are in doubt by doubt_m (H, T, 17)."""
        if isinstance(self._evidence, Points):
            weight, target = self._evidence.weighted()
            total = weight.sum(-1)
            root = ((target - pose_m) * weight[..., None]).sum(2) / total.clamp(min=1e-9)[..., None]
            known = (total > 0).expand(root.shape[:2])
        else:
            root, known = self._from_rays(pose_m, doubt_m)
        self._last_m = bridged(root, known, self._stamps_s)[:, :, None]
        return self._last_m

    def _from_rays(self, pose_m, doubt_m):
        rays, precision = self._start
        rays, precision = rays.expand(*pose_m.shape[:-1], 2), precision.expand(pose_m.shape[:-1])
        if self._last_m is not None:
            found, trusted = self._evident_rays(pose_m + self._last_m, doubt_m)
            # so far off that the evidence says nothing any more: start again
            lost = ((trusted > 0.01 * precision.amax()).sum(-1) < 3)[..., None]
            rays, precision = torch.where(lost[..., None], rays, found), torch.where(lost, precision, trusted)
        trust = (precision / precision.amax(-1, keepdim=True).clamp(min=1e-12)).sqrt()
        arrays = (pose_m, rays, trust, torch.full_like(trust, 0.05))
        root, _, solved = solve(*(array.flatten(0, 1).double().cpu().numpy() for array in arrays))
        shape = pose_m.shape[:2]
        known = torch.from_numpy(solved).reshape(shape)
        return torch.from_numpy(root).to(pose_m).reshape(*shape, 3), known

    def _evident_rays(self, place_m, doubt_m):
        """The rays (H, T, 17, 2) of the evidence nearest to these places, and their precision (H, T, 17)."""
        depth = place_m[..., 2:].clamp(min=0.3)
        pull = self._evidence.pull(place_m, doubt_m)
        precision = pull.curvature[..., :2, :2].diagonal(dim1=-2, dim2=-1).mean(-1)
        wanted = place_m[..., :2] - pull.gradient[..., :2] / precision.clamp(min=1e-6)[..., None]
        return wanted / depth, precision * depth[..., 0].square()


def bridged(values, known, stamps_s):
    """(H, T, 3) with frames that are not known (H, T) interpolated over time; 0 where none is known."""
    if bool(known.all()):
        return values
    out, known = values.clone(), known.cpu().numpy()
    for sample, there in enumerate(known):
        if not there.any():
            out[sample] = 0
            continue
        for axis in range(values.shape[-1]):
            column = values[sample, :, axis].double().cpu().numpy()
            out[sample, :, axis] = torch.from_numpy(np.interp(stamps_s, stamps_s[there], column[there])).to(values)
    return out
