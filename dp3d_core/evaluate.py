"""Honest evaluation: `python -m dp3d_core.evaluate --weights small --motions FILE.npz --split dev --mode stream`.

One hypothesis, no label, an estimated root; whatever touches the ground truth to choose is printed as `oracle`.
"""
# T frames, J = 17 joints

import argparse
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dp3d_core import checkpoint, methods
from dp3d_core.data.motions import load_motions
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.lift import Lifter
from dp3d_core.metrics import Summary, fit_temperature_to_coverage

MODES = ("stream", "offline", "table")
DETECTORS = {"noisy": DetectorNoise(), "exact": None}
COLUMNS = (
    "mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm", "accel_error_mm_per_frame2", "root_error_m", "coverage_90",
    "ece",
)  # fmt: skip
TABLE_LOOKAHEADS = (0, 2, 4)


def score(method, sequences):
    """`Summary.result()` of a method over sequences, with `frames_unanswered` before its first answers."""
    summary, unanswered = Summary(), 0
    for sequence in sequences:
        joints, sigma, answered = method(sequence)
        unanswered += int((sequence.valid & ~answered).sum())
        valid = sequence.valid & answered
        if valid.any():
            # what is not scored must still be finite
            summary.add(
                np.where(valid[:, None, None], joints, 0), sequence.joints_cam_m, group=sequence.action,
                sigma_m=np.where(valid[:, None], sigma, 1), valid=valid, metric=sequence.metric,
            )  # fmt: skip
    return summary.result() | {"frames_unanswered": unanswered}


def fitted_temperature(lifter, sequences):
    """The factor on the network's raw sigma that makes 90 % intervals of the zero-lag stream cover 90 %."""
    errors, sigmas = [], []
    for sequence in sequences:
        joints, sigma, answered = methods.stream(lifter, sequence)
        relative = (joints - joints[:, :1]) - (sequence.joints_cam_m - sequence.joints_cam_m[:, :1])
        errors.append(np.linalg.norm(relative, axis=-1)[answered, 1:])
        sigmas.append(sigma[answered, 1:])
    return lifter.temperature * float(fit_temperature_to_coverage(np.concatenate(errors), np.concatenate(sigmas)))


def evaluate(*, weights, motions_path, split="dev", mode="stream", lookahead=0, detector="noisy", rate_hz=30.0, seed=0,
             coco=False, steps=1, samples=1, causal=False, oracle_label=False, baselines=True):  # fmt: skip
    """The evaluation as a JSON-ready dict: what made the numbers, overall, groups and baselines."""
    lifter = Lifter.load(weights)
    motions = load_motions(motions_path)
    sequences = synthetic_sequences(
        motions.split(split), rate_hz=rate_hz, detector=DETECTORS[detector], seed=seed, coco=coco
    )
    noise = DETECTORS[detector]
    name = mode
    if mode == "stream":
        method = partial(methods.stream, lifter, lookahead=lookahead)
    else:
        method = partial(
            methods.offline, lifter, steps=steps, samples=samples, causal=causal, oracle_label=oracle_label
        )
        name = ("offline_causal" if causal else mode) + ("_oracle_label" if oracle_label else "")
    result = score(method, sequences)
    report = {
        "data": {"motions": Path(motions_path).name, "split": split, "clips": len(sequences), "rate_hz": rate_hz,
                 "joint_set": "coco17 joints" if coco else "h36m17"},
        "weights": str(weights), "training": {k: lifter.provenance.get(k) for k in ("steps", "minutes")},
        "temperature": lifter.temperature, "mode": name, "backend": lifter.backend_name,
        "lookahead": lookahead if mode == "stream" else None, "steps": steps, "hypotheses": samples,
        "aggregation": "mean", "seed": seed, "detector": detector, "detector_noise": noise and noise.to_dict(),
        **result,
    }  # fmt: skip
    if baselines:
        mean = methods.training_mean(motions.split("train"))
        report["baselines"] = {
            "mean_pose": score(methods.mean_pose(mean), sequences)["overall"],
            "per_frame": score(partial(methods.per_frame, lifter), sequences)["overall"],
        }
    return report


