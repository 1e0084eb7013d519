"""Random pinhole cameras that look at moving people, for training and evaluation on mocap.

Knows nothing of detectors or networks. World axes: Z up, metres.
"""
# B sequences, T frames

from dataclasses import dataclass
from math import log, pi

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRange:
    """From what the cameras are drawn."""

    distance_m: tuple[float, float] = (1.6, 14.0)
    """Log-uniform, to the person's mean position."""
    height_m: tuple[float, float] = (0.3, 3.0)
    """Above the floor; a fifth are raised further, as surveillance cameras are."""
    high_share: float = 0.2
    high_m: tuple[float, float] = (3.0, 7.0)
    fov_deg: tuple[float, float] = (35.0, 95.0)
    roll_std_deg: float = 4.0
    roll_any_share: float = 0.0
    """Share of cameras that are rolled by any angle instead."""
    aim_std_m: tuple[float, float] = (0.5, 0.25)
    """How far from the person's middle the camera looks: sideways and up, at the person's distance / 4 m."""
    moving_share: float = 0.2
    speed_std_m_per_s: float = 0.4
    turn_std_deg_per_s: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Sequences as their cameras see them."""

    joints_cam_m: torch.Tensor
    """(B, T, 17, 3)."""
    focal_px: torch.Tensor
    """(B,) for an image 1000 px wide and 750 px high with the principal point in its middle."""
    up_cam: torch.Tensor
    """(B, T, 3) unit vector against gravity in the camera."""


WIDTH_PX, HEIGHT_PX = 1000.0, 750.0


def _uniform(span: tuple[float, float], shape, generator):
    low, high = span
    return low + (high - low) * torch.rand(shape, generator=generator)


def look(joints_world_m, stamps_s, *, cameras=None, generator):
    """Put one random camera before each sequence. joints_world_m (B, T, 17, 3), stamps_s (B, T)."""
    cameras = cameras or CameraRange()
    batch = joints_world_m.shape[0]
    normal = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    person = joints_world_m[:, :, 0].mean(1)
    low, high = cameras.distance_m
    distance = torch.exp(_uniform((log(low), log(high)), (batch,), generator))
    azimuth = _uniform((0.0, 2 * pi), (batch,), generator)
    height = _uniform(cameras.height_m, (batch,), generator)
    raised = torch.rand(batch, generator=generator) < cameras.high_share
    height = torch.where(raised, _uniform(cameras.high_m, (batch,), generator), height)
    offset = torch.stack([torch.cos(azimuth), torch.sin(azimuth)], -1) * distance[:, None]
    eye = torch.cat([person[:, :2] + offset, height[:, None]], -1)

    aim_scale = distance / 4
    sideways = torch.stack([-torch.sin(azimuth), torch.cos(azimuth)], -1) * (normal(batch) * aim_scale)[:, None]
    aim = person + torch.cat(
        [sideways * cameras.aim_std_m[0], (normal(batch) * aim_scale * cameras.aim_std_m[1])[:, None]], -1
    )
    forward = torch.nn.functional.normalize(aim - eye, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up, dim=-1), dim=-1)
    down = torch.linalg.cross(forward, right, dim=-1)
    roll = normal(batch) * cameras.roll_std_deg * pi / 180
    if cameras.roll_any_share:
        rolled = torch.rand(batch, generator=generator) < cameras.roll_any_share
        roll = torch.where(rolled, _uniform((-pi, pi), (batch,), generator), roll)
    cos, sin = torch.cos(roll)[:, None], torch.sin(roll)[:, None]
    rotation = torch.stack([cos * right + sin * down, cos * down - sin * right, forward], 1)
    joints = torch.einsum("bij,btkj->btki", rotation, joints_world_m - eye[:, None, None])

    # A robot's camera moves: translate and pan in its own frame, about the middle of the sequence.
    moving = (torch.rand(batch, generator=generator) < cameras.moving_share).float()
    time = stamps_s - stamps_s.mean(1, keepdim=True)
    velocity = normal(batch, 3) * cameras.speed_std_m_per_s * moving[:, None]
    joints = joints - (velocity[:, None] * time[..., None])[:, :, None]
    pan = normal(batch) * cameras.turn_std_deg_per_s * pi / 180 * moving
    angle = (pan[:, None] * time)[..., None]
    x, y, z = joints.unbind(-1)
    joints = torch.stack(
        [torch.cos(angle) * x + torch.sin(angle) * z, y, torch.cos(angle) * z - torch.sin(angle) * x], -1
    )
    cos, sin = torch.cos(angle[..., 0]), torch.sin(angle[..., 0])
    x, y, z = (rotation[:, axis, 2, None] for axis in range(3))
    up_cam = torch.stack([cos * x + sin * z, y.expand_as(cos), cos * z - sin * x], -1)
    # Nobody closer than half a metre: step back along the view.
    nearest = joints[..., 2].flatten(1).amin(1)
    joints = joints + torch.nn.functional.pad((0.5 - nearest).clamp(min=0)[:, None], (2, 0))[:, None, None]
    fov = _uniform(cameras.fov_deg, (batch,), generator) * pi / 180
    return View(joints_cam_m=joints, focal_px=WIDTH_PX / 2 / torch.tan(fov / 2), up_cam=up_cam)


def project(view):
    """Pixels (B, T, 17, 2) and whether each joint is inside the image (B, T, 17)."""
    joints = view.joints_cam_m
    pixels = joints[..., :2] / joints[..., 2:] * view.focal_px[:, None, None, None]
    pixels = pixels + torch.tensor([WIDTH_PX / 2, HEIGHT_PX / 2])
    inside = (pixels >= 0) & (pixels < torch.tensor([WIDTH_PX, HEIGHT_PX]))
    return pixels, inside.all(-1)
