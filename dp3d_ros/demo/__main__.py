"""The whole path on real input, without a robot: player, lifter and recorder as separate processes, then a film of it.

Starts what launch/lifter.launch.py starts, with its parameter files, in a DDS domain of its own on this machine only.
"""

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp3d_core.capture import recording
from dp3d_core.cli import run
from dp3d_ros.demo.film import film, load_lifted
from dp3d_ros.demo.processes import NodeFailed, environment, start

READY_S = 90.0
"""Longest wait until the lifter listens: from a cold, slow disk torch takes its time."""
END_S = 20.0
"""Longest wait for the recorder after the last frame."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Play a recording through the live node, record what it publishes, and film the people in 3D."""

    out: Path = Path("build/demo")
    """Folder for film, picture and summary."""
    recording: str = "vtest"
    """Shipped recording, or path of one (.npz)."""
    weights: str = "small"
    """Shipped name or path."""
    seconds: float = 45.0
    """Seconds to play, in real time; 0: all."""
    video: Path | None = None
    """The recording's own video, to draw below the keypoints."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < 86400:
            raise ValueError(f"--seconds: expected 0 to 86400, got {self.seconds:g}")


def play(options, played, frames):
    """Run the three nodes until `frames` frames have been played; the recorder's file, or NodeFailed."""
    recorded = (options.out / "recorded.npz").resolve()
    # 1 to 101: where Linux's ephemeral ports cannot clash with those of DDS
    env = environment(domain_id=1 + os.getpid() % 101)
    # CameraInfo needs no remapping: player and lifter both say camera_info
    nodes = (
        (
            "recorder",
            {"output": str(recorded), "idle_stop_s": 3.0},
            {"skeletons": "/lifter/skeletons", "markers": "/lifter/markers"},
        ),
        ("lifter", {"autostart": True, "weights": options.weights, "joint_set": played.joint_set}, {}),
        (
            "player",
            {
                "recording": options.recording,
                "max_frames": frames,
                "progress": True,
                "settle_s": 2.0,
                "wait_for_subscribers_s": READY_S,
            },
            {"keypoints": "/lifter/keypoints"},
        ),
    )
    children = {}
    try:
        for name, parameters, remaps in nodes:
            children[name] = start(name, logs=options.out, env=env, parameters=parameters, remaps=remaps)
        with _bar(frames, "playing over DDS") as bar:
            bar.set_postfix_str("the lifter loads its weights")
            while children["player"].process.poll() is None:
                _follow(children, bar)
                time.sleep(0.2)
            _follow(children, bar)
        _finish(children)
    finally:
        for child in children.values():
            child.interrupt()
    return recorded


def _bar(total, what):
    """A progress bar that moves on a terminal, and says a line now and then in a log."""
    from tqdm import tqdm

    every_s = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(total=total, unit="frame", desc=what, dynamic_ncols=True, mininterval=every_s, miniters=1)


def _follow(children, bar):
    """Move the bar as far as the player has come; NodeFailed when a node has died or the lifter cannot start."""
    for name, child in children.items():
        child.check(may_end=name == "player")
    counts = re.findall(r"playing:[^\n]*?(\d+)/\d+ \[", children["player"].text())
    done = int(counts[-1]) if counts else 0
    if done > bar.n:
        bar.set_postfix_str("", refresh=False)
        bar.update(done - bar.n)
    elif not done and re.search(r"\[(ERROR|FATAL)\]", children["lifter"].text()):
        raise children["lifter"].failed("could not start")


def _finish(children):
    """Wait until the recorder has written its file; NodeFailed names the lifter if nothing came out of it."""
    end_s = time.monotonic() + END_S
    while children["recorder"].process.poll() is None:
        children["lifter"].check()
        if time.monotonic() > end_s:
            raise children["lifter"].failed("published no skeletons")
        time.sleep(0.1)
    children["recorder"].check(may_end=True)


def demo(options):
    """Play, record, film and sum up; returns the summary."""
    path = Path(options.recording)
    played = recording.load(path if path.suffix == ".npz" else recording.shipped(options.recording))
    frames = len(played.stamps_s)
    if options.seconds:
        frames = int(np.searchsorted(played.stamps_s, options.seconds, side="right"))
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("skeletons.mp4", "skeletons.png", "summary.json", "recorded.npz", "recorded.json"):
        (options.out / name).unlink(missing_ok=True)  # what lies there afterwards is of this run

    print(f"Playing {frames} frames ({played.stamps_s[frames - 1]:.0f} s, in real time) of {options.recording}:")
    print(f"  {played.source}")
    print("  player -> keypoints, CameraInfo -> lifter -> skeletons, markers -> recorder: three processes over DDS")
    recorded = play(options, played, frames)
    facts = json.loads(recorded.with_suffix(".json").read_text())
    lifted = load_lifted(recorded, played)
    latency_ms = facts["latency_ms"]
    note = f"{options.recording}, weights {facts['weights']} ({facts['backend']}), latency {latency_ms['p50']:.1f} ms"
    with _bar(max(lifted.frames) - min(lifted.frames) + 1, "filming") as bar:
        scene = film(lifted, played, options.out, video=options.video, note=note, progress=bar.update)
    summary = facts | {"recording": options.recording, "frames_played": frames} | scene
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def command(options: DemoOptions) -> None:
    """Run the demo and print what came out."""
    started_s = time.monotonic()
    try:
        summary = demo(options)
    except NodeFailed as error:
        raise ValueError(str(error)) from error
    latency_ms = summary["latency_ms"]
    print(
        f"{summary['skeletons_out']} skeletons of {summary['people']} people out of {summary['messages_in']} messages, "
        f"{summary['dropped']} dropped; stamp to recorder {latency_ms['p50']:.1f} ms (p99 {latency_ms['p99']:.1f} ms)"
    )
    print(f"{time.monotonic() - started_s:.0f} s in all. Now look at {options.out / 'skeletons.mp4'}")


if __name__ == "__main__":
    run("demo")
