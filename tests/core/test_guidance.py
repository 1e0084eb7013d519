"""Evidence is combined as by hand, and the shipped network generates, completes and fits people."""
# H samples, T frames, J = 17 joints

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import CAMERA, LENS, random_lifter, seen, swing, walk, walking_motions

import dp3d_core
from dp3d_core import cli
from dp3d_core.config import DenoiserConfig
from dp3d_core.data.motions import save_motions
from dp3d_core.lift import Lifter
from dp3d_core.model import motion_weights
from dp3d_core.model.motion_denoiser import MotionDenoiser
from dp3d_core.prior import report as prior_report
from dp3d_core.prior.evidence import KNOWN_SIGMA_M, Modes, Points, Rays, modes_from_heatmaps, modes_from_keypoints
from dp3d_core.prior.guidance import Prior
from dp3d_core.prior.view import MAX_FRAMES
from dp3d_core.skeleton import BONES, MIRROR

STAMPS_S = np.arange(24) / 30
HIDDEN = [12, 13]  # left elbow and wrist
LEGS = (1, 2, 3, 4, 5, 6)


@pytest.fixture(scope="module")
def prior():
    weights = Path(dp3d_core.__file__).parent / "weights" / "small.safetensors"
    return Prior(Lifter.load(weights, backend="eager"))


def error_mm(answer_m, truth_m):
    """Mean joint error about the root."""
    away = (answer_m - answer_m[:, :1]) - (truth_m - truth_m[:, :1])
    return 1000 * np.linalg.norm(away, axis=-1).mean()


def belief(truth_m, off_m=0.0, sigma_m=0.1, seed=0):
    """A prior's pose (1, T, 17, 3) about its root, wrong by off_m in each coordinate, and its sigma."""
    pose = truth_m - truth_m[:, :1]
    pose = pose + off_m * np.random.default_rng(seed).normal(size=pose.shape)
    pose = pose - pose[:, :1]
    return pose[None], np.full((1, *pose.shape[:2]), sigma_m)


def rays_of(truth_m):
    return truth_m[..., :2] / truth_m[..., 2:]


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_a_known_joint_pulls_by_its_share_of_the_precision():
    """Root and wrist known: with equal sigmas the wrist comes half way, the root is where it is known to be."""
    truth = walk(STAMPS_S[:3])
    pose, sigma = belief(truth, sigma_m=KNOWN_SIGMA_M)
    known = np.zeros((3, 17), bool)
    known[:, [0, 13]] = True
    pose[:, :, 13] += [0.0, 0.0, 0.2]
    out, root = Points(truth, known, STAMPS_S[:3]).combine(pose, sigma)
    # joint and root share the miss of 0.2 m: the root's least squares takes half of it first
    placed = out + root
    left = placed[0, :, 13] - truth[:, 13]
    np.testing.assert_allclose(left, np.broadcast_to([0, 0, 0.05], (3, 3)), atol=1e-9)
    np.testing.assert_allclose(placed[0, :, 0] - truth[:, 0], np.broadcast_to([0, 0, -0.05], (3, 3)), atol=1e-9)
    np.testing.assert_allclose(out[:, :, 0], 0, atol=1e-12)


def test_a_whole_known_pose_is_taken_over_where_the_prior_is_unsure():
    truth = walk(STAMPS_S)
    pose, sigma = belief(truth, off_m=0.3, sigma_m=1.0)
    out, root = Points(truth, np.ones((24, 17), bool), STAMPS_S).combine(pose, sigma)
    np.testing.assert_allclose((out + root)[0], truth, atol=1e-3)


def test_what_is_wrong_of_a_joint_is_carried_over_a_gap():
    truth = walk(STAMPS_S)
    pose, sigma = belief(truth, sigma_m=1.0)
    pose[:, :, 13] += [0.1, 0, 0]
    known = np.ones((24, 17), bool)
    known[8:16] = False
    out, root = Points(np.where(known[..., None], truth, 0), known, STAMPS_S).combine(pose, sigma)
    np.testing.assert_allclose((out + root)[0], truth, atol=3e-3)


