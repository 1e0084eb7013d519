"""The presets that no test can afford to train: they build, train a step, evaluate, stream and export all the same."""
# B batch (people), N rows

import json

import pytest
import torch
from helpers import random_encoder, walking_motions

from dp3d_core import checkpoint
from dp3d_core.backends.graphs import RollingStep, rolling_example
from dp3d_core.cli import run as dp3d
from dp3d_core.config import PRESETS
from dp3d_core.data.motions import save_motions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.parametrize("preset", ["base", "paper"])]


def test_it_trains_a_step_and_is_evaluated(preset, tmp_path):
    motions, out, report = (tmp_path / name for name in ("motions.npz", "out", "report.json"))
    save_motions(motions, walking_motions(lengths=(60, 50, 20)))
    dp3d("train", [
        f"--preset={preset}", f"--motions={motions}", f"--out={out}", "--steps=1", "--batch=1", "--sequence-frames=6",
        "--dev-sequences=1", "--device=cpu",
    ])  # fmt: skip
    weights = out / "weights.safetensors"
    assert checkpoint.load(weights).encoder.config == PRESETS[preset]
    for mode, frames in (("offline", 20), ("stream", 20)):
        dp3d("evaluate", [f"--weights={weights}", f"--motions={motions}", f"--mode={mode}", f"--json={report}"])
        row = json.loads(report.read_text())["overall"]
        assert row["frames"] == frames and 0 < row["mpjpe_mm"] < 2000  # one step of training: that it answers, no more


@torch.no_grad()
def test_the_exported_step_equals_eager_and_hallucinates_nothing(preset):
    """Every weight random, so that no part is the identity; 2 people, with and without lookahead."""
    encoder = random_encoder(PRESETS[preset], spread=0.02)
    for rows in (1, 5):
        graph, arguments = RollingStep(encoder), rolling_example(encoder, 2, rows)
        program = torch.export.export(graph, arguments)
        for exported, eager in zip(program.module()(*arguments), graph(*arguments), strict=True):
            torch.testing.assert_close(exported, eager, atol=1e-4, rtol=1e-4)
        names = program.graph_signature.inputs_to_parameters
        used = {names[node.name] for node in program.graph.nodes if node.name in names and node.users}
        unused = {name for name, _ in graph.named_parameters()} - used
        assert unused == {name for name, _ in graph.named_parameters() if "hallucinate" in name} != set()
