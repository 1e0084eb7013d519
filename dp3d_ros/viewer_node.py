"""Shows the skeletons in rerun (the extra `viewer`): native window, web browser, or a file; needs no RViz."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
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

START_S = 30.0
"""Longest wait for rerun to listen on its ports."""
JOINT_RADIUS_M, BONE_RADIUS_M = 0.03, 0.015
HIP, THORAX = JOINT_NAMES.index("Hip"), JOINT_NAMES.index("Thorax")
CHILDREN = [child for _, child in BONES]
SHADES = np.array([joint_shade(joint) for joint in range(17)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerConfig:
    """Options of the viewer node."""

    show: str = option("native", "where to show the people", choices=("native", "web", "file"))
    file: str = option("build/skeletons.rrd", "file to write with show=file; open it with `rerun FILE`")
    listen_on: str = option(
        "127.0.0.1", "address that rerun listens on; 0.0.0.0: whoever reaches this machine may look"
    )
    web_port: int = option(9090, "port of the page with show=web", low=1, high=65535)
    data_port: int = option(9876, "port of the data with show=web or native", low=1, high=65535)
    memory_limit: str = option("1GiB", "the oldest data are forgotten beyond this")

    def __post_init__(self):
        validate(self)


def import_rerun() -> Any:
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


def check_port(name: str, port: int) -> None:
    """OSError naming the parameter where another process listens on the port: rerun would go on with nothing shown."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just been closed is free
        try:
            probe.bind(("", port))
        except OSError as error:
            raise OSError(f"{name}: port {port} cannot be used ({error.strerror}); choose another one") from error


def listens(port: int) -> bool:
    """Whether something on this machine listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return not probe.connect_ex(("127.0.0.1", port))


def viewer_program() -> str:
    """Path of the viewer that rerun-sdk brings: PATH lacks it where its environment is not activated."""
    from importlib.util import find_spec

    found = find_spec("rerun_cli")
    folder = Path(found.origin).parent if found is not None and found.origin else Path()
    return next((str(path) for path in (folder / "rerun", folder / "rerun.exe") if path.is_file()), "rerun")


def disable_analytics(program: str, folder: str) -> None:
    """Keep rerun from reporting its use to its makers, for this process and its children: `folder` has their settings.

    It is what `rerun analytics disable` does; by itself that command would change the user's own settings.
    """
    os.environ["XDG_CONFIG_HOME"] = folder
    os.environ.pop("FORCE_RERUN_ANALYTICS", None)
    done = subprocess.run(
        [program, "analytics", "disable"], env=os.environ | {"XDG_DATA_HOME": folder}, capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"viewer: could not keep rerun from reporting its use: {done.stderr.strip()}")


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
        (config,) = parameters.setup(self, ViewerConfig, read_only=True)
        self._rerun = import_rerun()
        self._settings = tempfile.TemporaryDirectory(prefix="dp3d_rerun_")
        disable_analytics(viewer_program(), self._settings.name)
        self._rerun_process: subprocess.Popen | None = None
        self._show = config.show
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
        data = self._start_rerun(
            config,
            "--serve-web",
            "--web-viewer-port",
            str(config.web_port),
            "--server-memory-limit",
            config.memory_limit,
            wait_for=(config.web_port, config.data_port),
        )
        self.get_logger().info(
            f"open http://localhost:{config.web_port}/?url={quote(data, safe=':/')} (from another machine, first "
            f"ssh -L {config.web_port}:localhost:{config.web_port} -L {config.data_port}:localhost:{config.data_port})"
        )

    def _open_native(self, config):
        check_display()
        check_port("data_port", config.data_port)
        self._start_rerun(
            config, "--expect-data-soon", "--memory-limit", config.memory_limit, wait_for=(config.data_port,)
        )
        self.get_logger().info(f"showing the people in a window, data on port {config.data_port}")

    def _start_rerun(self, config, *options: str, wait_for: tuple[int, ...]) -> str:
        """Start rerun's own program, send it the data, and return their address; OSError says why it does not serve."""
        command = [viewer_program(), "--bind", config.listen_on, "--port", str(config.data_port), *options]
        said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the node)
        self._rerun_process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        end_s = time.monotonic() + START_S
        while not all(listens(port) for port in wait_for):
            if self._rerun_process.poll() is not None:
                said.seek(0)
                lines = [line.strip() for line in said if line.strip()] or ["it said nothing"]
                raise OSError(f"show: {config.show}: rerun ended: {lines[-1]}")
            if time.monotonic() > end_s:
                raise OSError(f"show: {config.show}: rerun did not listen within {START_S:g} s")
            time.sleep(0.05)
        data = f"rerun+http://127.0.0.1:{config.data_port}/proxy"
        self._recording.connect_grpc(data, default_blueprint=layout(self._rerun))
        return data

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
        if self._rerun_process is not None and self._show == "web":  # a window stays open for who looks at it
            self._rerun_process.terminate()
            self._rerun_process.wait(5)
        self._settings.cleanup()
        self.destroy_node()


def main(args=None):
    """Entry point of the `viewer` executable."""
    sys.exit(run(ViewerNode, args))


if __name__ == "__main__":
    main()
