"""Honest evaluation: `python -m dp3d_core.evaluate --weights small --motions FILE.npz --split dev`.

One hypothesis, no label, an estimated root; whatever touches the ground truth to choose is printed as `oracle`.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch

from dp3d_core import checkpoint
from dp3d_core.config import LOOKAHEADS
from dp3d_core.data.motions import load_motions
from dp3d_core.evaluation import benchmarks, methods
from dp3d_core.evaluation.report import format_report, format_table, strict
from dp3d_core.evaluation.scoring import action_scores, fitted_temperature, score
from dp3d_core.lift import Lifter
from dp3d_core.model.sampler import AGGREGATES

MODES = ("stream", "offline", "table")


def evaluate(*, lifter, benchmark, mode="stream", lookahead=0, steps=1, samples=1, aggregate="mean", flip=False,
             causal=False, oracle_label=False, baselines=None, seed=0):  # fmt: skip
    """The evaluation as a JSON-ready dict: what made the numbers, overall, groups and baselines ({name: method})."""
    protocol = {"joints": benchmark.joints, "pck_joints": benchmark.pck_joints}
    name, notes = mode, list(benchmark.notes)
    if mode == "stream":
        method = partial(methods.stream, lifter, lookahead=lookahead)
    else:
        options = {"steps": steps, "flip": flip, "causal": causal, "oracle_label": oracle_label}
        if aggregate != "mean" and samples == 1:
            raise ValueError(f"aggregate: expected more than one hypothesis for {aggregate}, got samples 1")
        if samples != 1:
            method = partial(methods.sampled, lifter, samples=samples, aggregate=aggregate, seed=seed, **options)
        else:
            method = partial(methods.offline, lifter, **options)
        name = ("offline_causal" if causal else mode) + ("_flip" if flip else "")
        name += "_oracle_label" if oracle_label else ""
    if oracle_label:
        told = sum(methods.true_action(lifter, sequence) is not None for sequence in benchmark.sequences)
        if not told:
            raise ValueError(f"oracle_label: expected actions among {', '.join(lifter.actions)}, got none in this data")
        notes.append(
            f"the true action was given to {told} of {len(benchmark.sequences)} sequences (oracle label): an upper "
            "bound, no result"
        )
    if lifter.provenance.get("temperature_from", "").startswith(temperature_source(benchmark)):
        notes.append("sigma's temperature was fitted on this very split: coverage_90 and ece are in-sample (oracle)")
    result = score(method, benchmark.sequences, **protocol)
    report = {
        "data": benchmark.data, "weights": lifter.weights_name,
        "training": {k: lifter.provenance.get(k) for k in ("steps", "minutes")},
        "temperature": lifter.temperature, "mode": name, "backend": lifter.backend_name,
        "lookahead": lookahead if mode == "stream" else None, "steps": steps, "hypotheses": samples,
        "aggregation": aggregate, "seed": seed, "detector": benchmark.detector,
        "detector_noise": benchmark.detector_noise, "headline": benchmark.headline, "notes": notes, **result,
        "actions": action_scores(lifter, benchmark.sequences, causal=causal or mode == "stream"),
    }  # fmt: skip
    if baselines:
        report["baselines"] = {
            key: score(baseline, benchmark.sequences, **protocol)[benchmark.headline]
            for key, baseline in baselines.items()
        }
    return report


def table(*, lifter, by_detector, baselines=None, seed=0, **offline):
    """Offline and streaming at every lookahead, for each `Benchmark` of {detector: benchmark}: {row name: report}."""
    rows = {}
    for detector, benchmark in by_detector.items():
        options = {"lifter": lifter, "benchmark": benchmark, "seed": seed}
        report = evaluate(mode="offline", baselines=baselines, **options, **offline)
        rows[f"{detector}: {report['mode']}"] = report
        for lookahead in lifter.lookaheads:
            rows[f"{detector}: stream, lookahead {lookahead}"] = evaluate(mode="stream", lookahead=lookahead, **options)
    return rows


def temperature_source(benchmark):
    """How a checkpoint names the data that its temperature was fitted on."""
    return f"{benchmark.data.get('motions', benchmark.data.get('benchmark'))} {benchmark.data.get('split', '')}"


def main(argv=None):
    """Command line."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        if arguments.json:  # before the work, not after it
            Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
        lifter = Lifter.load(arguments.weights)
        mode = arguments.mode or ("table" if arguments.lookahead is None else "stream")
        by_detector, baselines = _material(arguments, mode, lifter)
        if arguments.fit_temperature:
            print(_fit(lifter, next(iter(by_detector.values())), arguments.fit_temperature))
            return
        offline = {
            "steps": arguments.steps, "samples": arguments.samples, "aggregate": arguments.aggregate,
            "flip": arguments.flip, "causal": arguments.causal, "oracle_label": arguments.oracle_label,
        }  # fmt: skip
        options = {"lifter": lifter, "baselines": baselines, "seed": arguments.seed}
        if mode == "table":
            report = table(by_detector=by_detector, **options, **offline)
            text = format_table(report)
        else:
            (benchmark,) = by_detector.values()
            if mode == "stream":
                _refuse_offline_options(arguments)
                offline = {}
            report = evaluate(benchmark=benchmark, mode=mode, lookahead=arguments.lookahead or 0, **options, **offline)
            text = format_report(report)
    except (ValueError, OSError) as error:
        raise SystemExit(f"evaluate: {error}") from None
    print(text)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(strict(report), indent=1) + "\n")


