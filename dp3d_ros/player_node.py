"""Plays a keypoint recording as a detector would publish it: keypoints and CameraInfo, at its own pace, then ends."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header

from dp3d_core import Camera
from dp3d_core.capture import recording
from dp3d_core.config import option, validate
from dp3d_ros.messages.camera_info import info_from_camera
from dp3d_ros.messages.pointcloud2 import cloud_from_people
from dp3d_ros.node import parameters
from dp3d_ros.node.spin import run

CLOCK_PERIOD_S = 0.01
FLUSH_S = 0.3
"""After the last message, time for it to leave before the process ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerConfig:
    """Options of the player node."""

    recording: str = option("vtest", "name of a shipped recording, or path of a recording (npz)")
    rate: float = option(1.0, "speed of playing: 0.5 is half as fast, 4 four times as fast", low=0.01, high=100.0)
    loop: bool = option(False, "start again at the end; with `clock` the stamps then jump back, as those of a bag do")
    clock: bool = option(False, "publish /clock for nodes with use_sim_time; stamps then start at start_s")
    start_s: float = option(1000.0, "first stamp when `clock` is set", unit="s", low=0.0, high=2e9)
    max_frames: int = option(0, "stop after so many frames; 0: play all", unit="frames", low=0, high=100000000)
    frame_id: str = option("camera_optical_frame", "frame of the stamps' headers")
    wait_for_subscribers_s: float = option(
        120.0, "wait up to this long for a subscriber of the keypoints before starting", unit="s", low=0.0, high=3600.0
    )
    settle_s: float = option(
        0.5, "CameraInfo is published alone for so long before the first frame", unit="s", low=0.0, high=60.0
    )
    progress: bool = option(False, "show a progress bar")

    def __post_init__(self):
        validate(self)


def camera_of(played):
    """The `Camera` of a recording."""
    width, height = (int(value) for value in played.image_size_px)
    return Camera(
        fx=float(played.K[0, 0]),
        fy=float(played.K[1, 1]),
        cx=float(played.K[0, 2]),
        cy=float(played.K[1, 2]),
        width=width,
        height=height,
        distortion=tuple(float(value) for value in played.distortion),
    )


def open_recording(name):
    """A recording by path or shipped name."""
    return recording.load(name if Path(name).suffix == ".npz" else recording.shipped(name))


class PlayerNode(Node):
    """Publishes when frames are due; timing is by the steady clock so that it holds whatever ROS time does."""

    def __init__(self, **options):
        super().__init__("player", **options)
        (self._config,) = parameters.setup(self, PlayerConfig, read_only=True)
        played = open_recording(self._config.recording)
        self._frames = list(played.frames())
        if self._config.max_frames:
            self._frames = self._frames[: self._config.max_frames]
        stamps_s = [stamp_s for stamp_s, _ in self._frames]
        # One more frame period after the last frame, so that a loop keeps the rhythm.
        self._length_s = stamps_s[-1] + (stamps_s[-1] - stamps_s[-2] if len(stamps_s) > 1 else 0.1)
        self._camera = camera_of(played)
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        overridable = QoSOverridingOptions.with_default_policies()
        self._keypoints = self.create_publisher(PointCloud2, "keypoints", qos, qos_overriding_options=overridable)
        self._info = self.create_publisher(CameraInfo, "camera_info", qos, qos_overriding_options=overridable)
        self._clock = None
        if self._config.clock:
            from rosgraph_msgs.msg import Clock

            self._clock = self.create_publisher(Clock, "/clock", 10)
        self.published = 0
        self.get_logger().info(
            f"{self._config.recording}: {len(self._frames)} frames, {self._length_s:.1f} s, joint set "
            f"{played.joint_set}, intrinsics {played.intrinsics}"
        )

    def play(self, spin_once):
        """Play to the end; `spin_once(timeout_s)` serves the node's callbacks meanwhile. False if no one listens."""
        if not self._wait_for_subscribers(spin_once):
            self.get_logger().error(
                f"no subscriber on {self._keypoints.topic_name} after {self._config.wait_for_subscribers_s:g} s"
            )
            return False
        bar = self._progress_bar()
        started_s = time.monotonic()
        epoch_ns = self._epoch_ns()
        lap = 0
        while lap == 0 or self._config.loop:
            for stamp_s, people in self._frames:
                due_s = started_s + (lap * self._length_s + stamp_s) / self._config.rate
                self._wait_until(due_s, spin_once, epoch_ns, stamp_s)
                shift_s = 0.0 if self._clock is not None else lap * self._length_s
                self._publish(epoch_ns + round((stamp_s + shift_s) * 1e9), people)
                if bar is not None:
                    bar.update(1)
            lap += 1
        if bar is not None:
            bar.close()
        self._wait_until(time.monotonic() + FLUSH_S, spin_once, None, 0.0)
        return True

    def _publish(self, stamp_ns, people):
        header = Header(stamp=_time(stamp_ns), frame_id=self._config.frame_id)
        self._tick(stamp_ns)
        self._info.publish(info_from_camera(self._camera, header))
        self._keypoints.publish(cloud_from_people(people, header))
        self.published += 1

    def _wait_for_subscribers(self, spin_once):
        end_s = time.monotonic() + self._config.wait_for_subscribers_s
        while self._config.wait_for_subscribers_s and not self._keypoints.get_subscription_count():
            if time.monotonic() > end_s:
                return False
            spin_once(0.05)
        settled_s = time.monotonic() + self._config.settle_s
        while time.monotonic() < settled_s:
            stamp_ns = self._epoch_ns()
            self._tick(stamp_ns)
            header = Header(stamp=_time(stamp_ns), frame_id=self._config.frame_id)
            self._info.publish(info_from_camera(self._camera, header))
            spin_once(0.05)
        return True

    def _wait_until(self, due_s, spin_once, epoch_ns, stamp_s):
        while (left_s := due_s - time.monotonic()) > 0:
            if self._clock is None or epoch_ns is None:
                spin_once(left_s)
                continue
            self._tick(epoch_ns + round((stamp_s - left_s * self._config.rate) * 1e9))
            spin_once(min(left_s, CLOCK_PERIOD_S))

    def _tick(self, stamp_ns):
        if self._clock is not None:
            from rosgraph_msgs.msg import Clock

            self._clock.publish(Clock(clock=_time(max(stamp_ns, 0))))

    def _epoch_ns(self):
        return round(self._config.start_s * 1e9) if self._clock is not None else time.time_ns()

    def _progress_bar(self):
        if not self._config.progress:
            return None
        from tqdm import tqdm

        return tqdm(total=None if self._config.loop else len(self._frames), unit="frame", desc="playing")


def _time(stamp_ns):
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def main(args=None):
    """Entry point of the `player` executable; exit code 1 where nobody listens."""
    sys.exit(run(PlayerNode, args, work=lambda node, spin_once: 0 if node.play(spin_once) else 1))


if __name__ == "__main__":
    main()
