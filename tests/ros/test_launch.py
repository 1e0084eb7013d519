"""What the launch file starts, without `launch`, which no registry has: stand-ins keep what it is told."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Told:
    """Any action or substitution."""

    def __init__(self, *args, **options):
        self.args = args
        self.__dict__.update(options)

    def perform(self, context):
        return context.get(self.args[0], context["defaults"][self.args[0]])


@pytest.fixture
def launched(monkeypatch):
    """launched(argument=value, ...): the nodes by executable, as the lifter's launch file describes them."""
    names = {
        "launch": ["LaunchDescription"], "launch.actions": ["DeclareLaunchArgument", "OpaqueFunction"],
        "launch.conditions": ["IfCondition"], "launch.substitutions": ["LaunchConfiguration"], "launch_ros": [],
        "launch_ros.actions": ["Node"], "ament_index_python": [], "ament_index_python.packages": [],
    }  # fmt: skip
    for module, classes in names.items():
        made = ModuleType(module)
        made.__dict__.update(dict.fromkeys(classes, Told))
        monkeypatch.setitem(sys.modules, module, made)
    share = lambda package: str(ROOT / package)  # noqa: E731
    sys.modules["ament_index_python.packages"].get_package_share_directory = share
    spec = importlib.util.spec_from_file_location("lifter_launch", ROOT / "launch" / "lifter.launch.py")
    file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(file)
    defaults = {item.args[0]: item.default_value for item in file.arguments()}
    return lambda **said: {node.executable: node for node in file.nodes(said | {"defaults": defaults})}


@pytest.mark.parametrize(
    ("chosen", "topic"), [("pointcloud2", "~/keypoints"), ("yolo", "/yolo/tracking"), ("hri", "/humans/bodies/tracked")]
)
def test_keypoints_remaps_the_topic_of_the_chosen_input_and_no_other(launched, tmp_path, chosen, topic):
    file = tmp_path / "mine.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    input: {chosen}\n")
    for said in ({"input": chosen}, {"params_file": str(file)}):
        lifter = launched(keypoints="/detector", **said)["lifter"]
        assert lifter.remappings[1:] == [(topic, "/detector")]
    assert len(launched(input=chosen)["lifter"].remappings) == 1


def test_keypoints_without_an_input_are_those_of_the_default(launched, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/left/eye:\n  ros__parameters:\n    input: yolo\nother:\n  ros__parameters:\n    input: hri\n")
    assert launched(keypoints="/d")["lifter"].remappings[1:] == [("~/keypoints", "/d")]
    assert launched(keypoints="/d", params_file=str(file))["lifter"].remappings[1:] == [("~/keypoints", "/d")]
    named = launched(keypoints="/d", params_file=str(file), namespace="left", name="eye")
    assert named["lifter"].remappings[1:] == [("/yolo/tracking", "/d")]


def test_the_viewers_hear_the_node_by_its_name(launched):
    nodes = launched(name="eye", namespace="left/")
    assert nodes["viewer"].remappings == [("skeletons", "/left/eye/skeletons")]
    assert ("/lifter/markers", "/left/eye/markers") in nodes["rviz2"].remappings


def test_a_wrong_launch_argument_is_named(launched):
    with pytest.raises(ValueError, match="lookahead: expected int, got 'two'"):
        launched(lookahead="two")
    with pytest.raises(ValueError, match="publish_tf: expected true or false, got 'maybe'"):
        launched(publish_tf="maybe")
