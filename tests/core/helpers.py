"""A walking stick figure, a calibrated camera, and tiny networks with random weights in every part."""
# T frames, J = 17 joints

import json

import numpy as np
import torch
from safetensors.torch import save_file

from dp3d_core.checkpoint import USES, Checkpoint
from dp3d_core.config import ModelConfig, to_dict
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.motions import Motions
from dp3d_core.geometry.camera import Camera
from dp3d_core.lift import Lifter
from dp3d_core.model import Denoiser
from dp3d_core.model.encoder import Encoder
from dp3d_core.model.text import NAMES, TextBank
from dp3d_core.skeleton import PARENTS

CAMERA = Camera(fx=900.0, fy=900.0, cx=480.0, cy=270.0, width=960, height=540)
LENS = Camera(
    fx=900.0, fy=880.0, cx=470.0, cy=280.0, width=960, height=540, distortion=(-0.28, 0.09, 0.001, -0.0015, 0.01)
)

# bone vectors of a person who stands upright, faces the camera and lets the arms hang; optical axes: x right, y down
_STANDING_M = np.array(
    [
        (0, 0, 0), (-0.13, 0, 0), (0, 0.44, 0), (0, 0.42, 0), (0.13, 0, 0), (0, 0.44, 0), (0, 0.42, 0), (0, -0.24, 0),
        (0, -0.26, 0), (0, -0.12, -0.03), (0, -0.11, 0), (0.15, 0.02, 0), (0.03, 0.28, 0), (0, 0.25, -0.02),
        (-0.15, 0.02, 0), (-0.03, 0.28, 0), (0, 0.25, -0.02),
    ]
)  # fmt: skip
_SWINGING = {2: 0.5, 3: 0.3, 5: -0.5, 6: -0.3, 12: 0.4, 13: 0.5, 15: -0.4, 16: -0.5}
"""Joint: how far its bone swings about x, in radians, at the peak of a step."""


def swing(stamps_s, yaw=0.6, step_hz=0.9):
    """Root-relative joints (T, 17, 3) in metres of a person who walks on the spot, turned by `yaw` about y."""
    phase = np.sin(2 * np.pi * step_hz * np.asarray(stamps_s, float))
    joints = np.zeros((len(phase), 17, 3))
    for joint in range(1, 17):
        angle = _SWINGING.get(joint, 0.0) * phase
        x, y, z = _STANDING_M[joint]
        cos, sin = np.cos(angle), np.sin(angle)
        bone = np.stack([x + 0 * angle, y * cos - z * sin, y * sin + z * cos], 1)
        joints[:, joint] = joints[:, PARENTS[joint]] + bone
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return joints @ turn.T


def walk(stamps_s, start_m=(-0.6, 0.1, 4.5), velocity_m_s=(0.2, 0.0, -0.05), yaw=0.6):
    """Joints (T, 17, 3) in metres in the camera's optical frame."""
    stamps_s = np.asarray(stamps_s, float)
    root = np.array(start_m) + (stamps_s - stamps_s[0])[:, None] * np.array(velocity_m_s)
    return swing(stamps_s, yaw) + root[:, None]


def seen(joints_cam_m, camera=CAMERA, noise_px=0.0, seed=0):
    """Pixels (T, 17, 2) and full confidence (T, 17) of what `camera` sees."""
    pixels = camera.project(joints_cam_m)
    pixels = pixels + noise_px * np.random.default_rng(seed).normal(size=pixels.shape)
    return pixels.astype(np.float32), np.full(pixels.shape[:2], 0.9, np.float32)


def tiny_config(**changes):
    """A `ModelConfig` with every part, small enough for tests."""
    sizes = {
        "window_frames": 6, "joint_width": 16, "joint_layers": 1, "frame_width": 32, "frame_layers": 2, "heads": 4,
        "joint_heads": 2, "condition_width": 16, "prompt_width": 16,
    }  # fmt: skip
    return ModelConfig(**(sizes | changes))


def by_joint_config(**changes):
    """The same with joint tokens throughout, as in the presets base and paper."""
    return tiny_config(**({"temporal_token": "joint", "frame_width": 32, "heads": 4, "joint_layers": 2} | changes))


