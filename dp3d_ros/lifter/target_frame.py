"""Skeletons in another TF frame (parameter `target_frame`); tf2_ros is optional and imported on demand."""

from dataclasses import replace

import numpy as np

from dp3d_ros.messages.keypoints import BadMessage


def matrix(translation, rotation):
    """geometry_msgs translation and unit quaternion as (3, 3) and (3,) float64."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    turn = np.array(
        [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
         [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
         [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    )  # fmt: skip
    return turn, np.array([translation.x, translation.y, translation.z])


def moved(skeletons, turn, offset):
    """The skeletons after p -> turn @ p + offset; sigma is per axis and alike in all axes, so it stays."""
    joints_m = skeletons.joints_cam_m @ turn.T.astype(np.float32) + offset.astype(np.float32)
    return replace(skeletons, joints_cam_m=joints_m.astype(np.float32))


class TargetFrame:
    """Looks up the transform from the camera's frame at the stamp of each message."""

    def __init__(self, node, target_frame):
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            raise ImportError(
                "target_frame: needs tf2_ros, which is not installed; install ros-$ROS_DISTRO-tf2-ros-py or leave "
                "target_frame empty to keep the camera's optical frame"
            ) from error
        self.name = target_frame
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def apply(self, skeletons, header):
        """The skeletons and header in the target frame; BadMessage `no_transform` where TF does not know the way."""
        from rclpy.time import Time
        from tf2_ros import TransformException

        try:
            found = self._buffer.lookup_transform(self.name, header.frame_id, Time.from_msg(header.stamp)).transform
        except TransformException as error:
            raise BadMessage("no_transform", f"target_frame: no transform to {self.name!r}: {error}") from error
        return moved(skeletons, *matrix(found.translation, found.rotation)), type(header)(
            stamp=header.stamp, frame_id=self.name
        )

    def forget(self):
        """Forget moving transforms (tf2 keeps static ones): much older ones, as of a looped bag, would be refused."""
        self._buffer.clear()

    def close(self):
        """Stop listening to /tf."""
        self._listener.unregister()
