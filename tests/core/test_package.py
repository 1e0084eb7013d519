"""The package is whole: a light core, a tidy top level, one version, and every data file installed."""

import importlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    "dp3d_ros", "dp3d_core", "launch", "tests", "package.xml", "setup.py", "README.md", "LICENSE", "CHANGELOG.rst",
    "Makefile",
}  # fmt: skip
HEAVY = (
    "rclpy", "std_msgs", "sensor_msgs", "torch", "torch_tensorrt", "tensorrt", "open_clip", "rerun", "cv2", "openvino",
    "onnxruntime", "mediapipe", "scipy", "matplotlib", "tensorboard",
)  # fmt: skip
NODES = sorted(path.name for path in (ROOT / "dp3d_ros" / "resource" / "bin").iterdir())


def tracked():
    """Files that git knows, or, in a source archive without git, all files."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def loaded_by(statement):
    """Names of the heavy modules that a fresh Python has loaded after `statement`."""
    code = f"import sys; {statement}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names of a freshly built wheel's files, and whether each may be executed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    run = subprocess.run(build, capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return {item.filename: bool(item.external_attr >> 16 & 0o100) for item in archive.infolist()}


def test_importing_the_core_loads_nothing_heavy():
    assert loaded_by("import dp3d_core, dp3d_core.config, dp3d_core.types, dp3d_core.skeleton") == set()


def test_lifting_and_filming_load_no_ros_and_no_extras():
    assert loaded_by("from dp3d_core import Camera, Lifter, Skeletons, StreamConfig") == set()
    assert loaded_by("import dp3d_core.drawing.render, dp3d_core.capture.recording, dp3d_core.geometry.camera") == set()


def test_core_never_names_ros():
    pattern = re.compile(r"^\s*(?:import|from)\s+(?:rclpy|dp3d_ros|launch|\w+_msgs)\b", re.MULTILINE)
    sources = [name for name in tracked() if name.startswith("dp3d_core/") and name.endswith(".py")]
    assert sources
    assert [name for name in sources if pattern.search((ROOT / name).read_text())] == []


def test_visible_top_level_holds_only_what_belongs_there():
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_the_version_stands_in_package_xml_and_has_a_changelog():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    setup = (ROOT / "setup.py").read_text()
    assert manifest.findtext("name") == re.search(r'^NAME = "(.+)"', setup, re.MULTILINE)[1]
    newest = re.search(r"^(\S+) \(\d{4}-\d\d-\d\d\)\n-+\n", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)[1]
    assert manifest.findtext("version") == newest
    assert not re.search(r"version=\"\d", setup)


def test_pins_of_the_environment_and_of_the_ros_extra_agree():
    pins = set((ROOT / ".ci" / "requirements.txt").read_text().split("\n"))
    wheels = re.findall(r'"(ros-[^"]+==[^"]+)"', (ROOT / "setup.py").read_text())
    assert wheels
    assert set(wheels) <= pins


def test_the_tensorrt_environment_installs_what_the_extra_asks_for():
    (wanted,) = re.findall(r'"tensorrt-rtx": \["(.+)"\]', (ROOT / "setup.py").read_text())
    assert wanted in (ROOT / ".ci" / "tensorrt.txt").read_text().split("\n")


def test_wheel_holds_every_file_of_the_package(wheel):
    packaged = [name for name in tracked() if name.startswith(("dp3d_core/", "dp3d_ros/"))]
    packaged = [name for name in packaged if not name.startswith("dp3d_ros/resource/")]
    assert [name for name in packaged if name not in wheel] == []
    assert not [name for name in wheel if name.startswith(("tests", "launch", "build"))]


def test_wheel_puts_things_where_ros_looks(wheel):
    data = next(name for name in wheel if ".data/data/" in name).split(".data/data/")[0] + ".data/data/"
    installed = {name.removeprefix(data): runs for name, runs in wheel.items() if name.startswith(data)}
    assert "share/ament_index/resource_index/packages/dp3d_ros" in installed
    assert "share/dp3d_ros/package.xml" in installed
    shared = {"launch": "launch", "dp3d_ros/config": "config", "dp3d_ros/rviz": "rviz"}
    for name in tracked():
        folder, _, file = name.rpartition("/")
        if folder in shared and "." in file:
            assert f"share/dp3d_ros/{shared[folder]}/{file}" in installed
    for node in NODES:
        assert installed[f"lib/dp3d_ros/{node}"], f"{node} has lost its run bit"


def test_every_node_has_an_executable_and_every_executable_its_node():
    assert {"lifter", "player", "recorder"} <= set(NODES)
    files = sorted(path.name for path in (ROOT / "dp3d_ros").glob("*_node.py"))
    assert sorted(f"{node}_node.py" for node in NODES) == files
    for node in NODES:
        assert f"-m dp3d_ros.{node}_node" in (ROOT / "dp3d_ros" / "resource" / "bin" / node).read_text()


def test_console_scripts_point_at_functions():
    for module, function in re.findall(r'"dp3d = ([\w.]+):(\w+)"', (ROOT / "setup.py").read_text()):
        assert callable(getattr(importlib.import_module(module), function))
