"""`dp3d papers`: the tables of D3DP, FinePOSE and DreamPose3D, over hypotheses and steps.

J-Best and P-Best choose by the truth and are oracles: a joint of each frame, and one hypothesis for a whole clip, as
D3DP's code does. J-Agg (JPMA about the estimated root) and P-Agg (the mean) are what a user gets. P-MPJPE of each.
"""
# H hypotheses, K steps, T frames

from dataclasses import dataclass

import numpy as np
import torch

from dp3d_core.data.motions import load_motions
from dp3d_core.evaluation import benchmarks, methods
from dp3d_core.evaluation.metrics import mpjpe_mm, oracle_best_clip_mpjpe_mm, oracle_best_joint_mpjpe_mm, p_mpjpe_mm
from dp3d_core.evaluation.report import write_json
from dp3d_core.lift import Lifter
from dp3d_core.model.sampler import aggregate_mean, aggregate_placed

COLUMNS = ("oracle J-Best", "oracle P-Best", "J-Agg", "P-Agg")


@dataclass(frozen=True, kw_only=True)
class PapersOptions:
    """Print J-Best, P-Best, J-Agg and P-Agg over hypotheses and steps; the first two are oracles."""

    weights: str = "small"
    """Shipped name or path."""
    motions: str
    """Motion file (.npz), seen by synthetic cameras."""
    split: str = "dev"
    """Split of the motion file."""
    every: int = 1
    """Only every n-th clip."""
    hypotheses: tuple[int, ...] = (1, 5, 20)
    """Numbers of hypotheses H."""
    steps: tuple[int, ...] = (1, 2, 4)
    """Numbers of steps K."""
    seed: int = 0
    """Seed of cameras, detector noise and hypotheses."""
    json: str | None = None
    """Write the table to this file."""


def table(lifter, sequences, hypotheses, steps, seed=0):
    """{"K = k, H = h": {column: mm, column + ", P-MPJPE": mm}}, means over frames."""
    rows = {}
    for sequence in sequences:
        rays, confidence = sequence.camera.see(sequence.keypoints_px, sequence.confidence)
        valid, truth = sequence.valid, sequence.joints_cam_m[sequence.valid]
        for count in steps:
            drawn = methods.sampled(lifter, sequence, steps=count, samples=max(hypotheses), seed=seed)[3]
            for most in hypotheses:
                # of the largest set, so that more hypotheses contain the fewer
                some = drawn[:most]
                joint = aggregate_placed(some, rays, confidence, "jpma")[valid]
                mean = aggregate_mean(some)[valid]
                row = rows.setdefault(f"K = {count}, H = {most}", {})
                for name, errors in _errors(some[:, valid], joint, mean, truth).items():
                    row.setdefault(name, []).append(errors)
    return {
        key: {name: float(np.concatenate(parts).mean()) for name, parts in row.items()} for key, row in rows.items()
    }


def _errors(hypotheses_m, joint_m, mean_m, truth_m):
    """{column: errors (T,) in mm}."""
    best_joint, best_clip, joint_wise, pose_wise = COLUMNS
    out = {}
    for suffix, procrustes, error in (("", False, mpjpe_mm), (", P-MPJPE", True, p_mpjpe_mm)):
        out[best_joint + suffix] = oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m, procrustes=procrustes)
        out[best_clip + suffix] = oracle_best_clip_mpjpe_mm(hypotheses_m, truth_m, procrustes=procrustes)
        out[joint_wise + suffix] = error(joint_m, truth_m)
        out[pose_wise + suffix] = error(mean_m, truth_m)
    return out


def command(options: PapersOptions) -> None:
    """Print the table."""
    if not options.hypotheses or not options.steps or min(options.hypotheses) < 1 or min(options.steps) < 1:
        raise ValueError(
            f"--hypotheses, --steps: expected numbers of at least 1, got {options.hypotheses} and {options.steps}"
        )
    if options.every < 1:
        raise ValueError(f"--every: expected at least 1, got {options.every}")
    torch.set_num_threads(1)
    lifter = Lifter.load(options.weights, backend="eager")
    motions = load_motions(options.motions).split(options.split)
    sequences = benchmarks.synthetic(motions, split=options.split, seed=options.seed).sequences[:: options.every]
    rows = table(lifter, sequences, options.hypotheses, options.steps, options.seed)
    print(f"MPJPE / P-MPJPE in mm, {len(sequences)} clips; oracle: chosen by the truth, no result")
    print(" " * 16 + "".join(f"{name:>18}" for name in COLUMNS))
    for key, row in rows.items():
        print(f"{key:16}" + "".join(f"{row[name]:10.1f} /{row[name + ', P-MPJPE']:6.1f}" for name in COLUMNS))
    if options.json:
        write_json(options.json, rows)
