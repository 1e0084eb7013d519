"""Humble's rclpy, by stand-ins that lack what is younger; and package.xml names what the package imports."""

import ast
import importlib
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import dp3d_ros
from dp3d_ros.node import compat

ROOT = Path(dp3d_ros.__file__).parent.parent


def test_event_callbacks_come_from_humbles_module_where_the_newer_is_missing(monkeypatch):
    old = ModuleType("rclpy.qos_event")
    old.PublisherEventCallbacks, old.SubscriptionEventCallbacks = "publisher's", "subscription's"
    monkeypatch.setitem(sys.modules, "rclpy.event_handler", None)
    monkeypatch.setitem(sys.modules, "rclpy.qos_event", old)
    try:
        found = importlib.reload(compat)
        assert (found.PublisherEventCallbacks, found.SubscriptionEventCallbacks) == ("publisher's", "subscription's")
    finally:
        monkeypatch.undo()
        importlib.reload(compat)


def test_a_callback_gets_an_empty_info_where_rclpy_gives_none(monkeypatch):
    from rclpy import subscription

    heard = []
    receive = lambda message, info: heard.append((message, info))  # noqa: E731
    assert compat.with_info(receive) is receive
    monkeypatch.setattr(subscription, "Subscription", object)
    compat.with_info(receive)("message")
    assert heard == [("message", {})]


class HumbleNode:
    """A node without add_post_set_parameters_callback, whose timers fire when told."""

    def __init__(self):
        self.timers, self.check = [], None

    def add_on_set_parameters_callback(self, check):
        self.check = check

    def create_timer(self, period_s, callback):
        self.timers.append(callback)
        return callback

    def destroy_timer(self, timer):
        self.timers.remove(timer)


@pytest.mark.parametrize("successful", [True, False])
def test_changed_parameters_are_announced_after_they_were_set(successful):
    node, changed = HumbleNode(), []
    compat.after_parameters_change(node, lambda _: SimpleNamespace(successful=successful), changed.append)
    assert node.check(["a"]).successful == successful
    assert changed == [] and len(node.timers) == successful
    for timer in list(node.timers):
        timer()
    assert changed == [["a"]] * successful and not node.timers


def test_a_parameter_file_is_read_as_ros_reads_it(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "/**:\n  ros__parameters: {input: hri, lookahead: 2}\neye:\n  ros__parameters: {input: yolo}\n"
        "/left:\n  eye:\n    ros__parameters: {lookahead: 4}\n"
    )
    assert compat.parameters_of_file(file, "/left/eye") == {"input": "yolo", "lookahead": 4}
    assert compat.parameters_of_file(file, "/other") == {"input": "hri", "lookahead": 2}
    file.write_text("")
    assert compat.parameters_of_file(file, "/eye") == {}


OF_PIP = {"safetensors", "openvino", "rerun", "rerun_cli", "torch_tensorrt", "tensorrt", "open_clip", "mediapipe",
          "tyro", "onnxruntime", "tensorboard", "torchvision", "matplotlib", "ezc3d", "pygltflib"}  # fmt: skip
"""Optional packages that rosdep does not know."""
OPTIONAL = {"hri_msgs", "yolo_msgs", "people_msgs", "rviz2"}
KEYS = {"numpy": "python3-numpy", "scipy": "python3-scipy", "cv2": "python3-opencv", "tqdm": "python3-tqdm",
        "torch": "python3-torch", "yaml": "python3-yaml", "tf2_ros": "tf2_ros_py"}  # fmt: skip
"""rosdep's keys of modules that are called otherwise."""


def imported(folder):
    """Names of all top-level modules that Python files import, also late."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"dp3d_core", "dp3d_ros"}


def test_package_xml_names_what_the_nodes_import_and_nothing_else():
    depends = {item.text for item in ElementTree.parse(ROOT / "package.xml").getroot().iter("exec_depend")}
    used = imported(ROOT / "dp3d_ros") | imported(ROOT / "launch")
    wanted = {KEYS.get(name, name) for name in used - OF_PIP - OPTIONAL}
    assert wanted <= depends, "missing in package.xml"
    # of the core, and executables that launch files start
    assert depends - wanted <= {"python3-torch", "python3-scipy", "python3-opencv", "tf2_ros", "python3-tqdm"}
