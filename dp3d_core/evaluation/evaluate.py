"""`dp3d evaluate`: errors of a network on motion capture or on a benchmark.

One hypothesis, no label, an estimated root; whatever touches the ground truth to choose is printed as `oracle`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from dp3d_core import checkpoint
from dp3d_core.config import LOOKAHEADS, Aggregate, Lookahead
from dp3d_core.data.motions import load_motions
from dp3d_core.evaluation import benchmarks, methods
from dp3d_core.evaluation.report import format_report, format_table, write_json
from dp3d_core.evaluation.scoring import action_scores, fitted_temperatures, score
from dp3d_core.lift import Lifter

OFFLINE_DEFAULTS = {
    "steps": 1,
    "samples": 1,
    "aggregate": "mean",
    "flip": False,
    "causal": False,
    "oracle_label": False,
}
"""The options that only offline methods have, with their defaults."""


def evaluate(
    *,
    lifter,
    benchmark,
    mode="stream",
    lookahead=0,
    steps=1,
    samples=1,
    aggregate="mean",
    flip=False,
    causal=False,
    oracle_label=False,
    up_known=False,
    baselines=None,
    seed=0,
):
    """The evaluation as a JSON-ready dict: what made the numbers, overall, groups and baselines ({name: method})."""
    protocol = {"joints": benchmark.joints, "pck_joints": benchmark.pck_joints}
    name, notes = mode, list(benchmark.notes)
    if mode == "stream":
        method = partial(methods.stream, lifter, lookahead=lookahead, up_known=up_known)
    else:
        options = {"steps": steps, "flip": flip, "causal": causal, "oracle_label": oracle_label, "up_known": up_known}
        name, method = _offline(lifter, mode, samples, aggregate, seed, options)
    if up_known:
        notes.append("up was told, without an error")
    if oracle_label:
        notes.append(_oracle_note(lifter, benchmark))
    if lifter.provenance.get("temperature_from", "").startswith(temperature_source(benchmark)):
        notes.append("sigma's temperature was fitted on this very split: coverage_90 and ece are in-sample (oracle)")
    result = score(method, benchmark.sequences, **protocol)
    report = {
        "data": benchmark.data,
        "weights": lifter.weights_name,
        "training": {k: lifter.provenance.get(k) for k in ("steps", "minutes")},
        "temperature": lifter.temperatures[f"lookahead {lookahead}" if mode == "stream" else "offline"],
        "mode": name,
        "backend": lifter.backend_name,
        "lookahead": lookahead if mode == "stream" else None,
        "steps": steps,
        "hypotheses": samples,
        "aggregation": aggregate,
        "seed": seed,
        "detector": benchmark.detector,
        "detector_noise": benchmark.detector_noise,
        "headline": benchmark.headline,
        "notes": notes,
        **result,
        "actions": action_scores(lifter, benchmark.sequences, causal=causal or mode == "stream"),
    }
    if baselines:
        report["baselines"] = {
            key: score(baseline, benchmark.sequences, **protocol)[benchmark.headline]
            for key, baseline in baselines.items()
        }
    return report


def _offline(lifter, mode, samples, aggregate, seed, options):
    """(name, method) of lifting whole sequences."""
    if aggregate != "mean" and samples == 1:
        raise ValueError(f"aggregate: expected more than one hypothesis for {aggregate}, got samples 1")
    name = ("offline_causal" if options["causal"] else mode) + ("_flip" if options["flip"] else "")
    name += "_oracle_label" if options["oracle_label"] else ""
    if samples == 1:
        return name, partial(methods.offline, lifter, **options)
    return name, partial(methods.sampled, lifter, samples=samples, aggregate=aggregate, seed=seed, **options)


def _oracle_note(lifter, benchmark):
    """What a report says where the network was given true actions; ValueError where the data have none."""
    given = sum(methods.true_action(lifter, sequence) is not None for sequence in benchmark.sequences)
    if not given:
        raise ValueError(f"oracle_label: expected actions among {', '.join(lifter.actions)}, got none in this data")
    return (
        f"the true action was given to {given} of {len(benchmark.sequences)} sequences (oracle label): an upper "
        "bound, no result"
    )


def table(*, lifter, by_detector, baselines=None, seed=0, up_known=False, **offline):
    """Offline and streaming at every lookahead, for each `Benchmark` of {detector: benchmark}: {row name: report}."""
    rows = {}
    for detector, benchmark in by_detector.items():
        options = {"lifter": lifter, "benchmark": benchmark, "seed": seed, "up_known": up_known}
        report = evaluate(mode="offline", baselines=baselines, **options, **offline)
        rows[f"{detector}: {report['mode']}"] = report
        for lookahead in LOOKAHEADS:
            rows[f"{detector}: stream, lookahead {lookahead}"] = evaluate(mode="stream", lookahead=lookahead, **options)
    return rows


def temperature_source(benchmark):
    """How a checkpoint names the data that its temperature was fitted on."""
    return f"{benchmark.data.get('motions', benchmark.data.get('benchmark'))} {benchmark.data.get('split', '')}"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Measure the errors of a network on motion capture (--motions) on a recording or on a benchmark.

    One hypothesis, no label, an estimated root. What chooses by the ground truth is printed as oracle.
    """

    weights: str = "small"
    """Shipped name or path."""
    motions: str | None = None
    """Motion file (.npz) to evaluate on. Beside a benchmark: the source of the mean-pose baseline."""
    split: str = "dev"
    """Split of the motion file."""
    every: int = 1
    """Motion capture: only every n-th clip of the split."""
    recording: str | None = None
    """Recording of one person by calibrated cameras (.npz), see dp3d_core/data/recorded.py."""
    h36m_3d: str | None = None
    """Human3.6M: VideoPose3D's data_3d_h36m.npz."""
    h36m_2d: str | None = None
    """Human3.6M: VideoPose3D's data_2d_h36m_*.npz, or gt."""
    cameras: str | None = None
    """Human3.6M: cameras.json or VideoPose3D's h36m_dataset.py."""
    joints: Literal[14, 17] = 17
    """Human3.6M: number of joints that count."""
    mpi_test: str | None = None
    """MPI-INF-3DHP: P-STMO's data_test_3dhp.npz."""
    calibration: tuple[str, str] | None = None
    """MPI-INF-3DHP: ts1-4cameras.calib ts5-6cameras.calib."""
    annotation: Literal["univ", "annot3"] = "univ"
    """MPI-INF-3DHP: the kind of truth in the file."""
    mode: Literal["stream", "offline", "table"] | None = None
    """Default: table (offline and every stream), or stream if --lookahead is given."""
    lookahead: Lookahead | None = None
    """Stream: frames of lag (default 0)."""
    detector: Literal["noisy", "exact"] = "noisy"
    """Motion capture: 2D from the model of a detector, or exact."""
    rate_hz: float = 30.0
    """Motion capture: frame rate."""
    coco: bool = False
    """Motion capture: only what a COCO detector sees, without spine and head top."""
    steps: int = 1
    """Offline: denoising steps."""
    samples: int = 1
    """Offline: hypotheses; with more than one, the best of them is also printed, as an oracle."""
    aggregate: Aggregate = "mean"
    """Offline: how hypotheses become one answer."""
    flip: bool = False
    """Offline: mean with the answer for the mirrored person, as papers evaluate."""
    causal: bool = False
    """Offline, but looking back only, as a stream does."""
    up_known: bool = False
    """Tell the network what is up in the picture, as TF or an IMU would."""
    oracle_label: bool = False
    """Offline: give the network the true action (an oracle)."""
    seed: int = 0
    """Seed of cameras, detector noise and hypotheses."""
    json: str | None = None
    """Write the report to this file."""
    fit_temperature: str | None = None
    """Fit the temperatures of sigma on this data and write the weights to this file."""


