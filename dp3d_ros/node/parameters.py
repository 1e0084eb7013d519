"""ROS parameters made from the dataclasses that hold the defaults: declared, described, limited, checked, changed.

`NodeConfig` has what only the node needs; everything about lifting comes from `dp3d_core.config.StreamConfig`.
"""

import os
from dataclasses import Field, dataclass, fields, replace
from typing import Any

from dp3d_core.config import PRECISIONS, option, validate

INPUTS = ("pointcloud2", "yolo", "hri")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Options of the lifter node beyond those of the stream."""

    weights: str = option("small", "name of shipped weights, or path of a checkpoint (safetensors)")
    device: str = option("cpu", "where the network runs: cpu, cuda, cuda:1, ...")
    backend: str = option(
        "auto", "what runs the network; auto: TensorRT or torch.compile on a GPU, else OpenVINO, else PyTorch"
    )
    precision: str = option("float32", "of the engines; what is too far from float32 is refused", choices=PRECISIONS)
    engine_cache: str = option("", "folder of built engines, as of dp3d_core.backends.compile; empty: ~/.cache/dp3d")
    allow_path_changes: bool = option(
        False, "whoever reaches the node may set `weights` and `engine_cache` to a path after its start"
    )
    input: str = option("pointcloud2", "message type of the incoming keypoints", choices=INPUTS)
    cameras: tuple[str, ...] = option(("",), "names of the cameras of this node; one empty name: a single camera")
    autostart: bool = option(False, "configure and activate at start without a lifecycle manager")
    assumed_hfov_deg: float = option(
        0.0,
        "horizontal field of view to assume while there is no calibrated CameraInfo, results then root-relative; "
        "0: wait for CameraInfo, else at least 5",
        unit="deg",
        low=0.0,
        high=170.0,
    )
    assumed_width_px: int = option(1280, "image width that goes with assumed_hfov_deg", unit="px", low=1, high=65536)
    assumed_height_px: int = option(720, "image height that goes with assumed_hfov_deg", unit="px", low=1, high=65536)
    image_width_px: int = option(
        0, "width of the picture that the keypoints are of; 0: that of CameraInfo", unit="px", low=0, high=65536
    )
    image_height_px: int = option(
        0, "height of the picture that the keypoints are of; 0: that of CameraInfo", unit="px", low=0, high=65536
    )
    rectified: bool = option(False, "the keypoints are of the rectified picture (image_rect): use CameraInfo.p")
    target_frame: str = option("", "TF frame to transform the output to; empty: keep the camera's optical frame")
    fixed_frame: str = option(
        "",
        "TF frame with z up that does not move (odom, map): the camera's pose comes from TF at the image's stamp, "
        "and people stand still in it while the robot moves; empty: the pose is unknown",
    )
    fixed_floor_m: float = option(0.0, "height of the floor in fixed_frame", unit="m", low=-1000.0, high=1000.0)
    fixed_frame_wait_s: float = option(
        0.05,
        "a frame waits at most so long for its transform, then it goes on without; 0: not at all",
        unit="s",
        low=0.0,
        high=1.0,
    )
    camera_up: str = option(
        "",
        'of a camera without TF: the vector against gravity in its optical frame, "0 -1 0" for a level one; empty: '
        "unknown",
    )
    camera_height_m: float = option(
        0.0, "of the camera above the floor, with camera_up or imu_topic; 0: unknown", unit="m", low=0.0, high=20.0
    )
    imu_topic: str = option("", "topic of an IMU on the camera (sensor_msgs/Imu) that says where up is; empty: none")
    publish_skeletons: bool = option(True, "publish the typed skeleton cloud on ~/skeletons", live=True)
    publish_markers: bool = option(True, "publish markers for RViz on ~/markers", live=True)
    publish_tf: bool = option(False, "publish REP-155 body frames on /tf (needs tf2_msgs)")
    publish_poses: bool = option(False, "publish each person's place and heading on ~/poses (geometry_msgs/PoseArray)")
    publish_people: bool = option(
        False, "publish names, places and velocities on ~/people (people_msgs/People; needs people_msgs)"
    )
    publish_motion: bool = option(
        False,
        "publish place and velocity of each person with covariances, and standing feet, on ~/motion, a typed cloud",
    )
    publish_orientations: bool = option(False, "publish the orientation of all links on ~/orientations, a typed cloud")
    publish_hri: bool = option(
        False, "publish ids, 2D skeletons, boxes, places and velocities on /humans/bodies (ROS4HRI; needs hri_msgs)"
    )
    marker_sigmas: float = option(
        0.0,
        "radius of the translucent uncertainty spheres in standard deviations; 0: none",
        low=0.0,
        high=5.0,
        live=True,
    )
    marker_labels: bool = option(True, "label each body with its id and action", live=True)
    marker_lifetime_s: float = option(
        0.3, "markers not renewed for this long vanish", unit="s", low=0.05, high=10.0, live=True
    )
    warn_every_s: float = option(
        5.0, "the same warning is repeated at most this often", unit="s", low=0.1, high=3600.0, live=True
    )

    def __post_init__(self):
        validate(self)
        if self.publish_hri and self.input == "hri":
            raise ValueError(
                "NodeConfig.publish_hri: expected false with input: hri; its detector publishes /humans/bodies already"
            )
        if self.assumed_hfov_deg and self.assumed_hfov_deg < 5:
            raise ValueError(f"NodeConfig.assumed_hfov_deg: expected 0 or 5 to 170, got {self.assumed_hfov_deg}")
        if bool(self.image_width_px) != bool(self.image_height_px):
            raise ValueError(
                f"NodeConfig.image_width_px, image_height_px: expected both or none, got {self.image_width_px} and "
                f"{self.image_height_px}"
            )
        self.up_cam  # noqa: B018  checks it
        if 0 < self.camera_height_m < 0.05:
            raise ValueError(f"NodeConfig.camera_height_m: expected 0 or 0.05 to 20, got {self.camera_height_m}")
        for name in self.cameras if self.cameras != ("",) else ():
            if not name.isidentifier() or not name.isascii():
                raise ValueError(f"NodeConfig.cameras: expected names of letters, digits and _, got {name!r}")
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"NodeConfig.cameras: expected one or more different names, got {list(self.cameras)}")

    @property
    def up_cam(self) -> tuple[float, ...] | None:
        """`camera_up` as three numbers; None where it is empty."""
        if not self.camera_up:
            return None
        try:
            up = tuple(float(value) for value in self.camera_up.replace(",", " ").split())
        except ValueError:
            up = ()
        if len(up) != 3 or not 1e-6 < sum(value * value for value in up) < 1e12:
            raise ValueError(
                f'NodeConfig.camera_up: expected three numbers with a length, as "0 -1 0", got {self.camera_up!r}'
            )
        return up


def describe(item: Field) -> dict[str, Any]:
    """One dataclass field as {type, default, description, constraints, low, high}; plain values, no ROS."""
    meta = item.metadata
    unit = f" [{meta['unit']}]" if meta.get("unit") else ""
    constraints = []
    if meta.get("choices") is not None:
        constraints.append(f"one of {list(meta['choices'])}")
    constraints.append("may change while running" if meta.get("live") else "changes only while unconfigured")
    return {
        "name": item.name,
        "type": type(item.default),
        "default": item.default,
        "description": meta["help"] + unit,
        "constraints": "; ".join(constraints),
        "low": meta.get("low"),
        "high": meta.get("high"),
        "live": bool(meta.get("live")),
    }


def all_fields(*classes: type) -> dict[str, Field]:
    """The fields of several config classes by name; their names never clash."""
    return {item.name: item for cls in classes for item in fields(cls)}


def setup(node, *classes: type, read_only: bool = False) -> tuple[Any, ...]:
    """Declare the fields of the config classes as parameters and read them; one config each.

    Parameters that were given and are not known are named in the log. read_only: see `declare`.
    """
    declare(node, *classes, read_only=read_only)
    for name in unknown_overrides(node):
        node.get_logger().warning(f"parameter {name!r} is not known and has no effect; see `ros2 param list`")
    return tuple(read(node, cls) for cls in classes)


def declare(node, *classes: type, read_only: bool = False) -> None:
    """Declare every field of the config classes as a parameter of `node`; rclpy raises on wrong types and ranges.

    read_only: for nodes that read their parameters once, at start.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType

    types = {
        bool: ParameterType.PARAMETER_BOOL,
        int: ParameterType.PARAMETER_INTEGER,
        str: ParameterType.PARAMETER_STRING,
        float: ParameterType.PARAMETER_DOUBLE,
        tuple: ParameterType.PARAMETER_STRING_ARRAY,
    }
    for item in all_fields(*classes).values():
        facts = describe(item)
        descriptor = ParameterDescriptor(
            name=facts["name"],
            type=types[facts["type"]],
            description=facts["description"],
            additional_constraints="" if read_only else facts["constraints"],
            read_only=read_only,
        )
        if facts["type"] is float and facts["high"] is not None:
            descriptor.floating_point_range = [FloatingPointRange(from_value=facts["low"], to_value=facts["high"])]
        elif facts["type"] is int and facts["high"] is not None:
            descriptor.integer_range = [IntegerRange(from_value=facts["low"], to_value=facts["high"])]
        _whole_numbers_are_floats(node, facts)
        default = list(facts["default"]) if facts["type"] is tuple else facts["default"]
        node.declare_parameter(facts["name"], default, descriptor)


