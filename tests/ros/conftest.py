"""Live nodes for tests: real processes over real DDS, each test in a domain of its own, ended whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no failure.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

HERE = Path(__file__).resolve().parent
# 1..101 keeps DDS clear of Linux's ephemeral ports. Runs at the same time begin at different places, and the processes
# of one run (pytest-xdist) share the domains out among themselves.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_domains = count(7 * (os.getppid() if WORKERS > 1 else os.getpid()))


def pytest_collection_modifyitems(items):
    """A test with live nodes may wait for several of them, for up to a minute each on a slow machine."""
    for item in items:
        if item.get_closest_marker("ros") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


def pytest_configure(config):
    # begun by a script's `&`, the tests would hand an ignored SIGINT down to every process that they end by it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "ros: starts nodes as processes over DDS")
    config.addinivalue_line("markers", "browser: looks at a page with a real browser; skipped where there is none")


class LiveNode:
    """One node as a process; its output is kept in a file so that it never blocks on a full pipe."""

    def __init__(self, command, env):
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the test ends)
        self.process = subprocess.Popen(
            command, env=env, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def text(self):
        """What it has said so far; read without moving the place at which the process goes on writing."""
        size = os.fstat(self.output.fileno()).st_size
        return os.pread(self.output.fileno(), size, 0).decode(errors="replace")

    def interrupt(self, timeout_s=60.0):
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
            ended = self.process.poll() is not None
            if time.monotonic() > end_s or (ended and text not in self.text()):
                pytest.fail(f"the node never said {text!r}; it said:\n{self.text()}")
            time.sleep(0.02)

    def end(self, patience_s=20.0):
        """End it and whatever it has started, if it still runs.

        Killed at once it would leave its shared memory behind, over which later nodes of the same domain may stumble.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()


def start_node(domain, name, *, remaps=None, env=None, **parameters):
    """Start a node of dp3d as a process, or one of this folder: fake (no network), broken (engine), echo."""
    own = {"fake": "fake_lifter.py", "broken": "broken_engine.py", "echo": "echo_node.py"}
    target = [str(HERE / own[name])] if name in own else ["-m", f"dp3d_ros.{name}_node"]
    command = [sys.executable, *target, "--ros-args"]
    for key, value in parameters.items():
        command += ["-p", f"{key}:={yaml_text(value)}"]
    for source, target in (remaps or {}).items():
        command += ["-r", f"{source}:={target}"]
    variables = {key: value for key, value in os.environ.items() if key != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    return LiveNode(command, variables | {"ROS_DOMAIN_ID": str(domain)} | (env or {}))


@pytest.fixture
def domain():
    """A ROS domain id that no other test of this run uses at the same time."""
    return next_domain()


def next_domain():
    share = 101 // WORKERS
    return 1 + WORKER * share + next(_domains) % share


@pytest.fixture
def start(domain):
    """start("lifter", autostart=True, remaps={"a": "b"}) -> LiveNode, ended with the test."""
    nodes = []

    def start_and_keep(name, **options):
        nodes.append(start_node(domain, name, **options))
        return nodes[-1]

    yield start_and_keep
    for node in nodes:
        print(f"{' '.join(node.process.args)}\n{node.text()}")  # pytest shows it where the test failed
        node.end()


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


@pytest.fixture(scope="module")
def share():
    """share(**parameters) -> the bench beside a fake lifter with these parameters (`.process`), for a whole file."""
    from bench import Bench

    begun = []

    def begin(**options):
        domain = next_domain()
        node = start_node(domain, "fake", autostart=True, predict_for_s=0.0, **options)
        made = Bench(domain)
        made.process = node
        begun.append(made)
        return made

    yield begin
    for made in begun:
        made.close()
        made.process.end()


@pytest.fixture(scope="module")
def shared(share):
    """An active fake lifter that answers every message, and the bench connected to it: one for all tests of a file."""
    from bench import LOSSLESS

    made = share(warn_every_s=0.1, **LOSSLESS)
    made.ready()
    return made