def test_rays_bring_each_joint_to_its_ray_and_leave_what_they_do_not_see():
    truth = walk(STAMPS_S)
    pose, sigma = belief(truth, off_m=0.05)
    weight = np.ones((24, 17, 1))
    weight[:, HIDDEN] = 0
    before, _ = Rays(rays_of(truth)[:, :, None], np.full((24, 17, 1), 1e-3), 0 * weight, STAMPS_S).combine(pose, sigma)
    np.testing.assert_allclose(before, pose, atol=1e-12)
    out, root = Rays(rays_of(truth)[:, :, None], np.full((24, 17, 1), 1e-3), weight, STAMPS_S).combine(pose, sigma)
    np.testing.assert_allclose(out[:, :, HIDDEN], pose[:, :, HIDDEN], atol=1e-12)
    miss = lambda joints: np.linalg.norm(rays_of(joints) - rays_of(truth), axis=-1)[:, 1:11].mean()  # noqa: E731
    assert miss((out + root)[0]) < 0.3 * miss(pose[0] + truth[:, :1])
    assert error_mm(out[0], truth) < error_mm(pose[0], truth)


def test_of_two_peaks_the_one_that_the_prior_expects_is_taken():
    truth = walk(STAMPS_S)
    pose, sigma = belief(truth, off_m=0.01, sigma_m=0.05)
    rays = np.stack([rays_of(truth), rays_of(truth)[:, list(MIRROR)]], 2)
    weight = np.stack([np.full((24, 17), 0.4), np.full((24, 17), 0.5)], -1)
    out, root = Rays(rays, np.full(weight.shape, 1e-3), weight, STAMPS_S).combine(pose, sigma)
    ends = [3, 6, 13, 16]  # ankles and wrists: there the sides are far apart
    away = lambda rays: np.linalg.norm(rays_of((out + root)[0]) - rays, axis=-1)[:, ends]  # noqa: E731
    apart = np.linalg.norm(rays[:, ends, 0] - rays[:, ends, 1], axis=-1) > 0.06
    assert apart.mean() > 0.3 and away(rays[:, :, 0])[apart].max() < 0.01 < away(rays[:, :, 1])[apart].min()


# --- heatmaps ---------------------------------------------------------------------------------------------------------


