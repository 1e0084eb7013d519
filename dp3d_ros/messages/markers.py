"""visualization_msgs/MarkerArray from skeletons: joints, bones, label and uncertainty of each body.

Each body has its own namespace and stable ids, so a new frame replaces the last one; a lost body fades by its lifetime.
"""
# P people, J = 17 joints

import colorsys

import numpy as np

from dp3d_core.skeleton import BONES, JOINT_NAMES, LEFT, RIGHT

JOINTS, LINES, LABEL, FIRST_SIGMA = 0, 1, 2, 10
LABEL_ABOVE_HEAD_M = 0.25
_HEAD, _THORAX = JOINT_NAMES.index("Head"), JOINT_NAMES.index("Thorax")
_ENDS = np.array(BONES).reshape(-1)


def person_colour(person):
    """A saturated colour (r, g, b) in [0, 1] that stays with the id; neighbouring ids differ most."""
    return colorsys.hsv_to_rgb((0.58 + person * 0.618033988749895) % 1.0, 0.65, 1.0)


def joint_shade(joint):
    """Brightness of a joint: left limbs lighter, right limbs darker, so that sides can be told apart."""
    return 1.0 if joint in LEFT else 0.55 if joint in RIGHT else 0.8


def label_place(joints_m):
    """Where the label of a person (17, 3) goes: on from the thorax beyond the head, whichever way the frame has up."""
    neck_m = joints_m[_HEAD] - joints_m[_THORAX]
    return joints_m[_HEAD] + neck_m * (LABEL_ABOVE_HEAD_M / max(float(np.linalg.norm(neck_m)), 1e-6))


_SHADES = [joint_shade(joint) for joint in range(17)]
_BONE_SHADES = [joint_shade(child) for _, child in BONES]


def markers_from_skeletons(skeletons, header, *, lifetime_s=0.3, sigmas=0.0, labels=True, prefix="", names=None):
    """The MarkerArray of one frame.

    sigmas > 0 adds a translucent sphere of so many standard deviations at each joint; names {person: str} overrides the
    id in the label; prefix goes before the namespace where several cameras share a topic.
    """
    from builtin_interfaces.msg import Duration
    from geometry_msgs.msg import Point, Vector3
    from std_msgs.msg import ColorRGBA
    from visualization_msgs.msg import Marker, MarkerArray

    lifetime = Duration(sec=int(lifetime_s), nanosec=int(lifetime_s % 1 * 1e9))
    made = []
    for index, person in enumerate(skeletons.ids):
        joints_m = skeletons.joints_cam_m[index].tolist()
        alpha = 0.45 if skeletons.predicted[index] else 1.0
        red, green, blue = person_colour(person)

        def make(identity, kind, scale, transparency=1.0, person=person, colour=(red, green, blue), alpha=alpha):
            marker = Marker(header=header, ns=f"{prefix}body_{person}", id=identity, type=kind, lifetime=lifetime)
            marker.pose.orientation.w = 1.0
            marker.scale = Vector3(x=scale, y=scale, z=scale)
            marker.color = ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=alpha * transparency)
            made.append(marker)
            return marker

        points = [Point(x=x, y=y, z=z) for x, y, z in joints_m]
        tones = {shade: ColorRGBA(r=red * shade, g=green * shade, b=blue * shade, a=alpha) for shade in set(_SHADES)}
        joints = make(JOINTS, Marker.SPHERE_LIST, 0.06)
        joints.points = points
        joints.colors = [tones[shade] for shade in _SHADES]
        lines = make(LINES, Marker.LINE_LIST, 0.03)
        lines.points = [points[joint] for joint in _ENDS]
        lines.colors = [tones[shade] for shade in _BONE_SHADES for _ in range(2)]
        if labels:
            label = make(LABEL, Marker.TEXT_VIEW_FACING, 0.18)
            x, y, z = label_place(skeletons.joints_cam_m[index]).tolist()
            label.pose.position = Point(x=x, y=y, z=z)
            name = (names or {}).get(person, str(person))
            action = skeletons.actions[index]
            label.text = name + (f" {action}" if action else "") + ("" if skeletons.metric else " (assumed camera)")
        if sigmas > 0:
            for joint, sigma_m in enumerate(skeletons.sigma_m[index].tolist()):
                ball = make(FIRST_SIGMA + joint, Marker.SPHERE, max(2 * sigmas * sigma_m, 1e-3), 0.18)
                ball.pose.position = points[joint]
    return MarkerArray(markers=made)
