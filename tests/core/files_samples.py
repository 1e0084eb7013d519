"""Two seconds of the shipped recording, written in the documented form of every input format."""
# F frames, P people, K keypoints

import json
from functools import cache

import numpy as np

from dp3d_core.capture import recording as recordings
from dp3d_core.data.vp3d_npz import read_vp3d
from dp3d_core.skeleton import joint_set

FIRST, FRAMES = 300, 16
SIZE = (768, 576)


@cache
def clip():
    """[(stamp_s, {person: (keypoints (33, 2), score (33,))})] of the sample."""
    frames = list(recordings.load(recordings.shipped()).frames())[FIRST : FIRST + FRAMES]
    people = sorted(set.intersection(*(set(seen) for _, seen in frames)))[:2]
    assert len(people) == 2
    return [
        (stamp - frames[0][0], {index: seen[person] for index, person in enumerate(people)}) for stamp, seen in frames
    ]


def as_set(points, score, name):
    """MediaPipe's keypoints as those of another joint set, by name; (K, 3)."""
    source = joint_set("mediapipe33").keypoints
    halves = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip"),
              "hip": ("left_hip", "right_hip")}  # fmt: skip
    out = np.zeros((len(joint_set(name).keypoints), 3))
    for index, key in enumerate(joint_set(name).keypoints):
        names = halves.get(key, (key,))
        if set(names) <= set(source):
            rows = [source.index(one) for one in names]
            out[index] = *points[rows].mean(0), score[rows].min()
            if not score[rows].min():
                out[index] = 0
    return out


def openpose(folder, name="openpose25", *, stem="walk", ids=False, skip=()):
    """A folder of OpenPose's files, numbered from 5."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (_, people) in enumerate(clip()):
        if index in skip:
            continue
        listed = [
            {"person_id": [person if ids else -1], "pose_keypoints_2d": as_set(*seen, name).ravel().tolist(),
             "face_keypoints_2d": []} for person, seen in people.items()
        ]  # fmt: skip
        path = folder / f"{stem}_{index + 5:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": listed}))
    return folder


def mmpose(path, name="coco17", *, meta=True):
    """A video's predictions."""
    frames = []
    for index, (_, people) in enumerate(clip()):
        found = [as_set(*seen, name) for seen in people.values()]
        frames.append({"frame_id": index + 1, "instances": [
            {"keypoints": one[:, :2].tolist(), "keypoint_scores": one[:, 2].tolist(), "bbox": [[0, 0, 1, 1]],
             "bbox_score": 0.9} for one in found]})  # fmt: skip
    path.write_text(json.dumps({"meta_info": {"dataset_name": "coco"}, "instance_info": frames} if meta else frames))
    return path


def alphapose(path, name="halpe26"):
    """alphapose-results.json with track ids."""
    path.write_text(
        json.dumps(
            [
                {
                    "image_id": f"{index}.jpg",
                    "category_id": 1,
                    "keypoints": as_set(*seen, name).ravel().tolist(),
                    "score": 2.9,
                    "box": [0, 0, 1, 1],
                    "idx": [float(person + 1)],
                }
                for index, (_, people) in enumerate(clip())
                for person, seen in people.items()
            ]
        )
    )
    return path


def coco(path, *, annotations=False):
    """COCO results, or annotations with images."""
    listed = [
        {
            "image_id": index + 7,
            "category_id": 1,
            "score": 0.8,
            "track_id": person + 1,
            "keypoints": as_set(*seen, "coco17").ravel().tolist(),
        }
        for index, (_, people) in enumerate(clip())
        for person, seen in people.items()
    ]
    data = listed
    if annotations:
        for number, item in enumerate(listed):
            points = np.reshape(item["keypoints"], (-1, 3))
            points[:, 2] = np.where(points[:, 2] > 0, 2, 0)
            item |= {"id": number, "keypoints": points.ravel().tolist()}
        images = [
            {"id": index + 7, "width": SIZE[0], "height": SIZE[1], "file_name": f"{index}.jpg"}
            for index in range(FRAMES)
        ]
        data = {"images": images, "annotations": listed, "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(data))
    return path


def mediapipe_npz(path):
    """Landmarks of two people, shares of the picture."""
    values = np.full((FRAMES, 2, 33, 5), np.nan)
    for index, (_, people) in enumerate(clip()):
        for person, (points, score) in people.items():
            values[index, person, :, :2] = points / SIZE
            values[index, person, :, 2] = 0
            values[index, person, :, 3] = values[index, person, :, 4] = score
    stamps_s = np.array([stamp for stamp, _ in clip()])
    np.savez(path, landmarks=values, stamps_s=stamps_s, image_size=np.array(SIZE))
    return path


def mediapipe_csv(path, *, wide=True):
    """One person's landmarks in pixels."""
    names = joint_set("mediapipe33").keypoints
    if wide:
        lines = [",".join(f"{axis}{index + 1}" for index in range(33) for axis in ("x", "y", "z", "v"))]
    else:
        lines = ["frame,stamp_s,landmark,x,y,visibility"]
    for index, (stamp, people) in enumerate(clip()):
        points, score = people[0]
        if wide:
            lines.append(",".join(f"{x},{y},0,{v}" for (x, y), v in zip(points, score)))
        else:
            lines += [f"{index},{stamp},{name},{x},{y},{v}" for name, (x, y), v in zip(names, points, score)]
    path.write_text("\n".join(lines) + "\n")
    return path


def vp3d(path):
    """VideoPose3D's custom dataset."""
    points = np.stack([as_set(*people[0], "coco17")[:, :2] for _, people in clip()]).astype(np.float32)
    metadata = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": [[1], [2]],
                "video_metadata": {"walk.mp4": {"w": SIZE[0], "h": SIZE[1]}}}  # fmt: skip
    np.savez_compressed(path, positions_2d={"walk.mp4": {"custom": [points]}}, metadata=metadata)
    assert set(read_vp3d(path, keys=("positions_2d",))) == {"positions_2d"}
    return path


