"""One command: every subcommand is listed, documents its options, and answers a mistake with one sentence."""

import runpy
import subprocess
import sys
from dataclasses import fields
from importlib import import_module

import pytest

from dp3d_core import cli
from dp3d_core.config import ModelConfig, TrainConfig
from dp3d_core.data.bvh import BvhOptions

NEEDS_ROS = {"demo"}


def test_the_list_has_a_line_for_every_subcommand(capsys):
    cli.main(["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for name, (_, sentence) in cli.COMMANDS.items():
        assert sum(line.startswith(name + " ") and line.endswith(sentence) for line in lines) == 1


@pytest.mark.parametrize("options", [["--help"], []])
def test_the_list_loads_nothing_heavy(options):
    code = (
        "import sys; from dp3d_core.cli import main; main(sys.argv[1:]);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'scipy', 'rclpy', 'tyro')))"
    )
    assert subprocess.run([sys.executable, "-c", code, *options], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_subcommand_documents_its_options(name, capsys):
    if name in NEEDS_ROS:
        pytest.importorskip("rclpy")
    with pytest.raises(SystemExit) as stopped:
        cli.run(name, ["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    module, _, function = cli.COMMANDS[name][0].partition(":")
    options = cli.options_of(getattr(import_module(module), function))
    assert stopped.value.code == 0 and " ".join(options.__doc__.split("\n")[0].split()) in shown
    assert shown.count("default:") + shown.count("required") >= len(fields(options))


def test_every_field_of_the_configs_is_an_option_of_train(capsys):
    with pytest.raises(SystemExit):
        cli.run("train", ["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    for item in (*fields(TrainConfig), *fields(ModelConfig)):
        assert f"--{item.name.replace('_', '-')} " in shown
        assert " ".join(item.metadata["help"].split()[:3]) in shown


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["lfit"], "dp3d: expected a subcommand of lift, generate"),
        (["train", "--out", "x", "--batch", "0"], "train: TrainConfig.batch: expected"),
        (["evaluate"], "evaluate: data: expected one of --motions"),
        (["calibrate", "absent.npz"], "absent.npz"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(argv, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    printed = capsys.readouterr().err
    assert stopped.value.code == 2 and sentence in printed and printed.count("\n") == 1


@pytest.mark.parametrize("argv", [["train"], ["train", "--out", "x", "--outt", "y"], ["stress", "--lookahead", "3"]])
def test_options_that_are_missing_or_unknown_are_named(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2 and "--" in capsys.readouterr().err


@pytest.mark.parametrize("module", [
    "train", "evaluate", "ablate", "smoothness", "stress", "prior_report", "prompts", "compile", "bench.__main__",
    "detect", "calibrate", "data.bvh", "data.h36m", "data.fit_noise", "data.plot_cameras",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_the_documented_modules_run_their_subcommand(module, monkeypatch):
    ran = []
    monkeypatch.setattr(cli, "run", ran.append)
    runpy.run_module(f"dp3d_core.{module}", run_name="__main__")
    assert ran == [module.removesuffix(".__main__").split(".")[-1].replace("_", "-")]


def test_an_interrupt_ends_without_a_traceback(monkeypatch):
    def interrupted(options: BvhOptions) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dp3d_core.data.bvh.command", interrupted)
    with pytest.raises(SystemExit) as stopped:
        cli.run("bvh", ["a.bvh", "--out", "b.npz", "--split", "dev"])
    assert stopped.value.code == 130
