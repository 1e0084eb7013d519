"""Evidence: analytic gradients are the true ones, and guided samples go where it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dp3d_core.config import DenoiserConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.model.motion_denoiser import MotionDenoiser
from dp3d_core.prior.energies import Heatmaps, Keypoints, Points, heatmap_energy
from dp3d_core.prior.evidence import Modes
from dp3d_core.prior.motion_prior import MotionPrior
from dp3d_core.skeleton import PARENTS

CAMERA = Camera.from_fov(width=640, height=480)
FRAMES = 6
STAMPS = np.arange(FRAMES) / 30


def smooth_maps(seed=0, rows=9, columns=11):
    return torch.rand(2, 17, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.05


class HeatmapEnergy(torch.autograd.Function):
    """`heatmap_energy` with its analytic gradient, as gradcheck wants it."""

    @staticmethod
    def forward(context, cells, heatmaps):
        energy, gradient, _ = heatmap_energy(cells, heatmaps)
        context.save_for_backward(gradient)
        return energy

    @staticmethod
    def backward(context, received):
        (gradient,) = context.saved_tensors
        return received[..., None] * gradient, None


def test_the_heatmaps_gradient_passes_gradcheck_inside_and_at_the_border():
    generator = torch.Generator().manual_seed(1)
    cells = torch.rand(3, 2, 17, 2, generator=generator, dtype=torch.float64) * torch.tensor([12.0, 10.0]) - 0.5
    # the bilinear surface has kinks between cells: stay off them
    cells = (cells - 0.5).floor() + 0.5 + 0.1 + 0.8 * (cells - 0.5).frac().abs()
    cells.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda c: HeatmapEnergy.apply(c, smooth_maps()), (cells,), eps=1e-6, atol=1e-5)


def test_a_heatmap_is_sampled_as_grid_sample_does():
    maps = smooth_maps()
    cells = torch.rand(4, 2, 17, 2, dtype=torch.float64) * torch.tensor([11.0, 9.0])
    _, _, score = heatmap_energy(cells, maps)
    grid = 2 * cells / torch.tensor([11.0, 9.0]) - 1
    wanted = torch.nn.functional.grid_sample(
        maps.flatten(0, 1)[:, None], grid.movedim(0, 2).flatten(0, 1)[:, None], align_corners=False
    )
    torch.testing.assert_close(score, wanted[:, 0, 0].unflatten(0, (2, 17)).movedim(-1, 0))


def places(seed=2, samples=2, frames=2):
    generator = torch.Generator().manual_seed(seed)
    place = torch.randn(samples, frames, 17, 3, generator=generator, dtype=torch.float64) * 0.3
    return place + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)


def evidences():
    generator = torch.Generator().manual_seed(3)
    rays = torch.randn(2, 17, 2, 2, generator=generator, dtype=torch.float64) * 0.1
    root = torch.randn(2, 17, 2, 2, 2, generator=generator, dtype=torch.float64)
    covariance = 0.003 * root @ root.transpose(-1, -2) + 0.003 * torch.eye(2, dtype=torch.float64)
    weight = torch.rand(2, 17, 2, generator=generator, dtype=torch.float64) * 0.45
    turn = torch.linalg.qr(torch.eye(3).double() + 0.1 * torch.randn(2, 3, 3, generator=generator).double())[0]
    turn = turn * torch.diagonal(turn, dim1=-2, dim2=-1).sign()[:, None]
    focal, centre = torch.tensor([20.0, 18.0]).double(), torch.tensor([5.5, 4.5]).double()
    return {
        "points": Points(places(9)[0], torch.ones(2, 17).double(), 0.1),
        "keypoints": Keypoints(rays, covariance, weight),
        "heatmaps": Heatmaps(smooth_maps(), turn, focal, centre),
    }


@pytest.mark.parametrize("name", ["points", "keypoints", "heatmaps"])
def test_the_gradient_through_the_projection_is_the_energys(name):
    evidence, place = evidences()[name], places()
    pull = evidence.pull(place)
    direction = torch.randn(place.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    step = 1e-7
    ahead, behind = (evidence.pull(place + sign * step * direction).energy for sign in (1, -1))
    change = (ahead - behind) / 2 / step
    torch.testing.assert_close(change, (pull.gradient * direction).sum(-1), atol=1e-4, rtol=1e-4)
    assert (torch.linalg.eigvalsh(pull.curvature) > -1e-9).all()


def prior(seed=0):
    """An untrained prior: the Gaussian model alone, about a standing body whose joints move with their parents."""
    torch.manual_seed(seed)
    network = MotionDenoiser(DenoiserConfig(width=16, layers=1, heads=2, condition_width=16, part_prompts=False))
    body = torch.zeros(17, 3)
    for joint, parent in enumerate(PARENTS[1:], start=1):
        down = joint in (2, 3, 5, 6, 12, 13, 15, 16)
        side = {1: 0.13, 4: -0.13, 11: -0.17, 14: 0.17}.get(joint, 0.0)
        body[joint] = body[parent] + torch.tensor([side, 0.4 if down else (0.0 if side else -0.25), 0.02 * joint % 0.1])
    network.mean_pose.copy_(body / network.config.pose_scale_m)
    factor = torch.zeros(51, 51)
    correlation = torch.full((48, 48), 0.3) + 0.7 * torch.eye(48)
    factor[3:, 3:] = torch.linalg.cholesky(correlation)
    network.joint_factor.copy_(factor), network.spread.fill_(0.5)
    return MotionPrior(network.eval().requires_grad_(False)), body.numpy()


def person(body, seed=5):
    """A body (T, 17, 3) in the camera that differs from the mean, still over time."""
    moved = body + 0.08 * np.random.default_rng(seed).normal(size=(17, 3)) * (np.arange(17) > 0)[:, None]
    return np.repeat((moved + [0.3, 0.1, 4.0])[None], FRAMES, 0)


def test_completion_keeps_what_is_known_and_is_nearer_than_the_mean_where_it_is_not():
    motion_prior, body = prior()
    truth = person(body)
    given = truth.copy()
    given[2:4] = np.nan
    given[:, 13] = np.nan
    completed = motion_prior.complete(given, STAMPS, samples=2, steps=4)
    known = np.isfinite(given)
    np.testing.assert_allclose(completed[:, known], np.stack([given[known]] * 2), atol=1e-6)
    gap = np.delete(np.arange(17), 13)
    assert np.linalg.norm(completed[:, 2:4][:, :, gap] - truth[2:4][:, gap], axis=-1).mean() < 0.05


def as_modes(truth, sigma_px=3.0):
    pixels = CAMERA.project(truth.reshape(-1, 3)).reshape(*truth.shape[:2], 2)
    return Modes(pixels[:, :, None], np.full((FRAMES, 17, 1), sigma_px), np.full((FRAMES, 17, 1), 0.95))


def reprojected(joints):
    return CAMERA.project(joints.reshape(-1, 3)).reshape(*joints.shape[:-1], 2)


def test_fitted_motions_meet_the_keypoints():
    motion_prior, body = prior()
    modes = as_modes(person(body))
    fitted = motion_prior.fit(modes, STAMPS, camera=CAMERA, samples=3, steps=4, weight=1.0)
    missed = np.linalg.norm(reprojected(fitted) - modes.centre_px[:, :, 0], axis=-1)
    assert np.median(missed) < 5 and fitted.shape == (3, FRAMES, 17, 3)
    assert np.linalg.norm(fitted.std(0), axis=-1).mean() > 0.01  # what 2D leaves open differs between samples


def test_an_outlier_is_let_go():
    motion_prior, body = prior()
    modes = as_modes(person(body))
    wild = modes.centre_px.copy()
    wild[:, 13] += 300
    fitted = motion_prior.fit(modes._replace(centre_px=wild), STAMPS, camera=CAMERA, steps=6, weight=1.0)
    others = np.delete(np.arange(17), 13)
    missed = np.linalg.norm(reprojected(fitted) - modes.centre_px[:, :, 0], axis=-1)[0]
    assert np.median(missed[:, others]) < 6 and np.median(missed[:, 13]) < 150


def test_of_rival_modes_the_one_that_makes_a_body_is_chosen():
    motion_prior, body = prior()
    modes = as_modes(person(body))
    rival = modes.centre_px + np.array([220.0, -180.0])
    centre = np.concatenate([modes.centre_px, rival], 2)
    weight = np.concatenate([np.full((FRAMES, 17, 1), 0.95), np.zeros((FRAMES, 17, 1))], 2)
    weight[:, 12] = [0.45, 0.5]
    both = Modes(centre, np.full((FRAMES, 17, 2), 3.0), weight)
    fitted = motion_prior.fit(both, STAMPS, camera=CAMERA, steps=6, weight=1.0)
    assert np.median(np.linalg.norm(reprojected(fitted)[0, :, 12] - modes.centre_px[:, 12, 0], axis=-1)) < 40


def test_heatmaps_guide_as_keypoints_do():
    motion_prior, body = prior()
    truth = person(body)
    pixels = reprojected(truth)
    rows, columns, width = 96, 128, 2.0
    grid = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), -1)
    away = grid - (pixels * [columns / 640, rows / 480])[:, :, None, None]
    heatmaps = np.exp(-0.5 * (away**2).sum(-1) / width**2)
    fitted = motion_prior.fit_heatmaps(heatmaps, STAMPS, camera=CAMERA, steps=6, weight=1.0, sigma_cells=width)
    assert np.median(np.linalg.norm(reprojected(fitted)[0] - pixels, axis=-1)) < 8


@pytest.mark.parametrize(
    ("what", "message"),
    [("nan", "finite scores"), ("empty", "three joints seen"), ("frames", "expected 6 frames"), ("lens", "rectify")],
)
def test_heatmaps_that_cannot_guide_are_refused(what, message):
    motion_prior, _ = prior()
    heatmaps = np.zeros((FRAMES if what != "frames" else 3, 17, 12, 16))
    if what == "frames":
        heatmaps[:, :, 4, 4] = 1
    heatmaps[0, 0, 0, 0] = np.nan if what == "nan" else 0
    camera = replace(CAMERA, distortion=(0.1, 0, 0, 0)) if what == "lens" else CAMERA
    with pytest.raises(ValueError, match=message):
        motion_prior.fit_heatmaps(heatmaps, STAMPS, camera=camera)


def test_evidence_that_is_none_is_refused():
    motion_prior, body = prior()
    modes = as_modes(person(body))
    with pytest.raises(ValueError, match="three joints seen"):
        motion_prior.fit(modes._replace(weight=0 * modes.weight), STAMPS, camera=CAMERA)
    with pytest.raises(ValueError, match="positive definite"):
        motion_prior.fit(modes, STAMPS, camera=CAMERA, covariance_px=np.zeros((FRAMES, 17, 1, 2, 2)))
    with pytest.raises(ValueError, match="three known joints"):
        motion_prior.complete(np.full((FRAMES, 17, 3), np.nan), STAMPS)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        motion_prior.fit(modes, STAMPS, camera=CAMERA, samples=0)


def test_many_samples_are_made_in_chunks(monkeypatch):
    motion_prior, body = prior()
    monkeypatch.setattr("dp3d_core.prior.motion_prior.MOST_TOKENS", 2 * 17 * FRAMES)
    given = person(body)
    given[:, 16] = np.nan
    assert motion_prior.complete(given, STAMPS, samples=5, steps=2).shape == (5, FRAMES, 17, 3)
