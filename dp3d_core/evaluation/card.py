"""`dp3d card`: the tables of a model card, as Markdown.

Where the error is on motion capture (one pass, frames grouped by what is seen), what changes it (one thing changed at a
time), real recordings, and the worst clips. One hypothesis, no label, an estimated root, lookahead 0.
"""
# T frames, J = 17 joints

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dp3d_core.data.cameras import CameraRange
from dp3d_core.data.field import FAMILIES, Field, as_family
from dp3d_core.data.motions import load_motions
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.synthetic import FIXED_CAMERAS, synthetic_sequences
from dp3d_core.evaluation import benchmarks, methods
from dp3d_core.evaluation.metrics import Summary
from dp3d_core.evaluation.scoring import score
from dp3d_core.lift import Lifter

COLUMNS = {
    "MPJPE mm": ("mpjpe_mm", ".1f"),
    "after scaling mm": ("n_mpjpe_mm", ".1f"),
    "P-MPJPE mm": ("p_mpjpe_mm", ".1f"),
    "acceleration mm/frame²": ("accel_error_mm_per_frame2", ".1f"),
    "90 % interval covers": ("coverage_90", ".0%"),
    "frames": ("frames", "d"),
}
WORST = 10
R_HIP, L_HIP, THORAX = 1, 4, 8


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """Print the tables of a model card."""

    motions: str
    """Motion file (.npz)."""
    weights: str = "small"
    """Shipped name or path."""
    split: str = "dev"
    """Split of the motion file."""
    recordings: tuple[str, ...] = ()
    """Recordings by calibrated cameras (.npz), see `dp3d evaluate --recording`."""
    every: int = 4
    """Of the table of single changes: one clip in so many."""
    seed: int = 0
    """Seed of cameras and detector noise."""
    out: str | None = None
    """Write the tables to this file."""


def command(options: CardOptions) -> None:
    """Measure, print and write the tables; each is printed as soon as it is there."""
    if options.every < 1:
        raise ValueError(f"--every: expected 1 or more, got {options.every}")
    torch.set_num_threads(1)
    lifter, motions = Lifter.load(options.weights), load_motions(options.motions).split(options.split)
    source = f"{options.weights} on {Path(options.motions).name} {options.split}"
    parts = [f"{source}, 2D of the detector model, 30 Hz, lookahead 0; seed {options.seed}.\n"]

    def add(title, rows, first):
        parts.append(f"### {title}\n\n{table(rows, first)}")
        print(parts[-1], flush=True)

    if options.out:
        Path(options.out).write_text(parts[0])  # before the work, not after it
    sequences = synthetic_sequences(motions, detector=DetectorNoise(), seed=options.seed)
    answers = [methods.stream(lifter, sequence) for sequence in sequences]
    for title, kind in CONDITIONS.items():
        add(f"By {title}", grouped(sequences, answers, kind), title)
    add(f"The worst {WORST} clips (after scaling: size apart; P-MPJPE: turn, too)", worst(sequences, answers), "clip")
    some = motions.select(range(0, len(motions), options.every))
    add(f"One thing changed, one clip in {options.every}", changed(lifter, some, options.seed), "change")
    for path in options.recordings:
        benchmark = benchmarks.recorded(path)
        for told in (False, True):
            found = score(partial(methods.stream, lifter, up_known=told), benchmark.sequences, joints=benchmark.joints)
            title = f"{Path(path).stem}, {'up known' if told else 'nothing known of up'}"
            add(f"{title} ({'; '.join(benchmark.notes)})", found["groups"] | {"all": found["overall"]}, "camera")
    if options.out:
        Path(options.out).write_text("\n\n".join(parts) + "\n")


