"""Pictures in, 2D keypoints out: a webcam, a video or an image topic, for the lifter and with no other package.

The detector itself runs in a process of its own (MediaPipe in its own environment, or an ONNX model), so that nothing
that it does stops the node. The newest picture wins.
"""

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType  # pyright: ignore[reportPrivateImportUsage] (Humble has it here only)
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from dp3d_core.capture.detect.worker import WorkerConfig, WorkerFailed
from dp3d_core.config import option, validate
from dp3d_ros.detector.calibration import camera_info
from dp3d_ros.detector.pictures import Capture, Newest, Picture
from dp3d_ros.detector.process import WorkerProcess
from dp3d_ros.detector.session import Session
from dp3d_ros.lifter.statistics import Latencies, Rate, Throttle
from dp3d_ros.messages import diagnostics
from dp3d_ros.messages.image import image_bgr, image_message
from dp3d_ros.messages.keypoints import BadMessage, stamp_ns
from dp3d_ros.messages.pointcloud2 import cloud_from_people
from dp3d_ros.node import parameters
from dp3d_ros.node.spin import run

PERIOD_S = 1.0
"""Of the diagnostics."""
WARN_EVERY_S = 10.0
SILENCE_S = 5.0
"""No picture for so long is worth a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Options of the detector node."""

    video: str = option("", "path of a video, or a camera device as /dev/video0 or 0; empty: the topic `image`")
    loop: bool = option(False, "play a video file again and again; else the node ends with it")
    model: str = option("", "path of an ONNX pose model (YOLO pose or RTMO); empty: MediaPipe")
    model_joint_set: str = option("", "joint set of that model; empty: the usual one of that many keypoints")
    detector_python: str = option(
        "", "python of MediaPipe's environment; empty: $DP3D_DETECTOR_PYTHON, or .venv-detector here or beside dp3d"
    )
    max_hz: float = option(30.0, "pictures looked at per second, at most", unit="Hz", low=0.1, high=240.0)
    max_people: int = option(8, "people looked for in a picture, at most", low=1, high=64)
    min_score: float = option(0.3, "an ONNX model's people below this score are left out", low=0.0, high=1.0)
    fixed_camera: bool = option(False, "the camera stands still: learn the background, which finds more people")
    calibration: str = option(
        "", "camera file of camera_calibration (yaml) for the CameraInfo of `video`; empty: it tells the size only"
    )
    frame_id: str = option("camera_optical_frame", "frame of the headers of pictures of `video`")
    wait_for_subscribers_s: float = option(
        30.0,
        "a video file begins when the keypoints have a subscriber, or after so long",
        unit="s",
        low=0.0,
        high=3600.0,
    )

    def __post_init__(self):
        validate(self)