def table(**options):
    """Offline and streaming at every lookahead, with noisy and exact 2D: {row name: report}."""
    rows = {}
    for detector in DETECTORS:
        rows[f"{detector}: offline"] = evaluate(mode="offline", detector=detector, **options)
        # the baselines do not depend on the mode
        options = options | {"baselines": False}
        for lookahead in TABLE_LOOKAHEADS:
            rows[f"{detector}: stream, lookahead {lookahead}"] = evaluate(
                mode="stream", lookahead=lookahead, detector=detector, **options
            )
        options = options | {"baselines": True}
    return rows


def format_rows(rows):
    """A text table of {name: metrics row}."""
    width = max(len(name) for name in rows)
    heads = [column.replace("accel_error_mm_per_frame2", "accel_mm/f2") for column in COLUMNS]
    lines = [" " * width + "".join(f"{head:>13}" for head in heads) + f"{'frames':>9}"]
    for name, row in rows.items():
        cells = "".join(f"{row[column]:13.3f}" if row[column] < 10 else f"{row[column]:13.1f}" for column in COLUMNS)
        lines.append(f"{name:<{width}}{cells}{row['frames']:>9}")
    return "\n".join(lines)


def strict(value):
    """NaN, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dp3d_core.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default="small", help="shipped name or path")
    parser.add_argument("--motions", required=True, help="mocap npz")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--mode", default="stream", choices=MODES)
    parser.add_argument("--lookahead", type=int, default=0, choices=TABLE_LOOKAHEADS, help="frames of lag (stream)")
    parser.add_argument(
        "--detector", default="noisy", choices=sorted(DETECTORS), help="2D as a detector gives it, or exact"
    )
    parser.add_argument("--rate-hz", type=float, default=30.0)
    parser.add_argument("--coco", action="store_true", help="only what a COCO detector sees: no spine, no head top")
    parser.add_argument("--steps", type=int, default=1, help="denoising steps (offline)")
    parser.add_argument("--samples", type=int, default=1, help="hypotheses, averaged (offline)")
    parser.add_argument("--causal", action="store_true", help="offline, but looking back only, as a stream does")
    parser.add_argument("--oracle-label", action="store_true", help="give the true action (offline); an oracle")
    parser.add_argument("--seed", type=int, default=0, help="seed of cameras and detector noise")
    parser.add_argument("--json", help="write the report here")
    parser.add_argument("--fit-temperature", metavar="FILE", help="fit the temperature on this split (noisy) and write "
                        "the weights with it to FILE")  # fmt: skip
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    options = {
        "weights": arguments.weights, "motions_path": arguments.motions, "split": arguments.split,
        "rate_hz": arguments.rate_hz, "seed": arguments.seed, "coco": arguments.coco, "steps": arguments.steps,
        "samples": arguments.samples, "causal": arguments.causal, "oracle_label": arguments.oracle_label,
    }  # fmt: skip
    try:
        if arguments.fit_temperature:
            return _fit(arguments)
        if arguments.mode == "table":
            report = table(**options)
            rows = {}
            for name, part in report.items():
                rows |= {f"{name} | {group}": row for group, row in part["groups"].items()}
                rows[f"{name} | all"] = part["overall"]
                rows |= {f"{name} | baseline {key}": row for key, row in part.get("baselines", {}).items()}
        else:
            report = evaluate(
                mode=arguments.mode, lookahead=arguments.lookahead, detector=arguments.detector, **options
            )
            rows = report["groups"] | {f"{report['mode']}: all": report["overall"]}
            rows |= {f"baseline {name}": row for name, row in report["baselines"].items()}
    except (ValueError, OSError) as error:
        raise SystemExit(f"evaluate: {error}") from None
    print(format_rows(rows))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(strict(report), indent=1) + "\n")


def _fit(arguments):
    lifter = Lifter.load(arguments.weights)
    motions = load_motions(arguments.motions).split(arguments.split)
    sequences = synthetic_sequences(
        motions, rate_hz=arguments.rate_hz, detector=DETECTORS["noisy"], seed=arguments.seed
    )
    temperature = fitted_temperature(lifter, sequences)
    provenance = lifter.provenance | {"temperature_from": f"{Path(arguments.motions).name} {arguments.split}, noisy"}
    checkpoint.save(
        arguments.fit_temperature,
        lifter.denoiser,
        actions=lifter.actions,
        temperature=temperature,
        provenance=provenance,
    )
    print(f"temperature {lifter.temperature:.3f} -> {temperature:.3f}: {arguments.fit_temperature}")


if __name__ == "__main__":
    main()
