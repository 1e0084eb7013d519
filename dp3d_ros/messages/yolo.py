"""yolo_msgs/DetectionArray (yolo_ros, topic /yolo/tracking) to people. Duck-typed: needs no yolo_msgs."""
# K = 17 COCO keypoints; yolo_ros numbers them from 1 and leaves out those with a low score

import numpy as np

from dp3d_ros.messages.keypoints import People, usable

KEYPOINTS = 17


def people_from_detections(message, ids):
    """The people of a DetectionArray; `ids` is the `IdTable` of this input.

    Where no detection has a track id (a detector without a tracker) they are nameless, a list. Otherwise detections
    without one are left out and counted, as are those without keypoints.
    """
    people = People()
    nameless = None if any(detection.id for detection in message.detections) else []
    for detection in message.detections:
        if not detection.keypoints.data:
            people.oddities["detection_without_keypoints"] += 1
            continue
        if not detection.id and nameless is None:
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
        pair = keypoints_px, np.clip(confidence, 0, 1)
        if nameless is not None:
            nameless.append(pair)
            continue
        person = ids.number(detection.id)
        if person in people.keypoints:
            people.oddities["duplicate_person"] += 1
            continue
        people.keypoints[person] = pair
    if nameless:
        people.keypoints = nameless
    people.oddities = +people.oddities
    return people
