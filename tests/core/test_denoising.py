"""Training of the denoiser: questions are what they claim, losses meet their optimum, a run ends in usable weights."""

import json
import math

import pytest
import torch

from dp3d_core.config import DenoiserConfig
from dp3d_core.evaluation.denoiser_figures import SKIPPED, energy_score, oracle_best
from dp3d_core.model import motion_weights
from dp3d_core.model.motion_denoiser import Context, MotionDenoiser
from dp3d_core.training import denoising
from dp3d_core.training.denoiser import Pool, prepare, train

CONFIG = DenoiserConfig(width=16, layers=1, heads=2, condition_width=16, feature_width=8, prompt_width=8, actions=3)
FRAMES = 8


def pool(sequences=48, seed=0):
    """Poses that differ from their centre by smooth errors of a known size."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(sequences, *shape, generator=generator)  # noqa: E731
    error = 0.3 * (normal(1, 17, 3) + 0.1 * normal(FRAMES, 17, 3).cumsum(1))
    error[:, :, 0] = 0
    centre = normal(FRAMES, 17, 3)
    context = Context(
        (torch.arange(FRAMES) / 30).expand(sequences, -1),
        centre,
        centre,
        torch.full((sequences, FRAMES, 17, 3), 0.3),
        normal(FRAMES, 17, 4),
        normal(FRAMES, 8),
        torch.softmax(normal(FRAMES, 3), -1),
    )
    return Pool(clean=centre + error, context=context)


def prepared():
    torch.manual_seed(0)
    denoiser = MotionDenoiser(CONFIG)
    prepare(denoiser, pool())
    return denoiser


@pytest.mark.parametrize("kind", denoising.KINDS)
def test_each_kind_of_question_is_well_scaled_and_solvable(kind, monkeypatch):
    denoiser = prepared()
    shares = tuple(float(name == kind) for name in denoising.KINDS)
    monkeypatch.setattr(denoising, "KIND_SHARES", {"denoiser": shares, "prior": shares})
    generator = torch.Generator().manual_seed(1)
    clean, context = pool().batch(16, generator)
    noisy, angle, white = denoising.draw(denoiser, clean, context, generator)
    assert (white is not None) == (kind == "white") and (noisy[:, :, 0] == 0).all()
    assert (angle >= 0).all() and (angle <= math.pi / 2 + 1e-6).all()
    answer = denoiser(noisy, angle, context, white)
    parts = denoising.losses(denoiser, clean, context, (noisy, angle, white), answer)
    assert all(torch.isfinite(value) for value in parts.values())
    # the Gaussian model alone is at about one unit of its own standard deviation
    assert 0.02 < parts["denoise"].item() < 2


def test_the_true_residual_has_no_loss():
    denoiser = prepared()
    generator = torch.Generator().manual_seed(1)
    clean, context = pool().batch(4, generator)
    question = denoising.draw(denoiser, clean, context, generator)
    answer = denoiser(question[0], question[1], context, question[2])
    target = denoiser.residual(clean, context)
    perfect = answer._replace(clean=target, raw=(target - answer.base) / answer.std, neighbours=None)
    parts = denoising.losses(denoiser, clean, context, question, perfect)
    assert parts["denoise"].item() < 1e-3 and parts["bone"].item() < 1e-4


def test_training_lowers_the_loss_and_writes_weights(tmp_path):
    lines = []
    denoiser = prepared()
    averaged = train(
        denoiser, pool(), out=tmp_path, minutes=1, steps=200, batch=8, precision="float32", say=lines.append
    )
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 2 and rows[-1]["hallucination"] < rows[0]["hallucination"]
    found = motion_weights.load(tmp_path / "weights.safetensors")
    assert found.provenance["steps"] == 200 and found.denoiser.config == averaged.config


def test_the_oracle_chooses_a_clip_a_piece_or_a_frame():
    errors = torch.tensor([[1.0, 9, 9, 1], [2, 2, 2, 2]])[:, None]
    best = oracle_best(errors, torch.tensor([0.0, 0.3, 0.6, 0.9]))
    assert best["a clip"].tolist() == [2, 2, 2, 2] and best["a frame"].tolist() == [1, 2, 2, 1]
    assert best["every 0.5 s"].tolist() == [2, 2, 2, 2]


def test_the_energy_score_is_least_for_the_true_spread():
    generator = torch.Generator().manual_seed(0)
    frames = 400
    truth = torch.randn(1, frames, 17, 3, generator=generator)
    scores = []
    for width in (0.5, 1.0, 2.0):
        drawn = width * torch.randn(10, 1, frames, 17, 3, generator=generator)
        scores.append(energy_score(drawn, truth).mean().item())
    assert len(energy_score(drawn, truth)) == frames - SKIPPED
    assert scores[1] < scores[0] and scores[1] < scores[2]