def command(options: EvaluateOptions) -> None:
    """Evaluate, print the report and write it as JSON."""
    torch.set_num_threads(1)
    if options.json:  # before the work, not after it
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    lifter = Lifter.load(options.weights)
    mode = options.mode or ("table" if options.lookahead is None else "stream")
    by_detector, baselines = _benchmarks(options, mode, lifter)
    if options.fit_temperature:
        print(_fit(lifter, next(iter(by_detector.values())), options.fit_temperature))
        return
    offline = {name: getattr(options, name) for name in OFFLINE_DEFAULTS}
    common = {"lifter": lifter, "baselines": baselines, "seed": options.seed, "up_known": options.up_known}
    if mode == "table":
        report = table(by_detector=by_detector, **common, **offline)
        text = format_table(report)
    else:
        (benchmark,) = by_detector.values()
        if mode == "stream":
            _refuse_offline_options(options)
            offline = {}
        report = evaluate(benchmark=benchmark, mode=mode, lookahead=options.lookahead or 0, **common, **offline)
        text = format_report(report)
    print(text)
    if options.json:
        write_json(options.json, report)


def _refuse_offline_options(options):
    """ValueError for an offline option beside a stream, which would ignore it."""
    for name, default in OFFLINE_DEFAULTS.items():
        if getattr(options, name) != default:
            raise ValueError(f"--{name.replace('_', '-')}: expected with --mode offline or table, got a stream")