def heatmaps_of(points_px, scores, size_px=(960, 544), cell_px=8, sigma_px=12.0):
    """(T, 17, rows, columns): the highest of Gaussians at points_px (T, 17, G, 2) with scores (T, 17, G)."""
    x = (np.arange(size_px[0] // cell_px) + 0.5) * cell_px
    y = (np.arange(size_px[1] // cell_px) + 0.5) * cell_px
    squared = (x - points_px[..., 0, None, None]) ** 2 + (y[:, None] - points_px[..., 1, None, None]) ** 2
    return (scores[..., None, None] * np.exp(-0.5 * squared / sigma_px**2)).max(2)


def test_peaks_of_heatmaps_are_found_where_they_are():
    rng = np.random.default_rng(0)
    points = rng.uniform((60, 60), (400, 480), (2, 17, 2, 2))
    points[:, :, 1, 0] += 420  # the second peak is elsewhere
    scores = np.stack([np.full((2, 17), 0.8), np.full((2, 17), 0.4)], -1)
    scores[0, 3] = 0.05, 0.02  # too low to be anything
    scores[1, 5, 1] = 0.0
    modes = modes_from_heatmaps(heatmaps_of(points, scores), (960, 544))
    assert (modes.weight[0, 3] == 0).all() and (modes.weight[1, 5, 1:] == 0).all()
    both = (modes.weight[..., :2] > 0).all(-1)
    assert both.sum() == 2 * 17 - 2 and (modes.weight[..., 2] == 0).all()
    np.testing.assert_allclose(modes.centre_px[both][:, :2], points[both], atol=1.5)
    np.testing.assert_allclose(modes.weight[both].sum(-1), 0.8, atol=0.1)
    np.testing.assert_allclose(modes.weight[both][:, 0] / modes.weight[both][:, 1], 2, rtol=0.2)
    assert (np.abs(modes.sigma_px[both][:, :2] - 12) < 5).all()


# --- the shipped network ----------------------------------------------------------------------------------------------


def test_generated_motion_is_of_people_and_the_same_for_the_same_seed(prior):
    first, again, other = (prior.generate(STAMPS_S, samples=3, steps=8, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 24, 17, 3) and np.abs(first - other).max() > 0.1
    bones = np.stack([np.linalg.norm(first[:, :, b] - first[:, :, a], axis=-1) for a, b in BONES], -1)
    assert (bones.std(1) < 0.05).all(), "a bone keeps its length"
    mean = bones.mean((0, 1))
    assert (mean[[1, 2, 4, 5]] > 0.3).all() and (mean[[1, 2, 4, 5]] < 0.55).all(), "thighs and shins"
    assert np.linalg.norm(np.diff(first, axis=1), axis=-1).max() < 0.2, "nothing jumps"


@pytest.mark.parametrize("prior_only", [False, True])
def test_completion_keeps_what_is_known_and_fills_the_rest_with_a_body(prior, prior_only):
    truth = walk(STAMPS_S)
    given = truth.copy()
    given[:, HIDDEN] = np.nan
    given[10:14] = np.nan
    out = prior.complete(given, STAMPS_S, samples=2, steps=6, prior_only=prior_only)
    known = np.isfinite(given)
    assert out.shape == (2, 24, 17, 3) and np.isfinite(out).all()
    np.testing.assert_allclose(out[:, known], np.broadcast_to(given[known], (2, known.sum())), atol=1e-4)
    forearm = np.linalg.norm(out[:, :, 13] - out[:, :, 12], axis=-1)
    assert 0.1 < np.median(forearm) < 0.5
    assert np.linalg.norm(out.mean(0) - truth, axis=-1)[10:14, :11].mean() < 0.15


def test_a_point_completion_of_half_a_walker_beats_a_standing_one(prior):
    stamps_s = np.arange(40) / 30
    truth = walk(stamps_s, yaw=1.2)
    given = truth.copy()
    given[:, [5, 6]] = np.nan
    (out,) = prior.complete(given, stamps_s)
    standing = truth[:, [4]] + [[0, 0.44, 0], [0, 0.86, 0]]
    error = np.linalg.norm(out[:, [5, 6]] - truth[:, [5, 6]], axis=-1).mean()
    assert error < np.linalg.norm(standing - truth[:, [5, 6]], axis=-1).mean()


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_heatmaps_with_one_peak_a_joint_are_lifted(prior, camera):
    truth = walk(STAMPS_S)
    pixels, confidence = seen(truth, camera)
    (out,) = prior.fit(modes_from_keypoints(pixels, confidence), STAMPS_S, camera=camera)
    assert error_mm(out, truth) < 90
    assert np.linalg.norm(out[:, 0] - truth[:, 0], axis=-1).mean() < 1.0
    assert np.nanmedian(np.linalg.norm(camera.project(out) - pixels, axis=-1)) < 12


def test_motion_decides_between_swapped_legs(prior):
    """The higher peak of each leg's joints is the other leg's, for a third of the time."""
    stamps_s = np.arange(36) / 30
    truth = walk(stamps_s, yaw=1.0)
    pixels, _ = seen(truth)
    centre = np.stack([pixels, pixels], 2).astype(float)
    weight = np.stack([np.full((36, 17), 0.9), np.zeros((36, 17))], -1)
    swapped = slice(12, 24)
    for joint in LEGS:
        centre[swapped, joint, 1] = pixels[swapped, MIRROR[joint]]
        weight[swapped, joint] = 0.4, 0.5
    modes = Modes(centre, np.full(weight.shape, 5.0), weight)
    (fitted,) = prior.fit(modes, stamps_s, camera=CAMERA)
    highest = np.take_along_axis(centre, weight.argmax(-1)[..., None, None], 2)[:, :, 0]
    (believed,) = prior.fit(modes_from_keypoints(highest, weight.max(-1)), stamps_s, camera=CAMERA)
    assert error_mm(fitted[swapped], truth[swapped]) < 0.8 * error_mm(believed[swapped], truth[swapped])


def test_rivals_everywhere_still_give_a_person(prior):
    pixels, _ = seen(walk(STAMPS_S))
    centre = np.stack([pixels, pixels[:, list(MIRROR)]], 2).astype(float)
    weight = np.full((24, 17, 2), 0.45)
    (out,) = prior.fit(Modes(centre, np.full(weight.shape, 5.0), weight), STAMPS_S, camera=CAMERA)
    assert np.isfinite(out).all() and (out[:, 0, 2] > 2).all()


def test_the_report_compares_with_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prior_report, "GENERATED", 2)
    monkeypatch.setattr(prior_report, "GUIDED", 2)
    motions, out = tmp_path / "motions.npz", tmp_path / "report.json"
    save_motions(motions, walking_motions())
    cli.run("prior-report", ["--motions", str(motions), "--split", "train", "--json", str(out)])
    found = json.loads(out.read_text())
    assert found["clips"] == 1 and set(found["generated"]) == {"data", "generated"}
    assert all(0 < error < 1000 for row in found["completed_mm"].values() for error in row.values())
    assert {"fitted", "lifted from the highest peaks"} < set(found["fitted_mpjpe_mm"])
    assert "oracle: lifted from the true peaks" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="expected clips of 64 frames at 30 Hz, got none"):
        cli.run("prior-report", ["--motions", str(motions), "--split", "dev"])


def test_a_prior_of_3d_alone_is_reported_beside_a_lifter(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prior_report, "GENERATED", 2)
    monkeypatch.setattr(prior_report, "GUIDED", 2)
    motions, weights = tmp_path / "motions.npz", tmp_path / "prior.safetensors"
    save_motions(motions, walking_motions())
    network = MotionDenoiser(DenoiserConfig(width=16, layers=1, heads=2, part_prompts=False))
    network.joint_factor[:3] = 0
    motion_weights.save(weights, prior=network)
    cli.run("prior-report", ["--motions", str(motions), "--split", "train", "--prior", str(weights)])
    text = capsys.readouterr().out
    assert "fitted by gradients" in text and "oracle: best of 2, a choice a clip" in text and "nan" not in text


# --- bad input --------------------------------------------------------------------------------------------------------


def test_weights_that_are_no_prior_are_refused():
    lifter = random_lifter()
    Prior(lifter)
    for told in ({"objective": "regression"}, {"objective": "diffusion", "unconditional": 0.0}):
        lifter.provenance = {"train": told}
        with pytest.raises(ValueError, match="trained by diffusion with some 2D dropped"):
            Prior(lifter)


def test_bad_requests_are_one_clear_error():
    prior, truth = Prior(random_lifter()), swing(STAMPS_S) + [0, 0, 4]
    modes = modes_from_keypoints(*seen(truth))
    unknown = np.full_like(truth, np.nan)
    behind = truth * [1, 1, -1]
    for call, message in (
        (lambda: prior.generate(STAMPS_S[::-1]), "stamps_s: expected"),
        (lambda: prior.generate(np.arange(MAX_FRAMES + 1) / 30), "at most 512 frames, got 513"),
        (lambda: prior.generate(STAMPS_S, samples=0), "samples: expected at least 1"),
        (lambda: prior.generate(STAMPS_S, steps=-1), "steps: expected at least 1"),
        (lambda: prior.complete(truth[:5], STAMPS_S), r"joints_cam_m: expected \(24, 17, 3\)"),
        (lambda: prior.complete(unknown, STAMPS_S), "three known joints"),
        (lambda: prior.complete(behind, STAMPS_S), "in front of the camera"),
        (lambda: prior.fit(modes, STAMPS_S[:5], camera=CAMERA), "modes: expected"),
        (lambda: prior.fit(modes._replace(weight=0 * modes.weight), STAMPS_S, camera=CAMERA), "three joints seen"),
        (lambda: prior.fit(modes._replace(centre_px=modes.centre_px * np.nan), STAMPS_S, camera=CAMERA), "finite"),
        (lambda: modes_from_keypoints(np.zeros((3, 17, 3)), np.zeros((3, 17))), "keypoints_px, confidence: expected"),
        (lambda: modes_from_heatmaps(np.zeros((3, 17, 8)), (64, 64)), "heatmaps: expected"),
        (lambda: modes_from_heatmaps(np.full((1, 17, 8, 8), np.nan), (64, 64)), "heatmaps: expected finite"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
