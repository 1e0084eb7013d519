"""Starts the lifter, configured and active: `ros2 launch dp3d_ros lifter.launch.py --show-args`.

Arguments left empty keep what the parameter file says.
"""

from dataclasses import fields
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dp3d_core.config import StreamConfig
from dp3d_ros.lifter.inputs import DEFAULT_TOPICS
from dp3d_ros.messages.tf import upright
from dp3d_ros.node.compat import parameters_of_file
from dp3d_ros.node.parameters import NodeConfig, describe
from launch import LaunchDescription

SHARE = Path(get_package_share_directory("dp3d_ros"))
FACTS = {item.name: describe(item) for cls in (NodeConfig, StreamConfig) for item in fields(cls)}
EXPOSED = (
    "input", "cameras", "joint_set", "weights", "device", "backend", "engine_cache", "lookahead", "max_people",
    "assumed_hfov_deg", "image_width_px", "image_height_px", "rectified", "person_height_m", "target_frame",
    "fixed_frame", "camera_up", "camera_height_m", "publish_markers", "publish_tf", "publish_hri", "marker_sigmas",
)  # fmt: skip
"""Parameters that are launch arguments too; all others are set in a parameter file."""

VIEW_FRAME, VIEW_HEIGHT_M = "dp3d_view", 1.5
"""Without TF, RViz gets a frame with z up in which the camera hangs as camera_up and camera_height_m say; where they do
not, it is level and so high above the ground."""


def arguments():
    """The launch arguments, described by the dataclasses that hold the parameters."""
    yield DeclareLaunchArgument(
        "params_file", default_value=str(SHARE / "config" / "lifter.yaml"), description="YAML file with all parameters"
    )
    for name in EXPOSED:
        facts = FACTS[name]
        constraints = facts["constraints"].split(";")[0] if facts["constraints"].startswith("one of") else ""
        text = "; ".join(filter(None, [facts["description"], constraints, f"by default {facts['default']!r}"]))
        yield DeclareLaunchArgument(name, default_value="", description=text)
    for name, default, description in (
        (
            "keypoints",
            "",
            "a single camera's keypoints; empty: ~/keypoints, /yolo/tracking or /humans/bodies/tracked",
        ),
        ("camera_info", "camera_info", "topic of a single camera's CameraInfo"),
        ("name", "lifter", "name of the node; the topics are below it"),
        ("namespace", "", "namespace of the node, such as that of its camera"),
        ("autostart", "true", "configure and activate at once; false: wait for a lifecycle manager"),
        ("use_sim_time", "false", "take the time from /clock, as when a bag is replayed"),
        ("rviz", "false", "show a single camera's people in RViz"),
        (
            "rviz_frame",
            "",
            f"fixed frame of RViz; empty: target_frame, fixed_frame, or {VIEW_FRAME}, made with z up",
        ),
        ("camera_frame", "camera_optical_frame", "optical frame of the camera, where such a frame is made"),
        ("rviz_config", str(SHARE / "rviz" / "dp3d.rviz"), "layout of RViz"),
        ("viewer", "false", "show a single camera's people in rerun"),
        ("overlay", "", "topic of a single camera's pictures; with the people in them: /overlay/overlay"),
        ("log_level", "info", "debug, info, warn or error"),
    ):
        yield DeclareLaunchArgument(name, default_value=default, description=description)


def typed(name, text):
    """A launch argument as the type of its parameter; ValueError says what was expected."""
    kind = FACTS[name]["type"]
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}: expected true or false, got {text!r}")
        return text.lower() == "true"
    if kind is tuple:
        return [part.strip() for part in text.strip("[]").split(",")]
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{name}: expected {kind.__name__}, got {text!r}") from error


def chosen(said, name, home):
    """A parameter of the lifter called `home`: the launch argument, or what the parameter file says."""
    if said[name]:
        return typed(name, said[name])
    return parameters_of_file(said["params_file"], home).get(name, FACTS[name]["default"])


def view(said, home):
    """The transform that gives RViz a ground where nothing else says where the camera hangs."""
    up = NodeConfig(camera_up=chosen(said, "camera_up", home)).up_cam or (0.0, -1.0, 0.0)
    height_m = chosen(said, "camera_height_m", home) or VIEW_HEIGHT_M
    turn = zip(("--qx", "--qy", "--qz", "--qw"), upright(up))
    return Node(
        package="tf2_ros", executable="static_transform_publisher",
        arguments=[
            "--z", str(height_m), *(word for name, value in turn for word in (name, str(value))),
            "--frame-id", VIEW_FRAME, "--child-frame-id", said["camera_frame"],
        ],
    )  # fmt: skip


def nodes(context):
    """The lifter, and the viewers that are asked for."""
    own = ("keypoints", "name", "namespace", "overlay", "rviz", "rviz_frame", "camera_frame", "params_file")
    said = {name: LaunchConfiguration(name).perform(context) for name in (*EXPOSED, *own)}
    overrides = {name: typed(name, said[name]) for name in EXPOSED if said[name]}
    overrides["autostart"] = LaunchConfiguration("autostart").perform(context).lower() == "true"
    overrides["use_sim_time"] = LaunchConfiguration("use_sim_time").perform(context).lower() == "true"
    remaps = [("camera_info", LaunchConfiguration("camera_info"))]
    home = "/".join(["", *filter(None, [said["namespace"].strip("/"), said["name"]])])
    if said["keypoints"]:  # only of the input itself: with publish_hri another's topic is an output
        remaps.append((DEFAULT_TOPICS[chosen(said, "input", home)], said["keypoints"]))
    yield Node(
        package="dp3d_ros",
        executable="lifter",
        name=said["name"],
        namespace=said["namespace"],
        parameters=[LaunchConfiguration("params_file"), overrides],
        remappings=remaps,
        output="screen",
        arguments=["--log-level", LaunchConfiguration("log_level")],
        emulate_tty=True,
    )
    if said["rviz"].lower() == "true":
        frame = said["rviz_frame"] or chosen(said, "target_frame", home) or chosen(said, "fixed_frame", home)
        yield Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", LaunchConfiguration("rviz_config"), "-f", frame or VIEW_FRAME],
            remappings=[("/lifter/markers", f"{home}/markers"), ("/lifter/skeletons", f"{home}/skeletons")],
            parameters=[{"use_sim_time": overrides["use_sim_time"]}],
        )
        if not frame:
            yield view(said, home)
    yield Node(
        package="dp3d_ros",
        executable="viewer",
        condition=IfCondition(LaunchConfiguration("viewer")),
        remappings=[("skeletons", f"{home}/skeletons")],
        output="screen",
    )
    if said["overlay"]:
        yield Node(
            package="dp3d_ros", executable="overlay", output="screen",
            remappings=[
                ("image", said["overlay"]), ("skeletons", f"{home}/skeletons"), ("overlay", "~/overlay"),
                ("camera_info", LaunchConfiguration("camera_info")),
            ],
            parameters=[{name: overrides[name] for name in ("assumed_hfov_deg", "rectified") if name in overrides}
                        | {"use_sim_time": overrides["use_sim_time"]}],
        )  # fmt: skip


def generate_launch_description():
    """What `ros2 launch` asks for."""
    return LaunchDescription([*arguments(), OpaqueFunction(function=lambda context: list(nodes(context)))])
