"""Where one camera hangs at each frame's stamp: from TF, from an IMU, or as the parameters say.

Knows nothing of lifting: what it finds goes into the frame as a `CameraPose`, and what is missing is counted.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.types import Frame
from dp3d_ros.lifter.health import Health
from dp3d_ros.lifter.target_frame import TfListener, matrix
from dp3d_ros.node.parameters import NodeConfig

RETRY_S = 0.005
"""A frame that waits for its transform asks again after so long."""
GRAVITY_M_S2, AT_REST_M_S2 = 9.81, 0.6
"""An accelerometer that reads gravity within so much is believed."""
GRAVITY_TIME_S = 0.3
"""Time constant of the low-pass on a bare accelerometer."""
IMU_SIGMA_RAD, IMU_SIGMA_RAD_S = 0.02, 0.02
"""Standard deviation of up from an IMU, and how fast it grows with the reading's age."""
IMU_KEEPS_S = 2.0
"""An older reading says nothing."""


class CameraWorld:
    """The pose of one camera; `camera_frame()` gives its optical frame for messages of the IMU."""

    def __init__(self, node, config: NodeConfig, health: Health):
        self._node, self._config, self._health = node, config, health
        self._tf: Any = None
        self._timer: Any = None
        self.in_use = bool(config.fixed_frame or config.imu_topic or config.camera_up)
        """Whether anything says where the camera hangs."""
        self.held: tuple[Frame, Callable, float] | None = None
        """The frame that waits for its transform."""
        self._imu: tuple[np.ndarray, float, str] | None = None
        """Up in the IMU's frame, seconds of its stamp, that frame."""
        if config.fixed_frame or config.imu_topic:
            self._tf = TfListener(node, "fixed_frame" if config.fixed_frame else "imu_topic")
        if config.fixed_frame and config.fixed_frame_wait_s:
            self._timer = node.create_timer(RETRY_S, self._retry)
            self._timer.cancel()
        self._given = fixed_pose(config)

    def subscribe(self, subscriptions) -> None:
        """Listen to the IMU where one is named."""
        if self._config.imu_topic:
            from sensor_msgs.msg import Imu

            subscriptions.add(Imu, self._config.imu_topic, self.on_imu)

    def close(self) -> None:
        """Stop listening to TF."""
        self.forget()
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        if self._tf is not None:
            self._tf.close()

    def forget(self) -> None:
        """Drop a frame that waits, and what was measured."""
        self.held = self._imu = None
        if self._timer is not None:
            self._timer.cancel()

    def clock_jumped_back(self) -> None:
        """Transforms of later times are of another run."""
        self._imu = None
        if self._tf is not None:
            self._tf.forget()

    # --- a frame -----------------------------------------------------------------------------------------------------

    def posed(self, frame: Frame, forward: Callable[[Frame], None]) -> Frame | None:
        """The frame with its pose; None where TF is not there yet: forward(frame) is then called within
        `fixed_frame_wait_s`."""
        pose, early = self._pose(frame.tag)
        if early and self._timer is not None:
            self.held = frame, forward, time.monotonic() + self._config.fixed_frame_wait_s
            self._timer.reset()
            return None
        if early:
            self._missing()
        return frame if pose is None else frame._replace(pose=pose)

    def flush(self) -> None:
        """Let a frame that waits go on, with its pose if it is there by now."""
        if self.held is None:
            return
        frame, forward, _ = self.held
        self.held = None
        self._timer.cancel()
        pose, early = self._pose(frame.tag)
        if early:
            self._missing()
        forward(frame._replace(pose=pose))

    def _retry(self) -> None:
        if self.held is None:
            self._timer.cancel()
            return
        frame, _, deadline_s = self.held
        if time.monotonic() >= deadline_s or not self._pose(frame.tag)[1]:
            self.flush()

    def _missing(self) -> None:
        self._health.odd(
            "no_pose",
            f"fixed_frame: no transform to {self._config.fixed_frame!r} at the image's stamp within "
            f"{self._config.fixed_frame_wait_s:g} s; lifted as without one",
        )

    def _pose(self, header) -> tuple[CameraPose | None, bool]:
        """The camera's pose, and whether it may still come."""
        try:
            if self._config.fixed_frame:
                return self._from_tf(header)
            if self._config.imu_topic:
                return self._from_imu(header), False
        except ValueError as error:
            self._health.odd("bad_pose", f"the camera's pose is left out: {error}")
            return None, False
        return self._given, False

    def _from_tf(self, header) -> tuple[CameraPose | None, bool]:
        found, early = self._tf.at(self._config.fixed_frame, header.frame_id, header.stamp)
        if found is None:
            if not early:
                self._missing()
            return None, early
        turn, place_m = matrix(found.translation, found.rotation)
        return CameraPose.from_transform(turn, place_m, self._config.fixed_floor_m), False

    # --- an IMU ------------------------------------------------------------------------------------------------------

    def on_imu(self, message) -> None:
        """Take in a reading: its orientation where it has one, else its acceleration while it is at rest."""
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        if message.orientation_covariance[0] != -1:
            turn, _ = matrix(None, message.orientation)
            if np.isfinite(turn).all() and abs(np.linalg.det(turn) - 1) < 0.02:
                self._imu = turn[2], stamp_s, message.header.frame_id
                return
        force = message.linear_acceleration
        reading = np.array([force.x, force.y, force.z])
        if not abs(np.linalg.norm(reading) - GRAVITY_M_S2) < AT_REST_M_S2:  # also NaN
            self._health.odd("imu_accelerates", "the IMU reads no pure gravity; its last reading at rest is used")
            return
        up = reading / np.linalg.norm(reading)
        if self._imu is not None and self._imu[2] == message.header.frame_id and stamp_s > self._imu[1]:
            up = self._imu[0] + (1 - np.exp((self._imu[1] - stamp_s) / GRAVITY_TIME_S)) * (up - self._imu[0])
        self._imu = up, stamp_s, message.header.frame_id

    def _from_imu(self, header) -> CameraPose | None:
        stamp_s = header.stamp.sec + header.stamp.nanosec * 1e-9
        if self._imu is None or abs(stamp_s - self._imu[1]) > IMU_KEEPS_S:
            self._health.odd("no_pose", f"imu_topic: no reading at rest within {IMU_KEEPS_S:g} s")
            return None
        up, read_s, frame_id = self._imu
        if frame_id != header.frame_id:
            found = self._tf.latest(header.frame_id, frame_id)
            if found is None:
                self._health.odd("no_pose", f"imu_topic: no transform from {frame_id!r} to {header.frame_id!r}")
                return None
            up = matrix(found.translation, found.rotation)[0] @ up
        sigma_rad = IMU_SIGMA_RAD + IMU_SIGMA_RAD_S * abs(stamp_s - read_s)
        return CameraPose.from_up(up, self._config.camera_height_m or None, up_sigma_rad=sigma_rad)


def fixed_pose(config: NodeConfig) -> CameraPose | None:
    """The pose that `camera_up` and `camera_height_m` say; None where they say nothing."""
    up = config.up_cam
    return None if up is None else CameraPose.from_up(np.array(up), config.camera_height_m or None)
