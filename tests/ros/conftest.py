"""Live nodes for tests: real processes over real DDS, each test in a domain of its own, ended whatever happens."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# 1..101 keeps DDS clear of Linux's ephemeral ports; runs at the same time begin at different places.
_domains = count(os.getpid() * 7)


def pytest_configure(config):
    config.addinivalue_line("markers", "ros: starts nodes as processes over DDS")


class LiveNode:
    """One node as a process; its output is kept in a file so that it never blocks on a full pipe."""

    def __init__(self, command, env):
        self.output = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed when the test ends)
        self.process = subprocess.Popen(
            command, env=env, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def text(self):
        self.output.seek(0)
        return self.output.read()

    def interrupt(self, timeout_s=2.0):
        """SIGINT, as Ctrl-C; returns the exit code, or fails the test where it takes longer than `timeout_s`."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running {timeout_s} s after SIGINT:\n{self.text()}")

    def wait_for(self, text, timeout_s=60.0):
        """Until the node has said `text`."""
        end_s = time.monotonic() + timeout_s
        while text not in self.text():
            if time.monotonic() > end_s or self.process.poll() is not None:
                pytest.fail(f"the node never said {text!r}; it said:\n{self.text()}")
            time.sleep(0.02)


@pytest.fixture
def domain():
    """A ROS domain id that no other test of this run uses at the same time."""
    return 1 + next(_domains) % 101


@pytest.fixture
def start(domain):
    """start("lifter", autostart=True, remaps={"a": "b"}) -> LiveNode; "fake" is a lifter without a network."""
    nodes = []

    def start_node(name, *, remaps=None, env=None, files=(), **parameters):
        own = {"fake": "fake_lifter.py", "echo": "echo_node.py"}
        target = [str(HERE / own[name])] if name in own else ["-m", f"dp3d_ros.{name}_node"]
        command = [sys.executable, *target, "--ros-args"]
        for file in files:
            command += ["--params-file", str(file)]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={yaml_text(value)}"]
        for source, target in (remaps or {}).items():
            command += ["-r", f"{source}:={target}"]
        variables = {key: value for key, value in os.environ.items() if key != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
        node = LiveNode(command, variables | {"ROS_DOMAIN_ID": str(domain)} | (env or {}))
        nodes.append(node)
        return node

    yield start_node
    for node in nodes:
        if node.process.poll() is None:
            os.killpg(node.process.pid, signal.SIGKILL)
            node.process.wait()
        node.output.close()


def yaml_text(value):
    """A parameter value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not value.startswith("["):
        return f"'{value}'"
    return str(value)


@pytest.fixture
def bench(domain):
    """A node of the test itself that talks to the live ones."""
    from bench import Bench  # needs ROS, which collecting the other tests does not

    made = Bench(domain)
    yield made
    made.close()
