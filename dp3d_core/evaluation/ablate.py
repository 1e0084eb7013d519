"""`dp3d ablate`: what each part of the network is worth, at equal budget.

Every run has the same steps, seeds and training data in the same order, at one reduced size; what differs is named by
its variant. Each is scored on the development split as it would be served.
"""

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from math import inf, log
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from dp3d_core import checkpoint
from dp3d_core.config import ModelConfig, TrainConfig, to_dict
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.field import Field
from dp3d_core.data.motions import load_motions
from dp3d_core.data.windows import MotionBank, sample_batch
from dp3d_core.evaluation import methods
from dp3d_core.evaluation.ablation_table import TABLE_JSON, TABLE_MD, write_tables
from dp3d_core.evaluation.benchmarks import synthetic
from dp3d_core.evaluation.metrics import KEYS
from dp3d_core.evaluation.report import write_json
from dp3d_core.evaluation.scoring import NoAnswer, fitted_temperatures, score
from dp3d_core.lift import Lifter
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.encoder import UP_CHANNELS, Encoder
from dp3d_core.training import run as train
from dp3d_core.training.encoding import LAYOUT_SHARES, LAYOUTS, step_losses, weigh
from dp3d_core.training.optimizer import MuonAdamW
from dp3d_core.training.precision import autocast

REDUCED = ModelConfig(joint_width=32, frame_width=128, joint_layers=2, frame_layers=3)
"""The preset `small` at about a third of its cost: 3 temporal blocks of 128 channels, joint tokens of 32."""
PARTS_OFF = {"action_prompts": False, "part_prompts": False, "affinity": False, "log_variance": False}
COST_FRAMES = 48
TEMPERATURE_CLIPS = 24
"""Training clips, seen through other noise, on which each run's temperatures are fitted: dev stays unseen."""


def multiply_adds(model, frames=COST_FRAMES):
    """Millions of multiply-adds a frame of one pass over `frames` frames (torch.utils.flop_counter counts two each)."""
    encoder = Encoder(model, len(ACTIONS)).eval()
    mask = causal_mask(frames, model.window_frames)[None]
    seen, up = torch.zeros(1, frames, 17, 4), torch.zeros(1, frames, UP_CHANNELS)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(seen, up, torch.zeros(1, frames), mask)
    return counter.get_total_flops() / 2e6 / frames


def mixste_like(full):
    """Joint tokens throughout, spatial and temporal blocks in turn, no parts: the width nearest to `full`'s cost."""
    base = replace(full, temporal_token="joint", joint_layers=full.frame_layers, joint_heads=4, **PARTS_OFF)

    def of_width(width):  # heads of equal, even width, for rotary positions
        return replace(base, joint_width=width, frame_width=width, heads=4 if width % 8 == 0 else 2)

    return _nearest(full, map(of_width, range(32, 2 * full.frame_width + 1, 4)), multiply_adds)


def wider_plain(full, measure):
    """`full` with all parts off and its frame tokens widened to what `measure` says of `full`: its cost or its size."""
    widths = range(full.frame_width, 2 * full.frame_width + 1, 2 * full.heads)
    return _nearest(full, (replace(full, frame_width=width, **PARTS_OFF) for width in widths), measure)


def parameters(model):
    """Number of parameters."""
    return sum(p.numel() for p in Encoder(model, len(ACTIONS)).parameters())


def _nearest(full, candidates, measure):
    """The first of ever larger models after which they move away from `full`'s measure."""
    target, nearest, best = measure(full), inf, full
    for model in candidates:
        distance = abs(log(measure(model) / target))
        if distance > nearest:
            break
        nearest, best = distance, model
    return best


def variants(full=REDUCED):
    """{name: ModelConfig}."""
    return {
        "full": full,
        "no action prompts": replace(full, action_prompts=False),
        "no affinity": replace(full, affinity=False),
        "no part prompts": replace(full, part_prompts=False),
        "no log-variance": replace(full, log_variance=False),
        "plain": replace(full, **PARTS_OFF),
        "plain of equal size": wider_plain(full, parameters),
        "plain of equal cost": wider_plain(full, multiply_adds),
        "MixSTE": mixste_like(full),
    }


