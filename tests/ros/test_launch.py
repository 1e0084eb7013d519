"""What the launch file starts, without `launch`, which no registry has: stand-ins keep what it is told."""

import importlib.util
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from dp3d_ros.detector_node import DetectorConfig

ROOT = Path(__file__).resolve().parents[2]


class Told:
    """Any action or substitution."""

    def __init__(self, *args, **options):
        self.args = args
        self.__dict__.update(options)

    def perform(self, context):
        return context.get(self.args[0], context["defaults"][self.args[0]])


@pytest.fixture
def load(monkeypatch):
    """load(name, packages) -> nodes(argument=value, ...) of a launch file, where these packages are installed."""
    names = {
        "launch": ["LaunchDescription"], "launch.conditions": ["IfCondition"], "launch_ros": [],
        "launch.actions": ["DeclareLaunchArgument", "OpaqueFunction", "IncludeLaunchDescription"],
        "launch.substitutions": ["LaunchConfiguration"], "launch_ros.actions": ["Node"], "ament_index_python": [],
        "launch.launch_description_sources": ["PythonLaunchDescriptionSource"], "ament_index_python.packages": [],
    }  # fmt: skip
    for module, classes in names.items():
        made = ModuleType(module)
        made.__dict__.update(dict.fromkeys(classes, Told))
        monkeypatch.setitem(sys.modules, module, made)

    def load(name, packages=("dp3d_ros",)):
        def share(package):
            if package not in packages:
                raise KeyError(package)
            return str(ROOT / package)

        sys.modules["ament_index_python.packages"].get_package_share_directory = share
        spec = importlib.util.spec_from_file_location(f"{name}_launch", ROOT / "launch" / f"{name}.launch.py")
        file = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(file)
        defaults = {item.args[0]: item.default_value for item in file.arguments()}
        return lambda **said: list(file.nodes(said | {"defaults": defaults}))

    return load


@pytest.fixture
def launched(load):
    """launched(argument=value, ...): the nodes by executable, as the lifter's launch file describes them."""
    nodes = load("lifter")
    return lambda **said: {node.executable: node for node in nodes(**said)}


@pytest.mark.parametrize(("installed", "asked", "shown"), [(True, "auto", True), (False, "auto", False),
                                                            (True, "false", False), (False, "true", True)])  # fmt: skip
def test_the_demo_runs_with_rviz_or_without(load, installed, asked, shown):
    nodes = load("demo", ("dp3d_ros", "rviz2") if installed else ("dp3d_ros",))(rviz=asked)
    include, *others = nodes
    told = dict(include.launch_arguments)
    assert told["rviz"] == str(shown).lower()
    if shown:
        made = yaml.safe_load(Path(told["rviz_config"]).read_text())["Visualization Manager"]
        assert made["Views"]["Current"]["Focal Point"]["X"] > 20 and len(made["Displays"]) == 5
    assert ("static_transform_publisher" in [node.executable for node in others]) == shown


def test_lists_and_sizes_are_launch_arguments(launched):
    lifter = launched(cameras="[left, right]", max_people="4", publish_hri="true", engine_cache="/tmp/e")["lifter"]
    assert lifter.parameters[1] | {"autostart": None, "use_sim_time": None} == {
        "cameras": ["left", "right"], "max_people": 4, "publish_hri": True, "engine_cache": "/tmp/e",
        "autostart": None, "use_sim_time": None,
    }  # fmt: skip


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
    nodes = launched(name="eye", namespace="left/", rviz="true")
    assert nodes["viewer"].remappings == [("skeletons", "/left/eye/skeletons")]
    assert ("/lifter/markers", "/left/eye/markers") in nodes["rviz2"].remappings


@pytest.mark.parametrize(
    ("said", "frame"),
    [
        ({}, "dp3d_view"),
        ({"target_frame": "base_link", "fixed_frame": "odom"}, "base_link"),
        ({"fixed_frame": "odom"}, "odom"),
        ({"rviz_frame": "map", "fixed_frame": "odom"}, "map"),
    ],
)
def test_rviz_has_a_frame_with_z_up_also_without_tf(launched, said, frame):
    nodes = launched(rviz="true", camera_frame="eye", **said)
    assert nodes["rviz2"].arguments[-1] == frame
    assert ("static_transform_publisher" in nodes) == (not said)
    assert not {"rviz2", "static_transform_publisher"} & set(launched(**said))


@pytest.mark.parametrize(
    ("said", "up", "height"),
    [({}, (0, -1, 0), "1.5"), ({"camera_up": "0 -0.6 -0.8", "camera_height_m": "2.5"}, (0, -0.6, -0.8), "2.5")],
)
def test_the_frame_of_rviz_hangs_as_the_camera_does(launched, said, up, height):
    words = launched(rviz="true", camera_frame="eye", **said)["static_transform_publisher"].arguments
    told = dict(zip(words[::2], words[1::2]))
    assert (told["--child-frame-id"], told["--frame-id"], told["--z"]) == ("eye", "dp3d_view", height)
    turn = Rotation.from_quat([float(told[f"--q{axis}"]) for axis in "xyzw"])
    np.testing.assert_allclose(turn.apply(up), (0, 0, 1), atol=1e-9)
    assert turn.apply((0, 0, 1))[0] > 0.5, "the camera looks along x"


def test_the_overlay_gets_the_pictures_and_what_the_lifter_knows_of_the_camera(launched):
    assert "overlay" not in launched()
    overlay = launched(overlay="/eye/image", name="left", camera_info="/eye/info", assumed_hfov_deg="60")["overlay"]
    told = {source: target if isinstance(target, str) else target.args[0] for source, target in overlay.remappings}
    assert told == {
        "image": "/eye/image", "skeletons": "/left/skeletons", "camera_info": "camera_info", "overlay": "~/overlay",
    }  # fmt: skip
    assert overlay.parameters[0]["assumed_hfov_deg"] == 60.0


def test_a_wrong_launch_argument_is_named(launched):
    with pytest.raises(ValueError, match="lookahead: expected int, got 'two'"):
        launched(lookahead="two")
    with pytest.raises(ValueError, match="publish_tf: expected true or false, got 'maybe'"):
        launched(publish_tf="maybe")


def test_the_webcam_is_given_to_the_detector_and_its_keypoints_to_the_lifter(load):
    nodes = load("webcam")
    detector, lifter = nodes(video="a.mp4", fixed_camera="true")
    assert detector.executable == "detector" and ("keypoints", "/lifter/keypoints") in detector.remappings
    told = detector.parameters[1]
    assert told["video"] == "a.mp4" and told["fixed_camera"] is True and told["model_joint_set"] == ""
    assert set(told) <= {item.name for item in fields(DetectorConfig)}
    assert dict(lifter.launch_arguments)["joint_set"] == "mediapipe33"
    detector, _ = nodes(model="a.onnx", joint_set="halpe26")
    assert detector.parameters[1]["model_joint_set"] == "halpe26"
