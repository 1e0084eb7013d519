"""Skeletons in another TF frame (parameter `target_frame`); tf2_ros is optional and imported on demand."""

from dataclasses import replace

import numpy as np

from dp3d_ros.messages.keypoints import BadMessage


def matrix(translation, rotation):
    """geometry_msgs translation (or None) and unit quaternion as (3, 3) and (3,) float64."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    turn = np.array(
        [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
         [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
         [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    )  # fmt: skip
    place_m = np.zeros(3) if translation is None else np.array([translation.x, translation.y, translation.z])
    return turn, place_m


def moved(skeletons, turn, offset):
    """The skeletons after p -> turn @ p + offset; sigma is per axis and alike in all axes, so it stays."""
    joints_m = skeletons.joints_cam_m @ turn.T.astype(np.float32) + offset.astype(np.float32)
    return replace(skeletons, joints_cam_m=joints_m.astype(np.float32))


class TfListener:
    """Hears TF for one parameter of the node, and looks transforms up."""

    def __init__(self, node, parameter: str):
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            raise ImportError(
                f"{parameter}: needs tf2_ros, which is not installed; install ros-$ROS_DISTRO-tf2-ros-py or leave "
                f"{parameter} empty"
            ) from error
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def look_up(self, target: str, source: str, stamp):
        """The transform from `source` to `target` at a stamp of a message; tf2's exceptions where there is none."""
        from rclpy.time import Time

        return self._buffer.lookup_transform(target, source, Time.from_msg(stamp)).transform

    def at(self, target: str, source: str, stamp) -> tuple:
        """The transform at a stamp, or None and whether it may still come: TF has only older ones yet."""
        from tf2_ros import ExtrapolationException, TransformException

        try:
            return self.look_up(target, source, stamp), False
        except ExtrapolationException:
            return None, True
        except TransformException:
            return None, False

    def latest(self, target: str, source: str):
        """The newest transform; None where there is none."""
        from rclpy.time import Time
        from tf2_ros import TransformException

        try:
            return self._buffer.lookup_transform(target, source, Time()).transform
        except TransformException:
            return None

    def forget(self):
        """Forget moving transforms (tf2 keeps static ones): much older ones, as of a looped bag, would be refused."""
        self._buffer.clear()

    def close(self):
        """Stop listening to /tf."""
        self._listener.unregister()


class TargetFrame:
    """Looks up the transform from the camera's frame at the stamp of each message."""

    def __init__(self, node, target_frame):
        self.name = target_frame
        self._tf = TfListener(node, "target_frame")

    def apply(self, skeletons, header):
        """The skeletons and header in the target frame, and the rotation (3, 3) into it.

        BadMessage `no_transform` where TF does not know the way.
        """
        from tf2_ros import TransformException

        try:
            found = self._tf.look_up(self.name, header.frame_id, header.stamp)
        except TransformException as error:
            raise BadMessage("no_transform", f"target_frame: no transform to {self.name!r}: {error}") from error
        turn, place_m = matrix(found.translation, found.rotation)
        return moved(skeletons, turn, place_m), type(header)(stamp=header.stamp, frame_id=self.name), turn

    def forget(self):
        """Forget moving transforms (tf2 keeps static ones): much older ones, as of a looped bag, would be refused."""
        self._tf.forget()

    def close(self):
        """Stop listening to /tf."""
        self._tf.close()
