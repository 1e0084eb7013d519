"""sensor_msgs/PointCloud2 with named fields: 2D keypoints in, 3D skeletons out.

In : x, y [px], score [0..1], joint, person; points in any order, an absent point is a missing keypoint.
Out: x, y, z, sigma, root_sigma [m], person, joint, predicted.
Knows nothing of rclpy; message classes are imported only to write.
"""
# N points, K keypoints, P people, J = 17 joints

from typing import Any

import numpy as np

from dp3d_core.types import Keypoints, Skeletons
from dp3d_ros.messages.keypoints import BadMessage, Converted, Oddities

MAX_POINTS = 65536
MAX_PERSON = 2**31 - 1
NO_ID, NO_ID_UNSIGNED = -1, 2**32 - 1
"""What trackers write for somebody without an id."""
_FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
KEYPOINT_DTYPE = np.dtype(
    {"names": ["x", "y", "score", "person", "joint"], "formats": ["<f4", "<f4", "<f4", "<i4", "<u2"],
     "offsets": [0, 4, 8, 12, 16], "itemsize": 20}
)  # fmt: skip
SKELETON_DTYPE = np.dtype(
    {"names": ["x", "y", "z", "sigma", "root_sigma", "person", "joint", "predicted"],
     "formats": ["<f4", "<f4", "<f4", "<f4", "<f4", "<i4", "u1", "u1"],
     "offsets": [0, 4, 8, 12, 16, 20, 24, 25], "itemsize": 28}
)  # fmt: skip


