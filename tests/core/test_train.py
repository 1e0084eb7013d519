"""Training learns, stops and goes on as if it had not stopped, and two processes hold one network."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from helpers import by_joint_config, tiny_config, walking_motions
from safetensors.torch import load_file

from dp3d_core import checkpoint
from dp3d_core.cli import run as dp3d
from dp3d_core.config import PRESETS, ModelConfig, TrainConfig, from_dict, to_dict
from dp3d_core.data.motions import save_motions
from dp3d_core.lift import Lifter
from dp3d_core.training import run as train
from dp3d_core.training.state import read_state, refuse_another_run

TINY = {"window_frames": 8, "joint_width": 16, "joint_layers": 1, "frame_width": 32, "frame_layers": 1, "heads": 4,
        "joint_heads": 2, "condition_width": 16, "prompt_width": 16}  # fmt: skip
SHORT = {"batch": 4, "sequence_frames": 8, "steps": 6, "warmup": 2, "precision": "float32"}


@pytest.fixture
def motions(tmp_path):
    path = tmp_path / "motions.npz"
    save_motions(path, walking_motions())
    return path


def run(out, motions, *, model=None, resume=False, minutes=None, save_every_s=300, start=None, **options):
    return train.run(
        model=model or ModelConfig(**TINY),
        train=TrainConfig(**(SHORT | options)),
        motions_path=motions,
        out=out,
        resume=resume,
        minutes=minutes,
        log_every=1,
        save_every_s=save_every_s,
        start=start,
    )


def rows(out, key="lr"):
    """The log's rows by step, those with `key`; later rows of the same step replace earlier ones."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    drop = ("minutes",)
    return {row["step"]: {k: v for k, v in row.items() if k not in drop} for row in lines if key in row}


class Killed(BaseException):
    """What a test throws into a run."""


def kill_at(monkeypatch, steps):
    """Let a run take this many steps, then die as by a signal; returns what it dies of."""
    taken, step = [], train.Run.step

    def dying(self, *arguments):
        if len(taken) == steps:
            raise Killed
        taken.append(step)
        return step(self, *arguments)

    monkeypatch.setattr(train.Run, "step", dying)
    return Killed


def test_a_killed_and_resumed_run_has_the_losses_and_weights_of_an_uninterrupted_one(tmp_path, motions, monkeypatch):
    whole = run(tmp_path / "whole", motions)
    with monkeypatch.context() as patch:
        kill_at(patch, 3)
        with pytest.raises(Killed):
            run(tmp_path / "killed", motions, save_every_s=0)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    resumed = run(tmp_path / "killed", motions, resume=True)
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    left, right = load_file(whole), load_file(resumed)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_same_seed_same_run_and_another_seed_another(tmp_path, motions):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, motions, seed=seed, steps=2)
    assert rows(tmp_path / "a") == rows(tmp_path / "b") != rows(tmp_path / "c")


def test_loss_falls_on_a_tiny_set(tmp_path, motions):
    run(tmp_path / "out", motions, steps=60, batch=8, learning_rate=3e-3, ema_decay=0.9)
    losses = [row["causal/position"] for row in rows(tmp_path / "out").values() if "causal/position" in row]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])
    assert all("dev_mpjpe_mm" in row for row in rows(tmp_path / "out", "dev_mpjpe_mm").values())


def test_weights_are_a_checkpoint_that_says_how_it_was_made(tmp_path, motions):
    path = run(tmp_path / "out", motions, steps=2)
    loaded = checkpoint.load(path)
    assert loaded.provenance["steps"] == 2 and loaded.provenance["motions"] == "motions.npz"
    assert loaded.provenance["train"] == to_dict(TrainConfig(**(SHORT | {"steps": 2})))
    assert Lifter.load(path, backend="eager").config == ModelConfig(**TINY)


def test_shipped_weights_are_the_average(tmp_path, motions):
    path = run(tmp_path / "out", motions, steps=3)
    state = load_file(tmp_path / "out" / "state0.safetensors")
    weights = load_file(path)
    assert all(torch.equal(weights[name], state[f"ema.{name}"]) for name in weights)
    assert any(not torch.equal(weights[name], state[f"model.{name}"]) for name in weights)


def test_average_is_the_recursion():
    module = torch.nn.Linear(1, 1, bias=False)
    ema, expected = train.Ema(module, 0.5), module.weight.item()
    for step in range(30):
        with torch.no_grad():
            module.weight += 1
        ema.update(module, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * float(module.weight)
    assert float(ema.values["weight"]) == pytest.approx(expected, rel=1e-5)


def test_learning_rate_warms_up_then_falls_to_a_hundredth():
    options = TrainConfig(learning_rate=1e-3, warmup=10)
    rates = [train.learning_rate(options, step / 1000, step) for step in range(1001)]
    assert rates[0] == pytest.approx(1e-4, rel=0.01) and max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5)


