"""The network as a prior of human motion: generate it, complete what is known of it in 3D, fit it to heatmaps.

The weights that lift were also trained with all 2D dropped, so without any they are an unconditional diffusion prior
over poses through time. Evidence guides its samples (Flexible Geometric Guidance, arXiv 2602.03126; only its abstract
is public, so the steps are ours): at every denoising step the clean estimate of each joint, a Gaussian of the variance
that the network itself states at that noise level, is combined with what was measured of that joint, in closed form.
Nothing is trained for it, and no gradient runs through the network. What is sure in 2D is also shown to the network, as
when it lifts; `prior_only` leaves that out. Knows no training data and no error metric.
"""
# H samples, T frames, J = 17 joints, G modes of a joint's heatmap

import numpy as np
import torch

from dp3d_core.model.diffusion import band_mask, rows_ahead
from dp3d_core.model.sampler import hypotheses
from dp3d_core.prior.evidence import Points, Rays
from dp3d_core.prior.view import checked_joints, checked_modes, checked_stamps, heaviest, look, turn_modes

STEPS = 20
"""Of samples; a point estimate takes one, as when lifting."""
RIVAL_SHARE = 0.5
"""A peak that reaches this share of its heatmap's highest is a rival to it."""


class Prior:
    """A lifter's network as an unconditional prior; `lifter` is a `Lifter`. ValueError if it was not trained as one."""

    def __init__(self, lifter):
        trained = lifter.provenance.get("train", {})
        if lifter.denoiser is None or trained.get("objective") == "regression" or trained.get("unconditional") == 0:
            raise ValueError(
                f"{lifter.weights_name or 'weights'}: expected weights trained by diffusion with some 2D dropped "
                "(--unconditional), got a network that knows no motion without 2D"
            )
        self._denoiser, self._scale_m = lifter.denoiser, lifter.config.pose_scale_m

    def generate(self, stamps_s, *, samples=1, steps=STEPS, seed=0):
        """New motion: root-relative poses (H, T, 17, 3) in metres at stamps_s (T,) ascending seconds.

        As from a camera that looks at the person: x right, y down, z away, whichever way the person faces.
        """
        return self._sample(checked_stamps(stamps_s), None, None, samples, steps, seed)[0]

    def complete(self, joints_cam_m, stamps_s, *, samples=1, steps=None, seed=0, prior_only=False):
        """Fill what is missing of a person's joints in 3D, NaN where unknown: single joints, limbs, whole frames.

        joints_cam_m (T, 17, 3) metres in the camera's optical frame. Returns (H, T, 17, 3): one is the point estimate,
        several are samples whose spread is the doubt; known joints stay where they are. ValueError where fewer than
        three joints are known in every frame.
        """
        stamps_s = checked_stamps(stamps_s)
        joints_cam_m, known = checked_joints(joints_cam_m, len(stamps_s))
        points = np.where(known[..., None], joints_cam_m, 1.0)
        seen, rotation = look(points[..., :2] / points[..., 2:], known, stamps_s)
        evidence = Points(np.einsum("tij,tkj->tki", rotation, points), known, stamps_s)
        pose_m, root_m = self._sample(stamps_s, None if prior_only else seen, evidence, samples, steps, seed)
        completed = np.einsum("tji,htkj->htki", rotation, pose_m + root_m)
        return np.where(known[..., None], joints_cam_m, completed).astype(np.float32)

    def fit(self, modes, stamps_s, *, camera, samples=1, steps=None, seed=0, prior_only=False):
        """Motion that explains a detector's heatmaps: (H, T, 17, 3) in metres in the camera's optical frame.

        modes: `Modes` of (T, 17) joints; with several a joint, the motion of the joints without rivals decides which of
        them the joint is, and is then estimated anew. One answer is the point estimate, several are samples. The root
        is estimated, its distance as good as the prior's body size. ValueError where nothing is seen.
        """
        stamps_s = checked_stamps(stamps_s)
        centre_px, sigma_px, weight = checked_modes(modes, len(stamps_s))
        rays, weight = camera.see(centre_px, weight)
        if ((weight > 0).any(-1).sum(1) < 3).all():
            raise ValueError("modes: expected three joints seen in some frame, got fewer")
        confidence = weight.sum(-1)
        # the network would believe a wrong peak: at first it does not see joints whose peaks have rivals
        rivals = (weight > RIVAL_SHARE * weight.max(-1, keepdims=True)).sum(-1) > 1
        picked, trust = heaviest(rays, weight), np.where(rivals, 0, confidence)
        if (trust > 0).sum(1).max() < 3:
            trust = confidence  # nothing is free of rivals
        seen, evidence, rotation = _looked_at(rays, sigma_px / camera.fx, weight, picked, trust, stamps_s)
        if rivals.any() and not prior_only:
            self._sample(stamps_s, seen, evidence, 1, 1, seed)
            assert evidence.shares is not None
            # the motion has decided: what it takes for the joint is now seen, as surely as it was decided
            picked, sure = heaviest(rays, evidence.shares[0]), (2 * evidence.shares[0].max(-1) - 1).clip(0, 1)
            trust = np.where(rivals, sure, 1) * confidence
            seen, evidence, rotation = _looked_at(rays, sigma_px / camera.fx, weight, picked, trust, stamps_s)
        pose_m, root_m = self._sample(stamps_s, None if prior_only else seen, evidence, samples, steps, seed)
        return np.einsum("tji,htkj->htki", rotation, pose_m + root_m).astype(np.float32)

    @torch.inference_mode()
    def _sample(self, stamps_s, seen, evidence, samples, steps, seed):
        """Poses (H, T, 17, 3) and roots (H, T, 1, 3), metres in the virtual camera; roots are 0 without evidence.

        seen (T, 17, 4) is what the network sees; None: nothing.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        device = next(self._denoiser.parameters()).device
        frames, window = len(stamps_s), self._denoiser.config.window_frames
        mask, ahead = band_mask(frames, window, device)[None], rows_ahead(frames, window, device)
        blind = seen is None
        seen = torch.zeros(frames, 17, 4) if blind else torch.from_numpy(seen).float()
        seen = seen.to(device).expand(samples, -1, -1, -1)
        relative_s = torch.from_numpy(stamps_s - stamps_s[0]).float().to(device).expand(samples, -1)
        root_m = np.zeros((samples, frames, 1, 3))

        def denoise(noisy, level):
            nonlocal root_m
            answer = self._denoiser(noisy, seen, level, relative_s, mask, ahead)
            if evidence is None:
                return answer.clean
            pose_m = (answer.clean * self._scale_m).cpu().double().numpy()
            sigma_m = (answer.log_variance / 2).exp().cpu().double().numpy() * self._scale_m
            pose_m, root_m = evidence.combine(pose_m, sigma_m)
            return torch.from_numpy(pose_m / self._scale_m).to(answer.clean)

        noise = torch.zeros(1, samples, frames, 17, 3)
        point = samples == 1 and not blind
        if not point:
            noise.normal_(generator=torch.Generator().manual_seed(seed))
        noise = noise.to(device)
        pose = hypotheses(denoise, noise, steps or (1 if point else STEPS))[0] * self._scale_m
        return pose.cpu().numpy(), root_m


def _looked_at(rays, sigma, weight, picked, trust, stamps_s):
    """What the network sees of the picked rays, the modes (T, 17, G) as evidence in the virtual camera, and the
    rotation to that."""
    seen, rotation = look(picked, trust, stamps_s)
    turned = turn_modes(rays, rotation)
    return seen, Rays(turned, sigma, weight, stamps_s), rotation
