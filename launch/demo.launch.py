"""Plays a recorded keypoint stream through the lifter and shows it in RViz: `ros2 launch dp3d_ros demo.launch.py`."""

from pathlib import Path
from tempfile import NamedTemporaryFile

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dp3d_ros.demo.layout import demo_layout
from dp3d_ros.messages.tf import upright
from dp3d_ros.player_node import open_recording
from launch import LaunchDescription

SHARE = Path(get_package_share_directory("dp3d_ros"))
FRAME = "camera_optical_frame"


def arguments():
    """The launch arguments."""
    for name, default, description in (
        ("recording", "vtest", "shipped recording, or path of one (npz)"),
        ("rate", "1.0", "speed of playing"),
        ("loop", "true", "start again at the end"),
        ("weights", "", "shipped weights or path of a checkpoint; empty: as in the parameter file"),
        ("lookahead", "", "frames of lag traded for quality: 0, 2 or 4; empty: as in the parameter file"),
        ("rviz", "auto", "show the people in RViz: true, false, or auto: where rviz2 is installed"),
        ("viewer", "false", "show the people in rerun"),
    ):
        yield DeclareLaunchArgument(name, default_value=default, description=description)


def camera_over_ground(recording):
    """Where the camera is in a world with z up and the ground at 0: (height_m, quaternion x y z w)."""
    up = (0.0, -1.0, 0.0) if recording.ground_normal_cam is None else recording.ground_normal_cam
    height_m = 1.5 if recording.ground_distance_m is None else recording.ground_distance_m
    return height_m, upright(up)


def has_rviz() -> bool:
    """Whether rviz2 is installed."""
    try:
        get_package_share_directory("rviz2")
    except LookupError:  # PackageNotFoundError is one
        return False
    return True


def layout_file() -> str:
    """RViz's layout for the demo, as a file."""
    with NamedTemporaryFile("w", prefix="dp3d_", suffix=".rviz", delete=False) as file:
        yaml.safe_dump(demo_layout(SHARE / "rviz" / "dp3d.rviz"), file)
    return file.name


def nodes(context):
    """Lifter, player, and the transform that puts the ground below the people's feet."""
    said = {name: LaunchConfiguration(name).perform(context) for name in ("recording", "rate", "loop", "rviz")}
    rviz = has_rviz() if said["rviz"] == "auto" else said["rviz"].lower() == "true"
    recording = open_recording(said["recording"])
    height_m, turn = camera_over_ground(recording)
    yield IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "lifter.launch.py")),
        launch_arguments={
            "joint_set": recording.joint_set, "weights": LaunchConfiguration("weights"), "rviz_frame": "world",
            "lookahead": LaunchConfiguration("lookahead"), "rviz": str(rviz).lower(),
            "viewer": LaunchConfiguration("viewer"), "rviz_config": layout_file() if rviz else "",
        }.items(),
    )  # fmt: skip
    yield Node(
        package="dp3d_ros", executable="player", name="player", output="screen",
        remappings=[("keypoints", "/lifter/keypoints")],
        parameters=[
            str(SHARE / "config" / "player.yaml"),
            {"recording": said["recording"], "rate": float(said["rate"]), "loop": said["loop"].lower() == "true",
             "frame_id": FRAME},
        ],
    )  # fmt: skip
    if rviz:
        yield Node(
            package="tf2_ros", executable="static_transform_publisher",
            arguments=[
                "--z", str(height_m),
                "--qx", str(turn[0]), "--qy", str(turn[1]), "--qz", str(turn[2]), "--qw", str(turn[3]),
                "--frame-id", "world", "--child-frame-id", FRAME,
            ],
        )  # fmt: skip


def generate_launch_description():
    """What `ros2 launch` asks for."""
    return LaunchDescription([*arguments(), OpaqueFunction(function=lambda context: list(nodes(context)))])
