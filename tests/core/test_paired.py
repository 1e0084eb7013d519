"""Real pairs as training sequences: the recorded geometry, mirrored and thinned out; and both benchmarks' files."""
# B sequences, T frames, J = 17 joints

import json
import re
import shutil

import numpy as np
import pytest
import torch
from helpers import CAMERA, LENS, walk
from test_h36m import VIDEOS, files  # noqa: F401
from test_mpi_inf_3dhp import save, view
from test_train import SHORT, TINY, kill_at, rows

from dp3d_core import checkpoint
from dp3d_core.cli import run as dp3d
from dp3d_core.config import ModelConfig, TrainConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.mpi_inf_3dhp import FROM_FILE
from dp3d_core.data.paired import (
    AS_RECORDED,
    PairAugmentation,
    PairedBank,
    human36m_pairs,
    mirrored,
    mpi_inf_3dhp_pairs,
    read_train_calibration,
    sample_pairs,
)
from dp3d_core.data.sequences import EvalSequence
from dp3d_core.geometry.observation import follow_all, observe
from dp3d_core.geometry.root import solve
from dp3d_core.skeleton import MIRROR
from dp3d_core.training import run as train


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(frames=40, fps=50.0, camera=LENS, **changes):
    """A person who walks before a camera, seen exactly."""
    joints_cam_m = walk(np.arange(frames) / fps)
    fields = {
        "name": "S1/Walking", "action": "Walking", "subject": "S1", "fps": fps, "stamps_s": np.arange(frames) / fps,
        "keypoints_px": camera.project(joints_cam_m), "confidence": np.ones((frames, 17)),
        "joints_cam_m": joints_cam_m, "camera": camera,
    }  # fmt: skip
    return EvalSequence(**(fields | changes))


BANK = PairedBank([pair(), pair(frames=25, fps=25.0, action="unheard of", camera=CAMERA)])


