"""A training step on sequences that are made on the device, of stick figures who walk: how fast a device trains."""
# F frames, J = 17 joints

import copy
from collections.abc import Callable

import numpy as np
import torch

from dp3d_core.backends.walk import walking_figures
from dp3d_core.config import TrainConfig
from dp3d_core.data.field import Field
from dp3d_core.data.motions import Motions
from dp3d_core.data.windows import MotionBank, sample_batch
from dp3d_core.model.encoder import Encoder
from dp3d_core.training.encoding import step_losses, weigh
from dp3d_core.training.optimizer import MuonAdamW
from dp3d_core.training.precision import autocast

CLIP_FRAMES = 600


def training_step(encoder: Encoder, device: str, *, batch: int, frames: int) -> Callable[[], None]:
    """A function that makes `batch` sequences of `frames` on the device and does one causal training step on a copy."""
    train = TrainConfig()
    learner = copy.deepcopy(encoder).to(device).train().requires_grad_(True)
    optimizer = MuonAdamW(learner, learning_rate=1e-5, weight_decay=train.weight_decay)
    bank = MotionBank(walking_motions()).to(device)
    drawn, generator = torch.Generator(device).manual_seed(0), torch.Generator().manual_seed(0)

    def step() -> None:
        sequences = sample_batch(bank, batch, frames, generator=drawn, reach=0, field=Field())
        with autocast(train.precision, device):
            parts = step_losses(learner, learner.config, sequences, "causal", generator)
        optimizer.zero_grad(set_to_none=True)
        weigh(parts, train).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), train.clip_norm)
        optimizer.step()

    return step


def walking_motions() -> Motions:
    """Two stick figures who walk, as if they were motion capture; no file is needed."""
    # optical axes (y down, z forward) to z up
    joints = walking_figures(np.arange(CLIP_FRAMES) / 30)[..., [0, 2, 1]] * (1, 1, -1)
    joints[..., 2] -= joints[..., 2].min((1, 2), keepdims=True) - 0.1
    root = joints[:, :, :1]
    return Motions(
        pose_m=(joints - root).reshape(-1, 17, 3).astype(np.float32),
        root_m=root.reshape(-1, 3).astype(np.float32),
        offsets=np.arange(len(joints) + 1, dtype=np.int64) * CLIP_FRAMES,
        fps=30.0,
        names=("first", "second"),
        actions=("walk", "walk"),
        styles=("figure", "figure"),
        subjects=("first", "second"),
        splits=("train", "train"),
        sources=("dp3d", "dp3d"),
        licences=("Apache-2.0", "Apache-2.0"),
    )
