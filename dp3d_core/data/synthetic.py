"""Evaluation sequences from mocap: each clip before one random camera, seen exactly or through the detector model."""
# T frames

import numpy as np
import torch

from dp3d_core.data import cameras, noise
from dp3d_core.data.actions import ACTIONS, NO_LABEL, clip_labels
from dp3d_core.data.field import Field
from dp3d_core.data.sequences import EvalSequence
from dp3d_core.data.windows import Augmentation, MotionBank, coco_like, reshape_body
from dp3d_core.geometry.camera import Camera

FIXED_CAMERAS = cameras.CameraRange(moving_share=0.0)


def synthetic_sequences(
    motions,
    *,
    rate_hz=30.0,
    detector=None,
    seed=0,
    coco=False,
    min_frames=8,
    camera_range=FIXED_CAMERAS,
    height_m=None,
):
    """One `EvalSequence` per clip of `motions`, at rate_hz; clip i's camera depends on seed and i only.

    detector: a `DetectorNoise`, or None for exact 2D (and nothing cut by the image's edge). coco: without the joints
    that COCO detectors lack. Clips shorter than min_frames are left out. height_m: people of 1.7 m become this tall,
    below 1.5 m with a child's proportions; None: as recorded.
    """
    if not len(motions):
        raise ValueError("motions: expected at least one clip in this split, got none")
    if not 1 <= rate_hz <= 240:
        raise ValueError(f"rate_hz: expected 1 to 240 frames per second, got {rate_hz}")
    bank, labels, sequences = MotionBank(motions), clip_labels(motions), []
    for index in range(len(motions)):
        duration_s = (len(motions.clip(index).pose_m) - 1) / motions.fps
        stamps_s = np.arange(0, duration_s + 1e-9, 1 / rate_hz)
        if len(stamps_s) < min_frames:
            continue
        generator = torch.Generator().manual_seed(seed * 100003 + index)
        time_s = torch.from_numpy(stamps_s).float()[None]
        pose, root = bank.sample(torch.tensor([index]), time_s)
        if height_m is not None:
            plain, tall = Augmentation(size_std=0, limb_std=0), Field(size_share=1, heights_m=(height_m, height_m))
            pose, root = reshape_body(pose, root, plain, torch.Generator().manual_seed(0), tall)
        view = cameras.look(pose + root[:, :, None], time_s, cameras=camera_range, generator=generator)
        label = labels[index]
        sequences.append(
            EvalSequence(
                name=motions.names[index],
                action="no label" if label == NO_LABEL else ACTIONS[label],
                subject=motions.subjects[index],
                fps=rate_hz,
                stamps_s=stamps_s,
                **_seen(view, time_s, detector, coco, generator),
            )
        )
    if not sequences:
        raise ValueError(f"motions: expected a clip of at least {min_frames} frames at {rate_hz} Hz, got none")
    return sequences


def _seen(view, time_s, detector, coco, generator):
    """What an `EvalSequence` needs of its camera: 2D, truth, intrinsics and up."""
    pixels, inside = cameras.project(view)
    confidence = torch.ones(pixels.shape[:-1])
    if detector is not None:
        pixels, confidence = noise.apply(pixels, time_s, noise=detector, generator=generator, in_image=inside)
    if coco:
        pixels, confidence = coco_like(pixels, confidence)
    focal_px = float(view.focal_px[0])
    return {
        "keypoints_px": pixels[0].numpy(),
        "confidence": confidence[0].numpy(),
        "joints_cam_m": view.joints_cam_m[0].numpy(),
        "camera": Camera(
            fx=focal_px,
            fy=focal_px,
            cx=cameras.WIDTH_PX / 2,
            cy=cameras.HEIGHT_PX / 2,
            width=int(cameras.WIDTH_PX),
            height=int(cameras.HEIGHT_PX),
        ),
        "up_cam": view.up_cam[0, 0].numpy(),
    }
