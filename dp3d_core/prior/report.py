"""`dp3d prior-report`: errors of the network as a prior of motion.

Generated motion beside real motion, completion of hidden limbs and of missing stretches beside simple baselines, and
joints whose heatmaps have a rival peak, with the motion to decide.
"""
# H samples, T frames, J = 17 joints

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dp3d_core.data.motions import load_motions
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.evaluation.metrics import mpjpe_mm, oracle_best_clip_mpjpe_mm, oracle_best_pose_mpjpe_mm
from dp3d_core.evaluation.report import write_json
from dp3d_core.lift import Lifter
from dp3d_core.model import motion_weights
from dp3d_core.prior.evidence import Modes, modes_from_keypoints
from dp3d_core.prior.guidance import Prior
from dp3d_core.prior.motion_prior import MotionPrior
from dp3d_core.skeleton import BONES, MIRROR

FRAMES = 64
"""Of each clip, its first."""
GENERATED = 64
GUIDED = 10
"""Samples of the prior that is guided by exact 2D."""
HIDDEN = {"forearms and hands": (12, 13, 15, 16), "shins and feet": (2, 3, 5, 6)}
GAPS_S = (0.33, 0.67)
DOUBTFUL_SHARE, DOUBTFUL_FRAMES = 0.4, 8
"""Share of stretches of so many frames in which the higher peak of each limb joint is the other side's."""


def generated(prior, sequences, seed=0):
    """{"data", "generated": {figure: value}}: bone lengths and how they hold, motion, spread of poses."""
    stamps_s = np.arange(FRAMES) / 30
    real = np.stack([_relative(sequence.joints_cam_m[:FRAMES]) for sequence in sequences])
    return {
        name: {
            "bone_m": float(_bones(poses).mean()),
            "bone_std_mm": float(1000 * _bones(poses).std(-1).mean()),
            "mm_per_frame": float(1000 * np.linalg.norm(np.diff(poses, axis=1), axis=-1).mean()),
            "pose_std_mm": float(1000 * np.sqrt(poses.reshape(-1, 17, 3).var(0).sum(-1)).mean()),
        }
        for name, poses in (("data", real), ("generated", prior.generate(stamps_s, samples=GENERATED, seed=seed)))
    }


def completed(lifter, prior, sequences):
    """{what is missing: {method: mean error in mm of what is missing}}, everything else known in 3D."""
    rows = {}
    for name, joints in HIDDEN.items():
        row = rows.setdefault(name, {})
        for sequence in sequences:
            truth = sequence.joints_cam_m[:FRAMES].astype(float)
            given = truth.copy()
            given[:, joints] = np.nan
            confidence = sequence.confidence[:FRAMES].copy()
            confidence[:, joints] = 0
            lifted = _lift(lifter, sequence, sequence.keypoints_px[:FRAMES], confidence)
            for method, answer in {
                "completed": prior.complete(given, sequence.stamps_s[:FRAMES])[0],
                "lifted from the others' 2D": _relative(lifted) + truth[:, :1],
            }.items():
                error = np.linalg.norm(answer - truth, axis=-1)[:, joints]
                row.setdefault(method, []).append(1000 * error.ravel())
    for gap_s in GAPS_S:
        row = rows.setdefault(f"everything for {gap_s:g} s", {})
        for sequence in sequences:
            truth, stamps_s = sequence.joints_cam_m[:FRAMES].astype(float), sequence.stamps_s[:FRAMES]
            missing = (stamps_s >= 0.7) & (stamps_s < 0.7 + gap_s)
            given = np.where(missing[:, None, None], np.nan, truth)
            linear = truth.reshape(FRAMES, -1).copy()
            for column in linear.T:
                column[missing] = np.interp(stamps_s[missing], stamps_s[~missing], column[~missing])
            for method, answer in {
                "completed": prior.complete(given, stamps_s)[0],
                "interpolated": linear.reshape(truth.shape),
            }.items():
                row.setdefault(method, []).append(mpjpe_mm(answer, truth)[missing])
    return _means(rows)


