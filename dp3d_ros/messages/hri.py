"""hri_msgs (ROS4HRI, REP-155) to people and back: one Skeleton2D a body, gathered into frames. Duck-typed."""
# K = 18 keypoints, normalised to [0, 1] over the image

import numpy as np

from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import joint_set
from dp3d_ros.messages.ids import IdTable
from dp3d_ros.messages.keypoints import BadMessage, Converted, Oddities, packed, stamp_ns

KEYPOINTS = 18
OPEN_FRAMES = 2
"""So many stamps may wait for their bodies: one topic may be a frame ahead of another, as nothing orders them."""


class SkeletonFrames:
    """Gathers the bodies of one stamp into a frame: complete when all tracked bodies came, or too many newer began."""

    def __init__(self):
        self._tracked = set()
        self._open = {}
        """{stamp: (header, {body: message})} in the order in which they began."""

    def track(self, bodies):
        """The ids that /humans/bodies/tracked names now."""
        self._tracked = set(bodies)

    def add(self, body, message):
        """Take one Skeleton2D in; returns the frames [(header, {body: message})] complete now, oldest first."""
        stamp = stamp_ns(message.header.stamp)
        _, bodies = self._open.setdefault(stamp, (message.header, {}))
        bodies[body] = message
        if self._tracked <= set(bodies):
            return self._take(list(self._open).index(stamp) + 1)
        return self._take(len(self._open) - OPEN_FRAMES)

    def nobody(self, header):
        """An empty frame at `header`, for a tracker that says that it follows nobody."""
        return [*self._take(len(self._open)), (header, {})]

    def _take(self, count):
        """The first `count` frames, which are then no longer waited for."""
        return [self._open.pop(stamp) for stamp in list(self._open)[: max(count, 0)]]


def people_from_skeletons(bodies: dict, ids: IdTable, camera: Camera) -> Converted:
    """People of one frame {body id: Skeleton2D}; `camera` gives the image size in pixels."""
    people = []
    for message in bodies.values():
        if len(message.skeleton) != KEYPOINTS:
            raise BadMessage(
                "bad_skeleton", f"Skeleton2D.skeleton: expected {KEYPOINTS} points, got {len(message.skeleton)}"
            )
        points = np.array([(point.x, point.y, point.c) for point in message.skeleton], np.float32)
        with np.errstate(over="ignore"):
            points[:, :2] *= np.array([camera.width, camera.height], np.float32)
        people.append(points)
    return Converted(packed(map(ids.number, bodies), people, KEYPOINTS), Oddities())


def skeleton_from_keypoints(keypoints_px, confidence, joint_names, camera, message, point_class):
    """Fill `message`, an empty Skeleton2D, with one person's keypoints; returns it.

    joint_names (K,): the detector's; points that it lacks, or that lie outside the image, have c = 0. A detector
    without a neck gets the middle of its shoulders, as sure as the less sure one.
    """
    at = {name: index for index, name in enumerate(joint_names)}
    points = []
    for name in joint_set("hri18").keypoints:
        made_of = [name] if name in at else ["left_shoulder", "right_shoulder"] if name == "neck" else []
        rows = [at[part] for part in made_of if part in at]
        trust = float(confidence[rows].min()) if rows else 0.0
        x, y = (keypoints_px[rows].mean(0) / (camera.width, camera.height)).tolist() if trust > 0 else (0.0, 0.0)
        inside = 0 <= x <= 1 and 0 <= y <= 1
        points.append(point_class(x=x, y=y, c=trust) if inside else point_class())
    message.skeleton = points
    return message


def roi_from_keypoints(keypoints_px, confidence, camera, message):
    """Fill `message`, an empty NormalizedRegionOfInterest2D, with the box of the seen keypoints; returns it."""
    seen = confidence > 0
    if seen.any():
        corners = np.stack([keypoints_px[seen].min(0), keypoints_px[seen].max(0)]) / (camera.width, camera.height)
        (message.xmin, message.ymin), (message.xmax, message.ymax) = np.clip(corners, 0, 1).tolist()
        message.c = float(confidence[seen].mean())
    return message
