"""One input, all the way: read, prepare, lift, judge, write. Its outputs are the same whenever and wherever it runs.

`lift_input` takes and returns plain values, so that a pool of processes or a cluster can run it.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from dp3d_core.files import readers, writers
from dp3d_core.files.beside import beside
from dp3d_core.files.lifting import lift_clip
from dp3d_core.files.prepare import PrepareOptions, prepare
from dp3d_core.files.quality import quality
from dp3d_core.files.readers import ReadOptions
from dp3d_core.files.results import Result

VERSION = 1
"""Of the outputs: those of another version are made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What to do with every input."""

    out: Path
    to: tuple[str, ...] = ("npz",)
    read: ReadOptions = field(default_factory=ReadOptions)
    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    weights: str = "small"
    person_height_m: float = 0.0
    film: bool = False
    plot: bool = False
    report: bool = False
    video: Path | None = None
    """Of keypoints: the video that they were found in, for the film."""

    def __post_init__(self):
        writers.check(self.to)
        if self.video is not None and not self.video.is_file():
            raise FileNotFoundError(f"--video: no file at {self.video}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one input."""

    source: str
    ok: bool
    text: str
    """The format of the input, or what was wrong with it."""
    clips: tuple[dict, ...] = ()
    """Quality of each clip, with `name` and `files`."""
    resumed: bool = False
    person_seconds: float = 0.0
    core_seconds: float = 0.0
    """Processor time of reading and lifting."""


def lift_input(source: str, name: str, options: RunOptions) -> Outcome:
    """Lift one input; its outputs are called after `name`. Never raises for anything that is wrong with the input."""
    try:
        return _lift_input(Path(source), name, options)
    except (ValueError, OSError, ImportError) as error:
        text = str(error)
    except Exception as error:  # one broken input must not stop the others
        text = f"{source}: unexpected {type(error).__name__}: {error}"
    return Outcome(source=source, ok=False, text=" ".join(text.split()))


def _lift_input(path: Path, name: str, options: RunOptions) -> Outcome:
    done = options.out / f".{name}.done.json"
    mark = fingerprint(path, options)
    earlier = _earlier(done, mark)
    if earlier is not None:
        return earlier
    if path.is_file() and options.out.resolve() == path.resolve().parent:
        raise ValueError(f"{path}: expected an --out that is not the folder of the input, which could be overwritten")
    start_s = time.process_time()
    options.out.mkdir(parents=True, exist_ok=True)
    clips, seconds = [], 0.0
    detections = readers.read(path, replace(options.read, keep=options.out))
    core_s = time.process_time() - start_s
    for index, found in enumerate(detections):
        found = replace(found, name=name if len(detections) == 1 else _clip_name(name, path, found.name, index))
        start_s = time.process_time()
        clip = prepare(found, options.prepare)
        if options.video is not None:
            clip = replace(clip, video=options.video)
        result = lift_clip(lifter(options.weights), clip, person_height_m=options.person_height_m)
        core_s += time.process_time() - start_s
        seconds += _person_seconds(result)
        clips.append(write_result(result, options))
    outcome = Outcome(
        source=str(path),
        ok=True,
        text=detections[0].format,
        clips=tuple(clips),
        person_seconds=seconds,
        core_seconds=core_s,
    )
    with beside(done) as unfinished:
        unfinished.write_text(json.dumps({"mark": mark, "text": outcome.text, "clips": clips}), encoding="utf-8")
    return outcome


def write_result(result: Result, options: RunOptions) -> dict:
    """Write a result in all the wanted forms; returns its quality with `name` and `files`."""
    facts = quality(result)
    paths = writers.write(result, options.out, options.to, facts)
    if options.film:
        from dp3d_core.files.pictures.film import write_film

        paths.append(write_film(result, options.out / f"{result.name}.film.mp4"))
    if options.plot:
        from dp3d_core.files.pictures.plot import write_plots

        paths += write_plots(result, options.out)
    path = options.out / f"{result.name}.quality.json"
    with beside(path) as unfinished:
        unfinished.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    paths.append(path)
    if options.report:
        from dp3d_core.files.pictures.report import write_report

        paths.append(write_report(result, facts, paths, options.out / f"{result.name}.html"))
    return facts | {"name": result.name, "files": [path.name for path in paths]}


@cache
def lifter(weights: str):
    """The lifter of this process, loaded once."""
    from dp3d_core.lift import Lifter

    return Lifter.load(weights, backend="eager")


def fingerprint(path: Path, options: RunOptions) -> str:
    """Of an input and all options: outputs with the same one need not be made again."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    if not path.exists():
        files = []
    stated = [(str(file.name), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    cameras = [options.prepare.camera, options.video]
    stated += [(str(file), file.stat().st_mtime_ns) for file in cameras if file is not None and file.exists()]
    return hashlib.sha256(repr((VERSION, stated, options)).encode()).hexdigest()


def _earlier(done: Path, mark: str) -> Outcome | None:
    """The outcome of an earlier run that was the same and whose files are all there."""
    try:
        held = json.loads(done.read_text(encoding="utf-8"))
        files = [done.parent / name for clip in held["clips"] for name in clip["files"]]
        if held["mark"] != mark or not all(file.exists() for file in files):
            return None
        return Outcome(source=done.name, ok=True, text=held["text"], clips=tuple(held["clips"]), resumed=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clip_name(name: str, path: Path, clip: str, index: int) -> str:
    """Of one of several clips of a file, without characters that file systems refuse."""
    part = clip.removeprefix(path.stem).strip("_") or str(index)
    return f"{name}_" + "".join(letter if letter not in '/\\:*?"<>|' else "_" for letter in part)


def _person_seconds(result: Result) -> float:
    return float(sum(stay.stamps_s[-1] - stay.stamps_s[0] for stay in result.stays()))
