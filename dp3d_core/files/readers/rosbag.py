"""A rosbag2 (mcap or sqlite3) with keypoint and camera topics, read by the library rosbags; no ROS is needed.

Keypoint topics are sensor_msgs/PointCloud2 with the fields x, y, score, joint and perhaps person, as dp3d's node takes
them, and yolo_msgs/DetectionArray. The camera is the sensor_msgs/CameraInfo of the same namespace, or the only one.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions
from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import joint_set

CLOUD, YOLO = "sensor_msgs/msg/PointCloud2", "yolo_msgs/msg/DetectionArray"
CAMERA = "sensor_msgs/msg/CameraInfo"
_CODES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
JOINT_SET = "coco17"


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """A clip for each keypoint topic."""
    bag = Bag(path)
    topics = [topic for topic in bag.keypoints if options.topic in (None, topic)]
    if not topics:
        raise ValueError(
            f"{path}: expected a topic of keypoints ({CLOUD} with x, y, score and joint, or {YOLO})"
            f"{'' if options.topic is None else ' called ' + options.topic}, got {sorted(bag.topics) or 'no messages'}"
        )
    return [_clip(path, topic, bag, options, alone=len(topics) == 1) for topic in topics]


class Bag:
    """The messages of a bag that dp3d can use: {topic: [(stamp_s, message)]}; ValueError if it cannot be read."""

    def __init__(self, path: Path):
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.rosbag2 import ReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise ImportError(
                f"{path}: reading a rosbag needs rosbags ({error}); pip install 'dp3d_ros[files]'"
            ) from error
        self.keypoints, self.cameras, self.topics = {}, {}, {}
        store = get_typestore(Stores.ROS2_JAZZY)
        try:
            with AnyReader([path], default_typestore=store) as reader:
                self.topics = {connection.topic: connection.msgtype for connection in reader.connections}
                wanted = [one for one in reader.connections if one.msgtype in (CLOUD, YOLO, CAMERA)]
                for connection, _, raw in reader.messages(wanted) if wanted else ():
                    self._keep(connection.topic, connection.msgtype, reader.deserialize(raw, connection.msgtype))
        except (AnyReaderError, ReaderError) as error:
            raise ValueError(
                f"{path}: expected a whole rosbag2, could not read it ({error}); is it cut off?"
            ) from error
        except OSError:
            raise
        except Exception as error:  # damaged bytes can fail anywhere in the reader and its decompressors
            raise ValueError(f"{path}: expected a whole rosbag2, could not read it ({error!r})") from error

    def _keep(self, topic: str, kind: str, message: Any) -> None:
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        if kind == CAMERA:
            self.cameras.setdefault(topic, []).append(message)
        elif (
            kind == YOLO or {"x", "y", "score", "joint"} <= {item.name for item in message.fields} or not message.width
        ):
            self.keypoints.setdefault(topic, []).append((stamp_s, message))


def _clip(path: Path, topic: str, bag: Bag, options: ReadOptions, *, alone: bool) -> Detections:
    rows = Rows(f"{path} ({topic})", options.joint_set or JOINT_SET)
    messages = sorted(bag.keypoints[topic], key=lambda pair: pair[0])
    stamps_s = np.array([stamp_s for stamp_s, _ in messages])
    later = np.concatenate([[True], np.diff(stamps_s) > 0])
    messages = [message for message, keep in zip(messages, later) if keep]
    for frame, (_, message) in enumerate(messages):
        people = _from_yolo(message) if bag.topics[topic] == YOLO else _from_cloud(path, message, rows.joint_set)
        for person, keypoints, score in people:
            rows.add(frame, person, keypoints, score)
    if not rows.frame:
        raise ValueError(f"{path}: {topic}: expected people, got {len(messages)} messages with nobody")
    camera, camera_topic, more = _camera(path, topic, bag)
    notes = () if later.all() else (f"{(~later).sum()} messages of {topic} repeat a stamp and are left out",)
    return rows.detections(
        name=path.stem if alone else f"{path.stem}_{topic.strip('/').replace('/', '_')}",
        frames=len(messages),
        format=f"a rosbag2, topic {topic} ({rows.joint_set})",
        stamps_s=stamps_s[later],
        camera=camera,
        camera_from=f"the bag's {camera_topic}" if camera else "",
        image_size_px=(camera.width, camera.height) if camera else None,
        notes=(*notes, *more),
    )


def _camera(path: Path, topic: str, bag: Bag) -> tuple[Camera | None, str, tuple[str, ...]]:
    """The camera of a keypoint topic, its topic, and notes."""
    near = [name for name in bag.cameras if name.rsplit("/", 1)[0] == topic.rsplit("/", 1)[0]]
    chosen = near[0] if near else next(iter(bag.cameras), None) if len(bag.cameras) == 1 else None
    if chosen is None:
        several = len(bag.cameras) > 1
        return None, "", (f"none of {sorted(bag.cameras)} is in the namespace of {topic}",) if several else ()
    info = bag.cameras[chosen][-1]
    if info.k[0] == 0:
        return None, "", (f"{chosen} is not calibrated (k[0] is 0)",)
    camera = Camera(
        fx=float(info.k[0]),
        fy=float(info.k[4]),
        cx=float(info.k[2]),
        cy=float(info.k[5]),
        width=int(info.width),
        height=int(info.height),
        distortion=tuple(float(value) for value in info.d),
        model=info.distortion_model or "plumb_bob",
    )
    return camera, chosen, ()


def _from_cloud(path: Path, cloud: Any, name: str) -> list[tuple[int | None, np.ndarray, np.ndarray]]:
    """(person, keypoints, scores) of one keypoint cloud."""
    fields = {item.name: item for item in cloud.fields}
    count = cloud.width * cloud.height
    if not count:
        return []
    used = [key for key in ("x", "y", "score", "joint", "person") if key in fields]
    order = ">" if cloud.is_bigendian else "<"
    try:
        kind = np.dtype({
            "names": used, "formats": [order + _CODES[fields[key].datatype] for key in used],
            "offsets": [fields[key].offset for key in used], "itemsize": cloud.point_step,
        })  # fmt: skip
        points = np.frombuffer(bytes(cloud.data), kind, count=count)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a readable keypoint cloud, got one whose layout is wrong ({error})"
        ) from None
    persons = points["person"].astype(np.int64) if "person" in used else np.zeros(count, np.int64)
    known = "person" in used and (persons >= 0).all()
    people, size = [], len(joint_set(name).keypoints)
    for person in np.unique(persons):
        keypoints, score = np.zeros((size, 2)), np.zeros(size)
        mine = points[(persons == person) & (points["joint"] < size)]
        keypoints[mine["joint"]] = np.stack([mine["x"], mine["y"]], -1)
        score[mine["joint"]] = mine["score"]
        people.append((int(person) if known else None, keypoints, score))
    return people


def _from_yolo(message: Any) -> list[tuple[int | None, np.ndarray, np.ndarray]]:
    """(person, keypoints, scores) of one DetectionArray; its keypoints count from 1."""
    people = []
    for detection in message.detections:
        keypoints, score = np.zeros((17, 2)), np.zeros(17)
        for point in detection.keypoints.data:
            if 1 <= point.id <= 17:
                keypoints[point.id - 1] = point.point.x, point.point.y
                score[point.id - 1] = point.score
        if score.any():
            person = str(detection.id)
            people.append((int(person) if person.isdigit() else None, keypoints, score))
    return people
