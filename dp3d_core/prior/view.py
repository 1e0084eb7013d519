"""The virtual camera in which a prior works: it follows the rays of one person, and everything known is turned into it.

Knows no network.
"""
# T frames, J = 17 joints, G modes of a joint

import numpy as np

from dp3d_core.geometry.camera import turn_rays
from dp3d_core.geometry.gaps import bridge_all
from dp3d_core.geometry.observation import follow_all, observe

MAX_FRAMES = 512
"""Every frame is denoised together with all others, at a cost that grows with the square of their number."""


def look(rays, confidence, stamps_s):
    """What a network sees (T, 17, 4) of rays (T, 17, 2) with confidence (T, 17), and the rotation (T, 3, 3) to the
    virtual camera that follows them."""
    confidence = np.asarray(confidence, np.float64)
    rays, confidence = bridge_all(np.where((confidence > 0)[..., None], rays, 0.0), confidence, stamps_s)
    state = follow_all(rays[None], confidence[None], (stamps_s - stamps_s[0])[None], np)[0]
    first = np.argmax(state[:, 3] > 0)
    state[:first] = state[first]  # before anything is seen the camera looks where it will be
    seen, rotation, _ = observe(rays, confidence, state, np)
    return seen, rotation


def turn_modes(rays, rotation):
    """Rays (T, 17, G, 2) in the virtual cameras (T, 3, 3)."""
    return turn_rays(rays.reshape(len(rays), -1, 2), rotation, np).reshape(rays.shape)


def heaviest(rays, weight):
    """The ray (T, 17, 2) of each joint's heaviest mode: rays (T, 17, G, 2), weight (T, 17, G)."""
    return np.take_along_axis(rays, weight.argmax(-1)[..., None, None], 2)[:, :, 0]


def checked_stamps(stamps_s):
    """Stamps as (T,) float64; ValueError unless they are 1 to MAX_FRAMES finite ascending seconds."""
    stamps_s = np.asarray(stamps_s, np.float64)
    if stamps_s.ndim != 1 or not len(stamps_s) or not np.isfinite(stamps_s).all() or (np.diff(stamps_s) <= 0).any():
        raise ValueError(f"stamps_s: expected (T,) finite ascending seconds, got {stamps_s.shape}")
    if len(stamps_s) > MAX_FRAMES:
        raise ValueError(f"stamps_s: expected at most {MAX_FRAMES} frames, got {len(stamps_s)}; cut the sequence")
    return stamps_s


def checked_joints(joints_cam_m, frames):
    """Joints (T, 17, 3) as float64 and which are known (T, 17); ValueError unless three of some frame are, in front."""
    joints_cam_m = np.asarray(joints_cam_m, np.float64)
    if joints_cam_m.shape != (frames, 17, 3):
        raise ValueError(f"joints_cam_m: expected ({frames}, 17, 3), got {joints_cam_m.shape}")
    known = np.asarray(np.isfinite(joints_cam_m).all(-1))
    if (joints_cam_m[known][:, 2] <= 0).any():
        raise ValueError("joints_cam_m: expected known joints in front of the camera (z > 0), got some behind it")
    if known.sum(1).max() < 3:
        raise ValueError("joints_cam_m: expected three known joints in some frame, got fewer; NaN marks the unknown")
    return joints_cam_m, known


def checked_modes(modes, frames):
    """Centres (T, 17, G, 2), sigma and weight (T, 17, G) of `Modes`; ValueError unless they fit and are finite."""
    centre_px, sigma_px, weight = (np.asarray(part, np.float64) for part in modes)
    if weight.ndim != 3 or weight.shape[:2] != (frames, 17) or centre_px.shape != (*weight.shape, 2):
        raise ValueError(
            f"modes: expected centre_px ({frames}, 17, G, 2) and weight ({frames}, 17, G), got {centre_px.shape} and "
            f"{weight.shape}"
        )
    if not all(np.isfinite(part).all() for part in (centre_px, sigma_px, weight)) or (sigma_px <= 0).any():
        raise ValueError("modes: expected finite pixels and weights and sigma_px above 0; weight 0 marks no mode")
    return centre_px, sigma_px, weight