def _whole_numbers_are_floats(node, facts: dict[str, Any]) -> None:
    """Take `marker_sigmas: 1` of a YAML file for 1.0, which rclpy would refuse."""
    from rclpy.parameter import Parameter

    given = getattr(node, "_parameter_overrides", {}).get(facts["name"])
    if facts["type"] is float and given is not None and given.type_ == Parameter.Type.INTEGER:
        node._parameter_overrides[facts["name"]] = Parameter(facts["name"], value=float(given.value))


def read(node, cls: type) -> Any:
    """The present parameters as `cls`; ValueError says which value does not fit."""
    values = {}
    for item in fields(cls):
        value = node.get_parameter(item.name).value
        values[item.name] = tuple(value or ()) if isinstance(item.default, tuple) else value
    return cls(**values)


def refusal(changes: dict[str, Any], configs: tuple[Any, ...], running: bool) -> str:
    """Why the parameter changes {name: value} are refused, or "" when they fit.

    configs are the present config objects; running: the node is configured, so only `live` fields may change.
    """
    for config in configs:
        mine = {}
        for item in fields(config):  # use_sim_time, qos_overrides and the like belong to rclpy
            if item.name not in changes:
                continue
            value = changes[item.name]
            value = tuple(value or ()) if isinstance(item.default, tuple) else value
            if running and not item.metadata.get("live") and value != getattr(config, item.name):
                return f"{item.name} changes only while unconfigured: deactivate and clean up the node first"
            mine[item.name] = value
        try:
            replace(config, **mine)
        except ValueError as error:
            return str(error)
    return ""


PATHS = ("weights", "engine_cache")
"""Parameters of the lifter that may name a file or a folder."""


def path_refusal(changes: dict[str, Any], config: NodeConfig) -> str:
    """Why a changed path is refused, or "": another process of the network must not choose files of this machine."""
    for name in PATHS:
        value = changes.get(name, getattr(config, name))
        is_path = os.sep in str(value) or "." in str(value) or (name == "engine_cache" and value)
        if value != getattr(config, name) and is_path:
            return f"{name}: a path is set at the node's start only, unless allow_path_changes is set then"
    if changes.get("allow_path_changes", config.allow_path_changes) != config.allow_path_changes:
        return "allow_path_changes: is set at the node's start only"
    return ""


def unknown_overrides(node) -> list[str]:
    """Parameters given in files or on the command line that no declared parameter takes: most likely typos."""
    given = getattr(node, "_parameter_overrides", {})
    return sorted(name for name in given if not node.has_parameter(name) and not name.startswith("qos_overrides."))
