"""Shows the skeletons in rerun (the extra `viewer`): native window, web browser, or a file; needs no RViz."""

import sys
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from dp3d_core.config import option, validate
from dp3d_core.skeleton import BONES
from dp3d_ros import parameters
from dp3d_ros.conversions.keypoints import BadMessage, stamp_ns
from dp3d_ros.conversions.markers import joint_shade, person_colour
from dp3d_ros.conversions.pointcloud2 import skeletons_from_cloud
from dp3d_ros.spin import run

JOINT_RADIUS_M, BONE_RADIUS_M = 0.03, 0.015


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerConfig:
    """Options of the viewer node."""

    show: str = option("native", "where to show the people", choices=("native", "web", "file"))
    file: str = option("build/skeletons.rrd", "file to write with show=file; open it with `rerun FILE`")
    web_port: int = option(9090, "port of the page with show=web", low=0, high=65535)
    data_port: int = option(9876, "port of the data with show=web", low=0, high=65535)
    memory_limit: str = option("1GiB", "the oldest data are forgotten beyond this")

    def __post_init__(self):
        validate(self)


def import_rerun():
    """rerun; ImportError names what to install."""
    try:
        import rerun
    except ImportError as error:
        raise ImportError("viewer: needs rerun-sdk; pip install rerun-sdk, or the extra [viewer]") from error
    return rerun


class ViewerNode(Node):
    """Logs each message of ~/skeletons with its own stamp; who is gone is cleared."""

    def __init__(self, **options):
        super().__init__("viewer", **options)
        parameters.declare(self, ViewerConfig, read_only=True)
        for name in parameters.unknown_overrides(self):
            self.get_logger().warning(f"parameter {name!r} is not known and has no effect; see `ros2 param list`")
        config = parameters.read(self, ViewerConfig)
        self._rerun = import_rerun()
        self._recording = self._rerun.RecordingStream("dp3d")
        self._open(config)
        # the optical frame: x right, y down, z forward
        self._recording.log("camera", self._rerun.ViewCoordinates.RDF, static=True)
        self._shown = set()
        self.create_subscription(PointCloud2, "skeletons", self._on_skeletons, QoSProfile(depth=10))

    def _open(self, config):
        rerun, recording = self._rerun, self._recording
        if config.show == "file":
            from pathlib import Path

            Path(config.file).parent.mkdir(parents=True, exist_ok=True)
            recording.save(config.file)
            self.get_logger().info(f"writing {config.file}; open it with `rerun {config.file}`")
        elif config.show == "web":
            address = recording.serve_grpc(grpc_port=config.data_port, server_memory_limit=config.memory_limit)
            rerun.serve_web_viewer(web_port=config.web_port, open_browser=False, connect_to=address)
            self.get_logger().info(f"open http://localhost:{config.web_port}/?url={address}")
        else:
            rerun.spawn(recording=recording, memory_limit=config.memory_limit)

    def _on_skeletons(self, message):
        try:
            skeletons = skeletons_from_cloud(message)
        except BadMessage as problem:
            self.get_logger().warning(str(problem), throttle_duration_sec=5.0)
            return
        rerun, recording = self._rerun, self._recording
        recording.set_time("stamp", timestamp=stamp_ns(message.header.stamp) * 1e-9)
        for person in self._shown - set(skeletons):
            recording.log(f"camera/body_{person}", rerun.Clear(recursive=True))
        self._shown = set(skeletons)
        for person, (joints_m, sigma_m) in skeletons.items():
            colour = np.array(person_colour(person)) * 255
            shades = np.array([joint_shade(joint) for joint in range(17)])
            colours = (shades[:, None] * colour).astype(np.uint8)
            recording.log(
                f"camera/body_{person}/joints", rerun.Points3D(joints_m, radii=JOINT_RADIUS_M, colors=colours)
            )
            recording.log(
                f"camera/body_{person}/bones",
                rerun.LineStrips3D(
                    joints_m[np.array(BONES)], radii=BONE_RADIUS_M, colors=colours[[child for _, child in BONES]]
                ),
            )
            recording.log(
                f"camera/body_{person}/label",
                rerun.Points3D(joints_m[10:11] - (0, 0.25, 0), radii=0.0, labels=[str(person)], show_labels=True),
            )
            recording.log(f"camera/body_{person}/sigma_m", rerun.Scalars(float(np.nanmean(sigma_m))))

    def close(self):
        """Write out what is still held."""
        self._recording.flush()
        self.destroy_node()


def main(args=None):
    """Entry point of the `viewer` executable."""
    sys.exit(run(ViewerNode, args))


if __name__ == "__main__":
    main()
