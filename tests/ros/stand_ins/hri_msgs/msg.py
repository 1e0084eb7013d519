"""Stands in for hri_msgs, which no registry has: messages of sensor_msgs carry what the lifter writes and reads."""

from geometry_msgs.msg import Point32, PointStamped
from sensor_msgs.msg import JointState, PointCloud


class NormalizedPointOfInterest2D:
    def __init__(self, x=0.0, y=0.0, c=0.0):
        self.x, self.y, self.c = x, y, c


class IdsList(JointState):
    """Ids are the names of joints."""

    def __init__(self, header=None, ids=()):
        super().__init__(header=header, name=list(ids))


class Skeleton2D(PointCloud):
    """The confidence of a point is its z."""


class NormalizedRegionOfInterest2D(PointStamped):
    """The box itself stays behind."""


def _skeleton(message):
    return [NormalizedPointOfInterest2D(point.x, point.y, point.z) for point in message.points]


def _set_skeleton(message, points):
    message.points = [Point32(x=point.x, y=point.y, z=point.c) for point in points]


# what arrives is of the class that was really sent
JointState.ids = property(lambda message: message.name)
PointCloud.skeleton = property(_skeleton, _set_skeleton)
for _own in (IdsList, Skeleton2D, NormalizedRegionOfInterest2D):
    (_real,) = _own.__bases__
    _own.__name__, _own.__module__ = _real.__name__, _real.__module__
