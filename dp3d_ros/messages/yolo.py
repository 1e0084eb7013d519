"""yolo_msgs/DetectionArray (yolo_ros, topic /yolo/tracking) to people. Duck-typed: needs no yolo_msgs."""
# K = 17 COCO keypoints; yolo_ros numbers them from 1 and leaves out those with a low score

import numpy as np

from dp3d_ros.messages.ids import IdTable
from dp3d_ros.messages.keypoints import Converted, Oddities, packed

KEYPOINTS = 17


def people_from_detections(message, ids: IdTable) -> Converted:
    """The people of a DetectionArray; `ids` is the table of this input.

    Where no detection has a track id (a detector without a tracker) nobody has an id. Otherwise detections without one
    are left out and counted, as are those without keypoints.
    """
    people, numbers, oddities = [], [], Oddities()
    tracked = any(detection.id for detection in message.detections)
    for detection in message.detections:
        if not detection.keypoints.data:
            oddities["detection_without_keypoints"] += 1
            continue
        if tracked:
            number = ids.number(detection.id) if detection.id else None
            if number is None or number in numbers:
                oddities["detection_without_track_id" if number is None else "duplicate_person"] += 1
                continue
            numbers.append(number)
        people.append(_keypoints(detection.keypoints.data, oddities))
    return Converted(packed(numbers if tracked else None, people, KEYPOINTS), oddities)


def _keypoints(points, oddities: Oddities) -> np.ndarray:
    """(K, 3) float32: x, y, score; 0 where a keypoint is missing."""
    table = np.zeros((KEYPOINTS, 3), np.float32)
    for point in points:
        index = point.id - 1
        if not 0 <= index < KEYPOINTS:
            oddities["unknown_joint"] += 1
            continue
        with np.errstate(over="ignore"):
            table[index] = point.point.x, point.point.y, point.score
    return table
