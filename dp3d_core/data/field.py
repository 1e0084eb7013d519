"""What training meets in the field beyond a detector's jitter: other joint definitions, bodies, half pictures.

Each part is a share of the sequences; `Field()` is what the shipped weights are trained with, `Field.none()` is mocap
as it was recorded, seen by `noise` alone. Knows no networks.
"""
# B sequences, T frames, J = 17 joints; world axes: Z up, metres

from dataclasses import dataclass, fields
from math import log, pi
from typing import Any

import torch
from torch.nn.functional import normalize

from dp3d_core.data.cameras import CameraRange
from dp3d_core.data.noise import ornstein_uhlenbeck, person_height_px

STANDING_M = 1.7
"""Standing height of the bodies in the motion files, about."""
TURN_STD_DEG_PER_S = 16.0
LEGS = (2, 3, 5, 6)
PELVIS = (0, 1, 4)
LIMBS = ((2, 3), (5, 6), (12, 13), (15, 16))
FAMILIES = {
    "all17": ((), ()),
    "coco": ((7, 10), ((0, (1, 4)), (8, (11, 14)))),
    "openpose": ((7, 10), ()),
    "halpe": ((7,), ()),
}
"""Detector family to the joints it lacks, and those that its adapter makes from a pair (MediaPipe is as COCO here)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Shares of sequences, and how far each part goes."""

    families: tuple[float, ...] = (0.36, 0.50, 0.08, 0.06)
    """Share of each of FAMILIES, in its order."""
    definition_share: float = 0.25
    """Sequences whose detector means other points by its joints than motion capture does, by one scale each ..."""
    definition_scale: tuple[float, float] = (0.2, 1.1)
    """... of the standard deviations in `definitions`."""
    size_share: float = 0.05
    """Bodies of any height in `heights_m`, children with children's proportions."""
    heights_m: tuple[float, float] = (1.0, 2.1)
    rolled_share: float = 0.25
    """Cameras rolled by any angle."""
    turning_share: float = 0.3
    """Cameras that move and turn."""
    lying_share: float = 0.05
    """Motion turned onto the floor; in a third of it while the sequence runs, as in a fall."""
    upper_body_share: float = 0.04
    """Legs never seen, in half of them neither hips."""
    clamped_share: float = 0.06
    """Sequences whose detector puts joints outside the picture at its border, with a middling confidence."""
    zeros_share: float = 0.02
    """... or at the picture's corner with a small one."""
    mixed_share: float = 0.02
    """Sequences in which a limb is another person's for a while."""
    rates_hz: tuple[float, float] = (5.0, 120.0)
    """Frame rates, log-uniform, where they are not the common ones."""
    up_known_share: float = 0.35
    up_estimated_share: float = 0.30
    """In the others the network gets no up vector."""
    up_known_sigma_deg: float = 1.0
    up_estimated_sigma_deg: tuple[float, float] = (3.0, 15.0)

    @classmethod
    def none(cls, *, up_known_share=0.0):
        """Nothing of it, with 0.6 of the sequences COCO's; up known or not."""
        shares: dict[str, Any] = {item.name: 0.0 for item in fields(cls) if item.name.endswith("_share")}
        plain = {"families": (0.4, 0.6, 0.0, 0.0), "rates_hz": (10.0, 60.0), "up_known_share": up_known_share}
        return cls(**(shares | plain))

    @property
    def cameras(self):
        """The `CameraRange` before which these sequences play."""
        return CameraRange(
            roll_any_share=self.rolled_share, moving_share=self.turning_share, turn_std_deg_per_s=TURN_STD_DEG_PER_S
        )


def _chosen(share, batch, generator):
    return torch.rand(batch, generator=generator) < share


