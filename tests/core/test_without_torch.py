"""Built engines and streams need no PyTorch; where it is needed and missing, one sentence says so."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from engines import network
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from dp3d_core import checkpoint
from dp3d_core.backends import cache, ship, shipped
from dp3d_core.backends.cache import EngineCache
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.exported import MAKERS, Exported
from dp3d_core.backends.parity import Parity
from dp3d_core.backends.signature import OUTPUTS
from dp3d_core.checkpoint import WeightsError
from dp3d_core.config import LOOKAHEADS
from dp3d_core.data.actions import ACTIONS

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")

STREAM = """
import json, sys
if sys.argv[1] == "missing":
    sys.modules["torch"] = None
import numpy as np
from dp3d_core import Camera, Lifter

def report(**facts):
    loaded = sys.modules.get("torch") is not None
    print(json.dumps({"torch": loaded, "note": lifter.backend_note, "counters": lifter.backend_counters, **facts}))

def stream(people):
    stream = lifter.stream(camera=Camera.from_fov(width=640, height=480), max_people=3)
    rng = np.random.default_rng(0)
    for frame in range(3):
        points = rng.uniform(100, 300, (17, 2))
        stream.push(frame / 30, {person: (points, np.ones(17)) for person in range(people)})
    return lifter.backend_name

weights, folder = sys.argv[2:4]
lifter = Lifter.load(weights, cache_dir=folder)
try:
    told = []
    lifter.warm_up(3, progress=told.append)
    name = stream(3)
except (ImportError, RuntimeError, ValueError) as error:
    report(error=f"{type(error).__name__}: {error}")
    raise SystemExit
if len(sys.argv) > 4:
    for engine in lifter._backend._engines.values():
        engine._request = None
    lifter._backend._serving = {}
    name = stream(3)
report(served=name, told=told)
"""


def run(how, weights, folder, *more):
    """What a process of its own says that streams three people; `how`: "missing" PyTorch, or installed."""
    command = [sys.executable, "-c", STREAM, how, str(weights), str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoint.save(path, network(), actions=tuple(ACTIONS))
    return path


@pytest.fixture(scope="module")
def folder(weights, tmp_path_factory):
    """Engines, their graph and eager's answers, made by a process that never imports PyTorch itself."""
    folder = tmp_path_factory.mktemp("engines")
    said = run("installed", weights, folder)
    assert not said["torch"] and said["served"] == "cpu" and said["counters"] == {"cache_miss": 2}, said
    assert said["told"] == [f"cpu engine for {n} people, lookahead 0" for n in (1, 4)]
    return folder


def test_where_it_is_missing_stored_engines_serve(weights, folder):
    said = run("missing", weights, folder)
    assert said["served"] == "cpu" and said["counters"] == {"cache_hit": 2}


def test_where_it_is_missing_engines_are_built_from_the_stored_graph(weights, folder, tmp_path):
    for path in folder.iterdir():
        if path.suffix != ".engine":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    said = run("missing", weights, tmp_path)
    assert said["served"] == "cpu" and said["counters"] == {"cache_miss": 2}
    assert len(list(tmp_path.glob("*.engine"))) == 2