class DetectorNode(Node):
    """Looks at pictures in a thread, and says in diagnostics how that goes."""

    def __init__(self, **options):
        super().__init__("detector", **options)
        (self._config,) = parameters.setup(self, DetectorConfig, read_only=True)
        config = self._config
        self._info = camera_info(config.calibration)
        self._worker = WorkerProcess(
            WorkerConfig(
                model=config.model,
                joint_set=config.model_joint_set,
                max_people=config.max_people,
                min_score=config.min_score,
                fixed_camera=config.fixed_camera,
            ),
            config.detector_python,
        )
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        overridable = QoSOverridingOptions.with_default_policies()
        self._keypoints = self.create_publisher(PointCloud2, "keypoints", qos, qos_overriding_options=overridable)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos, qos_overriding_options=overridable)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._newest, self._capture = Newest(), None
        if config.video:
            depth = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
            self._pictures = self.create_publisher(Image, "image", depth, qos_overriding_options=overridable)
        else:
            newest_wins = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            self.create_subscription(Image, "image", self._on_image, newest_wins, qos_overriding_options=overridable)
        self._latency, self._detection, self._rate = Latencies(), Latencies(), Rate()
        self._frames = self._people = self._bad_images = 0
        self._last_picture_s = time.monotonic()
        self._error, self._session, self._waits = "", Session(), False
        self._throttle, self._stop = Throttle(WARN_EVERY_S), threading.Event()
        self._tried = threading.Event()
        """The worker was started, or could not be."""
        self._thread = threading.Thread(target=self._detect, daemon=True)
        self._thread.start()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PERIOD_S, self._publish_diagnostics, clock=steady)

    def work(self, spin_once) -> int:
        """Until a video file has ended, or for ever; the exit code."""
        if self._config.video:
            end_s = time.monotonic() + self._config.wait_for_subscribers_s
            self._waits = Path(self._config.video).is_file()
            while self._waits and time.monotonic() < end_s and not self._keypoints.get_subscription_count():
                spin_once(0.05)
            self._waits = False
            while not self._tried.is_set():  # a video is not played to a detector that is not there yet
                spin_once(0.05)
            self._last_picture_s = time.monotonic()
            self._capture = Capture(
                self._config.video,
                self._newest,
                frame_id=self._config.frame_id,
                loop=self._config.loop,
                now_ns=lambda: self.get_clock().now().nanoseconds,
            )
        while self._capture is None or not self._capture.ended or self._newest.waiting:
            spin_once(0.1)
        spin_once(0.5)  # for the last messages to leave
        self.get_logger().info(f"the video has ended: {self._summary()}")
        return 0

    def close(self) -> int:
        """Before the process ends."""
        self._stop.set()
        if self._capture is not None:
            self._capture.close()
        self._worker.close()
        self._thread.join(2.0)
        self.destroy_node()
        return 0

    # --- pictures --------------------------------------------------------------------------------------------------

    def _on_image(self, message) -> None:
        self._newest.put(Picture(message, stamp_ns(message.header.stamp), message.header.frame_id))

    def _detect(self) -> None:
        """Look at one picture after the other; whatever happens is said, and the next one is tried."""
        next_s = time.monotonic()
        while not self._stop.is_set():
            self._stop.wait(max(0.0, next_s - time.monotonic()))
            try:
                ready = self._worker.ready()
                self._tried.set()
                picture = self._newest.take(0.2)
                if picture is None:
                    continue
                next_s = max(next_s + 1 / self._config.max_hz, time.monotonic() - 1 / self._config.max_hz)
                self._last_picture_s = time.monotonic()
                if ready:
                    self._look(picture)
            except BadMessage as problem:
                self._bad_images += 1
                self._say(str(problem))
            except Exception as error:  # the node outlives whatever a picture does; nothing is hidden
                expected = isinstance(error, WorkerFailed | OSError | ImportError)
                self._say(str(error) if expected else repr(error))
            self._tried.set()

    def _look(self, picture: Picture) -> None:
        started_s = time.perf_counter()
        image = picture.image if self._config.video else image_bgr(picture.image)
        stamp_s = self._session.seconds(picture.stamp_ns)
        if stamp_s is None:
            return  # older than the last one
        found = self._worker.detect(image, stamp_s)
        now_s = time.perf_counter()
        self._detection.add(now_s - started_s)
        header = Header(stamp=_time(picture.stamp_ns), frame_id=picture.frame_id)
        if self._config.video:
            self._infos.publish(self._info(header, image.shape[1], image.shape[0]))
            if self._pictures.get_subscription_count():
                self._pictures.publish(image_message(image, header))
        people = dict(zip(found.ids.tolist(), zip(found.keypoints_px, found.confidence, strict=True), strict=True))
        self._keypoints.publish(cloud_from_people(people, header))
        self._frames, self._people, self._error = self._frames + 1, len(people), ""
        self._rate.tick(now_s)
        self._latency.add((self.get_clock().now().nanoseconds - picture.stamp_ns) * 1e-9)
        if self._frames == 1:
            self.get_logger().info(
                f"joint set {self._worker.joint_set}, pictures of {image.shape[1]} x {image.shape[0]}"
            )

    # --- what is said of it ----------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        """Keep a problem for the diagnostics, and log it now and then; what the end of the node breaks is none."""
        if self._stop.is_set():
            return
        self._error = text
        if self._throttle.ready(text, time.monotonic()):
            self.get_logger().error(text)

    def _summary(self) -> str:
        parts = [f"{self._frames} of {self._newest.received} pictures looked at"]
        for name, latencies in (("detection", self._detection), ("picture to keypoints", self._latency)):
            parts += [f"{name} {at} {value:.0f} ms" for at, value in latencies.percentiles().items()]
        return ", ".join(parts)

    def _judge(self, hz: float) -> tuple[int, str]:
        problem = self._capture.problem if self._capture is not None else ""
        if problem and self._throttle.ready(problem, time.monotonic()):
            self.get_logger().error(problem)
        if problem or self._error:
            return diagnostics.ERROR, problem or self._error
        if self._waits:
            return diagnostics.OK, f"waits for a subscriber of {self._keypoints.topic_name}"
        if time.monotonic() - self._last_picture_s > SILENCE_S:
            where = self._config.video or self.resolve_topic_name("image")
            publishers = "" if self._config.video or self.count_publishers(where) else "; nobody publishes it"
            return diagnostics.WARN, f"no picture from {where} for {SILENCE_S:g} s{publishers}"
        return diagnostics.OK, f"{diagnostics.people(self._people)} at {hz:.1f} Hz"

    def _publish_diagnostics(self) -> None:
        hz = self._rate.hz(time.perf_counter())
        level, text = self._judge(hz)
        values = {
            "pictures_in": self._newest.received, "frames_out": self._frames, "bad_images": self._bad_images,
            "people": self._people, "output_hz": hz, "joint_set": self._worker.joint_set,
            "detector": self._config.model or "mediapipe", "worker_starts": self._worker.starts,
        } | {
            f"{name}_{at}_ms": value
            for name, latencies in (("picture_to_publish", self._latency), ("detection", self._detection))
            for at, value in latencies.percentiles().items()
        } | {"last_error": self._error}  # fmt: skip
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name()
        message.status = [diagnostics.status(name, self._config.video, level, text, values)]
        self._diagnostics.publish(message)


def _time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def main(args=None):
    """Entry point of the `detector` executable."""
    sys.exit(run(DetectorNode, args, work=lambda node, spin_once: node.work(spin_once)))


if __name__ == "__main__":
    main()