def recording(path):
    """A dp3d recording with the shipped one's camera and ground."""
    whole = recordings.load(recordings.shipped())
    rows = [(index, person, *seen) for index, (_, people) in enumerate(clip()) for person, seen in people.items()]
    frame, person, points, score = zip(*rows)
    recordings.save(
        path,
        recordings.Recording(
            stamps_s=np.array([stamp for stamp, _ in clip()]),
            frame=np.array(frame),
            person=np.array(person),
            keypoints_px=np.stack(points),
            confidence=np.stack(score),
            joint_set="mediapipe33",
            image_size_px=whole.image_size_px,
            K=whole.K,
            distortion=whole.distortion,
            intrinsics="calibrated",
            source="sample",
            provenance="a part of the shipped recording",
            ground_normal_cam=whole.ground_normal_cam,
            ground_distance_m=whole.ground_distance_m,
        ),
    )
    return path


def rosbag(path, *, sqlite=False, person=True):
    """A bag with /cam/keypoints (coco17) and /cam/camera_info."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    make = {kind.rsplit("/", 1)[1]: store.types[kind] for kind in (
        "builtin_interfaces/msg/Time", "std_msgs/msg/Header", "sensor_msgs/msg/PointField",
        "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/RegionOfInterest")}  # fmt: skip
    kind = np.dtype([("x", "<f4"), ("y", "<f4"), ("score", "<f4"), ("person", "<i4"), ("joint", "<u2")])
    codes = {"x": 7, "y": 7, "score": 7, "person": 5, "joint": 4}
    K = recordings.load(recordings.shipped()).K
    roi = make["RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    plugin = StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
    with Writer(path, version=8, storage_plugin=plugin) as bag:
        topics = {topic: bag.add_connection(f"/cam/{topic}", f"sensor_msgs/msg/{name}", typestore=store)
                  for topic, name in (("keypoints", "PointCloud2"), ("camera_info", "CameraInfo"))}  # fmt: skip
        for stamp_s, people in clip():
            time_ns = 1_700_000_000_000_000_000 + round(stamp_s * 1e9)
            stamp = make["Time"](sec=time_ns // 10**9, nanosec=time_ns % 10**9)
            header = make["Header"](stamp=stamp, frame_id="cam")
            points = np.concatenate(
                [
                    np.array(
                        [(x, y, score, number, joint) for joint, (x, y, score) in enumerate(as_set(*seen, "coco17"))],
                        kind,
                    )
                    for number, seen in people.items()
                ]
            )
            fields = [
                make["PointField"](name=name, offset=kind.fields[name][1], datatype=codes[name], count=1)
                for name in kind.names
                if person or name != "person"
            ]
            cloud = make["PointCloud2"](
                header=header,
                height=1,
                width=len(points),
                fields=fields,
                is_bigendian=False,
                point_step=kind.itemsize,
                row_step=points.nbytes,
                is_dense=True,
                data=np.frombuffer(points.tobytes(), np.uint8),
            )
            info = make["CameraInfo"](
                header=header,
                height=SIZE[1],
                width=SIZE[0],
                distortion_model="plumb_bob",
                d=np.zeros(5),
                k=K.ravel(),
                r=np.eye(3).ravel(),
                p=np.zeros(12),
                binning_x=0,
                binning_y=0,
                roi=roi,
            )
            for topic, message in (("keypoints", cloud), ("camera_info", info)):
                bag.write(topics[topic], time_ns, store.serialize_cdr(message, message.__msgtype__))
    return path
