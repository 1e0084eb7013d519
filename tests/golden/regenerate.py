"""Write the golden files again: `python tests/golden/regenerate.py`.

Only when weights of version 2 may answer otherwise from now on: then raise `checkpoint.VERSION` as well.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core"))
from helpers import random_encoder, tiny_config

from dp3d_core import checkpoint
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model.diffusion import rolling_layout

HERE = Path(__file__).resolve().parent
WEIGHTS, ANSWERS = HERE / "tiny_v2.safetensors", HERE / "tiny_v2_answers.npz"


def question():
    """Rows of a rolling layout, from NumPy's generator, which is the same on every machine."""
    generator = np.random.default_rng(0)
    rows = rolling_layout(9, tiny_config().window_frames, 2, [1, 5, 8])
    stamps_s = torch.from_numpy(np.cumsum(generator.uniform(0.01, 0.1, 9)).astype(np.float32))[None]
    confidence = generator.uniform(0, 1, (1, 9, 17, 1)) * (generator.random((1, 9, 17, 1)) > 0.2)
    seen = np.concatenate(
        [generator.normal(size=(1, 9, 17, 2)) * (confidence > 0), confidence, np.full((1, 9, 17, 1), 0.3)], -1
    )
    up = torch.from_numpy(generator.normal(size=(1, 9, 4)).astype(np.float32))
    return (
        torch.from_numpy(seen.astype(np.float32))[:, rows.frame], up[:, rows.frame], stamps_s[:, rows.frame],
        rows.mask[None], rows.pool_row,
    )  # fmt: skip


def answers(encoder):
    """What the encoder says, as arrays."""
    with torch.no_grad():
        return {name: value.numpy() for name, value in encoder(*question())._asdict().items()}


if __name__ == "__main__":
    made = {"made by": "tests/golden/regenerate.py"}
    hot = dict.fromkeys(checkpoint.USES, 1.25)
    checkpoint.save(WEIGHTS, random_encoder(), actions=ACTIONS, temperatures=hot, provenance=made, half=True)
    np.savez_compressed(ANSWERS, **answers(checkpoint.load(WEIGHTS).encoder))
    print(WEIGHTS, WEIGHTS.stat().st_size, ANSWERS, ANSWERS.stat().st_size)
