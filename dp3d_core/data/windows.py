"""Training sequences: mocap at random frame rates, limbs and mirrors, seen by random cameras through a noisy detector.

Knows nothing of networks.
"""
# B sequences, T frames, F frames of all clips, C clips

import copy
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import log, pi

import numpy as np
import torch

from dp3d_core.data import cameras, noise
from dp3d_core.data.actions import clip_labels
from dp3d_core.data.contacts import contact_labels
from dp3d_core.data.field import STANDING_M, as_detected, definitions, lie_down, sizes, told_up
from dp3d_core.data.motions import clip_weights, variety
from dp3d_core.geometry.observation import follow_all, observe, up_input
from dp3d_core.geometry.proportions import stature_m
from dp3d_core.skeleton import PARENTS, mirror

# Bones that stretch together, so that bodies stay symmetric: legs, shins, arms, forearms, trunk, hips, shoulders, head.
_BONE_GROUPS = ((2, 5), (3, 6), (12, 15), (13, 16), (7, 8), (1, 4), (11, 14), (9, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far training motion strays from the recorded one."""

    rates_hz: tuple[float, float] = (10.0, 60.0)
    native_share: float = 0.4
    """Share of sequences at 30 Hz; the others are log-uniform over rates_hz."""
    speed: tuple[float, float] = (0.8, 1.25)
    stamp_jitter: float = 0.08
    """Standard deviation of each frame interval over the mean interval."""
    dropped_share: float = 0.04
    """Share of frames that never arrive."""
    size_std: float = 0.06
    limb_std: float = 0.07
    coco_share: float = 0.6
    """Share of sequences seen through a COCO-like joint set: no spine, no head top, pelvis and thorax by halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Sequences ready for the network."""

    seen: torch.Tensor
    """(B, T, 17, 4), see `observation.observe`."""
    pose_m: torch.Tensor
    """(B, T, 17, 3) true root-relative pose in each frame's virtual camera, metres."""
    next_pose_m: torch.Tensor
    """(B, T, 2 * reach + 1, 17, 3): the pose of f-reach..f+reach in frame f's virtual camera, NaN outside; for HPD."""
    stamps_s: torch.Tensor
    """(B, T) seconds from the sequence's first frame."""
    label: torch.Tensor
    """(B,) action class, -1 unknown."""
    up: torch.Tensor
    """(B, T, 4) what is told of gravity, see `observation.up_input`; zeros: nothing."""
    contact: torch.Tensor
    """(B, T, 2) 1 where the right and the left foot stands on the floor, 0 where not, NaN where that is not known."""


class MotionBank:
    """All clips as tensors, from which random stretches are sampled by time."""

    def __init__(self, motions):
        self.pose_m = torch.from_numpy(np.ascontiguousarray(motions.pose_m, np.float32))
        self.root_m = torch.from_numpy(np.ascontiguousarray(motions.root_m, np.float32))
        self.offsets = torch.from_numpy(np.asarray(motions.offsets, np.int64))
        self.fps = float(motions.fps)
        self.labels = torch.from_numpy(clip_labels(motions))
        self.weights = torch.from_numpy(clip_weights(motions, variety=variety(motions)))
        self.contact = torch.from_numpy(contact_labels(motions))
        self.to_standard = torch.from_numpy(np.float32(STANDING_M) / _statures_m(motions))

    @property
    def device(self):
        """Where the clips lie, and sequences are made."""
        return self.pose_m.device

    def to(self, device):
        """The same clips on another device."""
        other = copy.copy(self)
        for name in ("pose_m", "root_m", "offsets", "labels", "weights", "contact", "to_standard"):
            setattr(other, name, getattr(self, name).to(device))
        return other

    @property
    def seconds(self):
        """Length of every clip, (C,)."""
        return self.offsets.diff() / self.fps

    def sample(self, clip, time_s):
        """Pose (B, T, 17, 3) and root (B, T, 3) of clips (B,) at times (B, T); time runs to and fro in short clips."""
        low, high, part = self._between(clip, time_s)
        root = torch.lerp(self.root_m[low], self.root_m[high], part)
        return torch.lerp(self.pose_m[low], self.pose_m[high], part[..., None]), root

    def sample_contact(self, clip, time_s):
        """(B, T, 2) contacts of right and left foot in the nearest recorded frames; see `contacts.contact_labels`."""
        low, high, part = self._between(clip, time_s)
        return self.contact[torch.where(part[..., 0] < 0.5, low, high)]

    def _between(self, clip, time_s):
        """The recorded frames before and after the times (B, T), and how far on the way each is (B, T, 1)."""
        start, stop = self.offsets[clip, None], self.offsets[clip + 1, None]
        last = (stop - start - 1).clamp(min=1).float()
        position = (time_s * self.fps).remainder(2 * last)
        position = torch.where(position > last, 2 * last - position, position)
        low = position.floor().clamp(max=last - 1).long()
        part = (position - low)[..., None]
        low = torch.minimum(low + start, stop - 1)
        return low, torch.minimum(low + 1, stop - 1), part


def _statures_m(motions):
    """(C,) float32 standing height of the body of each clip."""
    lengths_m = [
        np.median(np.linalg.norm(pose[:, 1:] - pose[:, PARENTS[1:]], axis=-1), 0)
        for pose in (motions.clip(index).pose_m for index in range(len(motions)))
    ]
    return stature_m(np.array(lengths_m)).astype(np.float32)


def sample_times(batch, frames, augmentation, generator):
    """Stamps (B, T) from 0: a random rate for each sequence, jittered intervals, dropped frames."""
    uniform = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
    low, high = augmentation.rates_hz
    rate = torch.exp(log(low) + (log(high) - log(low)) * uniform(batch))
    rate = torch.where(uniform(batch) < augmentation.native_share, torch.full_like(rate, 30.0), rate)
    jitter = 1 + augmentation.stamp_jitter * torch.randn(batch, frames, generator=generator).clamp(-3, 3)
    skipped = (uniform(batch, frames) < augmentation.dropped_share) * (1 + (uniform(batch, frames) < 0.3).float())
    intervals = (jitter + skipped) / rate[:, None]
    return torch.cumsum(intervals, 1) - intervals[:, :1]


def reshape_body(pose_m, root_m, augmentation, generator, field=None):
    """Random size and limb lengths; the root rises with the legs. pose (B, T, 17, 3), root (B, T, 3)."""
    batch = pose_m.shape[0]
    size = torch.exp(augmentation.size_std * torch.randn(batch, generator=generator))
    factor = torch.ones(batch, 17) * size[:, None]
    if field is not None:
        whole, bones = sizes(batch, field, generator)
        factor = factor * whole[:, None] * bones
    for group in _BONE_GROUPS:
        stretch = torch.exp(augmentation.limb_std * torch.randn(batch, generator=generator))
        factor[:, list(group)] *= stretch[:, None]
    joints = [pose_m[:, :, 0]]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        bone = pose_m[:, :, joint] - pose_m[:, :, parent]
        joints.append(joints[parent] + bone * factor[:, None, joint, None])
    return torch.stack(joints, 2), root_m * factor[:, None, 2, None]


def coco_like(keypoints_px, confidence):
    """What a COCO detector and its adapter leave of our 17 joints. (..., 17, 2), (..., 17)."""
    keypoints_px, confidence = keypoints_px.clone(), confidence.clone()
    for joint, pair in ((0, [1, 4]), (8, [11, 14])):
        least = confidence[..., pair].amin(-1)
        keypoints_px[..., joint, :] = keypoints_px[..., pair, :].mean(-2) * (least > 0)[..., None]
        confidence[..., joint] = least
    confidence[..., [7, 10]] = 0
    keypoints_px[..., [7, 10], :] = 0
    return keypoints_px, confidence


def in_view(rays, confidence, relative_m, stamps_s, reach, up_cam=None, up_sigma_rad=None):
    """`seen`, `pose_m`, `next_pose_m` and `up` of a `Batch`, from what one camera sees and the truth in its axes.

    rays (B, T, 17, 2), confidence (B, T, 17) with 0 = missing, relative_m (B, T, 17, 3) from the pelvis in metres;
    up_cam (B, T, 3) as the network is told, zeros where nothing, with its sigma (B,), or None.
    """
    frames = rays.shape[1]
    if up_cam is None or up_sigma_rad is None:
        up_cam, up_sigma_rad = rays.new_zeros(*rays.shape[:2], 3), rays.new_zeros(len(rays))
    state = follow_all(rays, confidence, stamps_s, torch)
    seen, rotation, _ = observe(rays, confidence, state, torch, up=up_cam)
    pose_m = torch.einsum("btij,btkj->btki", rotation, relative_m)
    neighbours = []
    for k in range(-reach, reach + 1):
        shifted = torch.full_like(relative_m, torch.nan)
        source = relative_m[:, max(k, 0) : frames + min(k, 0)]
        shifted[:, max(-k, 0) : frames - max(k, 0)] = source
        neighbours.append(torch.einsum("btij,btkj->btki", rotation, shifted))
    up = up_input(up_cam, up_sigma_rad[:, None], rotation, torch)
    return {"seen": seen, "pose_m": pose_m, "next_pose_m": torch.stack(neighbours, 2), "up": up}


def sample_batch(bank, batch, frames, *, generator, augmentation=None, detector=None, reach=1, field=None):
    """Draw `batch` training sequences of `frames` frames from `bank`; same generator state, same batch.

    They are made where the bank lies, by a generator of that device, and nothing waits for it.

    field: a `Field` of what else training meets; None is mocap seen by the detector alone, half of it COCO's, with
    nothing said of gravity.
    """
    augmentation = augmentation or Augmentation()
    if field is not None:
        augmentation = replace(augmentation, rates_hz=field.rates_hz)
    # what is made on the way is made there too
    with nullcontext() if bank.device.type == "cpu" else bank.device:
        return _batch(bank, batch, frames, generator, augmentation, detector or noise.DetectorNoise(), reach, field)


def _batch(bank, batch, frames, generator, augmentation, detector, reach, field):
    clip = torch.multinomial(bank.weights, batch, replacement=True, generator=generator)
    stamps_s = sample_times(batch, frames, augmentation, generator)
    world, contact = _moving(bank, clip, stamps_s, augmentation, generator, field)
    view = cameras.look(world, stamps_s, generator=generator, cameras=None if field is None else field.cameras)
    exact_px, inside = cameras.project(view)
    up = {}
    if field is None:
        noisy_px, confidence = noise.apply(exact_px, stamps_s, noise=detector, generator=generator, in_image=inside)
        coco_px, coco_confidence = coco_like(noisy_px, confidence)
        coco = torch.rand(batch, generator=generator) < augmentation.coco_share
        noisy_px = torch.where(coco[:, None, None, None], coco_px, noisy_px)
        confidence = torch.where(coco[:, None, None], coco_confidence, confidence)
    else:
        defined = replace(view, joints_cam_m=definitions(view.joints_cam_m, field, generator))
        meant_px, _ = cameras.project(defined)
        noisy_px, confidence = noise.apply(meant_px, stamps_s, noise=detector, generator=generator, in_image=inside)
        size_px = cameras.WIDTH_PX, cameras.HEIGHT_PX
        noisy_px, confidence = as_detected(noisy_px, confidence, exact_px, inside, size_px, stamps_s, field, generator)
        up = dict(zip(("up_cam", "up_sigma_rad"), told_up(view.up_cam, field, generator)))

    middle = torch.tensor([cameras.WIDTH_PX / 2, cameras.HEIGHT_PX / 2])
    rays = (noisy_px - middle) / view.focal_px[:, None, None, None]
    relative_m = view.joints_cam_m - view.joints_cam_m[:, :, :1]
    seen = in_view(rays, confidence, relative_m, stamps_s, reach, **up)
    return Batch(**seen, stamps_s=stamps_s, label=bank.labels[clip], contact=contact)


def _moving(bank, clip, stamps_s, augmentation, generator, field):
    """Stretches of the clips (B,) at stamps (B, T), of new bodies: joints (B, T, 17, 3) in the world, and contacts."""
    batch = len(clip)
    uniform = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
    speed_low, speed_high = augmentation.speed
    speed = speed_low + (speed_high - speed_low) * uniform(batch)
    clip_s = (bank.offsets[clip + 1] - bank.offsets[clip]).float() / bank.fps
    start = uniform(batch) * (clip_s - stamps_s[:, -1] * speed).clamp(min=0)
    time_s = start[:, None] + stamps_s * speed[:, None]
    pose, root = bank.sample(clip, time_s)
    # everybody of one height before sizes are drawn: else a network reads the size from the way people of a source move
    size = bank.to_standard[clip]
    pose, root = pose * size[:, None, None, None], root * size[:, None, None]
    contact = bank.sample_contact(clip, time_s)
    pose, root = reshape_body(pose, root, augmentation, generator, field)

    yaw = uniform(batch) * 2 * pi
    turn = torch.zeros(batch, 3, 3)
    turn[:, 0, 0] = turn[:, 1, 1] = torch.cos(yaw)
    turn[:, 1, 0], turn[:, 0, 1], turn[:, 2, 2] = torch.sin(yaw), -torch.sin(yaw), 1
    flip = uniform(batch) < 0.5
    pose = torch.where(flip[:, None, None, None], mirror(pose), pose)
    root = torch.where(flip[:, None, None], root * torch.tensor([-1.0, 1.0, 1.0]), root)
    contact = torch.where(flip[:, None, None], contact.flip(-1), contact)
    if field is not None:
        pose, root, lying = lie_down(pose, root, stamps_s, field, generator)
        contact = contact.masked_fill(lying[:, None, None], torch.nan)
    return torch.einsum("bij,btkj->btki", turn, pose + root[:, :, None]), contact