def definitions(joints_m, field, generator):
    """Where the detectors of these sequences put the joints (B, T, 17, 3): constant offsets in the body's own axes.

    Hips outwards, up and forwards, alike on both sides up to a third; so shoulders; nose and head top along the head's
    axes; ankles, knees, wrists and elbows along their limbs; thorax and spine up and forwards.
    """
    batch = len(joints_m)
    low, high = field.definition_scale
    scale = low + (high - low) * torch.rand(batch, generator=generator)
    scale = scale * _chosen(field.definition_share, batch, generator)
    draws = torch.randn(batch, 17, 3, generator=generator) * scale[:, None, None]
    joint = lambda index: joints_m[:, :, index]  # noqa: E731
    trunk = normalize(joint(8) - joint(0), dim=-1)
    moved = joints_m.clone()
    for right, left, std_m in ((1, 4, (0.025, 0.03, 0.015)), (14, 11, (0.015, 0.02, 0.012))):
        out = normalize(joint(left) - joint(right), dim=-1)
        forward = normalize(torch.linalg.cross(out, trunk, dim=-1), dim=-1)
        both, std = draws[:, right], torch.tensor(std_m)
        for side, sign in ((right, -1.0), (left, 1.0)):
            by = (both + draws[:, left] * (0.33 if side == left else -0.33)) * std
            by = by[:, None]
            moved[:, :, side] += sign * by[..., :1] * out + by[..., 1:2] * trunk + by[..., 2:] * forward
    shoulders = normalize(joint(11) - joint(14), dim=-1)
    neck = normalize(joint(10) - joint(8), dim=-1)
    face = normalize(torch.linalg.cross(shoulders, neck, dim=-1), dim=-1)
    for index, axis, std_up_m, std_forward_m in (
        (9, neck, 0.03, 0.025),
        (10, neck, 0.03, 0.015),
        (8, trunk, 0.02, 0.015),
        (7, trunk, 0.025, 0.02),
    ):
        by = draws[:, index, None]
        moved[:, :, index] += by[..., :1] * std_up_m * axis + by[..., 1:2] * std_forward_m * face
    for index, above, std_m in (
        (3, 2, 0.02),
        (6, 5, 0.02),
        (2, 1, 0.012),
        (5, 4, 0.012),
        (13, 12, 0.012),
        (16, 15, 0.012),
        (12, 11, 0.01),
        (15, 14, 0.01),
    ):
        along = normalize(joint(index) - joint(above), dim=-1)
        moved[:, :, index] += draws[:, index, None, :1] * std_m * along
    return moved


def sizes(batch, field, generator):
    """Factor (B,) on whole bodies and (B, 17) on the bones that end in each joint, beyond ordinary variety."""
    low, high = (log(height_m / STANDING_M) for height_m in field.heights_m)
    factor = torch.exp(low + (high - low) * torch.rand(batch, generator=generator))
    factor = torch.where(_chosen(field.size_share, batch, generator), factor, torch.ones(batch))
    # 0 from 1.5 m on, 1 at 1.0 m: short legs, a large head (growth charts: legs 0.43 of 1.0 m, 0.5 of 1.7 m)
    childlike = ((1.5 / STANDING_M - factor) / (0.5 / STANDING_M)).clamp(0, 1)
    bones = torch.ones(batch, 17)
    bones[:, list(LEGS)] -= 0.12 * childlike[:, None]
    bones[:, [9, 10]] += 0.35 * childlike[:, None]
    return factor, bones


def lie_down(pose_m, root_m, stamps_s, field, generator):
    """Turn the chosen sequences about a level axis through the pelvis, and lay them onto the floor.

    Returns pose (B, T, 17, 3), root (B, T, 3) and which sequences were turned (B,).
    """
    batch = len(pose_m)
    lying = _chosen(field.lying_share, batch, generator)
    heading = 2 * pi * torch.rand(batch, 1, generator=generator)
    angle = (pi / 2 + 0.15 * torch.randn(batch, 1, generator=generator)) * lying[:, None]
    falling = _chosen(1 / 3, batch, generator)[:, None]
    when_s = torch.rand(batch, 1, generator=generator) * stamps_s[:, -1:]
    fallen = torch.sigmoid((stamps_s - when_s) / 0.15)
    angle = angle * torch.where(falling, fallen, torch.ones_like(fallen))
    axis = torch.stack([torch.cos(heading), torch.sin(heading), torch.zeros_like(heading)], -1)
    middle = root_m.mean(1, keepdim=True)
    turned_pose = _about(pose_m, axis[:, :, None], angle[..., None, None])
    turned_root = _about(root_m - middle, axis, angle[..., None]) + middle
    floor = (turned_pose[..., 2] + turned_root[..., None, 2]).flatten(1).amin(1)
    turned_root = turned_root - torch.nn.functional.pad((floor - 0.08)[:, None, None], (2, 0))
    where = lying[:, None, None]
    return torch.where(where[..., None], turned_pose, pose_m), torch.where(where, turned_root, root_m), lying


def _about(points, axis, angle):
    """Rodrigues' rotation of points (..., 3) about unit axes by angles in radians (..., 1)."""
    axis = axis.expand_as(points)
    cos, sin = torch.cos(angle), torch.sin(angle)
    along = (points * axis).sum(-1, keepdim=True) * axis
    return points * cos + torch.linalg.cross(axis, points, dim=-1) * sin + along * (1 - cos)


