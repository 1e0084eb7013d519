"""People in front of a webcam, or in a video, in 3D: detector, lifter and viewer as processes, without ROS tools.

`make webcam`, or `dp3d webcam VIDEO`. Starts what launch/webcam.launch.py starts, and prints a line a second of what
the nodes say in their diagnostics.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from dp3d_core.cli import run
from dp3d_ros.demo.processes import Child, NodeFailed, environment, start

LINE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class WebcamOptions:
    """Show the people in front of a camera, or in a video, in 3D."""

    video: Positional[str] = "/dev/video0"
    """Camera device, or path of a video."""
    hfov_deg: float = 60.0
    """Horizontal field of view of the camera, degrees."""
    calibration: str = ""
    """Camera file of camera_calibration (yaml), instead of a field of view: positions are then in metres."""
    model: str = ""
    """ONNX pose model (YOLO pose or RTMO) instead of MediaPipe."""
    joint_set: str = ""
    """Joint set of the keypoints (default: mediapipe33, coco17 with a model)."""
    fixed_camera: bool = False
    """The camera stands still: finds more people."""
    viewer: bool = False
    """Show the people in rerun (needs the extra viewer)."""
    seconds: float = 0.0
    """End after so long; 0: with the video, or at Ctrl-C."""
    out: Path = Path("build/webcam")
    """Folder for the nodes' logs."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < 86400:
            raise ValueError(f"--seconds: expected 0 to 86400, got {self.seconds:g}")


class Listener:
    """Hears the diagnostics of detector and lifter."""

    def __init__(self, domain_id: int) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor

        self.facts: dict[str, dict[str, Any]] = {"detector": {}, "lifter": {}}
        self.texts = dict.fromkeys(self.facts, "starts")
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = rclpy.create_node("webcam", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message) -> None:
        from dp3d_ros.messages.diagnostics import values_of

        for status in message.status:
            name = status.name.strip("/")
            if name in self.facts:
                self.facts[name], self.texts[name] = values_of(status), status.message

    def spin(self, seconds: float) -> None:
        """Listen for so long."""
        from dp3d_ros.node.spin import spin_for

        spin_for(self._executor, seconds)

    def close(self) -> None:
        """Stop listening."""
        import rclpy

        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def line(self) -> str:
        """What both say now."""
        detector, lifter = self.facts["detector"], self.facts["lifter"]
        timing = [
            f"{name} {facts[key]:.0f} ms"
            for name, facts, key in (
                ("detection", detector, "detection_p50_ms"),
                ("picture to keypoints", detector, "picture_to_publish_p50_ms"),
                ("keypoints to skeletons", lifter, "callback_to_publish_p50_ms"),
            )
            if key in facts
        ]
        return f"detector: {self.texts['detector']}; lifter: {self.texts['lifter']}; " + ", ".join(timing)


def command(options: WebcamOptions) -> None:
    """Run until the video ends, so many seconds have passed, or Ctrl-C."""
    if not options.video.isdecimal() and not Path(options.video).exists():
        raise ValueError(f"no camera or file at {options.video}; plug one in, or name a video: dp3d webcam FILE")
    options.out.mkdir(parents=True, exist_ok=True)
    print(
        f"the nodes' logs: {options.out}; --viewer shows the people, --calibration puts them in metres, --fixed-camera "
        "finds more of them where the camera stands still"
    )
    domain_id = 1 + os.getpid() % 101
    env = environment(domain_id)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = env["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    children: dict[str, Child] = {}
    listener = Listener(domain_id)
    try:
        for name, (parameters, remaps) in nodes(options).items():
            children[name] = start(name, logs=options.out, env=env, parameters=parameters, remaps=remaps)
        follow(options, children, listener)
    except NodeFailed as error:
        raise ValueError(str(error)) from error
    finally:
        for child in children.values():
            child.interrupt()
        print(listener.line())
        listener.close()


def nodes(options: WebcamOptions) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """{node: (parameters, remappings)} in the order in which they start."""
    joint_set = options.joint_set or ("coco17" if options.model else "mediapipe33")
    found = {
        "lifter": ({"autostart": True, "joint_set": joint_set, "assumed_hfov_deg": options.hfov_deg}, {}),
        "detector": (
            {"video": options.video, "model": options.model, "model_joint_set": joint_set if options.model else "",
             "calibration": options.calibration, "fixed_camera": options.fixed_camera, "wait_for_subscribers_s": 600.0},
            {"keypoints": "/lifter/keypoints"},
        ),
    }  # fmt: skip
    window = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform != "linux"
    viewer = {"show": "native" if window else "web"}, {"skeletons": "/lifter/skeletons"}
    return found | ({"viewer": viewer} if options.viewer else {})


def follow(options: WebcamOptions, children: dict[str, Child], listener: Listener) -> None:
    """Print a line a second until it is over; NodeFailed when a node has died."""
    end_s = time.monotonic() + options.seconds if options.seconds else float("inf")
    log, shown = options.out / "viewer.log", set()  # the viewer says which page to open
    while time.monotonic() < end_s:
        listener.spin(LINE_S)
        print(listener.line(), flush=True)
        pages = (
            {line for line in log.read_text(errors="replace").splitlines() if "http" in line} if log.exists() else set()
        )
        for line in sorted(pages - shown):
            print(line, flush=True)
        shown |= pages
        for name, child in children.items():
            child.check(may_end=name == "detector")
        if children["detector"].process.poll() is not None:
            return


def main(args=None):
    """`python -m dp3d_ros.webcam`: as `dp3d webcam`."""
    run("webcam", args)


if __name__ == "__main__":
    main()
