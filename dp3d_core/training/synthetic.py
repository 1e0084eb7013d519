"""A training step on random sequences that are made on the device: how fast a device trains, and nothing else."""
# B batch, T frames, J = 17 joints

import copy
from collections.abc import Callable

import torch

from dp3d_core.config import TrainConfig
from dp3d_core.data.windows import Batch
from dp3d_core.model.encoder import Encoder
from dp3d_core.training.encoding import step_losses, weigh


def training_step(encoder: Encoder, device: str, *, batch: int, frames: int) -> Callable[[], None]:
    """A function that makes `batch` sequences of `frames` on the device and does one causal step of AdamW on a copy."""
    train = TrainConfig()
    learner = copy.deepcopy(encoder).to(device).train().requires_grad_(True)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=1e-5, weight_decay=train.weight_decay)
    generator = torch.Generator().manual_seed(0)
    on_gpu = device.startswith("cuda")

    def step() -> None:
        drawn = random_batch(batch, frames, device)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=on_gpu):
            parts = step_losses(learner, learner.config, drawn, "causal", generator)
        optimiser.zero_grad(set_to_none=True)
        weigh(parts, train).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), train.clip_norm)
        optimiser.step()

    return step


def random_batch(batch: int, frames: int, device: str) -> Batch:
    """Sequences of noise in the shapes of real ones."""
    normal = lambda *shape: torch.randn(batch, frames, *shape, device=device)  # noqa: E731
    seen = normal(17, 4)
    seen[..., 2] = torch.sigmoid(seen[..., 2])
    return Batch(
        seen=seen, up=torch.nn.functional.normalize(normal(4), dim=-1), pose_m=0.3 * normal(17, 3),
        next_pose_m=0.3 * normal(1, 17, 3), stamps_s=(torch.arange(frames, device=device) / 30).expand(batch, -1),
        label=torch.full((batch,), -1, device=device), contact=(normal(2) > 0).float(),
    )  # fmt: skip
