"""The command `dp3d`: one subcommand for each thing that dp3d does; `dp3d --help` lists them with a line each.

To add a subcommand, add one line to COMMANDS: its name, the function that runs it, and one sentence for the list. The
function takes one dataclass. Each field becomes an option, the string below the field becomes the option's help, and
the docstring of the class stands on top of `dp3d NAME --help`. For a mistake of the user, raise a ValueError or an
OSError: its text is printed as one sentence, and the exit status is 2.

Importing this file loads neither torch nor the commands.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

COMMANDS = {
    "lift": ("dp3d_core.files.command:command", "videos and keypoint files to people in 3D: BVH, TRC, C3D, CSV, film"),
    "generate": ("dp3d_core.files.motions:generate", "new human motion from nothing, in the formats of lift"),
    "complete": ("dp3d_core.files.motions:complete", "fill in what is missing of a skeleton in 3D"),
    "fit": ("dp3d_core.files.motions:fit", "the motion that explains a detector's heatmaps"),
    "train": ("dp3d_core.training.command:train", "train a network on motion capture or on a benchmark's pairs"),
    "train-denoiser": ("dp3d_core.training.denoiser:command", "train the denoiser beside an encoder, or the prior"),
    "evaluate": ("dp3d_core.evaluation.evaluate:command", "errors of a network on motion capture or on a benchmark"),
    "card": ("dp3d_core.evaluation.card:command", "the tables of a model card: by action, viewpoint, body, rate, ..."),
    "ablate": ("dp3d_core.evaluation.ablate:command", "what each part of the network is worth, at equal budget"),
    "smoothness": ("dp3d_core.evaluation.smoothness:command", "accuracy and lag beside One-Euro and Savitzky-Golay"),
    "stress": ("dp3d_core.evaluation.stress:command", "errors with dropped frames, dropped joints and other rates"),
    "world": ("dp3d_core.evaluation.world:command", "people before cameras that pan, drive, roll; with their pose"),
    "prior-report": ("dp3d_core.prior.report:command", "errors of generated, completed and fitted motion"),
    "papers": ("dp3d_core.evaluation.papers:command", "J-Best, P-Best, J-Agg, P-Agg over hypotheses and steps"),
    "denoiser-figures": ("dp3d_core.evaluation.denoiser_figures:command", "what the denoiser is worth"),
    "prompts": ("dp3d_core.model.text:command", "encode the sentences of the prompts with open_clip"),
    "compile": ("dp3d_core.backends.compile:command", "build the engines ahead of time"),
    "ship": ("dp3d_core.backends.ship:command", "write what a first start needs beside the weights"),
    "bench": ("dp3d_core.bench.command:command", "time each part of the lifter on this machine"),
    "detect": ("dp3d_core.capture.detect.command:command", "2D keypoints of the people in a video"),
    "ids": ("dp3d_core.evaluation.identities:command", "how long ids last on the shipped recording, and their swaps"),
    "calibrate": ("dp3d_core.capture.calibrate:command", "focal length and ground plane from people who walk"),
    "bvh": ("dp3d_core.data.bvh:command", "make a motion file from BVH files"),
    "h36m": ("dp3d_core.data.h36m:command", "make a motion file from Human3.6M"),
    "fit-noise": ("dp3d_core.data.fit_noise:command", "compare the detector-noise model with detections and markers"),
    "plot-cameras": ("dp3d_core.data.plot_cameras:command", "draw the distribution of the training cameras"),
    "webcam": ("dp3d_ros.webcam:command", "people in front of a camera, or in a video, in 3D"),
    "demo": ("dp3d_ros.demo.__main__:command", "play a recording through the live ROS node and film the people"),
}
"""{subcommand: (module:function, one sentence)}."""
MISTAKES = (ValueError, OSError, ImportError, ArithmeticError)
"""What a command raises for a mistake of the user: a bad value, a missing file, a missing extra, a diverged run."""
SWITCH_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Options = TypeVar("Options")


def main(argv: Sequence[str] | None = None) -> None:
    """Run `dp3d SUBCOMMAND …`; without a known subcommand, print the list."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv), "--help"]
    if name in COMMANDS:
        return run(name, rest[:-1])
    if name in ("-h", "--help"):
        print("usage: dp3d SUBCOMMAND [OPTIONS]\n\nLift 2D keypoints of people to 3D; make and measure networks.\n")
        print("\n".join(f"  {command:18}{line}" for command, (_, line) in COMMANDS.items()))
        print("\nFor the options of a subcommand: dp3d SUBCOMMAND --help")
        return None
    raise _mistake("dp3d", f"expected a subcommand of {', '.join(COMMANDS)}, got {name!r}")


