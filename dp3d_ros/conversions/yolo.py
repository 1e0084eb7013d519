"""yolo_msgs/DetectionArray (yolo_ros, topic /yolo/tracking) to people. Duck-typed: needs no yolo_msgs."""
# K = 17 COCO keypoints; yolo_ros numbers them from 1 and leaves out those with a low score

import numpy as np

from dp3d_ros.conversions.keypoints import People, usable

KEYPOINTS = 17


def people_from_detections(message, ids):
    """The tracked people of a DetectionArray; `ids` is the `IdTable` of this input.

    Detections without track id or keypoints are left out and counted: without an id there is no one to follow.
    """
    people = People()
    for detection in message.detections:
        if not detection.keypoints.data:
            people.oddities["detection_without_keypoints"] += 1
            continue
        if not detection.id:
            people.oddities["detection_without_track_id"] += 1
            continue
        keypoints_px, confidence = np.zeros((KEYPOINTS, 2), np.float32), np.zeros(KEYPOINTS, np.float32)
        for point in detection.keypoints.data:
            index = point.id - 1
            if not 0 <= index < KEYPOINTS:
                people.oddities["unknown_joint"] += 1
                continue
            with np.errstate(over="ignore"):
                keypoints_px[index] = point.point.x, point.point.y
                confidence[index] = point.score
        good = usable(keypoints_px, confidence)
        people.oddities["unusable_point"] += int((~good & (confidence != 0)).sum())
        keypoints_px[~good], confidence[~good] = 0, 0
        person = ids.number(detection.id)
        if person in people.keypoints:
            people.oddities["duplicate_person"] += 1
            continue
        people.keypoints[person] = keypoints_px, np.clip(confidence, 0, 1)
    people.oddities = +people.oddities
    return people