def step_seconds(model, options, bank):
    """Seconds of a training step, measured on one of each layout."""
    encoder = Encoder(model, len(ACTIONS)).train()
    optimizer = MuonAdamW(encoder, learning_rate=0.0, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    layouts = dict.fromkeys(LAYOUTS, 0.0)
    for layout in (LAYOUTS[0], *LAYOUTS):  # the first once more: allocations and kernels warm up
        began = time.perf_counter()
        batch = sample_batch(bank, options.batch, options.sequence_frames, generator=generator, reach=0, field=Field())
        with autocast(options.precision, "cpu"):
            loss = weigh(step_losses(encoder, model, batch, layout, generator), options)
        loss.backward()
        optimizer.step()
        layouts[layout] = time.perf_counter() - began
    return sum(share * layouts[layout] for share, layout in zip(LAYOUT_SHARES, LAYOUTS))


def evaluate_run(weights, motions, seed=0):
    """Overall dev metrics {"stream 0", "stream 4", "offline": row} and temperatures, fitted on training clips."""
    lifter = Lifter.load(weights, backend="eager")
    held = motions.split("train")
    few = held.select(range(0, len(held), max(1, len(held) // TEMPERATURE_CLIPS)))
    calibration = synthetic(few, seed=seed + 1).sequences
    lifter.temperatures = fitted_temperatures(lifter, calibration)
    dev = synthetic(motions.split("dev"), seed=seed).sequences
    method_of = {
        "stream 0": partial(methods.stream, lifter),
        "stream 4": partial(methods.stream, lifter, lookahead=4),
        "offline": partial(methods.offline, lifter),
    }
    rows = {mode: _overall(method, dev) for mode, method in method_of.items()}
    loaded = checkpoint.load(weights)
    provenance = loaded.provenance | {"temperature_from": f"{len(calibration)} training clips, noisy"}
    checkpoint.save(
        weights, loaded.encoder, actions=loaded.actions, temperatures=lifter.temperatures, provenance=provenance
    )
    return rows, lifter.temperatures


def _overall(method, sequences):
    try:
        return score(method, sequences)["overall"]
    except NoAnswer:  # so little training that nobody could be placed: a row of the table all the same
        return dict.fromkeys(KEYS, float("nan")) | {"frames": 0}


def run_one(name, model, options, motions_path, motions, folder):
    """Train (or go on training) and score one variant with one seed; writes and returns its result."""
    resume = (folder / "state0.safetensors").is_file()
    if not resume:
        (folder / "log.jsonl").unlink(missing_ok=True)
    weights = train.run(
        model=model, train=options, motions_path=motions_path, out=folder, resume=resume, save_every_s=120
    )
    rows, temperatures = evaluate_run(weights, motions)
    result = {
        "variant": name,
        "seed": options.seed,
        "motions": Path(motions_path).name,
        "model": to_dict(model),
        "train": to_dict(options),
        "multiply_adds_m": multiply_adds(model),
        "parameters": parameters(model),
        "minutes": checkpoint.load(weights).provenance["minutes"],
        "temperatures": temperatures,
        "rows": rows,
    }
    part = folder / "result.part"
    write_json(part, result)
    part.replace(folder / "result.json")
    return result


def plan(chosen, seeds, common, motions_path, out, resume):
    """[(name, model, options, folder)] that are still to run; ValueError where `out` holds something else."""
    todo = []
    for seed in seeds:
        for name, model in chosen.items():
            folder = out / f"{name.replace(' ', '_')}-seed{seed}"
            options = replace(common, seed=seed)
            done = folder / "result.json"
            if (done.is_file() or (folder / "state0.safetensors").is_file()) and not resume:
                raise ValueError(
                    f"--out: {folder} holds an earlier run; pass --resume to keep it, or take another folder"
                )
            if done.is_file():
                held = json.loads(done.read_text())
                if (held["model"], held["train"], held["motions"]) != (
                    to_dict(model),
                    to_dict(options),
                    Path(motions_path).name,
                ):
                    raise ValueError(f"--out: {done} was made with other options or motions; take another folder")
            else:
                todo.append((name, model, options, folder))
    return todo


def run(*, motions_path, out, steps, seeds, only=None, resume=False, batch=None, sequence_frames=None, say=print):
    """Run what is not finished, then write the tables; returns the table's rows."""
    out, every = Path(out), variants()
    unknown = sorted(set(only or ()) - set(every))
    if unknown:
        raise ValueError(f"--only: expected some of {list(every)}, got {unknown[0]!r}")
    chosen = {name: every[name] for name in every if not only or name in only}
    changes = {"batch": batch, "sequence_frames": sequence_frames}
    common = TrainConfig(steps=steps, **{key: value for key, value in changes.items() if value is not None})
    todo = plan(chosen, seeds, common, motions_path, out, resume)
    motions = load_motions(motions_path)
    bank = MotionBank(motions.split("train"))
    models = {name: (model, options) for name, model, options, _ in todo}
    if models:  # the process's first step is slow, whichever variant it is
        step_seconds(*next(iter(models.values())), bank)
    minutes = {name: step_seconds(*pair, bank) * steps / 60 for name, pair in models.items()}
    left = sum(minutes[name] for name, *_ in todo)
    say(f"{len(todo)} runs of {steps} steps to go: about {left:.0f} minutes of training on one thread, and scoring")
    for name in models:
        say(
            f"  {name}: {multiply_adds(models[name][0]):.2f} M multiply-adds a frame, about {minutes[name]:.0f} minutes"
        )
    for index, (name, model, options, folder) in enumerate(todo, start=1):
        say(f"[{index}/{len(todo)}] {name}, seed {options.seed}: about {minutes[name]:.0f} of {left:.0f} minutes")
        result = run_one(name, model, options, motions_path, motions, folder)
        left -= minutes[name]
        row = result["rows"]["stream 0"]
        say(f"[{index}/{len(todo)}] {name}, seed {options.seed}: zero-lag MPJPE {row['mpjpe_mm']:.1f} mm")
        write_tables(out, list(every))
    return write_tables(out, list(every))


@dataclass(frozen=True, kw_only=True)
class AblateOptions:
    """Train every variant of the network with equal steps, seeds and data, and tabulate what each part is worth."""

    out: Path
    """Folder of runs and tables; two processes may share it."""
    motions: str | None = None
    """Motion file (.npz)."""
    steps: int = 1000
    """Training steps of every run."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of every variant."""
    only: tuple[str, ...] = ()
    """Variants to run (default: all); quote names with spaces."""
    resume: bool = False
    """Skip finished runs and go on with interrupted ones."""
    report: bool = False
    """Only write the tables of what is finished."""
    batch: int | None = None
    """Sequences in a step (default: that of training)."""
    sequence_frames: int | None = None
    """Frames in a sequence (default: that of training)."""
    threads: int = 1
    """Threads of one operation."""


def command(options: AblateOptions) -> None:
    """Run what is not finished, write the tables and print them."""
    torch.set_num_threads(options.threads)
    if options.report:
        write_tables(options.out, list(variants()))
    elif not options.motions:
        raise ValueError("--motions: expected a mocap npz, got none")
    else:
        run(
            motions_path=options.motions,
            out=options.out,
            steps=options.steps,
            seeds=options.seeds,
            only=options.only,
            resume=options.resume,
            batch=options.batch,
            sequence_frames=options.sequence_frames,
            say=partial(print, flush=True),
        )
    markdown = options.out / TABLE_MD
    print(f"{markdown.read_text()}\ntables: {markdown}, {options.out / TABLE_JSON}")
