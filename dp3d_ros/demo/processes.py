"""Starts nodes as separate processes, just as `ros2 launch` does, and tells what a dead one said last."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROGRESS = "playing:"
"""How lines of the player's progress bar begin."""


class NodeFailed(RuntimeError):
    """A node died or did not do its part; the text says which, and what it said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One running node and its log file."""

    name: str
    log: Path
    process: subprocess.Popen

    def text(self):
        """All that it has said so far; a progress bar's updates are lines of their own."""
        return self.log.read_text(errors="replace").replace("\r", "\n")

    def failed(self, why, lines=12):
        """The error that says why this node is to blame, with its last lines."""
        kept = [line for line in self.text().splitlines() if line.strip() and not line.startswith(PROGRESS)]
        said = "\n".join(f"  {self.name} | {line}" for line in kept[-lines:]) or "  (nothing)"
        return NodeFailed(f"the {self.name} {why}. It said last ({self.log}):\n{said}")

    def check(self, *, may_end=False):
        """NodeFailed if the process has died; also when it ended well, unless it may."""
        code = self.process.poll()
        if code is None or (code == 0 and may_end):
            return
        raise self.failed(f"was killed by signal {-code}" if code < 0 else f"ended early with exit code {code}")

    def interrupt(self):
        """End it as Ctrl-C would; harder where that does not help."""
        for number, patience_s in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.process.poll() is not None:
                return
            self.process.send_signal(number)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue


def environment(domain_id):
    """The children's environment: a DDS domain of their own on this machine only, one thread each."""
    env = dict(os.environ)
    # The pip-only ROS prepares each process anew, unless this says that it has
    env.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    env["ROS_DOMAIN_ID"] = str(domain_id)
    env["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    env["OMP_NUM_THREADS"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), env.get("PYTHONPATH"))))
    return env


def start(name, *, logs, env, parameters, remaps=None):
    """Start dp3d_ros.<name>_node with the arguments that `ros2 launch` gives; its output goes to <logs>/<name>.log.

    Its parameters are those of dp3d_ros/config/<name>.yaml, then `parameters`.
    """
    file = HERE / "config" / f"{name}.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"the parameter file of the {name} is missing: {file}")
    command = [sys.executable, "-m", f"dp3d_ros.{name}_node", "--ros-args", "-r", f"__node:={name}"]
    command += ["--params-file", str(file)]
    for key, value in parameters.items():
        command += ["-p", f"{key}:={json.dumps(value)}"]  # JSON is YAML: text stays text
    for old, new in (remaps or {}).items():
        command += ["-r", f"{old}:={new}"]
    log = Path(logs) / f"{name}.log"
    with open(log, "w") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
    return Child(name=name, log=log, process=process)
