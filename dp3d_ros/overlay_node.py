"""Draws the people into the camera's picture: an Image in, the same picture out with skeletons, ids and distances.

A picture and the skeletons of its stamp belong together; a picture of which no skeletons come is not published.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType  # pyright: ignore[reportPrivateImportUsage] (Humble has it here only)
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from dp3d_core import Camera
from dp3d_core.config import option, validate
from dp3d_core.skeleton import BONES
from dp3d_ros.lifter.statistics import Rate, Throttle
from dp3d_ros.messages import diagnostics
from dp3d_ros.messages.camera_info import camera_from_info, signature
from dp3d_ros.messages.image import image_bgr, image_message
from dp3d_ros.messages.keypoints import BadMessage, stamp_ns
from dp3d_ros.messages.markers import joint_shade, label_place, person_colour
from dp3d_ros.messages.pointcloud2 import skeletons_from_cloud
from dp3d_ros.node import parameters
from dp3d_ros.node.spin import run

PERIOD_S, WARN_EVERY_S = 1.0, 5.0
"""Of the diagnostics, and of one warning."""
UNMATCHED = 30
"""After so many skeleton messages without a picture of their stamp, something is said."""
NEAREST_M = 0.1
"""Joints nearer to the camera, or behind it, are not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayConfig:
    """Options of the overlay node."""

    assumed_hfov_deg: float = option(
        0.0,
        "as in the lifter: horizontal field of view to assume while there is no calibrated CameraInfo; 0: wait",
        unit="deg",
        low=0.0,
        high=170.0,
    )
    rectified: bool = option(False, "the pictures are rectified (image_rect): use CameraInfo.p")
    keep: int = option(30, "pictures that wait for their skeletons, at most", low=1, high=300)

    def __post_init__(self):
        validate(self)
        if self.assumed_hfov_deg and self.assumed_hfov_deg < 5:
            raise ValueError(f"OverlayConfig.assumed_hfov_deg: expected 0 or 5 to 170, got {self.assumed_hfov_deg}")


class Pairs:
    """Puts messages of two topics together by their stamp; the oldest of each wait, up to `keep`, in vain."""

    def __init__(self, keep: int):
        self._keep = keep
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = {}, {}

    def add(self, side: int, stamp: int, message: Any) -> tuple[Any, Any] | None:
        """The pair that this message completes, or None."""
        other = self._waiting[1 - side].pop(stamp, None)
        if other is None:
            mine = self._waiting[side]
            mine.pop(stamp, None)
            mine[stamp] = message
            while len(mine) > self._keep:
                del mine[next(iter(mine))]
            return None
        return (message, other) if side == 0 else (other, message)