def table(rows, first):
    """Markdown of {name: metrics row}; NaN becomes a dash."""
    lines = [f"| {first} | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in rows.items():
        cells = ("–" if row[key] != row[key] else format(row[key], form) for key, form in COLUMNS.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def grouped(sequences, answers, kind):
    """{group: metrics row}, the frames (T,) of every sequence grouped by `kind(sequence)` (T,)."""
    summary = Summary()
    for sequence, (joints, sigma, answered) in zip(sequences, answers):
        kinds = kind(sequence)
        for name in dict.fromkeys(kinds):
            _add(summary, sequence, joints, sigma, answered & (kinds == name), str(name))
    return summary.result()["groups"]


def worst(sequences, answers):
    """{clip and action: metrics row} of the clips with the largest MPJPE, worst first."""
    summary = Summary()
    for sequence, (joints, sigma, answered) in zip(sequences, answers):
        _add(summary, sequence, joints, sigma, answered, f"{sequence.name}, {sequence.action}")
    rows = summary.result()["groups"]
    return dict(sorted(rows.items(), key=lambda item: -item[1]["mpjpe_mm"])[:WORST])


def _add(summary, sequence, joints, sigma, scored, group):
    scored = scored & sequence.valid
    if scored.any():
        sigma = np.where(scored[:, None], sigma, 1)
        summary.add(joints, sequence.joints_cam_m, sigma_m=sigma, valid=scored, group=group)


def changed(lifter, motions, seed):
    """{what is changed: metrics row}: detector family, rate, height, roll, up known."""
    make = partial(synthetic_sequences, motions, detector=DetectorNoise(), seed=seed)
    plain = make()
    cases = {"nothing": plain}
    cases |= {f"detector family {name}": [_through(sequence, name) for sequence in plain] for name in FAMILIES}
    cases |= {f"{rate_hz} Hz": make(rate_hz=rate_hz) for rate_hz in (10, 15, 60)}
    cases |= {f"{height_m} m tall": make(height_m=height_m) for height_m in (1.1, 1.4, 2.0)}
    rolled = CameraRange(moving_share=FIXED_CAMERAS.moving_share, roll_any_share=1.0)
    cases["camera rolled by any angle"] = make(camera_range=rolled)
    rows = {name: score(partial(methods.stream, lifter), sequences)["overall"] for name, sequences in cases.items()}
    told = partial(methods.stream, lifter, up_known=True)
    rows["up known"] = score(told, plain)["overall"]
    rows["camera rolled by any angle, up known"] = score(told, cases["camera rolled by any angle"])["overall"]
    return rows


def _through(sequence, family):
    """The sequence with the joints that a detector family has."""
    only = Field(families=tuple(float(name == family) for name in FAMILIES))
    pixels, confidence = (torch.from_numpy(array)[None] for array in (sequence.keypoints_px, sequence.confidence))
    pixels, confidence = as_family(pixels.clone(), confidence.clone(), only, torch.Generator().manual_seed(0))
    return replace(sequence, keypoints_px=pixels[0].numpy(), confidence=confidence[0].numpy())


def _action(sequence):
    return np.full(len(sequence), sequence.action)


def _viewpoint(sequence):
    """From which side the camera sees the person: by the angle between where they face and the way to the camera."""
    joints = sequence.joints_cam_m
    facing = np.cross(joints[:, L_HIP] - joints[:, R_HIP], joints[:, THORAX] - joints[:, 0])
    towards = -(facing * joints[:, 0]).sum(-1)
    cosine = towards / (np.linalg.norm(facing, axis=-1) * np.linalg.norm(joints[:, 0], axis=-1)).clip(1e-9)
    return np.select([cosine > 0.5**0.5, cosine < -(0.5**0.5)], ["front", "back"], "side")


def _distance(sequence):
    depth_m = np.linalg.norm(sequence.joints_cam_m[:, 0], axis=-1)
    return np.select([depth_m < 3, depth_m < 6], ["below 3 m", "3 to 6 m"], "beyond 6 m")


def _occlusion(sequence):
    missing = (sequence.confidence == 0).sum(-1)
    return np.select([missing == 0, missing < 4], ["none", "1 to 3"], "4 or more")


CONDITIONS = {"action": _action, "viewpoint": _viewpoint, "distance": _distance, "joints not seen": _occlusion}
"""{name: function of a sequence that names the group of each frame (T,)}."""