def test_same_seed_same_batch_and_another_seed_another():
    draw = lambda seed: sample_pairs(BANK, 4, 10, generator=generator(seed))  # noqa: E731
    for name in ("seen", "pose_m", "next_pose_m", "stamps_s", "label"):
        torch.testing.assert_close(getattr(draw(1), name), getattr(draw(1), name), rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(draw(1).pose_m, draw(2).pose_m)


@pytest.mark.parametrize("reach", [0, 2])
def test_shapes_and_nothing_but_neighbours_outside_is_nan(reach):
    batch = sample_pairs(BANK, 5, 12, generator=generator(), reach=reach)
    assert batch.seen.shape == (5, 12, 17, 4) and batch.pose_m.shape == (5, 12, 17, 3)
    assert batch.next_pose_m.shape == (5, 12, 2 * reach + 1, 17, 3) and batch.stamps_s.shape == (5, 12)
    for array in (batch.seen, batch.pose_m, batch.stamps_s):
        assert torch.isfinite(array).all() and array.dtype == torch.float32
    torch.testing.assert_close(batch.next_pose_m[:, :, reach], batch.pose_m)
    for frame in range(12):
        for k in range(-reach, reach + 1):
            known = ~torch.isnan(batch.next_pose_m[:, frame, k + reach])
            assert (known == (0 <= frame + k < 12)).all()


@pytest.mark.parametrize("mirror_share", [0.0, 1.0])
def test_the_2d_is_the_projection_of_the_pose_also_in_the_mirror(mirror_share):
    """A root exists that explains every ray, though the lens bends and the virtual camera turns."""
    bank = PairedBank([pair()], PairAugmentation(mirror_share=mirror_share, coco_share=0.0))
    batch = sample_pairs(bank, 6, 8, generator=generator())
    rays = (batch.seen[..., :2] * torch.exp(batch.seen[..., 3:] - 2.5)).double().flatten(0, 1).numpy()
    pose = batch.pose_m.double().flatten(0, 1).numpy()
    root, _, solved = solve(pose, rays, np.ones(rays.shape[:2]), np.full(rays.shape[:2], 0.03))
    placed = pose + root[:, None]
    assert solved.all() and np.abs(placed[..., :2] / placed[..., 2:] - rays).max() < 2e-3


def test_the_mirror_is_that_of_pixels_about_the_principal_point():
    joints_cam_m = torch.from_numpy(walk(np.arange(5) / 50))
    pixels = torch.from_numpy(CAMERA.project(joints_cam_m))
    as_rays = lambda px: torch.from_numpy(CAMERA.rays(px.numpy()))  # noqa: E731
    there = torch.stack([2 * CAMERA.cx - pixels[..., 0], pixels[..., 1]], -1)[:, list(MIRROR)]
    confidence = torch.rand(5, 17, generator=generator())
    rays, trust, placed = mirrored(as_rays(pixels), confidence, joints_cam_m)
    torch.testing.assert_close(rays, as_rays(there), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(placed[..., :2] / placed[..., 2:], rays.double(), atol=1e-6, rtol=1e-5)
    assert torch.equal(trust, confidence[:, list(MIRROR)])
    for twice, once in zip(mirrored(rays, trust, placed), (as_rays(pixels), confidence, joints_cam_m)):
        assert torch.equal(twice, once)


def test_as_recorded_is_every_frame_as_it_was():
    bank = PairedBank([pair(camera=CAMERA)], AS_RECORDED)
    batch = sample_pairs(bank, 20, 6, generator=generator())
    distances = torch.cdist(bank.relative_m, bank.relative_m)
    for one in batch.pose_m:
        here = torch.cdist(one, one)
        first = (distances - here[0]).abs().amax((1, 2)).argmin()
        torch.testing.assert_close(here, distances[first : first + 6], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(batch.stamps_s, (torch.arange(6) / 50).expand(20, -1))
    assert (batch.seen[..., 2] == 1).all() and (batch.pose_m[..., 1, 0] < batch.pose_m[..., 4, 0]).all()


def test_training_sees_what_evaluation_sees():
    sequence = pair(frames=8)
    batch = sample_pairs(PairedBank([sequence], AS_RECORDED), 1, 8, generator=generator())
    rays, confidence = (part[None] for part in sequence.camera.see(sequence.keypoints_px, sequence.confidence))
    state = follow_all(rays, confidence, sequence.stamps_s[None].astype(np.float32), np)
    seen, rotation, _ = observe(rays, confidence, state, np)
    np.testing.assert_allclose(batch.seen, seen, atol=1e-5)
    relative_m = sequence.joints_cam_m - sequence.joints_cam_m[:, :1]
    np.testing.assert_allclose(batch.pose_m[0], relative_m @ rotation[0].swapaxes(1, 2), atol=1e-5)


def test_slower_rates_are_taken_down_to_ten_a_second_and_stamps_say_which():
    augmentation = PairAugmentation(native_share=0.25)
    for fps, strides in ((50.0, 5), (25.0, 2), (5.0, 1)):
        bank = PairedBank([pair(frames=400, fps=fps)], augmentation)
        stamps_s = sample_pairs(bank, 400, 4, generator=generator()).stamps_s
        assert (stamps_s[:, 0] == 0).all()
        steps = (stamps_s.diff(dim=1) * fps).round()
        torch.testing.assert_close(stamps_s.diff(dim=1), steps / fps, atol=1e-6, rtol=1e-4)
        assert (steps == steps[:, :1]).all() and set(steps.flatten().tolist()) == set(range(1, strides + 1))
        assert (steps[:, 0] == 1).float().mean() == pytest.approx(0.25 + 0.75 / strides, abs=0.08)


def test_short_sequences_run_to_and_fro_and_time_goes_on():
    """Stamps that are uneven, as where frames were lost, are walked back as they came."""
    stamps_s = np.array([0.0, 0.02, 0.06, 0.08])
    bank = PairedBank([pair(frames=7), pair(frames=4, stamps_s=stamps_s)])
    row, time_s = bank.along(torch.tensor([1]), torch.arange(10)[None])
    assert row.tolist() == [[7, 8, 9, 10, 9, 8, 7, 8, 9, 10]]
    expected = [0, 0.02, 0.06, 0.08, 0.10, 0.14, 0.16, 0.18, 0.22, 0.24]
    torch.testing.assert_close(time_s, torch.tensor([expected], dtype=torch.float64))
    batch = sample_pairs(bank, 50, 40, generator=generator())
    assert torch.isfinite(batch.pose_m).all() and (batch.stamps_s.diff(dim=1) > 0).all()


def test_frames_that_do_not_count_part_a_sequence_and_are_never_seen():
    valid = np.ones(40, bool)
    valid[[10, 12, 30]] = False  # frame 11 is alone
    joints_cam_m = walk(np.arange(40) / 50)
    joints_cam_m[~valid] = np.nan
    bank = PairedBank([pair(valid=valid, joints_cam_m=joints_cam_m)])
    assert bank.offsets.tolist() == [0, 10, 27, 36] and len(bank.labels) == 3
    torch.testing.assert_close(bank.seconds, torch.tensor([10, 17, 9]) / 50)
    batch = sample_pairs(bank, 100, 12, generator=generator())
    assert torch.isfinite(batch.pose_m).all() and torch.isfinite(batch.seen).all()


def test_a_sequence_with_nothing_to_train_on_is_named():
    alternating = np.arange(40) % 2 == 0
    with pytest.raises(ValueError, match="S7/x: expected two valid frames in a row to train on, got none in 40"):
        PairedBank([pair(), pair(name="S7/x", valid=alternating)])
    with pytest.raises(ValueError, match="sequences: expected at least one"):
        PairedBank([])


def test_sequences_come_by_their_length_and_labels_with_them():
    batch = sample_pairs(BANK, 600, 2, generator=generator())
    assert (batch.label == ACTIONS.index("walk")).float().mean() == pytest.approx(40 / 65, abs=0.07)
    assert set(batch.label.tolist()) == {ACTIONS.index("walk"), -1}


def test_share_of_coco_like_sequences():
    for share in (0.0, 0.3, 1.0):
        bank = PairedBank([pair()], PairAugmentation(coco_share=share))
        trust = sample_pairs(bank, 400, 2, generator=generator()).seen[..., 2]
        assert (trust[..., 7] == 0).float().mean() == pytest.approx(share, abs=0.08)
        assert torch.equal(trust[..., 7], trust[..., 10]) and (trust[..., 0] == 1).all()


def h36m_paths(folder):
    return {"h36m_3d": folder / "data_3d.npz", "h36m_2d": folder / "data_2d.npz", "cameras": folder / "cameras.json"}


def test_human36m_trains_on_four_subjects_and_watches_by_the_fifth(files):  # noqa: F811
    paths = h36m_paths(files)
    for data_2d in (paths["h36m_2d"], "gt"):
        bank, dev_bank, origin = human36m_pairs(paths["h36m_3d"], data_2d, paths["cameras"])
        views = 4 * len(VIDEOS)
        assert len(bank.seconds) == 4 * views and len(dev_bank.seconds) == views
        assert float(dev_bank.seconds.sum()) == pytest.approx(4 * sum(VIDEOS.values()) / 50)
        assert dev_bank.augmentation == AS_RECORDED != bank.augmentation
        assert origin["pairs"] == {
            "benchmark": "Human3.6M", "data_3d": "data_3d.npz", "data_2d": getattr(data_2d, "name", "gt"),
            "cameras": "cameras.json", "train": ["S1", "S5", "S6", "S7"], "dev": ["S8"],
        }  # fmt: skip
        json.dumps(origin)


def calibration(**focal_px):
    """The text of a camera.calibration; {"c0": focal length of camera 0, ...}."""
    lines = ["Skeletool Camera Calibration File V1.0"]
    for name, focal in focal_px.items():
        lines += [
            f"name          {name[1:]}", "  sensor      10 10", "  size        2048 2048", "  animated    0",
            f"  intrinsic   {focal} 0 1024.5 0 0 {focal + 1} 1050.5 0 0 0 1 0 0 0 0 1 ",
            "  extrinsic   1 0 0 -562.8 0 1 0 1398.1 0 0 1 3852.6 0 0 0 1 ", "  radial      0",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


@pytest.fixture
def mpi(tmp_path):
    """(training file, folder of cameras) of three subjects, one at 50 frames a second."""
    data = {
        "S1 Seq1": [{"0": view(0), "8": view(1)}, 25],
        "S3 Seq2": [{"0": view(2, frames=4)}, 50],
        "S8 Seq1": [{"0": view(3)}, 25],
    }
    for index, title in enumerate(data):
        folder = tmp_path.joinpath("cameras", *title.split())
        folder.mkdir(parents=True)
        (folder / "camera.calibration").write_text(calibration(c0=1400 + 10 * index, c8=1500 + 10 * index))
    return save(tmp_path / "data_train_3dhp.npz", data), tmp_path / "cameras"


def test_mpi_inf_3dhp_sees_each_view_through_its_own_camera(mpi):
    path, cameras = mpi
    bank, dev_bank, origin = mpi_inf_3dhp_pairs(path, cameras)
    assert origin["pairs"]["train"] == ["S1", "S3"] and origin["pairs"]["dev"] == ["S8"]
    assert origin["pairs"]["annotation"] == "univ" and json.dumps(origin)
    torch.testing.assert_close(bank.seconds, torch.tensor([6 / 25, 6 / 25, 4 / 50]))
    for own, start, seed, frames, focal in (
        (bank, 0, 0, 6, 1400), (bank, 6, 1, 6, 1500), (bank, 12, 2, 4, 1410), (dev_bank, 0, 3, 6, 1420),
    ):  # fmt: skip
        held = view(seed, frames)
        rays = (held["data_2d"][:, FROM_FILE] - [1024.5, 1050.5]) / [focal, focal + 1]
        np.testing.assert_allclose(own.rays[start : start + frames], rays, atol=1e-5)
        joints_m = held["data_3d"][:, FROM_FILE] / 1000
        np.testing.assert_allclose(own.relative_m[start : start + frames], joints_m - joints_m[:, :1], atol=1e-5)
    one_file, _, _ = mpi_inf_3dhp_pairs(path, cameras / "S3" / "Seq2" / "camera.calibration", annotation="annot3")
    np.testing.assert_allclose(one_file.rays[12:], bank.rays[12:])
    assert not torch.equal(one_file.rays[:6], bank.rays[:6])


def test_cameras_of_mpi_inf_3dhp_that_lack_are_named(mpi):
    path, cameras = mpi
    own = cameras / "S3" / "Seq2" / "camera.calibration"
    own.write_text(calibration(c8=1500))
    with pytest.raises(ValueError, match=r"S3/Seq2/camera\.calibration: expected camera 0, got those of \['8'\]"):
        mpi_inf_3dhp_pairs(path, cameras)
    own.unlink()
    with pytest.raises(FileNotFoundError, match=r"S3/Seq2/camera\.calibration: expected a camera\.calibration of"):
        mpi_inf_3dhp_pairs(path, cameras)
    with pytest.raises(ValueError, match="annotation: expected 'univ' or 'annot3', got 'both'"):
        mpi_inf_3dhp_pairs(path, cameras, annotation="both")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("size        2048 2048", "size 2048"), r"camera 0: size: expected 2 finite numbers, got \['2048'\]"),
        (("intrinsic", "intrinsics"), "camera 0: intrinsic: expected 16 finite numbers, got None"),
        (("1400 0 1024.5", "nan 0 1024.5"), "camera 0: intrinsic: expected 16 finite"),
        (("1400 0 1024.5", "wide 0 1024.5"), "camera 0: intrinsic: expected 16 finite"),
        (("1400 0 1024.5", "1400 3 1024.5"), "camera 0: expected no skew and radial 0, got skew 3 and radial 0"),
        (("radial      0", "radial      2"), "camera 0: expected no skew and radial 0, got skew 0 and radial 2"),
        (("name ", "nome "), "expected cameras, each begun by a line `name NUMBER`, got none"),
    ],
)
def test_damaged_training_calibrations_are_refused(tmp_path, change, message):
    path = tmp_path / "camera.calibration"
    path.write_text(calibration(c0=1400).replace(*change))
    with pytest.raises(ValueError, match=rf"camera\.calibration: {message}"):
        read_train_calibration(path)


def test_without_the_held_back_subject_there_is_nothing_to_watch_by(mpi):
    path, cameras = mpi
    save(path, {"S1 Seq1": [{"0": view(0)}, 25]})
    with pytest.raises(ValueError, match=r"subjects: expected S8 to watch by and others to train on, got \['S1'\]"):
        mpi_inf_3dhp_pairs(path, cameras)


def arguments(out, **files):  # noqa: F811
    options = TINY | SHORT | {"out": out, "device": "cpu", "dev_sequences": 3} | files
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def test_human36m_trains_from_the_command_line(files, capsys):  # noqa: F811
    dp3d("train", arguments(files / "out", **h36m_paths(files)))
    said = capsys.readouterr().out
    assert re.match(r"action labels: \d+ % of 0\.1 minutes; S1, S5, S6, S7 train, S8 is held back to watch by \(", said)
    provenance = checkpoint.load(files / "out" / "weights.safetensors").provenance
    assert provenance["pairs"]["data_2d"] == "data_2d.npz" and provenance["pairs"]["dev"] == ["S8"]
    assert provenance["steps"] == SHORT["steps"] and "motions" not in provenance


def test_mpi_inf_3dhp_trains_from_the_command_line(mpi, tmp_path, capsys):
    path, cameras = mpi
    dp3d("train", arguments(tmp_path / "out", mpi_train=path, cameras=cameras))
    assert capsys.readouterr().out.startswith("action labels: 0 % of 0.0 minutes; S1, S3 train, S8 is held back")
    provenance = checkpoint.load(tmp_path / "out" / "weights.safetensors").provenance
    assert provenance["pairs"]["benchmark"] == "MPI-INF-3DHP"


def test_a_killed_run_on_pairs_goes_on_to_the_same_weights_and_from_no_other_files(files, monkeypatch):  # noqa: F811
    go = lambda out, paths, **more: train.run(  # noqa: E731
        model=ModelConfig(**TINY),
        train=TrainConfig(**SHORT),
        out=files / out,
        log_every=1,
        dev_sequences=2,
        **paths,
        **more,
    )
    paths = h36m_paths(files)
    whole = checkpoint.load(go("whole", paths)).encoder.state_dict()
    with monkeypatch.context() as patch:
        stop = kill_at(patch, 3)
        with pytest.raises(stop):
            go("killed", paths, save_every_s=0)
    resumed = checkpoint.load(go("killed", paths, resume=True)).encoder.state_dict()
    assert rows(files / "killed") == rows(files / "whole")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    shutil.copy(files / "data_2d.npz", files / "other.npz")
    with pytest.raises(ValueError, match=r"--resume: .*made from other data \(.*data_2d\.npz"):
        go("killed", paths | {"h36m_2d": files / "other.npz"}, resume=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "data: expected one of --motions, --h36m-3d, --mpi-train, got none"),
        (["cameras"], "data: expected one of --motions, --h36m-3d, --mpi-train, got none"),
        (["motions", "h36m_3d"], "got --motions and --h36m-3d"),
        (["h36m_3d", "mpi_train", "cameras"], "got --h36m-3d and --mpi-train"),
        (["motions", "cameras"], "--motions: expected nothing beside it, got --cameras"),
        (["motions", "annotation"], "--motions: expected nothing beside it, got --annotation"),
        (["h36m_3d"], "--h36m-3d: expected --h36m-2d and --cameras beside it, got nothing"),
        (["h36m_3d", "cameras"], "--h36m-3d: expected --h36m-2d and --cameras beside it, got --cameras"),
        (["mpi_train", "annotation"], "--mpi-train: expected --cameras beside it, got nothing"),
        (["mpi_train", "cameras", "h36m_2d"], "--mpi-train: expected --cameras beside it, got --h36m-2d and --cameras"),
    ],
)
def test_mixtures_and_missing_companions_are_one_line(tmp_path, given, message):
    with pytest.raises(SystemExit) as caught:
        dp3d("train", arguments(tmp_path / "out", **dict.fromkeys(given, "univ")))
    assert str(caught.value).startswith("train: ") and message in str(caught.value)
