"""Training sequences: true geometry under augmentation, the noise of their seed, neighbours where they are."""
# B sequences, T frames, J = 17 joints

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import walking_motions

from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.motions import clip_weights
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.windows import Augmentation, MotionBank, coco_like, reshape_body, sample_batch, sample_times
from dp3d_core.model.diffusion import bone_lengths
from dp3d_core.skeleton import JOINT_NAMES, JOINT_SETS, LEFT, MIRROR, RIGHT, adapt

PLAIN = Augmentation(
    rates_hz=(30.0, 30.0),
    speed=(1.0, 1.0),
    stamp_jitter=0.0,
    dropped_share=0.0,
    size_std=0.0,
    limb_std=0.0,
    coco_share=0.0,
)
BANK = MotionBank(walking_motions())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_same_seed_same_batch_and_another_seed_another():
    draw = lambda seed: sample_batch(BANK, 4, 10, generator=generator(seed))  # noqa: E731
    for name in ("seen", "pose_m", "next_pose_m", "stamps_s", "label"):
        torch.testing.assert_close(getattr(draw(1), name), getattr(draw(1), name), rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(draw(1).pose_m, draw(2).pose_m)


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_shapes_and_nothing_but_neighbours_outside_is_nan(reach):
    batch = sample_batch(BANK, 5, 12, generator=generator(), reach=reach)
    assert batch.seen.shape == (5, 12, 17, 4) and batch.pose_m.shape == (5, 12, 17, 3)
    assert batch.next_pose_m.shape == (5, 12, 2 * reach + 1, 17, 3) and batch.stamps_s.shape == (5, 12)
    for array in (batch.seen, batch.pose_m, batch.stamps_s):
        assert torch.isfinite(array).all() and array.dtype == torch.float32
    assert (batch.pose_m[:, :, 0].abs() < 1e-5).all()
    for frame in range(12):
        for k in range(-reach, reach + 1):
            known = ~torch.isnan(batch.next_pose_m[:, frame, k + reach])
            assert (known == (0 <= frame + k < 12)).all()


def test_neighbours_are_the_other_frames_poses_in_this_frames_view():
    batch = sample_batch(BANK, 4, 10, generator=generator(), reach=2)
    torch.testing.assert_close(batch.next_pose_m[:, :, 2], batch.pose_m)
    for k in (-2, -1, 1, 2):
        here, there = (slice(-k, None), slice(None, k)) if k < 0 else (slice(None, -k), slice(k, None))
        neighbour, own = batch.next_pose_m[:, here, 2 + k], batch.pose_m[:, there]
        # another view of the same pose: distances agree, and nearly so the coordinates
        torch.testing.assert_close(torch.cdist(neighbour, neighbour), torch.cdist(own, own), atol=1e-4, rtol=1e-4)
        assert (neighbour - own).norm(dim=-1).mean() < 0.15


def test_exact_2d_and_pose_are_one_geometry():
    """Without detector noise the input is the projection of the pose: a root exists that explains every ray."""
    batch = sample_batch(BANK, 8, 6, generator=generator(), augmentation=PLAIN, detector=DetectorNoise.none())
    size = torch.exp(batch.seen[..., 3:] - 2.5)
    rays = (batch.seen[..., :2] * size).double().flatten(0, 1).numpy()
    trust = batch.seen[..., 2].double().flatten(0, 1).numpy()
    pose = batch.pose_m.double().flatten(0, 1).numpy()
    from dp3d_core.geometry.root import solve

    root, _, solved = solve(pose, rays, trust, np.full(trust.shape, 0.03))
    placed = pose + root[:, None]
    error = np.abs(placed[..., :2] / placed[..., 2:] - rays)[trust > 0]
    assert solved.all() and error.max() < 2e-3


def test_bones_keep_their_length_over_a_sequence_and_mirror_alike():
    batch = sample_batch(BANK, 16, 8, generator=generator())
    lengths = bone_lengths(batch.pose_m)
    assert (lengths.std(1) / lengths.mean(1)).max() < 0.02  # interpolation shortens a swinging limb a little
    child = {name: index for index, name in enumerate(JOINT_NAMES[1:])}
    for left, right in ((LEFT[i], MIRROR[LEFT[i]]) for i in range(6)):
        a, b = child[JOINT_NAMES[left]], child[JOINT_NAMES[right]]
        torch.testing.assert_close(lengths[..., a], lengths[..., b], rtol=0.02, atol=1e-3)
    assert sorted(MIRROR[j] for j in LEFT) == sorted(RIGHT)


def test_bodies_differ_in_size_and_limbs():
    lengths = bone_lengths(sample_batch(BANK, 200, 1, generator=generator()).pose_m)[:, 0]
    assert 0.05 < float(torch.log(lengths[:, 1]).std()) < 0.14


def test_reshaped_feet_stay_near_the_floor():
    motions = walking_motions()
    pose, root = torch.from_numpy(motions.pose_m)[None], torch.from_numpy(motions.root_m)[None]
    augmentation = Augmentation(size_std=0.1, limb_std=0.0)
    out, moved = reshape_body(pose.expand(50, -1, -1, -1), root.expand(50, -1, -1), augmentation, generator())
    before = (pose[:, :, 3, 2] + root[..., 2])[0]
    after = out[:, :, 3, 2] + moved[..., 2]
    assert (after - before).abs().max() < 0.08  # a taller body's ankle is higher above the floor


def test_stamps_ascend_from_zero_at_the_rate():
    stamps_s = sample_times(500, 20, Augmentation(), generator())
    assert (stamps_s[:, 0] == 0).all() and (stamps_s.diff(dim=1) > 0).all()
    rate = 1 / stamps_s.diff(dim=1).median(1).values
    assert rate.min() > 8 and rate.max() < 75 and ((rate - 30).abs() < 3).float().mean() > 0.35
    plain = sample_times(3, 5, PLAIN, generator())
    torch.testing.assert_close(plain, (torch.arange(5) / 30).expand(3, -1))


def test_sampling_by_time_interpolates_and_runs_to_and_fro():
    clip = torch.tensor([2])
    length, fps = 40, 30.0
    first = int(BANK.offsets[2])
    at = lambda *times: BANK.sample(clip, torch.tensor([times], dtype=torch.float32))[0][0]  # noqa: E731
    torch.testing.assert_close(at(0.0, 3 / fps), BANK.pose_m[[first, first + 3]], atol=1e-4, rtol=1e-4)
    half = (BANK.pose_m[first + 4] + BANK.pose_m[first + 5]) / 2
    torch.testing.assert_close(at(4.5 / fps)[0], half, atol=1e-4, rtol=1e-4)
    last = (length - 1) / fps
    torch.testing.assert_close(at(last + 0.2), at(last - 0.2), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(at(2 * last + 0.1), at(0.1), atol=1e-3, rtol=1e-3)


def test_sampling_never_reaches_into_the_next_clip():
    """Also clips of one frame and the very last frame of a clip."""
    motions = walking_motions(lengths=(1, 2, 5), splits=("train",) * 3)
    bank = MotionBank(motions)
    times = torch.linspace(0, 2, 97)[None]
    for index in range(3):
        pose, root = bank.sample(torch.tensor([index]), times)
        own = slice(int(bank.offsets[index]), int(bank.offsets[index + 1]))
        low, high = bank.pose_m[own].amin(0), bank.pose_m[own].amax(0)
        assert (pose >= low - 1e-5).all() and (pose <= high + 1e-5).all()
        assert (root[..., 0] <= bank.root_m[own][:, 0].max() + 1e-5).all()


def test_clips_come_by_their_weights_and_labels_with_them():
    batch = sample_batch(BANK, 600, 2, generator=generator())
    share = [(batch.label == ACTIONS.index(name)).float().mean() for name in ("walk", "run")]
    weights = clip_weights(walking_motions())
    np.testing.assert_allclose(share, weights[:2], atol=0.08)


def test_coco_like_sequences_look_as_the_adapter_makes_them():
    """Training's shortcut and the live adapter agree on what a COCO detector leaves of our joints."""
    coco = JOINT_SETS["coco17"]
    points = np.random.default_rng(0).uniform(0, 500, (4, 17, 2)).astype(np.float32)
    trust = np.random.default_rng(1).uniform(0.2, 1, (4, 17)).astype(np.float32)
    trust[0, 11], trust[1, 5], trust[2] = 0, 0, 0
    live_px, live_trust = adapt(points, trust, coco)
    ours_px, ours_trust = live_px.copy(), live_trust.copy()
    ours_px[:, [0, 7, 8, 10]], ours_trust[:, [0, 7, 8, 10]] = 9.0, 0.5  # what mocap would add
    made_px, made_trust = coco_like(torch.from_numpy(ours_px), torch.from_numpy(ours_trust))
    np.testing.assert_allclose(made_px.numpy(), live_px, rtol=1e-5)
    np.testing.assert_allclose(made_trust.numpy(), live_trust)


def test_share_of_coco_like_sequences():
    spine = lambda share: sample_batch(  # noqa: E731
        BANK, 100, 3, generator=generator(), augmentation=Augmentation(coco_share=share), detector=DetectorNoise.none()
    ).seen[:, :, 7, 2]
    assert (spine(1.0) == 0).all() and (spine(0.0) > 0).float().mean() > 0.8


def test_detector_noise_reaches_the_input_and_not_the_truth():
    exact, noisy = (
        sample_batch(BANK, 6, 8, generator=generator(3), augmentation=PLAIN, detector=detector)
        for detector in (DetectorNoise.none(), replace(DetectorNoise.none(), white_frac=0.02))
    )
    torch.testing.assert_close(
        torch.cdist(noisy.pose_m, noisy.pose_m), torch.cdist(exact.pose_m, exact.pose_m), atol=1e-4, rtol=1e-4
    )
    assert (noisy.seen[..., :2] - exact.seen[..., :2]).abs().mean() > 0.01