def fitted(lifter, prior, sequences, seed=0):
    """{method: MPJPE in mm} over the frames in which joints have a rival peak that is higher than the true one."""
    rng, row = np.random.default_rng(seed), {}
    for sequence in sequences:
        pixels, confidence = sequence.keypoints_px[:FRAMES], sequence.confidence[:FRAMES]
        truth, stamps_s = sequence.joints_cam_m[:FRAMES], sequence.stamps_s[:FRAMES]
        doubtful = np.repeat(rng.random(FRAMES // DOUBTFUL_FRAMES) < DOUBTFUL_SHARE, DOUBTFUL_FRAMES)[: len(pixels)]
        if not doubtful.any():
            continue
        centre = np.stack([pixels, pixels[:, list(MIRROR)]], 2).astype(float)
        rival = (
            doubtful[:, None] & (confidence > 0) & (confidence[:, list(MIRROR)] > 0) & (np.array(MIRROR) != range(17))
        )
        weight = np.stack([np.where(rival, 0.4, 1) * confidence, np.where(rival, 0.5, 0) * confidence], -1)
        highest = np.take_along_axis(centre, weight.argmax(-1)[..., None, None], 2)[:, :, 0]
        modes, options = Modes(centre, np.full(weight.shape, 5.0), weight), {"camera": sequence.camera}
        fits = {}
        if isinstance(prior, MotionPrior):
            fits["fitted by gradients, mean of 6 samples, no paired data"] = prior.fit(
                modes, stamps_s, samples=6, **options
            ).mean(0)
        else:
            fits["fitted"] = prior.fit(modes, stamps_s, **options)[0]
            fits["fitted, mean of 6 samples, prior only"] = prior.fit(
                modes, stamps_s, samples=6, prior_only=True, **options
            ).mean(0)
        for method, answer in {
            **fits,
            "lifted from the highest peaks": _lift(lifter, sequence, highest, weight.max(-1)),
            "lifted without the doubtful joints": _lift(lifter, sequence, pixels, np.where(rival, 0, confidence)),
            "oracle: lifted from the true peaks": _lift(lifter, sequence, pixels, confidence),
        }.items():
            row.setdefault(method, []).append(mpjpe_mm(answer, truth)[doubtful])
    return _means({"": row})[""]


def guided(prior, sequences):
    """{figure: MPJPE in mm} of a prior that sees exact 2D, without a network that reads 2D; the best is an oracle."""
    rows, most = {"": {}}, GUIDED
    for sequence in sequences:
        pixels, confidence = sequence.keypoints_px[:FRAMES], 0.95 * sequence.confidence[:FRAMES]
        truth, modes = sequence.joints_cam_m[:FRAMES], modes_from_keypoints(pixels, confidence, 3.0)
        options = {"camera": sequence.camera, "samples": most}
        if not isinstance(prior, MotionPrior):
            options["prior_only"] = True
        drawn = prior.fit(modes, sequence.stamps_s[:FRAMES], **options)
        for name, errors in {
            "one": mpjpe_mm(drawn[0], truth),
            f"mean of {most}": mpjpe_mm(drawn.mean(0), truth),
            f"oracle: best of {most}, a choice a clip": oracle_best_clip_mpjpe_mm(drawn, truth),
            f"oracle: best of {most}, a choice a frame": oracle_best_pose_mpjpe_mm(drawn, truth),
        }.items():
            rows[""].setdefault(name, []).append(errors)
    return _means(rows)[""]


def _lift(lifter, sequence, pixels, confidence):
    lifted = lifter.lift(
        pixels.astype(np.float32),
        confidence,
        sequence.stamps_s[: len(pixels)],
        camera=sequence.camera,
        joint_set="h36m17",
    )
    return lifted.joints_cam_m


def _relative(joints_m):
    return joints_m - joints_m[:, :1]


def _bones(poses):
    """(16, clips, T) lengths."""
    return np.stack([np.linalg.norm(poses[..., child, :] - poses[..., parent, :], axis=-1) for parent, child in BONES])


def _means(rows):
    return {name: {method: float(np.concatenate(errors).mean()) for method, errors in row.items()}
            for name, row in rows.items()}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PriorReportOptions:
    """Measure the network as a prior of motion: generated, completed and fitted motion beside baselines."""

    weights: str = "small"
    """Lifter to compare with, by shipped name or path; without --prior, it is the prior too."""
    prior: str | None = None
    """Weights of a prior that was trained on 3D alone (dp3d train-denoiser --prior)."""
    motions: str
    """Motion file (.npz)."""
    split: str = "dev"
    """Split of the motion file."""
    every: int = 1
    """Only every n-th clip."""
    seed: int = 0
    """Seed of cameras, detector noise and samples."""
    json: str | None = None
    """Write the figures to this file."""


def command(options: PriorReportOptions) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    lifter = Lifter.load(options.weights, backend="eager")
    prior = Prior(lifter) if options.prior is None else MotionPrior(motion_weights.load(options.prior).prior)
    motions = load_motions(options.motions).split(options.split)
    exact, noisy = (
        [s for s in synthetic_sequences(motions, detector=noise, seed=options.seed) if len(s) >= FRAMES]
        for noise in (None, DetectorNoise())
    )
    exact, noisy = exact[:: options.every], noisy[:: options.every]
    if not exact:
        raise ValueError(f"--motions: expected clips of {FRAMES} frames at 30 Hz, got none")
    report = {
        "weights": options.weights, "prior": options.prior, "motions": Path(options.motions).name,
        "split": options.split,
        "clips": len(exact), "seed": options.seed, "generated": generated(prior, exact, options.seed),
        "completed_mm": completed(lifter, prior, exact),
        "fitted_mpjpe_mm": fitted(lifter, prior, noisy, options.seed), "guided_mpjpe_mm": guided(prior, exact),
    }  # fmt: skip
    for title, rows in (
        ("generated beside the data", report["generated"]),
        ("completed from exact 3D, mm", report["completed_mm"]),
        ("a rival peak higher than the true one, MPJPE mm", {"": report["fitted_mpjpe_mm"]}),
        ("prior alone, guided by exact 2D, MPJPE mm", {"": report["guided_mpjpe_mm"]}),
    ):
        print(f"{title} ({report['clips']} clips)")
        for name, row in rows.items():
            print(f"  {name}" if name else "", *(f"    {key}: {value:.3g}" for key, value in row.items()), sep="\n")
    if options.json:
        write_json(options.json, report)
