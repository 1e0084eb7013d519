"""Install dp3d for pip and for colcon (ament_python). The version comes from package.xml.

`ros2 launch` and `ros2 run` look for executables in lib/dp3d_ros/. They are data files, so that a wheel has them too.
"""

from glob import glob
from xml.etree import ElementTree

from setuptools import find_packages, setup

NAME = "dp3d_ros"

# The pip-only ROS 2: for machines without one. On a robot rclpy is native, so none of this is in install_requires.
ROS_WHEELS = [
    "ros-rclpy[fastrtps]==9.1.2",
    "ros-diagnostic-msgs==5.5.1",
    "ros-geometry-msgs==5.5.1",
    "ros-lifecycle-msgs==2.3.0",
    "ros-sensor-msgs==5.5.1",
    "ros-std-msgs==5.5.1",
    "ros-std-srvs==5.5.1",
    "ros-visualization-msgs==5.5.1",
]
OPENCV = "opencv-python-headless>=4.8"
TORCH = "torch>=2.4"

setup(
    name=NAME,
    version=ElementTree.parse("package.xml").getroot().findtext("version"),
    description="Live 3D people in metres from 2D keypoints, for ROS 2",
    author="The dp3d authors",
    maintainer="The dp3d authors",
    maintainer_email="maintainers@dp3d.invalid",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["dp3d_core", "dp3d_core.*", "dp3d_ros", "dp3d_ros.*"]),
    package_data={
        "dp3d_core": ["py.typed", "weights/*", "recordings/*", "recipes/*", "**/README.md"],
        "dp3d_ros": ["py.typed", "README.md", "config/*.yaml", "config/*.xml", "rviz/*.rviz"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"dp3d_ros/resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.py"))),
        (f"share/{NAME}/config", sorted(glob("dp3d_ros/config/*"))),
        (f"share/{NAME}/rviz", sorted(glob("dp3d_ros/rviz/*.rviz"))),
        (f"lib/{NAME}", sorted(glob("dp3d_ros/resource/bin/*"))),
    ],
    zip_safe=False,
    install_requires=["numpy>=1.24", "safetensors>=0.4.3", "scipy>=1.10", "tyro>=1.0"],
    extras_require={
        "ros": ROS_WHEELS,
        "demo": [*ROS_WHEELS, OPENCV, "tqdm>=4.60"],
        # for training, for lifting whole sequences and for the first engines of new weights
        "torch": [TORCH],
        "train": [TORCH, "matplotlib>=3.8", "tensorboard>=2.14", "tqdm>=4.60"],
        "tensorrt": [TORCH, "torch-tensorrt>=2.6"],
        # converts and builds engines also over the CPU build of torch, so tests of that need no GPU; pins as in .ci
        "tensorrt-rtx": ["torch-tensorrt-rtx==2.13.0"],
        "cpu": ["openvino>=2024.4"],
        "viewer": ["rerun-sdk>=0.41"],
        "files": [OPENCV, "ezc3d>=1.5", "matplotlib>=3.8", "PyYAML>=6", "rosbags>=0.10", "tqdm>=4.60"],
        "ray": ["ray>=2.9"],
        # mediapipe 0.10.21 carries its pose model in the wheel and needs numpy 1: give it an environment of its own
        "detector": ["mediapipe==0.10.21", "numpy<2", "opencv-python-headless<5", "scipy>=1.10", "tqdm>=4.60"],
        "prompts": [TORCH, "open_clip_torch>=2.29"],
        "test": [
            *ROS_WHEELS,
            OPENCV,
            TORCH,
            "hypothesis>=6.100",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "tqdm>=4.60",
        ],
    },
    entry_points={
        "console_scripts": [
            "dp3d = dp3d_core.cli:main",
        ],
    },
)