def _benchmarks(options, mode, lifter):
    """({detector: `Benchmark`}, {baseline name: method}) that the command line asks for."""
    given = [name for name in ("recording", "h36m_3d", "mpi_test") if getattr(options, name)]
    if len(given) > 1 or not (given or options.motions):
        raise ValueError(
            "data: expected one of --motions, --recording, --h36m-3d and --mpi-test; the benchmarks are evaluated apart"
        )
    motions = load_motions(options.motions) if options.motions else None
    baselines = (
        {} if motions is None else {"mean_pose": methods.mean_pose(methods.training_mean(motions.split("train")))}
    )
    baselines["per_frame"] = partial(methods.per_frame, lifter)
    if "recording" in given:
        benchmark = benchmarks.recorded(options.recording)
        return {benchmark.detector: benchmark}, baselines
    if "h36m_3d" in given:
        if not options.h36m_2d or not options.cameras:
            raise ValueError("--h36m-3d: expected --h36m-2d (FILE or gt) and --cameras FILE beside it")
        benchmark = benchmarks.human36m(options.h36m_3d, options.h36m_2d, options.cameras, joints=options.joints)
        return {benchmark.detector: benchmark}, baselines
    if "mpi_test" in given:
        benchmark = benchmarks.mpi_inf_3dhp(options.mpi_test, options.calibration, annotation=options.annotation)
        return {benchmark.detector: benchmark}, baselines
    detectors = [options.detector]
    if options.fit_temperature:
        detectors = ["noisy"]
    elif mode == "table":
        detectors = list(benchmarks.DETECTORS)
    assert motions is not None
    if options.every < 1:
        raise ValueError(f"--every: expected 1 or more, got {options.every}")
    held = motions.split(options.split)
    held = held.select(range(0, len(held), options.every))
    return {
        detector: benchmarks.synthetic(
            held,
            name=Path(options.motions).name,
            split=options.split,
            detector=detector,
            rate_hz=options.rate_hz,
            seed=options.seed,
            coco=options.coco,
        )
        for detector in detectors
    }, baselines


def _fit(lifter, benchmark, path):
    """Write the weights with the temperatures fitted on `benchmark`, one for each use; returns a line that says so."""
    temperatures = fitted_temperatures(lifter, benchmark.sequences)
    source = f"{temperature_source(benchmark)}, {benchmark.detector}"
    checkpoint.save(
        path,
        lifter.encoder,
        actions=lifter.actions,
        temperatures=temperatures,
        provenance=lifter.provenance | {"temperature_from": source},
        motion_denoiser=lifter.motion_denoiser,
        denoiser=lifter.denoiser,
    )
    changes = ", ".join(f"{use} {lifter.temperatures[use]:.3f} -> {new:.3f}" for use, new in temperatures.items())
    return f"temperatures: {changes}: {path}"
