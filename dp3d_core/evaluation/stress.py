"""`dp3d stress`: what disturbs a stream, in millimetres.

Ten minutes of looped motion (drift), dropped frames, dropped joints, other frame rates and joint sets, each beside the
undisturbed stream of the same sequences.
"""
# T frames

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from dp3d_core.config import Lookahead
from dp3d_core.data.motions import load_motions
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.evaluation import methods
from dp3d_core.evaluation.report import write_json
from dp3d_core.evaluation.scoring import score
from dp3d_core.lift import Lifter

RATES_HZ = (10.0, 15.0, 30.0, 60.0)
DROPPED_SHARE = 0.3
DRIFT_MINUTES = 10


def drop_frames(sequence, share, seed):
    """The same sequence with a share of its frames never arriving; those frames are not scored."""
    kept = np.random.default_rng(seed).random(len(sequence.stamps_s)) >= share
    kept[0] = True
    return replace(
        sequence,
        stamps_s=sequence.stamps_s[kept],
        keypoints_px=sequence.keypoints_px[kept],
        confidence=sequence.confidence[kept],
        joints_cam_m=sequence.joints_cam_m[kept],
        valid=sequence.valid[kept],
    )


def drop_joints(sequence, share, seed):
    """The same sequence with a share of its keypoints missing, at random."""
    gone = np.random.default_rng(seed).random(sequence.confidence.shape) < share
    return replace(
        sequence,
        confidence=np.where(gone, 0, sequence.confidence),
        keypoints_px=np.where(gone[..., None], 0, sequence.keypoints_px),
    )


def drift(lifter, sequence, minutes=DRIFT_MINUTES, lookahead=0):
    """MPJPE in mm of the first and of the last minute of a sequence played to and fro for `minutes`.

    Both minutes hold the same frames of the same keypoints, so any difference is the stream's memory.
    """
    forward = np.arange(len(sequence.stamps_s))
    loop = np.concatenate([forward, forward[-2:0:-1]])
    rounds = max(1, int(np.ceil(60 * sequence.fps / len(loop))))
    minute = np.tile(loop, rounds)
    errors = []
    live = lifter.stream(camera=sequence.camera, joint_set="h36m17", lookahead=lookahead)
    index = 0
    for _ in range(minutes):
        total = count = 0.0
        answered = {}
        for frame in minute:
            stamp_s = index / sequence.fps
            answered[round(stamp_s, 6)] = frame
            out = live.push(stamp_s, {0: (sequence.keypoints_px[frame], sequence.confidence[frame])})
            index += 1
            if out.ids and round(out.stamp_s, 6) in answered:
                truth = sequence.joints_cam_m[answered[round(out.stamp_s, 6)]]
                joints = out.joints_cam_m[0]
                error = float(np.linalg.norm((joints - joints[0]) - (truth - truth[0]), axis=-1).mean())
                total, count = total + error * 1000, count + 1
        errors.append(total / max(count, 1))
    return errors


def rows(lifter, motions, seed=0, lookahead=0):
    """Every disturbance's overall metrics, {name: row}."""
    noise = DetectorNoise()
    method = partial(methods.stream, lifter, lookahead=lookahead)
    sequences = synthetic_sequences(motions, detector=noise, seed=seed)
    table = {"undisturbed": score(method, sequences)["overall"]}
    table[f"{DROPPED_SHARE:.0%} of frames dropped"] = score(
        method, [drop_frames(sequence, DROPPED_SHARE, seed + i) for i, sequence in enumerate(sequences)]
    )["overall"]
    table[f"{DROPPED_SHARE:.0%} of joints dropped"] = score(
        method, [drop_joints(sequence, DROPPED_SHARE, seed + i) for i, sequence in enumerate(sequences)]
    )["overall"]
    table["COCO joints"] = score(method, synthetic_sequences(motions, detector=noise, seed=seed, coco=True))["overall"]
    for rate_hz in RATES_HZ:
        resampled = synthetic_sequences(motions, rate_hz=rate_hz, detector=noise, seed=seed)
        table[f"{rate_hz:g} Hz"] = score(method, resampled)["overall"]
    return table


@dataclass(frozen=True, kw_only=True)
class StressOptions:
    """Measure what disturbs a stream: dropped frames, dropped joints, other joints, other rates, ten minutes."""

    weights: str = "small"
    """Shipped name or path."""
    motions: str
    """Motion file (.npz)."""
    split: str = "dev"
    """Split of the motion file."""
    lookahead: Lookahead = 0
    """Frames of lag."""
    minutes: int = DRIFT_MINUTES
    """Minutes of looped motion, for the drift."""
    seed: int = 0
    """Seed of cameras, detector noise and drops."""
    json: str | None = None
    """Write the figures to this file."""


def command(options: StressOptions) -> None:
    """Measure every disturbance and the drift, and print them."""
    torch.set_num_threads(1)
    lifter = Lifter.load(options.weights)
    motions = load_motions(options.motions).split(options.split)
    table = rows(lifter, motions, options.seed, options.lookahead)
    sequences = synthetic_sequences(motions, detector=DetectorNoise(), seed=options.seed)
    print(f"{'':24}{'MPJPE mm':>10}{'accel mm/f2':>13}{'root m':>8}{'coverage':>10}{'frames':>8}")
    for name, row in table.items():
        print(
            f"{name:24}{row['mpjpe_mm']:10.1f}{row['accel_error_mm_per_frame2']:13.2f}{row['root_error_m']:8.3f}"
            f"{row['coverage_90']:10.3f}{row['frames']:8d}"
        )
    longest = max(sequences, key=lambda sequence: len(sequence.stamps_s))
    minutes = drift(lifter, longest, options.minutes, options.lookahead)
    change = minutes[-1] / minutes[0] - 1
    print(
        f"drift on {longest.name}: minute 1 {minutes[0]:.2f} mm, "
        f"minute {len(minutes)} {minutes[-1]:.2f} mm ({change:+.2%})"
    )
    if options.json:
        report = {"rows": table, "drift_mpjpe_mm_per_minute": minutes, "drift_clip": longest.name}
        write_json(options.json, report)
