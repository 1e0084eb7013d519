"""A rosbag2 (mcap) with the topics of dp3d's node: `skeletons` and `keypoints` (PointCloud2) and `camera_info`.

Written by the library rosbags; no ROS is needed. Fields, types and frame are those of dp3d_ros/messages/pointcloud2.py.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result

FRAME_ID = "camera"
SKELETON = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("sigma", "<f4"), ("root_sigma", "<f4"),
                     ("person", "<i4"), ("joint", "u1"), ("predicted", "u1"), ("", "V2")])  # fmt: skip
KEYPOINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("score", "<f4"), ("person", "<i4"), ("joint", "<u2"), ("", "V2")])
_CODES = {"u1": 2, "<u2": 4, "<i4": 5, "<f4": 7}


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """One folder, as `ros2 bag record` makes it."""
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ImportError(f"--to mcap needs rosbags ({error}); pip install 'dp3d_ros[files]'") from error
    store = get_typestore(Stores.ROS2_JAZZY)
    path = out / f"{result.name}_bag"
    with beside(path) as unfinished, TemporaryDirectory(dir=out, prefix=".unfinished-") as folder:
        inside = Path(folder) / path.name  # the file in a bag is called after the bag
        with Writer(inside, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
            _fill(bag, store, result)
        os.replace(inside, unfinished)
    return [path]


def _fill(bag, store, result: Result) -> None:
    """All messages, frame by frame."""
    topics = {"skeletons": "PointCloud2", "keypoints": "PointCloud2", "camera_info": "CameraInfo"}
    connections = {
        topic: bag.add_connection(f"/{topic}", f"sensor_msgs/msg/{kind}", typestore=store)
        for topic, kind in topics.items()
    }
    bounds = np.searchsorted(result.frame, np.arange(len(result.stamps_s) + 1))
    for index, stamp_s in enumerate(result.stamps_s):
        stamp_ns = round(float(stamp_s) * 1e9)
        header = _header(store, stamp_ns)
        rows = slice(bounds[index], bounds[index + 1])
        messages = {
            "camera_info": _camera_info(store, header, result.camera),
            "keypoints": _cloud(store, header, _keypoints(result, rows)),
            "skeletons": _cloud(store, header, _skeletons(result, rows)),
        }
        for topic, message in messages.items():
            raw = store.serialize_cdr(message, message.__msgtype__)
            bag.write(connections[topic], stamp_ns, raw)


def _header(store, stamp_ns: int):
    time = store.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return store.types["std_msgs/msg/Header"](stamp=time, frame_id=FRAME_ID)


def _skeletons(result: Result, rows: slice) -> np.ndarray:
    points = np.zeros((len(result.frame[rows]), 17), SKELETON)
    points["x"], points["y"], points["z"] = np.moveaxis(result.joints_cam_m[rows], -1, 0)
    points["sigma"], points["root_sigma"] = result.sigma_m[rows], result.root_sigma_m[rows][:, None]
    points["person"], points["joint"] = result.person[rows][:, None], np.arange(17)
    return points.ravel()


def _keypoints(result: Result, rows: slice) -> np.ndarray:
    score = result.keypoint_confidence[rows]
    points = np.zeros(score.shape, KEYPOINT)
    points["x"], points["y"] = np.moveaxis(result.keypoints_px[rows], -1, 0)
    points["score"] = score
    points["person"], points["joint"] = result.person[rows][:, None], np.arange(score.shape[1])
    return points[score > 0]


def _cloud(store, header, points: np.ndarray):
    kind: Any = points.dtype
    fields = [
        store.types["sensor_msgs/msg/PointField"](
            name=name, offset=kind.fields[name][1], count=1, datatype=_CODES[kind.fields[name][0].str.replace("|", "")]
        )
        for name in kind.names
        if not name.startswith("f") or len(name) > 2
    ]
    return store.types["sensor_msgs/msg/PointCloud2"](
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=kind.itemsize,
        row_step=points.nbytes,
        data=np.frombuffer(points.tobytes(), np.uint8),
        is_dense=True,
    )


def _camera_info(store, header, camera):
    k = camera.matrix.ravel()
    roi = store.types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return store.types["sensor_msgs/msg/CameraInfo"](
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.model,
        d=np.array(camera.distortion, np.float64),
        k=k,
        r=np.eye(3).ravel(),
        p=np.concatenate([camera.matrix, np.zeros((3, 1))], 1).ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