def random_denoiser(config=None, seed=0, spread=0.15):
    """A `Denoiser` whose every parameter is random: also those that start at zero, so that no part is the identity."""
    torch.manual_seed(seed)
    return _randomised(Denoiser(config or tiny_config(), len(ACTIONS)), seed, spread)


def random_encoder(config=None, seed=0, spread=0.15):
    """An `Encoder` whose every parameter is random: also those that start at zero, so that no part is the identity."""
    torch.manual_seed(seed)
    return _randomised(Encoder(config or tiny_config(), len(ACTIONS)), seed, spread)


def _randomised(network, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=generator)
        if network.prompts is not None:
            network.prompts.baked += torch.randn(network.prompts.baked.shape, generator=generator)
    return network.eval()


def random_lifter(config=None, seed=0, temperature=1.0):
    """A `Lifter` with random weights; eager, so that identities hold to float tolerance."""
    networks = random_encoder(config, seed).requires_grad_(False), random_denoiser(config, seed).requires_grad_(False)
    for network in networks:
        if not network.by_joint:
            # near an upright person, so that there is a place in front of the camera where the pose can stand
            network.pose_head.weight.mul_(0.3), network.joint_head.weight.mul_(0.3)
            upright = swing(np.zeros(1))[0] / network.config.pose_scale_m
            network.pose_head.bias.copy_(torch.from_numpy(upright).flatten())
    loaded = Checkpoint(
        encoder=networks[0], denoiser=networks[1], actions=tuple(ACTIONS), temperatures=dict.fromkeys(USES, temperature)
    )
    return Lifter(loaded, weights_name="random", backend="eager")


def save_version1(path, denoiser, provenance):
    """A file as version 0.1 wrote it, with a denoiser that draws samples."""
    head = {"format": "dp3d-denoiser", "version": 1, "model": to_dict(denoiser.config), "actions": list(ACTIONS),
            "temperature": 1.0, "provenance": provenance}  # fmt: skip
    save_file(denoiser.state_dict(), path, metadata={"dp3d": json.dumps(head)})


def random_seen(batch, rows, seed=0, missing=0.2):
    """The network's 2D input (B, N, 17, 4), some joints missing."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, rows, 17, 2, generator=generator)
    confidence = torch.rand(batch, rows, 17, generator=generator)
    confidence = confidence * (torch.rand(batch, rows, 17, generator=generator) >= missing)
    size = 0.3 * torch.randn(batch, rows, 1, generator=generator).expand(-1, -1, 17)
    return torch.cat([points * (confidence > 0)[..., None], confidence[..., None], size[..., None]], -1)


def walking_motions(lengths=(90, 60, 40), actions=("walk", "run", "wave"), splits=("train", "train", "dev"), fps=30.0):
    """`Motions` of people who walk on the spot in world axes (Z up)."""
    poses, roots = [], []
    for clip, length in enumerate(lengths):
        stamps_s = np.arange(length) / fps
        pose = swing(stamps_s, yaw=0.4 * clip, step_hz=0.6 + 0.3 * clip)[..., [0, 2, 1]] * np.array([1, 1, -1])
        poses.append(pose)
        roots.append(np.stack([0.2 * stamps_s, 0 * stamps_s, 0.93 + 0 * stamps_s], 1))
    count = len(lengths)
    return Motions(
        pose_m=np.concatenate(poses).astype(np.float32),
        root_m=np.concatenate(roots).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        fps=fps,
        names=tuple(f"clip/{clip}" for clip in range(count)),
        actions=tuple(actions),
        styles=("",) * count,
        subjects=("1",) * count,
        splits=tuple(splits),
        sources=("figure",) * count,
        licences=("CC0",) * count,
    )


def some_bank(width=24, seed=0, names=NAMES):
    """A `TextBank` of random directions, with one text a name."""
    vectors = torch.randn(len(names), width, generator=torch.Generator().manual_seed(seed))
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    return TextBank(vectors=vectors, names=names, texts=tuple(f"About {n}." for n in names), model="m", pretrained="p")
