"""The encoder's losses: each is zero where its answer is right, and of the rows and joints that it is about."""

import pytest
import torch
from helpers import random_encoder, tiny_config, walking_motions

from dp3d_core.config import TrainConfig
from dp3d_core.data.field import Field
from dp3d_core.data.windows import MotionBank, sample_batch
from dp3d_core.geometry.observation import LOG_SIZE_CENTRE
from dp3d_core.model.encoder import Encoded
from dp3d_core.training.encoding import LAYOUT_SHARES, LAYOUTS, draw_layout, losses, step_losses, weigh

FOLLOWS = torch.arange(4)


def answer(error, log_variance=0.0, contacts=0.0):
    """What an encoder says that errs by `error` (B, 5, 17, 3) about a truth of zeros."""
    batch = len(error)
    return Encoded(
        error,
        torch.full((batch, 5, 17, 2), log_variance),
        torch.full((batch, 5, 2), contacts),
        torch.zeros(batch, 5, 14),
        torch.zeros(batch, 5, 32),
    )


def cost(error, *, contact=torch.nan, seen=None, label=None, **said):
    seen = torch.ones(len(error), 5, 17, 4) * torch.tensor([0.0, 0.0, 1.0, 0.0]) if seen is None else seen
    truth = torch.zeros_like(error)
    return losses(answer(error, **said), truth, seen, torch.full((len(error), 5, 2), contact), label, FOLLOWS, 0.25)


def test_a_right_answer_costs_nothing():
    right = cost(torch.zeros(2, 5, 17, 3))
    for name in ("position", "velocity", "acceleration", "reprojection", "bone", "contact"):
        assert float(right[name]) == 0
    assert "action" not in right and "action" in cost(torch.zeros(2, 5, 17, 3), label=torch.tensor([3, -1]))


def test_a_steady_error_has_no_velocity_and_a_growing_one_no_acceleration():
    steady = cost(torch.ones(1, 5, 17, 3))
    assert float(steady["velocity"]) == 0 < float(steady["position"])
    growing = cost(torch.arange(5.0)[None, :, None, None].expand(1, 5, 17, 3))
    assert float(growing["velocity"]) == pytest.approx(0.25 * 3**0.5) and float(growing["acceleration"]) < 1e-6


def test_an_error_along_the_ray_does_not_show_in_the_picture():
    rays = torch.tensor([0.3, -0.2])
    seen = torch.cat([rays / torch.exp(torch.tensor(LOG_SIZE_CENTRE)), torch.tensor([0.9, 0.0])]).expand(1, 5, 17, 4)
    ray = torch.cat([rays, torch.ones(1)])
    along, level = (0.4 * ray).expand(1, 5, 17, 3), torch.tensor([0.1, 0.0, 0.0]).expand(1, 5, 17, 3)
    assert float(cost(along, seen=seen)["reprojection"]) < 1e-6
    assert float(cost(level, seen=seen)["reprojection"]) == pytest.approx(0.025)
    hidden = seen * torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert float(cost(level, seen=hidden)["reprojection"]) == 0


def test_likelihood_is_best_at_the_errors_own_size_in_each_direction():
    generator = torch.Generator().manual_seed(0)
    error = torch.randn(200, 5, 17, 3, generator=generator) * torch.tensor([0.1, 0.1, 0.5])
    found = {}
    for across in (0.05, 0.1, 0.2):
        for along in (0.25, 0.5, 1.0):
            said = answer(error)._replace(log_variance=torch.tensor([across, along]).log().mul(2).expand(200, 5, 17, 2))
            seen = torch.ones(200, 5, 17, 4) * torch.tensor([0.0, 0.0, 1.0, 0.0])
            unknown = torch.full((200, 5, 2), torch.nan)
            of = losses(said, torch.zeros_like(error), seen, unknown, None, FOLLOWS, 0.25)
            found[across, along] = float(of["likelihood"])
    assert min(found, key=found.get) == (0.1, 0.5)


def test_contacts_that_nobody_knows_cost_nothing():
    error = torch.zeros(1, 5, 17, 3)
    assert float(cost(error, contact=1.0, contacts=9.0)["contact"]) < 1e-3
    assert float(cost(error, contact=0.0, contacts=9.0)["contact"]) > 5
    assert float(cost(error, contacts=9.0)["contact"]) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_teaches_every_part(layout):
    encoder = random_encoder(tiny_config()).train()
    batch = sample_batch(
        MotionBank(walking_motions()), 4, 12, generator=torch.Generator().manual_seed(0), reach=0, field=Field()
    )
    parts = step_losses(encoder, encoder.config, batch, layout, torch.Generator().manual_seed(1))
    weigh(parts, TrainConfig()).backward()
    silent = {name for name, value in encoder.named_parameters() if value.grad is None or not value.grad.any()}
    # without labels the action is only mixed in
    assert {name for name in silent if not name.startswith("action_encoder.logits")} == set()


def test_layouts_are_drawn_by_their_shares():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_layout(generator) for _ in range(2000)]
    for layout, share in zip(LAYOUTS, LAYOUT_SHARES):
        assert drawn.count(layout) / 2000 == pytest.approx(share, abs=0.04)