@pytest.mark.parametrize("changes", [{"steps": 7}, {"learning_rate": 2e-3}])
def test_resuming_with_other_options_is_refused(tmp_path, motions, changes):
    run(tmp_path / "out", motions, steps=2)
    with pytest.raises(ValueError, match=r"--resume: .* was made with other options"):
        run(tmp_path / "out", motions, resume=True, **({"steps": 2} | changes))


def test_resuming_another_network_is_refused(tmp_path, motions):
    run(tmp_path / "out", motions, steps=2)
    for model in (ModelConfig(**(TINY | {"frame_width": 64})), by_joint_config()):
        with pytest.raises(ValueError, match=r"--resume: .* was made with other options"):
            run(tmp_path / "out", motions, resume=True, steps=2, model=model)


def test_resuming_nothing_or_a_broken_state_is_one_clear_error(tmp_path, motions):
    with pytest.raises(ValueError, match=r"--resume: expected .*state0.safetensors of an earlier run"):
        run(tmp_path / "out", motions, resume=True)
    run(tmp_path / "out", motions, steps=1)
    state = tmp_path / "out" / "state0.safetensors"
    for content in (b"", state.read_bytes()[:1000], b"junk" * 100):
        state.write_bytes(content)
        with pytest.raises(ValueError, match=r"--resume: .*state0.safetensors"):
            run(tmp_path / "out", motions, resume=True, steps=1)


def test_training_ends_with_its_minutes(tmp_path, motions):
    path = run(tmp_path / "out", motions, minutes=0.01, steps=100_000)
    assert 0 < checkpoint.load(path).provenance["steps"] < 100_000


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path, motions, monkeypatch):
    monkeypatch.setattr(train, "weigh", lambda parts, options: sum(parts.values()) * float("nan"))
    with pytest.raises(FloatingPointError, match="step 0: gradient norm"):
        run(tmp_path / "out", motions)


@pytest.mark.parametrize("model", [by_joint_config(), tiny_config(action_prompts=False, part_prompts=False,
                                   affinity=False, log_variance=False, hallucinated_frames=1)])  # fmt: skip
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_kind_of_network_trains(tmp_path, motions, model, precision):
    run(tmp_path / "out", motions, model=model, precision=precision, steps=3)


def command(out, motions, *more):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (TINY | SHORT).items()]
    return ["-m", "dp3d_core.train", f"--motions={motions}", f"--out={out}", "--device=cpu", *options, *more]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# As torchrun starts a process: it saves after every step, and notes what its own network is then.
PROCESS = """
import os, sys
from functools import partial
from safetensors.torch import save_file
from torch import distributed
from dp3d_core.cli import run as dp3d
from dp3d_core.training import command
from dp3d_core.training import run as train
from dp3d_core.training import state as train_state

rank, dies_at, save = os.environ["RANK"], int(os.environ.get("DIES_AT", 0)), train.save_state

def noting(path, denoiser, ema, optimizer, generator, head):
    own = {"generator": generator.get_state()} | {f"ema.{name}": value for name, value in ema.values.items()}
    save_file(own | denoiser.state_dict(), path.with_name(f"own{rank}.safetensors"))
    if rank == "0" and head["step"] == dies_at:
        train_state.save_file = lambda *_, **__: os._exit(9)  # all have come to this save, nothing is written
    save(path, denoiser, ema, optimizer, generator, head)

train.save_state, command.run = noting, partial(train.run, save_every_s=-1, log_every=1)
dp3d("train")
assert not distributed.is_initialized()
"""


def two_processes(out, motions, *options, **environment):
    """[(exit code, what it complained of)] of both processes of a run."""
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(free_port()), **environment}  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, *command(out, motions, *options)[2:]],
            stderr=subprocess.PIPE,
            text=True,
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        complaints = [process.communicate(timeout=90)[1] for process in processes]
        return [(process.returncode, complaint[-3000:]) for process, complaint in zip(processes, complaints)]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ends_well(ended):
    assert [code for code, _ in ended] == [0, 0], ended


