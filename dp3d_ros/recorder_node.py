"""Subscribes to what any robot would, and writes it down: skeletons as npz, counts and latencies as JSON."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from dp3d_core.config import option, validate
from dp3d_ros.lifter.statistics import Latencies
from dp3d_ros.messages.diagnostics import values_of
from dp3d_ros.messages.keypoints import BadMessage, stamp_ns
from dp3d_ros.messages.pointcloud2 import skeletons_from_cloud
from dp3d_ros.node import parameters
from dp3d_ros.node.spin import run


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderConfig:
    """Options of the recorder node."""

    output: str = option("build/recording.npz", "npz to write; the summary goes beside it, with the suffix .json")
    lifter: str = option("lifter", "name of the lifter node whose diagnostics go into the summary")
    idle_stop_s: float = option(
        0.0,
        "end by itself this long after the last skeleton message; 0: only when interrupted",
        unit="s",
        low=0.0,
        high=3600.0,
    )

    def __post_init__(self):
        validate(self)


class RecorderNode(Node):
    """Keeps all skeletons in memory until it ends: about 500 bytes a person and frame."""

    def __init__(self, **options):
        super().__init__("recorder", **options)
        (self._config,) = parameters.setup(self, RecorderConfig, read_only=True)
        self._stamps_ns, self._rows = [], []
        self._frame_id = ""
        self._marker_messages = self._bad_messages = 0
        self._latency = Latencies(size=1_000_000)
        self._lifter_facts = {}
        self._last_s = None
        self.create_subscription(PointCloud2, "skeletons", self._on_skeletons, QoSProfile(depth=100))
        self.create_subscription(MarkerArray, "markers", self._on_markers, QoSProfile(depth=100))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10))

    def record(self, spin_once):
        """Record until idle for `idle_stop_s` (the last diagnostics are waited for), or until interrupted."""
        while True:
            spin_once(0.1)
            idle_s = self._config.idle_stop_s
            if idle_s and self._last_s is not None and time.monotonic() - self._last_s > idle_s:
                return 0

    def close(self):
        """Write what was recorded; 1 as exit code if there was nothing."""
        path = Path(self._config.output)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(zip(*self._rows, strict=True)) or [()] * 5
        with open(path, "wb") as file:
            np.savez_compressed(
                file,
                stamps_s=np.array(self._stamps_ns, np.int64) * 1e-9,
                frame=np.array(columns[0], np.int32),
                person=np.array(columns[1], np.int32),
                joints_cam_m=np.array(columns[2], np.float32).reshape(-1, 17, 3),
                sigma_m=np.array(columns[3], np.float32).reshape(-1, 17),
                root_sigma_m=np.array(columns[4], np.float32),
                frame_id=self._frame_id,
            )
        path.with_suffix(".json").write_text(json.dumps(self.summary(), indent=2) + "\n")
        self.destroy_node()
        return 0 if self._stamps_ns else 1

    def summary(self):
        """Counts and latencies: messages in and drops as the lifter tells, the rest as it arrived here."""
        facts = self._lifter_facts
        return {
            "messages_in": facts["messages_in"] + facts["missed"] if facts else None,
            "skeletons_out": len(self._rows),
            "people": len({row[1] for row in self._rows}),
            "dropped": facts["dropped"] + facts["missed"] if facts else None,
            "dropped_by_cause": {key[5:]: value for key, value in facts.items() if key.startswith("drop.")},
            "latency_ms": self._latency.percentiles(),
            "latency_is": "input stamp to arrival at the recorder",
            "backend": facts.get("backend"),
            "weights": facts.get("weights"),
            "skeleton_messages": len(self._stamps_ns),
            "marker_messages": self._marker_messages,
            "bad_messages": self._bad_messages,
            "lifter": facts,
        }

    def _on_skeletons(self, message):
        now_ns = self.get_clock().now().nanoseconds
        try:
            skeletons = skeletons_from_cloud(message)
        except BadMessage as problem:
            self._bad_messages += 1
            self.get_logger().warning(str(problem), throttle_duration_sec=5.0)
            return
        self._last_s = time.monotonic()
        stamp = stamp_ns(message.header.stamp)
        self._latency.add((now_ns - stamp) * 1e-9)
        self._frame_id = message.header.frame_id
        frame = len(self._stamps_ns)
        self._stamps_ns.append(stamp)
        self._rows += [(frame, person, *skeleton) for person, skeleton in skeletons.items()]

    def _on_markers(self, message):
        self._marker_messages += 1

    def _on_diagnostics(self, message):
        for status in message.status:
            if status.name.split(":")[0].endswith(f"/{self._config.lifter}") and len(status.values) > 1:
                self._lifter_facts = values_of(status)


def main(args=None):
    """Entry point of the `recorder` executable."""
    sys.exit(run(RecorderNode, args, work=lambda node, spin_once: node.record(spin_once)))


if __name__ == "__main__":
    main()