def read_points(cloud, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> np.ndarray:
    """The points of `cloud` as a structured array with the required fields, and the optional ones that it has.

    BadMessage where layout, types or length do not hold together; a cloud of no points needs no fields.
    """
    count = cloud.width * cloud.height
    if not count and not len(cloud.data):
        return np.zeros(0, [(name, "f4") for name in required])
    layout = {}
    for item in cloud.fields:
        if item.name not in (*required, *optional):
            continue
        if item.datatype not in _FORMATS or item.count not in (0, 1):
            raise BadMessage(
                "bad_fields",
                f"PointCloud2.fields: {item.name!r} has datatype {item.datatype} and count {item.count}; "
                "expected one scalar per point",
            )
        layout[item.name] = (item.offset, _FORMATS[item.datatype])
    missing = [name for name in required if name not in layout]
    if missing:
        raise BadMessage(
            "bad_fields", f"PointCloud2.fields: expected {list(required)}, got {[item.name for item in cloud.fields]}"
        )
    for name in ("joint", "person"):
        if name in layout and layout[name][1].startswith("f"):
            raise BadMessage("bad_fields", f"PointCloud2.fields: {name!r} must be an integer, got a float datatype")
    if count > MAX_POINTS:
        raise BadMessage("too_many_points", f"PointCloud2: expected at most {MAX_POINTS} points, got {count}")
    order = ">" if cloud.is_bigendian else "<"
    end = max(offset + np.dtype(code).itemsize for offset, code in layout.values())
    if end > cloud.point_step:
        raise BadMessage("bad_size", f"PointCloud2.point_step: fields end at byte {end}, got {cloud.point_step}")
    row_bytes = cloud.width * cloud.point_step
    row_step = cloud.row_step if cloud.height > 1 else row_bytes
    needed = (cloud.height - 1) * row_step + row_bytes if count else 0
    if row_step < row_bytes or len(cloud.data) < needed:
        raise BadMessage(
            "bad_size",
            f"PointCloud2.data: {cloud.width} x {cloud.height} points of {cloud.point_step} bytes need {needed} "
            f"bytes, got {len(cloud.data)} (row_step {cloud.row_step})",
        )
    if not count:
        return np.zeros(0, [(name, order + code) for name, (_, code) in layout.items()])
    dtype = np.dtype(
        {"names": list(layout), "formats": [order + code for _, code in layout.values()],
         "offsets": [offset for offset, _ in layout.values()], "itemsize": cloud.point_step}
    )  # fmt: skip
    data = np.frombuffer(cloud.data, np.uint8, count=needed)
    if row_step != row_bytes:
        rows = [data[row * row_step : row * row_step + row_bytes] for row in range(cloud.height)]
        data = np.concatenate(rows)
    return np.frombuffer(data.tobytes(), dtype, count=count)


def people_from_cloud(cloud, keypoint_count: int, tracked: bool = False) -> Converted:
    """The people of one keypoint cloud.

    keypoint_count K is that of the joint set. Points of an unknown joint or person are left out; of two points of one
    joint the later wins. BadMessage where the whole cloud is unreadable.

    Person -1 (4294967295 as uint32) is one without id. Where nobody has an id, or there is no field `person`, each row
    of a cloud of several rows is a person; in one row a joint that is not after the last one begins the next person,
    and the ids are None. Where somebody has one, or ever had (`tracked`), people without id are left out.
    """
    points: Any = read_points(cloud, ("x", "y", "score", "joint"), ("person",))
    oddities = Oddities()
    joints = points["joint"].astype(np.int64)
    known = (joints >= 0) & (joints < keypoint_count)
    if "person" in points.dtype.names:
        persons = points["person"].astype(np.int64)
        persons[persons == NO_ID_UNSIGNED] = NO_ID
        known &= persons <= MAX_PERSON
    else:
        persons = np.full(len(points), NO_ID)
    named = persons[known] != NO_ID
    nameless = len(points) > 0 and not named.any() and not (tracked and "person" in points.dtype.names)
    if nameless:
        persons = _grouped(joints, cloud)
    elif not named.all():
        oddities["person_without_id"] = 1
        known &= persons != NO_ID
        points, joints, persons, known = (part[persons != NO_ID] for part in (points, joints, persons, known))
    scores = points["score"]
    used = known & (scores != 0)
    ids = np.unique(persons[persons <= MAX_PERSON])
    where = np.searchsorted(ids, persons[used]), joints[used]
    xy_px = np.zeros((len(ids), keypoint_count, 2), np.float32)
    confidence = np.zeros((len(ids), keypoint_count), np.float32)
    with np.errstate(over="ignore"):  # a float64 field may exceed float32; the stream leaves such points out
        xy_px[(*where, 0)], xy_px[(*where, 1)] = points["x"][used], points["y"][used]
        confidence[where] = scores[used]
    if not known.all():
        oddities["unknown_joint"] = int((~known).sum())
    given = np.zeros(confidence.shape, bool)
    given[where] = True
    doubles = np.count_nonzero(used) - np.count_nonzero(given)
    if doubles:
        oddities["duplicate_point"] = int(doubles)
    return Converted(
        Keypoints(ids=None if nameless else tuple(ids.tolist()), xy_px=xy_px, confidence=confidence), oddities
    )


def _grouped(joints: np.ndarray, cloud) -> np.ndarray:
    """Whose each point of a cloud without ids is (N,): the row's, or the next person's where the joints begin again."""
    if cloud.height > 1:
        return np.repeat(np.arange(cloud.height), cloud.width)
    return np.concatenate([[0], np.cumsum(np.diff(joints) <= 0)])


def cloud_from_people(people: dict, header):
    """A keypoint cloud from {person: (keypoints_px (K, 2), confidence (K,))}; missing keypoints are left out."""
    persons, joints, pixels, scores = [], [], [], []
    for person, (keypoints_px, confidence) in people.items():
        seen = np.flatnonzero(confidence > 0)
        persons.append(np.full(len(seen), person))
        joints.append(seen)
        pixels.append(keypoints_px[seen])
        scores.append(confidence[seen])
    points = np.zeros(sum(map(len, joints)), KEYPOINT_DTYPE)
    if len(points):
        points["person"], points["joint"] = np.concatenate(persons), np.concatenate(joints)
        points["x"], points["y"] = np.concatenate(pixels).T
        points["score"] = np.concatenate(scores)
    return write_cloud(points, header)


def cloud_from_skeletons(skeletons: Skeletons, header):
    """The typed skeleton cloud of `dp3d_core.Skeletons`: 17 points a person, in the camera's optical frame.

    sigma is the standard deviation of the joint about its own root, root_sigma that of the root along its ray.
    """
    people = len(skeletons.ids)
    points = np.zeros((people, 17), SKELETON_DTYPE)
    if people:
        points["x"], points["y"], points["z"] = np.moveaxis(skeletons.joints_cam_m, -1, 0)
        points["sigma"] = skeletons.sigma_m
        points["root_sigma"] = skeletons.root_sigma_m[:, None]
        points["person"] = np.array(skeletons.ids)[:, None]
        points["joint"] = np.arange(17)
        points["predicted"] = skeletons.predicted[:, None]
    return write_cloud(points.reshape(-1), header)


def skeletons_from_cloud(cloud) -> dict[int, tuple]:
    """The reverse of `cloud_from_skeletons`: {person: (joints_m (17, 3), sigma_m (17,), root_sigma_m)} float32.

    Absent joints are NaN.
    """
    points = read_points(cloud, ("x", "y", "z", "sigma", "root_sigma", "joint", "person"))
    skeletons = {}
    for point in points:
        if point["joint"] >= 17:
            raise BadMessage("unknown_joint", f"skeleton cloud: expected joints 0 to 16, got {point['joint']}")
        joints_m, sigma_m, _ = skeletons.setdefault(
            int(point["person"]),
            (np.full((17, 3), np.nan, np.float32), np.full(17, np.nan, np.float32), point["root_sigma"]),
        )
        joints_m[point["joint"]] = point["x"], point["y"], point["z"]
        sigma_m[point["joint"]] = point["sigma"]
    return skeletons


def write_cloud(points: np.ndarray, header):
    from sensor_msgs.msg import PointCloud2, PointField

    codes = {code: number for number, code in _FORMATS.items()}
    layout: Any = points.dtype.fields
    fields = [
        PointField(name=name, offset=offset, datatype=codes[dtype.str[1:]], count=1)
        for name, (dtype, offset) in layout.items()
    ]
    cloud = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=points.nbytes,
        is_dense=True,
    )
    # The setter would check a bytes object byte by byte; an array("B") it takes as it is.
    cloud.data.frombytes(points.tobytes())
    return cloud