def told_up(up_cam, field, generator):
    """The up vector that the network gets (B, T, 3) in the camera, zeros where nothing, and its sigma (B,) in radians.

    The error is constant over a sequence, in the axes of its first frame's camera, and about as large as sigma says.
    """
    batch = len(up_cam)
    kind = torch.rand(batch, generator=generator)
    low, high = (log(value) for value in field.up_estimated_sigma_deg)
    estimated = torch.exp(low + (high - low) * torch.rand(batch, generator=generator))
    known = kind < field.up_known_share
    sigma_rad = torch.where(known, torch.full_like(estimated, field.up_known_sigma_deg), estimated) * pi / 180
    error = torch.randn(batch, 1, 3, generator=generator) * sigma_rad[:, None, None]
    said = normalize(up_cam + torch.linalg.cross(error.expand_as(up_cam), up_cam, dim=-1), dim=-1)
    # a camera far from level without a word of it is not what anybody meets: some estimate there always is
    lean = torch.atan2(up_cam[:, 0, 0].abs(), -up_cam[:, 0, 1])
    odd = (lean > pi / 6) & (up_cam[:, 0, :2].norm(dim=-1) > 0.2)
    given = (kind < field.up_known_share + field.up_estimated_share) | odd & (field.up_estimated_share > 0)
    return said * given[:, None, None], sigma_rad


def as_detected(noisy_px, confidence, exact_px, inside, size_px, stamps_s, field, generator):
    """Border, half pictures, mixed limbs and the detector's family on top of `noise.apply`: pixels and confidence.

    noisy_px, exact_px (B, T, 17, 2), confidence, inside (B, T, 17), size_px (width, height).
    """
    noisy_px, confidence = noisy_px.clone(), confidence.clone()
    batch = len(confidence)
    uniform = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
    kind, outside = uniform(batch), ~inside & (confidence == 0)
    size = torch.tensor(size_px)
    border_px = torch.minimum(exact_px.clamp(min=0), size - 1)
    trust = torch.sigmoid(-0.5 + 0.7 * torch.randn(batch, 1, 1, generator=generator)).expand_as(confidence)
    clamped = outside & (kind < field.clamped_share)[:, None, None]
    zeros = outside & ~clamped & (kind < field.clamped_share + field.zeros_share)[:, None, None]
    noisy_px = torch.where(clamped[..., None], border_px, noisy_px)
    confidence = torch.where(clamped, trust, torch.where(zeros, 0.3 * trust, confidence))

    _mix_limbs(noisy_px, confidence, stamps_s, field, generator)
    upper, hips_too = _chosen(field.upper_body_share, batch, generator), uniform(batch) < 0.5
    for joints, which in ((LEGS, upper), (PELVIS, upper & hips_too)):
        confidence[:, :, list(joints)] *= ~which[:, None, None]
    return as_family(noisy_px, confidence, field, generator)


def _mix_limbs(noisy_px, confidence, stamps_s, field, generator):
    """In place: one limb of the chosen sequences is the next sequence's person's, beside this one, for a while."""
    batch = len(noisy_px)
    chosen = _chosen(field.mixed_share, batch, generator)
    beside = torch.randn(batch, 1, 1, 2, generator=generator) * torch.tensor([0.4, 0.1])
    limb = torch.randint(len(LIMBS), (batch,), generator=generator)
    slow = ornstein_uhlenbeck(
        stamps_s.diff(dim=1, prepend=stamps_s[:, :1]).T / 0.4,
        torch.randn(stamps_s.shape[1], batch, generator=generator),
    ).T
    height = person_height_px(noisy_px).median(1).values[:, None, None, None].clamp(min=1)
    hip = noisy_px[:, :, 1:2] * 0.5 + noisy_px[:, :, 4:5] * 0.5
    other = ((noisy_px - hip) / height).roll(1, 0) * height + hip + beside * height
    for index, joints in enumerate(LIMBS):
        on = (chosen & (limb == index))[:, None] & (slow > 0.5)
        for joint in joints:
            there = on & (confidence[:, :, joint] > 0) & (confidence[:, :, joint].roll(1, 0) > 0)
            noisy_px[:, :, joint] = torch.where(there[..., None], other[:, :, joint], noisy_px[:, :, joint])


def as_family(keypoints_px, confidence, field, generator):
    """Each sequence through one of FAMILIES: pixels (B, T, 17, 2) and confidence (B, T, 17)."""
    family = torch.multinomial(torch.tensor(field.families), len(confidence), replacement=True, generator=generator)
    for number, (missing, pairs) in enumerate(FAMILIES.values()):
        of_family = family == number
        for joint, pair in pairs:
            least = confidence[..., pair].amin(-1)
            middle = keypoints_px[..., pair, :].mean(-2)
            keypoints_px[..., joint, :] = torch.where(of_family[:, None, None], middle, keypoints_px[..., joint, :])
            confidence[..., joint] = torch.where(of_family[:, None], least, confidence[..., joint])
        if missing:
            confidence[..., list(missing)] *= ~of_family[:, None, None]
    return keypoints_px.masked_fill((confidence == 0)[..., None], 0), confidence
