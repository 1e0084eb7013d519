"""A webcam or a video to people in 3D: `ros2 launch dp3d_ros webcam.launch.py`; `--show-args` tells the rest.

Starts the detector and the lifter. For an image topic give video:="" image:=/camera/image_raw camera_info:=…
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

SHARE = Path(get_package_share_directory("dp3d_ros"))
ARGUMENTS = {
    "video": ("/dev/video0", "camera device, or path of a video; empty: the topic `image`"),
    "image": ("image", "topic of the pictures where video is empty"),
    "camera_info": ("camera_info", "topic of the CameraInfo"),
    "calibration": ("", "camera file of camera_calibration (yaml); without one only root-relative poses mean anything"),
    "hfov_deg": ("60.0", "horizontal field of view to assume without a calibration; 0: wait for one"),
    "model": ("", "path of an ONNX pose model; empty: MediaPipe, see `make detector`"),
    "joint_set": ("mediapipe33", "of the keypoints: coco17 for most ONNX models"),
    "detector_python": ("", "python of MediaPipe's environment; empty: .venv-detector"),
    "fixed_camera": ("false", "the camera stands still: finds more people"),
    "max_hz": ("30.0", "pictures looked at per second, at most"),
    "rviz": ("false", "show the people in RViz"),
    "viewer": ("true", "show the people in rerun"),
    "overlay": ("false", "draw the people into the pictures: topic /overlay/overlay"),
}
"""{name: (default, description)}."""


def arguments():
    """The launch arguments."""
    for name, (default, description) in ARGUMENTS.items():
        yield DeclareLaunchArgument(name, default_value=default, description=description)


def nodes(context):
    """The detector, and the lifter with its viewers."""
    said = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    yield Node(
        package="dp3d_ros", executable="detector", name="detector", output="screen", emulate_tty=True,
        remappings=[
            ("keypoints", "/lifter/keypoints"), ("image", said["image"]), ("camera_info", said["camera_info"]),
        ],
        parameters=[
            str(SHARE / "config" / "detector.yaml"),
            {name: said[name] for name in ("video", "calibration", "model", "detector_python")}
            | {"model_joint_set": said["joint_set"] if said["model"] else "", "max_hz": float(said["max_hz"]),
               "fixed_camera": said["fixed_camera"].lower() == "true"},
        ],
    )  # fmt: skip
    yield IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "lifter.launch.py")),
        launch_arguments={
            "joint_set": said["joint_set"], "assumed_hfov_deg": said["hfov_deg"], "camera_info": said["camera_info"],
            "rviz": said["rviz"], "viewer": said["viewer"],
            "overlay": said["image"] if said["overlay"].lower() == "true" else "",
        }.items(),
    )  # fmt: skip


def generate_launch_description():
    """What `ros2 launch` asks for."""
    return LaunchDescription([*arguments(), OpaqueFunction(function=lambda context: list(nodes(context)))])
