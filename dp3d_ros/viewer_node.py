"""Shows the skeletons in rerun (the extra `viewer`): native window, web browser, or a file; needs no RViz."""

import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from dp3d_core.config import option, validate
from dp3d_core.skeleton import BONES, JOINT_NAMES
from dp3d_ros.messages.keypoints import BadMessage, stamp_ns
from dp3d_ros.messages.markers import joint_shade, label_place, person_colour
from dp3d_ros.messages.pointcloud2 import skeletons_from_cloud
from dp3d_ros.node import parameters
from dp3d_ros.node.spin import run
from dp3d_ros.quiet_rerun import QuietPage, disable_analytics

JOINT_RADIUS_M, BONE_RADIUS_M = 0.03, 0.015
HIP, THORAX = JOINT_NAMES.index("Hip"), JOINT_NAMES.index("Thorax")
CHILDREN = [child for _, child in BONES]
SHADES = np.array([joint_shade(joint) for joint in range(17)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerConfig:
    """Options of the viewer node."""

    show: str = option("native", "where to show the people", choices=("native", "web", "file"))
    file: str = option("build/skeletons.rrd", "file to write with show=file; open it with `rerun FILE`")
    web_port: int = option(9090, "port of the page with show=web", low=1, high=65535)
    data_port: int = option(9876, "port of the data with show=web or native", low=1, high=65535)
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


def check_display():
    """OSError where no window can open: rerun itself would only wait for its viewer, then go on with nothing shown."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise OSError(
            "show: native needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set; use show:=web or show:=file"
        )


def check_port(name, port):
    """OSError naming the parameter where another process listens on the port: rerun would go on with nothing shown."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just been closed is free
        try:
            probe.bind(("", port))
        except OSError as error:
            raise OSError(f"{name}: port {port} cannot be used ({error.strerror}); choose another one") from error


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def viewer_program():
    """Path of the viewer that rerun-sdk brings, or None: PATH lacks it where its environment is not activated."""
    from importlib.util import find_spec

    found = find_spec("rerun_cli")
    folder = Path(found.origin).parent if found is not None else Path()
    return next((str(path) for path in (folder / "rerun", folder / "rerun.exe") if path.is_file()), None)


def layout(rerun):
    """The people as large as the window allows, and below them the uncertainty of each; all else folded away."""
    blueprint = rerun.blueprint
    people = blueprint.Spatial3DView(origin="people", name="people [m]")
    sigma = blueprint.TimeSeriesView(origin="sigma_m", name="mean joint sigma [m]")
    return blueprint.Blueprint(blueprint.Vertical(people, sigma, row_shares=[4, 1]), collapse_panels=True)


def z_is_up(skeletons):
    """Whether the people {id: (joints_m (17, 3), ...)} stand along z, as in a body frame of REP-103, or along -y, as in
    an optical one. The frame's name would not tell: drivers often call the optical frame just "camera"."""
    trunk_m = np.mean([joints_m[THORAX] - joints_m[HIP] for joints_m, *_ in skeletons.values()], axis=0)
    return bool(trunk_m[2] > -trunk_m[1])


class ViewerNode(Node):
    """Logs each message of ~/skeletons with its own stamp; who is gone is cleared."""

    def __init__(self, **options):
        super().__init__("viewer", **options)
        parameters.declare(self, ViewerConfig, read_only=True)
        for name in parameters.unknown_overrides(self):
            self.get_logger().warning(f"parameter {name!r} is not known and has no effect; see `ros2 param list`")
        config = parameters.read(self, ViewerConfig)
        self._rerun = import_rerun()
        self._settings = tempfile.TemporaryDirectory(prefix="dp3d_rerun_")
        disable_analytics(viewer_program() or "rerun", self._settings.name)
        self._page = None
        self._recording = self._rerun.RecordingStream("dp3d")
        self._open(config)
        self._frame_id = None
        self._shown = set()
        self.create_subscription(PointCloud2, "skeletons", self._on_skeletons, QoSProfile(depth=10))

    def _open(self, config):
        try:
            getattr(self, f"_open_{config.show}")(config)
        except RuntimeError as error:  # all that rerun ever raises
            raise OSError(f"show: {config.show}: {error}") from error

    def _open_file(self, config):
        Path(config.file).parent.mkdir(parents=True, exist_ok=True)
        self._recording.save(config.file, default_blueprint=layout(self._rerun))
        self.get_logger().info(f"writing {config.file}; open it with `rerun {config.file}`")

    def _open_web(self, config):
        check_port("web_port", config.web_port)
        check_port("data_port", config.data_port)
        address = self._recording.serve_grpc(
            grpc_port=config.data_port, server_memory_limit=config.memory_limit, default_blueprint=layout(self._rerun)
        )
        rerun_port = free_port()
        self._rerun.serve_web_viewer(web_port=rerun_port, open_browser=False, connect_to=address)
        self._page = QuietPage(config.web_port, rerun_port, config.data_port)
        self.get_logger().info(
            f"open http://localhost:{config.web_port}/?url={quote(address, safe=':/')} (from another machine, first "
            f"ssh -L {config.web_port}:localhost:{config.web_port} -L {config.data_port}:localhost:{config.data_port})"
        )

    def _open_native(self, config):
        check_display()
        self._rerun.spawn(
            recording=self._recording, port=config.data_port, memory_limit=config.memory_limit,
            executable_path=viewer_program(), default_blueprint=layout(self._rerun),
        )  # fmt: skip
        self.get_logger().info(f"showing the people in a window, data on port {config.data_port}")

    def _on_skeletons(self, message):
        try:
            skeletons = skeletons_from_cloud(message)
        except BadMessage as problem:
            self.get_logger().warning(str(problem), throttle_duration_sec=5.0)
            return
        rerun, recording = self._rerun, self._recording
        if skeletons and message.header.frame_id != self._frame_id:
            self._frame_id = message.header.frame_id
            axes = rerun.ViewCoordinates.FLU if z_is_up(skeletons) else rerun.ViewCoordinates.RDF
            recording.log("people", axes, static=True)
        recording.set_time("stamp", timestamp=stamp_ns(message.header.stamp) * 1e-9)
        for person in self._shown - set(skeletons):
            recording.log(f"people/body_{person}", rerun.Clear(recursive=True))
            recording.log(f"sigma_m/body_{person}", rerun.Clear(recursive=False))
        self._shown = set(skeletons)
        for person, (joints_m, sigma_m, _) in skeletons.items():
            self._draw(person, joints_m)
            recording.log(f"sigma_m/body_{person}", rerun.Scalars(float(np.nanmean(sigma_m))))

    def _draw(self, person, joints_m):
        rerun, home = self._rerun, f"people/body_{person}"
        colour = np.array(person_colour(person)) * 255
        colours = (SHADES[:, None] * colour).astype(np.uint8)
        joints = rerun.Points3D(joints_m, radii=JOINT_RADIUS_M, colors=colours)
        bones = rerun.LineStrips3D(joints_m[np.array(BONES)], radii=BONE_RADIUS_M, colors=colours[CHILDREN])
        label = rerun.Points3D(
            [label_place(joints_m)], radii=0.0, colors=colour.astype(np.uint8), labels=[str(person)], show_labels=True
        )
        for name, drawn in (("joints", joints), ("bones", bones), ("label", label)):
            self._recording.log(f"{home}/{name}", drawn)

    def close(self):
        """Write out what is still held; there may be no window any more to take it."""
        try:
            self._recording.flush()
        except RuntimeError as error:
            self.get_logger().warning(f"the last data are lost: {str(error).splitlines()[0]}")
        if self._page is not None:
            self._page.close()
        self._settings.cleanup()
        self.destroy_node()


def main(args=None):
    """Entry point of the `viewer` executable."""
    sys.exit(run(ViewerNode, args))


if __name__ == "__main__":
    main()