class OverlayNode(Node):
    """Subscribes to pictures, skeletons and the camera; draws only while somebody looks."""

    def __init__(self, **options):
        super().__init__("overlay", **options)
        (self._config,) = parameters.setup(self, OverlayConfig, read_only=True)
        import_cv2()
        overridable = QoSOverridingOptions.with_default_policies()
        newest = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        for kind, topic, callback in (
            (Image, "image", self._on_image),
            (PointCloud2, "skeletons", self._on_skeletons),
            (CameraInfo, "camera_info", self._on_camera_info),
        ):
            self.create_subscription(kind, topic, callback, newest, qos_overriding_options=overridable)
        self._out = self.create_publisher(Image, "overlay", QoSProfile(depth=2), qos_overriding_options=overridable)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._pairs = Pairs(self._config.keep)
        self._camera: Camera | None = None
        self._signature: tuple | None = None
        self._uncalibrated = "no CameraInfo has come yet; is its topic remapped? or set assumed_hfov_deg"
        self._counts = dict.fromkeys(("images_in", "skeletons_in", "frames_out", "bad_images", "bad_skeletons"), 0)
        self._unmatched, self._problem = 0, ""
        self._rate, self._throttle = Rate(), Throttle(WARN_EVERY_S)
        self.create_timer(PERIOD_S, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # --- messages ----------------------------------------------------------------------------------------------------

    def _on_camera_info(self, message) -> None:
        found = signature(message)
        if found == self._signature:
            return
        self._signature = found
        try:
            self._camera = camera_from_info(message, self._config.rectified)
        except BadMessage as problem:
            self._camera, self._uncalibrated = None, str(problem)

    def _on_image(self, message) -> None:
        self._counts["images_in"] += 1
        self._take(0, message)

    def _on_skeletons(self, message) -> None:
        self._counts["skeletons_in"] += 1
        self._unmatched += 1
        self._take(1, message)
        if self._unmatched >= UNMATCHED and self._out.get_subscription_count():
            came = "none has come" if not self._counts["images_in"] else "are they of another camera?"
            self._say(f"{self._unmatched} skeleton messages without a picture of their stamp; {came}")

    def _take(self, side: int, message) -> None:
        pair = self._pairs.add(side, stamp_ns(message.header.stamp), message)
        if pair is None:
            return
        self._unmatched = 0
        if not self._out.get_subscription_count():
            return
        try:
            self._draw(*pair)
        except BadMessage as problem:
            self._counts["bad_images" if problem.cause == "bad_image" else "bad_skeletons"] += 1
            self._say(str(problem))
        except Exception as error:  # the node outlives whatever a picture does; nothing is hidden
            self._counts["bad_images"] += 1
            self._say(repr(error))

    def _draw(self, image, skeletons) -> None:
        if image.header.frame_id and image.header.frame_id != skeletons.header.frame_id:
            raise BadMessage(
                "other_frame",
                f"the picture is of frame {image.header.frame_id[:40]!r}, the skeletons are in "
                f"{skeletons.header.frame_id[:40]!r}: the lifter's target_frame must be empty for an overlay",
            )
        picture = image_bgr(image)
        people = skeletons_from_cloud(skeletons)
        draw_people(picture, people, self._camera_of(picture.shape[1], picture.shape[0]))
        self._out.publish(image_message(picture, image.header))
        self._counts["frames_out"] += 1
        self._rate.tick(time.perf_counter())
        self._problem = ""

    def _camera_of(self, width: int, height: int) -> Camera:
        """The camera of a picture of this size; BadMessage where none is known."""
        if self._camera is not None:
            return self._camera if self._camera.size_px == (width, height) else self._camera.resized(width, height)
        if not self._config.assumed_hfov_deg:
            raise BadMessage("no_camera", self._uncalibrated)
        return Camera.from_fov(width=width, height=height, horizontal_fov_deg=self._config.assumed_hfov_deg)

    # --- what is said of it ------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._problem = text
        if self._throttle.ready(text, time.monotonic()):
            self.get_logger().warning(text)

    def _publish_diagnostics(self) -> None:
        hz = self._rate.hz(time.perf_counter())
        level, text = (diagnostics.WARN, self._problem) if self._problem else (diagnostics.OK, f"{hz:.1f} Hz")
        if not self._problem and not self._out.get_subscription_count():
            text = f"nobody looks at {self._out.topic_name}"
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name()
        values = self._counts | {"output_hz": hz, "last_error": self._problem}
        message.status = [diagnostics.status(name, "", level, text, values)]
        self._diagnostics.publish(message)


def import_cv2():
    """OpenCV; ImportError names what to install."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError("overlay: needs OpenCV; pip install opencv-python-headless, or python3-opencv") from error
    return cv2


def draw_people(picture: np.ndarray, people: dict, camera: Camera) -> None:
    """Draw skeletons, and above each its id and its distance from the camera, into (H, W, 3) uint8 BGR.

    people {person: (joints_m (17, 3) in the camera, ...)}; the nearest is drawn last.
    """
    cv2 = import_cv2()
    scale = max(picture.shape[0] / 480, 0.5)  # of the letters
    for person, (joints_m, *_) in sorted(people.items(), key=lambda item: -item[1][0][0, 2]):
        ahead = np.isfinite(joints_m).all(1) & (joints_m[:, 2] > NEAREST_M)
        pixels = camera.project(np.where(ahead[:, None], joints_m, (0.0, 0.0, 1.0)))
        colour = np.array(person_colour(person))[::-1] * 255
        size_px = np.ptp(pixels[ahead], axis=0).max() if ahead.any() else 0.0
        thick = int(np.clip(size_px / 60, 1, 4 * scale))
        for start, end in BONES:
            if ahead[start] and ahead[end]:
                line = tuple(colour * joint_shade(end))
                cv2.line(picture, _fixed(pixels[start]), _fixed(pixels[end]), line, thick, cv2.LINE_AA, 4)
        for joint in np.flatnonzero(ahead):
            cv2.circle(
                picture, _fixed(pixels[joint]), round(16 * (0.7 * thick + 0.8)), tuple(colour), -1, cv2.LINE_AA, 4
            )
        if not ahead.all():
            continue
        above = label_place(joints_m)
        if above[2] > NEAREST_M:
            text = f"{person}: {np.linalg.norm(joints_m[0]):.1f} m"
            (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * scale, 1)
            x, y = camera.project(above[None])[0]
            at = int(np.clip(x - width / 2, -4000, 20000)), int(np.clip(y, 14 * scale, 20000))
            for shade, width_px in (((0, 0, 0), round(3 * scale)), (tuple(colour), max(1, round(scale)))):
                cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * scale, shade, width_px, cv2.LINE_AA)


def _fixed(point) -> tuple[int, int]:
    """Sixteenths of a pixel, OpenCV's fixed point, kept within what it can draw."""
    x, y = np.clip(np.nan_to_num(point) * 16, -(2**18), 2**18)
    return int(x), int(y)


def main(args=None):
    """Entry point of the `overlay` executable."""
    sys.exit(run(OverlayNode, args))


if __name__ == "__main__":
    main()