def test_where_it_is_missing_an_engine_that_breaks_is_built_again(weights, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    said = run("missing", weights, tmp_path, "break")
    assert said["served"] == "cpu" and said["counters"]["engine_failed"] == 1
    assert "broke" in said["note"] and "built again from the graph" in said["note"]


def test_where_it_is_installed_eager_steps_in_for_an_engine_that_breaks(weights, folder):
    said = run("installed", weights, folder, "break")
    assert said["served"] == "eager" and said["torch"] and said["counters"]["engine_failed"] == 1


def test_where_it_is_missing_and_nothing_is_stored_one_sentence_names_the_extra(weights, tmp_path):
    said = run("missing", weights, tmp_path)
    assert "PyTorch is not installed" in said["error"] and "pip install 'dp3d_ros[torch]'" in said["error"]
    assert "dp3d compile" in said["error"] and not list(tmp_path.iterdir())


def test_weights_that_do_not_fit_are_named_by_the_process_that_finds_out(weights, tmp_path):
    bad, arrays = tmp_path / "bad.safetensors", load_file(weights)
    with safe_open(weights, "numpy") as archive:
        head = archive.metadata()
    arrays.pop("norm.weight")
    save_file(arrays, bad, metadata=head)
    said = run("installed", bad, tmp_path / "engines")
    assert said["error"].startswith("WeightsError: weights:") and "norm.weight" in said["error"]
    assert not said["torch"]


@pytest.mark.parametrize(
    "code",
    [
        "from dp3d_core.cli import main; main(['train', '--motions', 'm.npz', '--out', 'o'])",
        "from dp3d_core import Lifter; Lifter.load().lift([], [], [], camera=None)",
    ],
)
def test_what_needs_it_names_its_extra_in_one_sentence(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['torch'] = None; {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0 and "pip install 'dp3d_ros[torch]'" in done.stderr.splitlines()[-1]


def exported(weights, folder):
    return Exported(checkpoint.read(weights), EngineCache(folder))


def test_weights_that_change_meanwhile_are_refused(weights, tmp_path, monkeypatch):
    changing = tmp_path / "changing.safetensors"
    changing.write_bytes(weights.read_bytes())
    read = checkpoint.read(changing)
    checkpoint.save(changing, network(seed=1), actions=tuple(ACTIONS))
    with pytest.raises(WeightsError, match="changed since it was read"):
        _ = read.encoder
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(WeightsError, match="changed since it was read"):
        Exported(read, EngineCache(tmp_path)).answers(1)


def test_the_other_process_ends_with_this_one(weights, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", "from dp3d_core.backends.exported import main; main()", "--weights", str(weights),
         "--rows", "1", "--digest", "", "--out", str(tmp_path)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    child.stdin.close()
    assert child.wait(30) != 0


def test_answers_are_asked_of_eager_once(weights, tmp_path, monkeypatch):
    first = exported(weights, tmp_path).answers(1)
    monkeypatch.setattr("dp3d_core.backends.exported.MAKERS", {})
    for found, expected in zip(exported(weights, tmp_path).answers(1), first, strict=True):
        assert (found == expected).all()


def test_what_was_not_used_for_longest_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MOST_BYTES", 3 * (1000 + cache.HEAD_BYTES))
    engines = EngineCache(tmp_path)
    for index, key in enumerate("abc"):
        engines.store("engine", key, bytes(1000))
        os.utime(engines._path("engine", key), (index, index))
    assert engines.load("engine", "a") is not None
    engines.store("engine", "d", bytes(1000))
    assert [engines.load("engine", key) is not None for key in "abcd"] == [True, False, True, True]


# --- what ships beside the weights -----------------------------------------------------------------------------------


ships = pytest.mark.skipif(
    not shipped.beside(checkpoint.locate("small"), "graph", 1).exists(), reason="nothing ships: run `dp3d ship`"
)


@ships
def test_shipped_weights_start_without_it_and_without_a_cache(tmp_path):
    said = run("missing", "small", tmp_path)
    assert said["served"] == "cpu" and said["counters"] == {"cache_miss": 2} and not said["note"].count("eager")


@ships
@pytest.mark.parametrize("lookahead", LOOKAHEADS)
def test_what_ships_is_of_these_weights_and_this_network(lookahead, tmp_path):
    """Where it fails: `dp3d ship` writes the files anew."""
    network = checkpoint.load("small")
    answers = shipped.read(network, "answers", 1 + lookahead)
    assert answers is not None and shipped.read(network, "graph", 1 + lookahead) is not None, "dp3d ship"
    eager = Eager(network.encoder).step
    parity = Parity(lambda rows: [answers[name] for name in OUTPUTS], network.config, "float32")
    assert parity.check(eager, 4, 1 + lookahead).joints_mm < 0.01
    for kind in ("answers", "graph"):
        assert shipped.beside(network.path, kind, 1 + lookahead).stat().st_size < 200_000


@pytest.fixture
def beside(weights, tmp_path):
    """A copy of the tiny weights with what ships beside them."""
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    ship.command(ship.ShipOptions(weights=str(copy)))
    return copy


def test_a_graph_read_back_is_the_one_that_was_written(beside):
    network = checkpoint.load(beside)
    made = MAKERS["graph"](network, 3)
    shipped.write(network, "graph", 3, made)
    found = shipped.read(network, "graph", 3)
    assert all((made[name] == found[name]).all() for name in ("description", "weights"))


def test_what_ships_with_other_weights_is_left_and_what_is_damaged_is_named(beside):
    files = {kind: shipped.beside(beside, kind, 1) for kind in ("graph", "answers")}
    other = beside.with_name("other.safetensors")
    checkpoint.save(other, network(seed=1), actions=tuple(ACTIONS))
    for kind, path in files.items():
        shipped.beside(other, kind, 1).write_bytes(path.read_bytes())
        assert shipped.read(checkpoint.read(other), kind, 1) is None
        assert shipped.read(checkpoint.read(beside), kind, 1) is not None
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(ValueError, match=f"{path.name} is damaged .*; install dp3d again, or remove it"):
            shipped.read(checkpoint.read(beside), kind, 1)
        path.unlink()
        assert shipped.read(checkpoint.read(beside), kind, 1) is None
