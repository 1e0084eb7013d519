"""dp3d_core: 2D keypoint streams in, 3D skeletons out. Knows no ROS; heavy parts load when first used."""

from importlib import import_module

__all__ = ["Camera", "CameraPose", "Lifted", "Lifter", "Skeletons", "StreamConfig"]

_HOME = {
    "Camera": "geometry.camera",
    "CameraPose": "geometry.camera_pose",
    "Lifter": "lift",
    "Lifted": "types",
    "Skeletons": "types",
    "StreamConfig": "config",
}


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'dp3d_core' has no attribute {name!r}")
    return getattr(import_module(f"dp3d_core.{_HOME[name]}"), name)
