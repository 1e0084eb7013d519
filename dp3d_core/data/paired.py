"""Training sequences of real pairs: 2D as a detector saw it or as annotated, the true pose, the camera that was there.

Nothing is synthetic here but mirrors, slower frame rates and missing joints. One subject, DEV_SUBJECT, is held back to
watch the training by; the published runs train on it too. Knows nothing of networks.
"""
# B sequences, T frames, F frames of all clips, C clips

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dp3d_core.data.actions import label
from dp3d_core.data.h36m import TRAIN_SUBJECTS, load_h36m
from dp3d_core.data.mpi_inf_3dhp import TRAIN_SIZE_PX, load_3dhp_train
from dp3d_core.data.windows import Batch, coco_like, in_view
from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import MIRROR, mirror

DEV_SUBJECT = "S8"
MPI_CAMERAS = 14
"""Cameras in each calibration file of MPI-INF-3DHP's training set; P-STMO's file holds eight of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAugmentation:
    """How far training strays from the recorded pairs."""

    mirror_share: float = 0.5
    native_share: float = 0.5
    """Share of sequences of every frame; the others take one in 1 to `widest_stride`, all strides as often."""
    widest_stride: int = 5
    slowest_hz: float = 10.0
    """No stride makes fewer frames a second, so 25 Hz video is taken at 25 and 12.5 Hz."""
    coco_share: float = 0.1
    """Share of sequences without the joints that a COCO detector lacks, as `windows.coco_like` leaves them."""


AS_RECORDED = PairAugmentation(mirror_share=0.0, native_share=1.0, coco_share=0.0)
"""What a development bank is sampled with: every frame as it was."""


class PairedBank:
    """Lists of `EvalSequence` as tensors, from which `sample_pairs` draws random stretches of frames.

    Frames that do not count part a sequence: each run of two or more that do is a clip. ValueError names a sequence
    that has none.
    """

    def __init__(self, sequences, augmentation=None):
        self.augmentation = augmentation or PairAugmentation()
        parts, fps, labels = [], [], []
        for sequence in sequences:
            rays, confidence = sequence.camera.see(sequence.keypoints_px, sequence.confidence)
            relative_m = sequence.joints_cam_m - sequence.joints_cam_m[:, :1]
            runs = [run for run in _runs(sequence.valid) if run.stop - run.start > 1]
            if not runs:
                raise ValueError(
                    f"{sequence.name}: expected two valid frames in a row to train on, got none in "
                    f"{len(sequence)} frames; leave this sequence out"
                )
            parts += [(rays[run], confidence[run], relative_m[run], sequence.stamps_s[run]) for run in runs]
            fps += [sequence.fps] * len(runs)
            labels += [label(sequence.action)] * len(runs)
        if not parts:
            raise ValueError("sequences: expected at least one to train on, got none")
        lengths = torch.tensor([len(stamps_s) for *_, stamps_s in parts])
        rays, confidence, relative_m, stamps_s = (np.concatenate(part) for part in zip(*parts))
        self.rays = torch.from_numpy(rays.astype(np.float32, copy=False))
        self.confidence = torch.from_numpy(confidence.astype(np.float32, copy=False))
        self.relative_m = torch.from_numpy(relative_m.astype(np.float32, copy=False))
        self.stamps_s = torch.from_numpy(stamps_s.astype(np.float64, copy=False))
        self.offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        self.labels = torch.tensor(labels)
        self.weights = lengths.double()
        self.seconds = lengths / torch.tensor(fps)
        """Length of every clip, (C,)."""
        fastest = (torch.tensor(fps) / self.augmentation.slowest_hz + 1e-6).long()
        self.widest = fastest.clamp(1, self.augmentation.widest_stride)
        """Widest stride of every clip, (C,) frames."""

    def along(self, clip, position):
        """Rows (B, T) among all frames, and seconds (B, T), of clips (B,) at frame positions (B, T) from 0 on.

        Beyond a clip's end the way leads back, and forth again; time always goes on.
        """
        start = self.offsets[clip, None]
        last = self.offsets[clip + 1, None] - start - 1
        turns, rest = position // (2 * last), position % (2 * last)
        back = rest > last
        row = start + torch.where(back, 2 * last - rest, rest)
        since_s = self.stamps_s[row] - self.stamps_s[start]
        whole_s = self.stamps_s[start + last] - self.stamps_s[start]
        return row, 2 * whole_s * turns + torch.where(back, 2 * whole_s - since_s, since_s)


def sample_pairs(bank, batch, frames, *, generator, reach=1):
    """Draw a `Batch` of `batch` stretches of `frames` frames from a `PairedBank`; same generator state, same batch."""
    choice = bank.augmentation
    uniform = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
    clip = torch.multinomial(bank.weights, batch, replacement=True, generator=generator)
    stride = 1 + (uniform(batch) * bank.widest[clip]).long()
    stride = torch.where(uniform(batch) < choice.native_share, torch.ones_like(stride), stride)
    length = bank.offsets[clip + 1] - bank.offsets[clip]
    # a stretch that does not fit runs to and fro, from anywhere
    room = length - (frames - 1) * stride
    start = (uniform(batch) * torch.where(room > 0, room, length)).long()
    row, time_s = bank.along(clip, start[:, None] + stride[:, None] * torch.arange(frames))
    stamps_s = (time_s - time_s[:, :1]).float()

    rays, confidence, relative_m = bank.rays[row], bank.confidence[row], bank.relative_m[row]
    flip = (uniform(batch) < choice.mirror_share)[:, None, None]
    turned = mirrored(rays, confidence, relative_m)
    rays = torch.where(flip[..., None], turned[0], rays)
    confidence = torch.where(flip, turned[1], confidence)
    relative_m = torch.where(flip[..., None], turned[2], relative_m)
    coco = (uniform(batch) < choice.coco_share)[:, None, None]
    less_rays, less_confidence = coco_like(rays, confidence)
    rays, confidence = torch.where(coco[..., None], less_rays, rays), torch.where(coco, less_confidence, confidence)

    seen = in_view(rays, confidence, relative_m, stamps_s, reach)
    unknown = stamps_s.new_full((*stamps_s.shape, 2), torch.nan)
    return Batch(**seen, stamps_s=stamps_s, label=bank.labels[clip], contact=unknown)


def mirrored(rays, confidence, relative_m):
    """The person in a mirror: left is right, and x the other way about the optical axis, the principal point.

    rays (..., 17, 2), confidence (..., 17), relative_m (..., 17, 3); a lens has left no trace in rays.
    """
    return mirror(rays), confidence[..., list(MIRROR)], mirror(relative_m)


def human36m_pairs(data_3d, data_2d, cameras):
    """Bank to train on, bank to watch by, and what the weights will say of both; files as `h36m.load_h36m` takes them.

    data_2d "gt" is the projected truth: exact 2D that no detector gives.
    """
    exact = str(data_2d) == "gt"
    sequences = load_h36m(data_3d, None if exact else data_2d, cameras, subjects=TRAIN_SUBJECTS)
    return _parted(
        sequences,
        {
            "benchmark": "Human3.6M",
            "data_3d": Path(data_3d).name,
            "data_2d": "gt" if exact else Path(data_2d).name,
            "cameras": Path(cameras).name,
        },
    )


def mpi_inf_3dhp_pairs(data_train, cameras, *, annotation="univ"):
    """The same of MPI-INF-3DHP, whose training 2D is annotated; data_train as `mpi_inf_3dhp.load_3dhp_train` takes it.

    cameras: the training set's folder, where S1/Seq1/camera.calibration and the others lie, or one such file for all.
    annotation: which truth data_train holds, "univ" (univ_annot3, people scaled to one height) or "annot3" (metric).
    """
    if annotation not in ("univ", "annot3"):
        raise ValueError(f"annotation: expected 'univ' or 'annot3', got {annotation!r}")
    width, height = TRAIN_SIZE_PX
    unknown = Camera.from_fov(width=width, height=height)  # the loader knows no files of cameras: they are put in below
    unplaced = dict.fromkeys(map(str, range(MPI_CAMERAS)), unknown)
    read, sequences = {}, []
    for sequence in load_3dhp_train(data_train, unplaced, universal=annotation == "univ"):
        title, number = sequence.name.rsplit("/", 1)
        path = Path(cameras)
        if path.is_dir():
            path = path.joinpath(*title.split(), "camera.calibration")
        if path not in read:
            read[path] = read_train_calibration(path)
        if number not in read[path]:
            raise ValueError(f"{path}: expected camera {number}, got those of {sorted(read[path])}")
        sequences.append(replace(sequence, camera=read[path][number]))
    return _parted(
        sequences,
        {
            "benchmark": "MPI-INF-3DHP",
            "data_train": Path(data_train).name,
            "cameras": Path(cameras).name,
            "annotation": annotation,
        },
    )


def read_train_calibration(path):
    """{"0": Camera, ...} of one camera.calibration of MPI-INF-3DHP's training set; ValueError names what is wrong.

    Text of lines `key values`. Each `name` begins a camera; of what follows, `size` (width and height, px), `intrinsic`
    (4 x 4, row by row) and `radial` (0: undistorted, as all of them are) are read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a camera.calibration of MPI-INF-3DHP's training set, got no such file"
        )
    entries, cameras = {}, {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, *values = line.split() or [""]
        if key == "name" and values:
            entries = cameras.setdefault(values[0], {})
        elif key in ("size", "intrinsic", "radial"):
            entries[key] = values
    if not cameras:
        raise ValueError(f"{path}: expected cameras, each begun by a line `name NUMBER`, got none")
    return {name: _pinhole(entries, f"{path}: camera {name}") for name, entries in cameras.items()}


def _pinhole(entries, title):
    values = {}
    for key, count in (("size", 2), ("intrinsic", 16), ("radial", 1)):
        try:
            values[key] = [float(word) for word in entries.get(key, ())]
        except ValueError:
            values[key] = []
        if len(values[key]) != count or not np.isfinite(values[key]).all():
            raise ValueError(f"{title}: {key}: expected {count} finite numbers, got {entries.get(key)}")
    (width, height), matrix = values["size"], values["intrinsic"]
    if matrix[1] or values["radial"] != [0]:
        raise ValueError(
            f"{title}: expected no skew and radial 0, got skew {matrix[1]:g} and radial {entries['radial'][0]}"
        )
    return Camera(fx=matrix[0], fy=matrix[5], cx=matrix[2], cy=matrix[6], width=int(width), height=int(height))


def _parted(sequences, origin):
    """Both banks, and `origin` with the subjects of each."""
    banks, subjects = [], []
    for watched in (False, True):
        own = [sequence for sequence in sequences if (sequence.subject == DEV_SUBJECT) is watched]
        if not own:
            held = sorted({sequence.subject for sequence in sequences})
            raise ValueError(f"subjects: expected {DEV_SUBJECT} to watch by and others to train on, got {held}")
        banks.append(PairedBank(own, AS_RECORDED if watched else None))
        subjects.append(sorted({sequence.subject for sequence in own}))
    return *banks, {"pairs": origin | {"train": subjects[0], "dev": subjects[1]}}


def _runs(valid):
    """Slices of the runs of True in (T,) bool."""
    edges = np.flatnonzero(np.diff(valid, prepend=False, append=False))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