def test_two_processes_hold_one_network(tmp_path, motions):
    """By minutes, so that each process' own clock would tear them apart."""
    ends_well(two_processes(tmp_path / "out", motions, "--steps=100000", "--minutes=0.03"))
    first, second = (load_file(tmp_path / "out" / f"own{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    different = {name for name in first if not torch.equal(first[name], second[name])}
    assert different == {"generator"}  # each draws its own data
    assert checkpoint.load(tmp_path / "out" / "weights.safetensors").provenance["processes"] == 2


@pytest.mark.timeout(400)
def test_two_processes_killed_amid_a_save_go_on_together(tmp_path, motions):
    """The second has left step 4 behind when the first dies before writing it: both go on from step 3."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ends_well(two_processes(whole, motions))
    (code, _), (other, _) = two_processes(killed, motions, DIES_AT="4")
    assert code == 9 and other != 0 and not (killed / "weights.safetensors").exists()
    with pytest.raises(SystemExit, match=r"--resume: .*is of 2 process\(es\), .* got 1; start 2, or"):
        dp3d("train", command(killed, motions, "--resume")[2:])
    ends_well(two_processes(killed, motions, "--resume"))
    assert rows(killed) == rows(whole)
    for name in ("weights", "own0", "own1"):
        left, right = (load_file(out / f"{name}.safetensors") for out in (whole, killed))
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_state_of_one_process_is_not_resumed_by_two(tmp_path, motions, monkeypatch):
    run(tmp_path / "out", motions, steps=1)
    made, _ = read_state(tmp_path / "out" / "state0.safetensors")
    with pytest.raises(ValueError, match=r"is of 1 process\(es\), .* got 2; start 1, or"):
        refuse_another_run(made, made | {"processes": 2}, "state")
    older = {key: value for key, value in made.items() if key not in ("processes", "data")}
    refuse_another_run(older, made, "state")


def test_resuming_from_other_motions_is_refused(tmp_path, motions):
    run(tmp_path / "out", motions, steps=1)
    other = motions.rename(tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"--resume: .*made from other data \(.*motions\.npz"):
        run(tmp_path / "out", other, resume=True, steps=1)


def test_a_run_says_how_much_of_its_time_has_a_label(tmp_path, capsys):
    path = tmp_path / "motions.npz"
    save_motions(path, walking_motions(lengths=(540, 180, 40), actions=("walk", "unheard of", "wave")))
    run(tmp_path / "out", path, steps=1)
    assert capsys.readouterr().out == "action labels: 75 % of 0.4 minutes\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--heads=5"], "ModelConfig.heads"), (["--batch=0"], "TrainConfig.batch"),
        (["--motions=absent.npz"], "absent.npz"), (["--minutes=0"], "--minutes"),
        (["--resume"], "--resume: expected"), (["--threads=0"], "--threads: expected at least 1, got 0"),
        (["--device=tpu"], "--device: expected cpu"), (["--learning-rate=1e35"], "lower --learning-rate"),
    ],
)  # fmt: skip
def test_command_line_errors_are_one_line(tmp_path, motions, more, message):
    with pytest.raises(SystemExit) as caught:
        dp3d("train", command(tmp_path / "out", motions, *more)[2:])
    assert str(caught.value).startswith("train: ") and message in str(caught.value)


@pytest.mark.parametrize("word", ["nonsense", "", "2"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(tmp_path, motions, word, capsys):
    with pytest.raises(SystemExit):
        dp3d("train", command(tmp_path / "out", motions, f"--affinity={word}")[2:])
    printed = " ".join(capsys.readouterr().err.split())
    assert f"--affinity: expected one of true, yes, 1, false, no, 0, got {word!r}" in printed


def test_a_motion_file_without_a_split_is_named(tmp_path):
    path = tmp_path / "all_train.npz"
    save_motions(path, walking_motions(splits=("train",) * 3))
    with pytest.raises(SystemExit, match=r"train: .*all_train\.npz: split: expected one of \['train'\], got 'dev'"):
        dp3d("train", command(tmp_path / "out", path)[2:])


def test_a_run_begins_from_given_weights(tmp_path, motions):
    first = run(tmp_path / "first", motions, steps=2)
    still = run(tmp_path / "second", motions, steps=1, learning_rate=0.0, start=first)
    left, right = load_file(first), load_file(still)
    for name in left:
        torch.testing.assert_close(left[name], right[name])
    with pytest.raises(ValueError, match=r"--start: .* does not fit"):
        run(tmp_path / "third", motions, steps=1, start=first, model=ModelConfig(**(TINY | {"frame_width": 64})))


def test_a_run_may_be_prolonged_before_its_learning_rate_falls(tmp_path, motions):
    options = TrainConfig(learning_rate=1e-3, warmup=1, hold_share=0.5)
    assert train.learning_rate(options, 0.4, 400) == train.learning_rate(options, 0.2, 400) == 1e-3
    run(tmp_path / "out", motions, minutes=0.01, steps=100_000)
    before = read_state(tmp_path / "out" / "state0.safetensors")[0]["step"]
    longer = run(tmp_path / "out", motions, minutes=0.05, steps=100_000, resume=True)
    assert checkpoint.load(longer).provenance["steps"] > before


def test_command_line_makes_the_configs(tmp_path, motions, monkeypatch, capsys):
    asked = {}
    monkeypatch.setattr("dp3d_core.training.command.run", lambda **options: asked.update(options) or "there")
    dp3d("train", command(tmp_path / "out", motions, "--affinity=false", "--minutes=2.5", "--seed=4")[2:])
    assert asked["model"] == ModelConfig(**TINY, affinity=False)
    assert asked["train"] == from_dict(TrainConfig, SHORT | {"seed": 4})
    assert asked["minutes"] == 2.5 and capsys.readouterr().out == "weights: there\n"
    dp3d("train", ["--preset=base", f"--motions={motions}", f"--out={tmp_path}"])
    assert asked["model"] == PRESETS["base"]
