"""A prior of human motion that was trained on 3D alone: generate motion, complete it, fit it to a detector's evidence.

The evidence guides the samples of a `MotionDenoiser` without context (see `guided`). Joints come in and go out in
metres in the camera's optical frame. Knows no error metric and no file format.
"""
# H samples, T frames, J = 17 joints, G modes of a joint

import numpy as np
import torch

from dp3d_core.model.hypotheses import MOST_TOKENS, sample
from dp3d_core.prior.energies import Heatmaps, Keypoints, Points
from dp3d_core.prior.evidence import modes_from_heatmaps
from dp3d_core.prior.guided import guided_sample
from dp3d_core.prior.view import checked_joints, checked_modes, checked_stamps, heaviest, look, turn_modes

STEPS = 20
MODEL_SIGMA = 0.005
"""Detected joints are not quite the body's: this much is added to every keypoint's standard deviation, in rays."""
WEIGHT = 0.3
"""Factor on the evidence's energy: errors of neighbouring frames are alike."""


class MotionPrior:
    """Uses of a prior network; `network` is a `MotionDenoiser` without context."""

    def __init__(self, network):
        if network is None or not network.blind:
            raise ValueError("prior: expected a network without context (dp3d_core.training.denoiser --prior)")
        self._network = network

    @torch.inference_mode()
    def generate(self, stamps_s, *, samples=1, steps=STEPS, seed=0):
        """New motions: root-relative poses (H, T, 17, 3) in metres at stamps_s (T,) ascending seconds.

        As from a level camera that looks at the person: x right, y down, z away.
        """
        stamps_s = checked_stamps(stamps_s)
        context = self._context(stamps_s)
        generator = torch.Generator().manual_seed(seed)
        steps = {"hypotheses": samples, "steps": steps, "generator": generator}
        pose = sample(self._network, context, **steps)[:, 0] * self._network.config.pose_scale_m
        return pose.cpu().numpy()

    def complete(self, joints_cam_m, stamps_s, *, samples=1, steps=None, seed=0):
        """Fill what is missing of a person's joints in 3D, (T, 17, 3) metres with NaN where unknown: (H, T, 17, 3).

        One is the point estimate (one step), several are samples. Known joints stay where they are. What is known in
        2D alone is completed by `fit`. ValueError where fewer than three joints are known in every frame.
        """
        stamps_s = checked_stamps(stamps_s)
        joints_cam_m, known = checked_joints(joints_cam_m, len(stamps_s))
        points = np.where(known[..., None], joints_cam_m, 1.0)
        _, rotation = look(points[..., :2] / points[..., 2:], known, stamps_s)
        places = np.einsum("tij,tkj->tki", rotation, points)
        evidence = Points(torch.from_numpy(places).float(), torch.from_numpy(known).float())
        completed = self._guided(stamps_s, evidence, rotation, samples, steps, seed, 1.0)
        return np.where(known[..., None], joints_cam_m, completed).astype(np.float32)

    def fit(self, modes, stamps_s, *, camera, samples=1, steps=None, seed=0, covariance_px=None, weight=WEIGHT):
        """Motions that explain keypoints: (H, T, 17, 3) metres in the camera; one is the point estimate.

        modes: `evidence.Modes` of (T, 17) joints, several a joint where it has rivals; what the weights of a joint
        lack to 1 is the chance that it is anywhere. covariance_px (T, 17, G, 2, 2) in place of the modes' sigma.
        """
        stamps_s = checked_stamps(stamps_s)
        centre_px, sigma_px, mode_weight = checked_modes(modes, len(stamps_s))
        rays, mode_weight = camera.see(centre_px, mode_weight)
        if ((mode_weight > 0).any(-1).sum(1) < 3).all():
            raise ValueError("modes: expected three joints seen in some frame, got fewer")
        _, rotation = look(heaviest(rays, mode_weight), mode_weight.sum(-1), stamps_s)
        if covariance_px is None:
            covariance_px = sigma_px[..., None, None] ** 2 * np.eye(2)
        covariance_px = np.asarray(covariance_px, np.float64)
        if covariance_px.shape != (*sigma_px.shape, 2, 2) or not (np.linalg.eigvalsh(covariance_px) > 0).all():
            raise ValueError(
                f"covariance_px: expected positive definite {(*sigma_px.shape, 2, 2)}, got {covariance_px.shape}"
            )
        focal = np.array([camera.fx, camera.fy])
        covariance = covariance_px / focal[:, None] / focal + MODEL_SIGMA**2 * np.eye(2)
        turned = turn_modes(rays, rotation)
        evidence = Keypoints(*(torch.from_numpy(np.asarray(a)).float() for a in (turned, covariance, mode_weight)))
        return self._guided(
            stamps_s, evidence, rotation, samples, steps, seed, weight, start=evidence.heaviest()
        ).astype(np.float32)

    def fit_heatmaps(
        self, heatmaps, stamps_s, *, camera, samples=1, steps=None, seed=0, sigma_cells=2.0, weight=WEIGHT
    ):
        """Motions that explain a detector's heatmaps (T, 17, rows, columns) of the whole image: (H, T, 17, 3) metres.

        Their highest peaks start the root; afterwards the maps' own gradient guides. ValueError for a camera with
        distortion (rectify the image first), for NaN, and where no frame shows three joints.
        """
        stamps_s = checked_stamps(stamps_s)
        if any(camera.distortion) or camera.model == "equidistant":
            raise ValueError("camera: heatmaps are projected without distortion; rectify the image, or pass keypoints")
        peaks = modes_from_heatmaps(heatmaps, (camera.width, camera.height), most=1, least=0.05)
        if len(peaks.weight) != len(stamps_s):
            raise ValueError(f"heatmaps: expected {len(stamps_s)} frames, got {len(peaks.weight)}")
        rays, peak_weight = camera.see(*peaks[::2])
        if ((peak_weight > 0).any(-1).sum(1) < 3).all():
            raise ValueError("heatmaps: expected three joints seen in some frame, got fewer")
        _, rotation = look(rays[:, :, 0], peak_weight[..., 0], stamps_s)
        rows, columns = np.shape(heatmaps)[2:]
        cell = np.array([camera.width / columns, camera.height / rows])
        single = lambda array: torch.from_numpy(np.asarray(array)).float()  # noqa: E731
        evidence = Heatmaps(
            single(heatmaps),
            single(rotation),
            single(np.array([camera.fx, camera.fy]) / cell),
            single(np.array([camera.cx, camera.cy]) / cell),
            sigma_cells,
        )
        start = single(turn_modes(rays, rotation)[:, :, 0]), single(peak_weight[..., 0])
        return self._guided(stamps_s, evidence, rotation, samples, steps, seed, weight, start=start).astype(np.float32)

    def _context(self, stamps_s):
        relative_s = torch.from_numpy(stamps_s - stamps_s[0]).float()[None]
        return self._network.blind_context(relative_s.to(self._network.mean_pose.device))

    def _guided(self, stamps_s, evidence, rotation, samples, steps, seed, weight, start=None):
        """Guided samples (H, T, 17, 3) in the camera, as many at a time as fit into memory."""
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        steps = steps or (1 if samples == 1 else STEPS)
        generator = torch.Generator().manual_seed(seed)
        most, parts, context = max(1, MOST_TOKENS // (17 * len(stamps_s))), [], self._context(stamps_s)
        for first in range(0, samples, most):
            count = min(most, samples - first)
            pose_m, root_m = guided_sample(
                self._network,
                context,
                evidence,
                samples=count,
                steps=steps,
                generator=generator,
                weight=weight,
                start=start,
            )
            parts.append((pose_m + root_m).cpu().double().numpy())
        return np.einsum("tji,htkj->htki", rotation, np.concatenate(parts))
