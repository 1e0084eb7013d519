"""hri_msgs/Skeleton2D (ROS4HRI, REP-155) to people: one message a body, gathered into frames. Duck-typed."""
# K = 18 keypoints, normalised to [0, 1] over the image

import numpy as np

from dp3d_ros.conversions.keypoints import BadMessage, People, stamp_ns, usable

KEYPOINTS = 18


class SkeletonFrames:
    """Gathers the bodies of one stamp into a frame: complete when all tracked bodies came, or a newer stamp begins."""

    def __init__(self):
        self._tracked = set()
        self._bodies = {}
        self._header = None

    def track(self, bodies):
        """The ids that /humans/bodies/tracked names now."""
        self._tracked = set(bodies)

    def add(self, body, message):
        """Take one Skeleton2D in; returns the frames [(header, {body: message})] complete now, oldest first."""
        complete = []
        if self._header is not None and stamp_ns(message.header.stamp) != stamp_ns(self._header.stamp):
            complete.append(self._take())
        self._header = message.header
        self._bodies[body] = message
        if self._tracked <= set(self._bodies):
            complete.append(self._take())
        return complete

    def nobody(self, header):
        """An empty frame at `header`, for a tracker that says that it follows nobody."""
        unfinished = [self._take()] if self._bodies else []
        return [*unfinished, (header, {})]

    def _take(self):
        frame = (self._header, self._bodies)
        self._header, self._bodies = None, {}
        return frame


def people_from_skeletons(bodies, ids, camera):
    """People of one frame {body id: Skeleton2D}; `ids` an `IdTable`, `camera` gives the image size in pixels."""
    people = People()
    for body, message in bodies.items():
        if len(message.skeleton) != KEYPOINTS:
            raise BadMessage(
                "bad_skeleton", f"Skeleton2D.skeleton: expected {KEYPOINTS} points, got {len(message.skeleton)}"
            )
        points = np.array([(point.x, point.y, point.c) for point in message.skeleton], np.float32)
        with np.errstate(over="ignore"):
            keypoints_px = points[:, :2] * np.array([camera.width, camera.height], np.float32)
        confidence = points[:, 2]
        good = usable(keypoints_px, confidence)
        people.oddities["unusable_point"] += int((~good & (confidence != 0)).sum())
        keypoints_px[~good], confidence[~good] = 0, 0
        people.keypoints[ids.number(body)] = keypoints_px, np.clip(confidence, 0, 1)
    people.oddities = +people.oddities
    return people