def _parser():
    parser = argparse.ArgumentParser(prog="python -m dp3d_core.evaluate", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--weights", default="small", help="shipped name or path")
    add("--motions", help="mocap npz: what is evaluated; beside a benchmark only its mean-pose baseline")
    add("--split", default="dev")
    add("--h36m-3d", metavar="FILE", help="Human3.6M: VideoPose3D's data_3d_h36m.npz")
    add("--h36m-2d", metavar="FILE|gt", help="Human3.6M: VideoPose3D's data_2d_h36m_*.npz, or gt")
    add("--cameras", metavar="FILE", help="Human3.6M: cameras.json or VideoPose3D's h36m_dataset.py")
    add("--joints", type=int, default=17, choices=sorted(benchmarks.PUBLISHED_JOINTS), help="Human3.6M: that count")
    add("--mpi-test", metavar="FILE", help="MPI-INF-3DHP: P-STMO's data_test_3dhp.npz")
    add("--calibration", metavar="FILE", nargs=2, help="MPI-INF-3DHP: ts1-4cameras.calib ts5-6cameras.calib")
    add("--annotation", default="univ", choices=("univ", "annot3"), help="MPI-INF-3DHP: which truth the file holds")
    add("--mode", choices=MODES, help="default: table, offline and every stream; with --lookahead: stream")
    add("--lookahead", type=int, choices=LOOKAHEADS, help="frames of lag (stream; default 0)")
    add("--detector", default="noisy", choices=sorted(benchmarks.DETECTORS), help="mocap: 2D as a detector's, or exact")
    add("--rate-hz", type=float, default=30.0, help="mocap: frame rate")
    add("--coco", action="store_true", help="mocap: only what a COCO detector sees, no spine, no head top")
    add("--steps", type=int, default=1, help="denoising steps (offline)")
    add(
        "--samples", type=int, default=1, help="hypotheses (offline); more than one also prints the oracle best of them"
    )
    add("--aggregate", default="mean", choices=AGGREGATES, help="how hypotheses become one answer (offline)")
    add("--flip", action="store_true", help="lift the mirrored person too and take the mean (offline), as papers do")
    add("--causal", action="store_true", help="offline, but looking back only, as a stream does")
    add("--oracle-label", action="store_true", help="give the true action (offline); an oracle")
    add("--seed", type=int, default=0, help="seed of cameras, detector noise and hypotheses")
    add("--json", help="write the report here")
    add("--fit-temperature", metavar="FILE", help="fit the temperature on this data and write the weights to FILE")
    return parser


def _refuse_offline_options(arguments):
    """A stream gives one estimate from what came so far; options that it would ignore are refused."""
    for name, neutral in (
        ("steps", 1),
        ("samples", 1),
        ("aggregate", "mean"),
        ("flip", False),
        ("causal", False),
        ("oracle_label", False),
    ):
        if getattr(arguments, name) != neutral:
            raise ValueError(f"--{name.replace('_', '-')}: expected with --mode offline or table, got a stream")


def _material(arguments, mode, lifter):
    """({detector: `Benchmark`}, {baseline name: method}) that the command line asks for."""
    given = [name for name in ("h36m_3d", "mpi_test") if getattr(arguments, name)]
    if len(given) > 1 or not (given or arguments.motions):
        raise ValueError(
            "data: expected one of --motions, --h36m-3d and --mpi-test; the benchmarks are evaluated apart"
        )
    motions = load_motions(arguments.motions) if arguments.motions else None
    baselines = (
        {} if motions is None else {"mean_pose": methods.mean_pose(methods.training_mean(motions.split("train")))}
    )
    baselines["per_frame"] = partial(methods.per_frame, lifter)
    if "h36m_3d" in given:
        if not arguments.h36m_2d or not arguments.cameras:
            raise ValueError("--h36m-3d: expected --h36m-2d (FILE or gt) and --cameras FILE beside it")
        benchmark = benchmarks.human36m(
            arguments.h36m_3d, arguments.h36m_2d, arguments.cameras, joints=arguments.joints
        )
        return {benchmark.detector: benchmark}, baselines
    if "mpi_test" in given:
        benchmark = benchmarks.mpi_inf_3dhp(arguments.mpi_test, arguments.calibration, annotation=arguments.annotation)
        return {benchmark.detector: benchmark}, baselines
    detectors = [arguments.detector]
    if arguments.fit_temperature:
        detectors = ["noisy"]
    elif mode == "table":
        detectors = list(benchmarks.DETECTORS)
    held = motions.split(arguments.split)
    return {
        detector: benchmarks.synthetic(
            held, name=Path(arguments.motions).name, split=arguments.split, detector=detector,
            rate_hz=arguments.rate_hz, seed=arguments.seed, coco=arguments.coco,
        )
        for detector in detectors
    }, baselines  # fmt: skip


def _fit(lifter, benchmark, path):
    """Write the weights with the temperature fitted on `benchmark`; returns a line that says so.

    One number serves every lookahead, so it is fitted to the streams of all of them together.
    """
    streams = [partial(methods.stream, lookahead=lookahead) for lookahead in lifter.lookaheads]
    temperature = fitted_temperature(lifter, benchmark.sequences, *streams)
    source = f"{temperature_source(benchmark)}, {benchmark.detector}"
    checkpoint.save(
        path, lifter.denoiser, actions=lifter.actions, temperature=temperature,
        provenance=lifter.provenance | {"temperature_from": source},
    )  # fmt: skip
    return f"temperature {lifter.temperature:.3f} -> {temperature:.3f}: {path}"


if __name__ == "__main__":
    main()
