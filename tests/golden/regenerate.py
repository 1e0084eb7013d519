"""Write the golden files again: `python tests/golden/regenerate.py`.

Only when weights of version 1 may answer otherwise from now on: then raise `checkpoint.VERSION` as well.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core"))
from helpers import random_denoiser, tiny_config

from dp3d_core import checkpoint
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model.diffusion import rolling_layout

HERE = Path(__file__).resolve().parent
WEIGHTS, ANSWERS = HERE / "tiny_v1.safetensors", HERE / "tiny_v1_answers.npz"


def question():
    """Rows of a rolling layout, from NumPy's generator, which is the same on every machine."""
    generator = np.random.default_rng(0)
    rows = rolling_layout(9, tiny_config().window_frames, 2, [1, 5, 8])
    stamps_s = torch.from_numpy(np.cumsum(generator.uniform(0.01, 0.1, 9)).astype(np.float32))[None]
    confidence = generator.uniform(0, 1, (1, 9, 17, 1)) * (generator.random((1, 9, 17, 1)) > 0.2)
    seen = np.concatenate(
        [generator.normal(size=(1, 9, 17, 2)) * (confidence > 0), confidence, np.full((1, 9, 17, 1), 0.3)], -1
    )
    noisy = torch.from_numpy(generator.normal(size=(1, len(rows.frame), 17, 3)).astype(np.float32))
    return (
        noisy, torch.from_numpy(seen.astype(np.float32))[:, rows.frame], rows.noise_level[None],
        stamps_s[:, rows.frame], rows.mask[None], rows.pool_row,
    )  # fmt: skip


def answers(denoiser):
    """What the denoiser says, as arrays."""
    with torch.no_grad():
        out = denoiser(*question())
    return {"clean": out.clean.numpy(), "log_variance": out.log_variance.numpy(), "logits": out.action_logits.numpy()}


if __name__ == "__main__":
    made = {"made by": "tests/golden/regenerate.py"}
    checkpoint.save(WEIGHTS, random_denoiser(), actions=ACTIONS, temperature=1.25, provenance=made)
    np.savez_compressed(ANSWERS, **answers(checkpoint.load(WEIGHTS).denoiser))
    print(WEIGHTS, WEIGHTS.stat().st_size, ANSWERS, ANSWERS.stat().st_size)