def run(name: str, argv: Sequence[str] | None = None) -> None:
    """Run one subcommand of COMMANDS with the arguments `argv` (default: those of this process).

    SystemExit with status 2 and one sentence on stderr for a mistake of the user, 130 after an interrupt.
    """
    try:
        module, _, function = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), function)
        command(parse(options_of(command), argv, prog=f"dp3d {name}"))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except ModuleNotFoundError as error:
        from dp3d_core.checkpoint import NO_TORCH

        raise _mistake(name, NO_TORCH if error.name == "torch" else str(error)) from error
    except (*MISTAKES, _BadValue) as error:
        raise _mistake(name, str(error)) from error


def options_of(command: Callable[[Any], None]) -> type:
    """The class of options that the function of a subcommand takes."""
    hints = get_type_hints(command)
    hints.pop("return", None)
    (options,) = hints.values()
    return options


def parse(options: type[Options], argv: Sequence[str] | None = None, *, prog: str) -> Options:
    """Parse `argv` into a dataclass of options; SystemExit with status 2 for options that it does not know."""
    import tyro

    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
    return tyro.cli(options, prog=prog, args=argv, config=config, registry=_registry())


def optional(config: type) -> type:
    """A config class of `dp3d_core.config` with None for each default: None leaves the value to a preset."""
    items: list[Any] = []
    for item in fields(config):
        kind: Any = item.type
        items.append((item.name, kind | None, field(default=None, metadata=item.metadata)))
    return make_dataclass(f"Optional{config.__name__}", items, kw_only=True, frozen=True)


def chosen(options: Any) -> dict[str, Any]:
    """The fields of an `optional` config that were given, {name: value}."""
    values = {item.name: getattr(options, item.name) for item in fields(options)}
    return {name: value for name, value in values.items() if value is not None}


def _mistake(name: str, sentence: str) -> SystemExit:
    """Print the sentence; the returned exception carries it for a caller in Python, and the exit status 2."""
    print(f"{name}: {sentence}", file=sys.stderr)
    stop = SystemExit(f"{name}: {sentence}")
    stop.code = 2
    return stop


def _registry() -> Any:
    """What tyro must know of the config classes of `dp3d_core.config`: help and choices stand in their metadata."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()
    switch = tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{true,false}",
        instance_from_str=lambda words: _switch(words[0]),
        is_instance=lambda value: value is None or isinstance(value, bool),
        str_from_instance=lambda value: [str(value).lower()],
    )

    def type_of(item) -> Any:
        if item.type in (bool, bool | None):
            return Annotated[item.type, tyro.conf.FlagConversionOff, switch]
        if item.metadata["choices"] is None:
            return item.type
        choices: Any = Literal[item.metadata["choices"]]
        return choices if item.default is not None else choices | None

    @registry.struct_rule
    def config(info):
        if (
            not isinstance(info.type, type)
            or not is_dataclass(info.type)
            or not all("help" in item.metadata for item in fields(info.type))
        ):
            return None
        specs = tuple(
            tyro.constructors.StructFieldSpec(
                name=item.name, type=type_of(item), default=item.default, helptext=item.metadata["help"]
            )
            for item in fields(info.type)
        )
        return tyro.constructors.StructConstructorSpec(instantiate=partial(_make, info.type), fields=specs)

    return registry


class _BadValue(Exception):
    """A config class refused its values; tyro would print a ValueError in its own form."""


def _make(config: type, **values: Any) -> Any:
    try:
        return config(**values)
    except ValueError as error:
        raise _BadValue(str(error)) from error


def _switch(word: str) -> bool:
    """An option that is on or off."""
    if word.lower() not in SWITCH_WORDS:
        raise ValueError(f"expected one of {', '.join(SWITCH_WORDS)}, got {word!r}")
    return SWITCH_WORDS[word.lower()]
