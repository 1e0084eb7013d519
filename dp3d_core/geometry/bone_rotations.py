"""Joint positions to joint rotations that follow the bones: for avatars, BVH and TF.

The rest pose is a T-pose: x left, y up, z forward (BVH, glTF and VRM). A segment's rotation turns the rest pose's axes
into the frame of the joints, so that `rotation @ segment.rest` is the direction of the bone, exactly.

Positions do not show how a bone is twisted about itself. The twist is carried along: each step applies the turn of the
parent, then the shortest turn to the new direction. So a bone that turns by 1 degree turns its frame by 1 degree, also
where frames built from a fixed "forward" axis flip by 180. What carrying lets drift is led back to a reference, never
faster than the bone itself moves: the bend of the elbow or knee where it is bent, else the shortest turn from the rest
pose. Pelvis and spine have a second direction (up, the line of the shoulders) and follow it: the root has a heading.

Knows nothing of networks, cameras or file formats; NumPy only.
"""
# P people, T frames, J = 17 joints, S segments, L of them at one depth of the tree
# rotations are (3, 3) matrices whose columns are the turned rest axes

from dataclasses import dataclass

import numpy as np

from dp3d_core.skeleton import JOINT_NAMES

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
LEFT, RIGHT, UP, DOWN, FORWARD = X, (-1.0, 0.0, 0.0), Y, (0.0, -1.0, 0.0), Z

OWN_SHARE = 0.5
"""A frame's twist is corrected by at most this share of the turn of its own bone in the step."""
BEND_WEIGHT = 4.0
"""Weight of a bent elbow or knee (times the squared sine of its bend) against the turn from the rest pose."""
LEAST_SINE, FULL_SINE = 0.1, 0.3
"""A second direction nearer to the bone than the first (as a sine) says nothing, beyond the second all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One bone from joint `start` to joint `end`, with its direction `rest` in the rest pose.

    parent: name of the segment it hangs on, "" for the root. side: two joints whose line has the direction `side_rest`
    in the rest pose and fixes the twist. bend: the joint after `end`, whose hinge has the axis `side_rest`.
    """

    name: str
    parent: str
    start: str
    end: str
    rest: tuple[float, float, float]
    side: tuple[str, str] | None = None
    bend: str | None = None
    side_rest: tuple[float, float, float] = FORWARD


def _limbs(side, letter, out):
    upper_arm, lower_arm, upper_leg, lower_leg = (
        f"{side}{part}" for part in ("UpperArm", "LowerArm", "UpperLeg", "LowerLeg")
    )
    shoulder, elbow, wrist, hip, knee, ankle = (
        letter + joint for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
    )
    hinge = DOWN if side == "left" else UP  # of an elbow that bends forward in the T-pose
    return (
        Segment(name=f"{side}Shoulder", parent="spine", start="Thorax", end=shoulder, rest=out),
        Segment(
            name=upper_arm, parent=f"{side}Shoulder", start=shoulder, end=elbow, rest=out, bend=wrist, side_rest=hinge
        ),
        Segment(name=lower_arm, parent=upper_arm, start=elbow, end=wrist, rest=out),
        Segment(name=upper_leg, parent="hips", start=hip, end=knee, rest=DOWN, bend=ankle, side_rest=LEFT),
        Segment(name=lower_leg, parent=upper_leg, start=knee, end=ankle, rest=DOWN),
    )


HUMANOID = (
    Segment(name="hips", parent="", start="RHip", end="LHip", rest=LEFT, side=("Hip", "Spine"), side_rest=UP),
    Segment(name="spine", parent="hips", start="Spine", end="Thorax", rest=UP, side=("RShoulder", "LShoulder"),
            side_rest=LEFT),
    Segment(name="neck", parent="spine", start="Thorax", end="Nose", rest=UP),
    Segment(name="head", parent="neck", start="Nose", end="Head", rest=UP),
    *_limbs("left", "L", LEFT),
    *_limbs("right", "R", RIGHT),
)  # fmt: skip
"""The segments of an avatar, by the names of VRM's humanoid bones."""


class BoneRotations:
    """The solver for one table of segments; parents stand before their children."""

    def __init__(self, segments=HUMANOID):
        self.segments = tuple(segments)
        self.names = tuple(segment.name for segment in self.segments)
        joint = JOINT_NAMES.index
        self._parent = np.array([self.names.index(s.parent) if s.parent else -1 for s in self.segments])
        if (self._parent >= np.arange(len(self.segments))).any():
            raise ValueError("segments: expected every parent before its children")
        self._start = np.array([joint(s.start) for s in self.segments])
        self._end = np.array([joint(s.end) for s in self.segments])
        self.rest = np.array([s.rest for s in self.segments])
        """(S, 3) unit directions of the bones in the rest pose."""
        side_rest = np.array([s.side_rest for s in self.segments])
        self._side_rest = _unit(side_rest - _dot(side_rest, self.rest)[:, None] * self.rest)[0]
        self._side = np.array([[joint(name) for name in s.side or (s.start, s.start)] for s in self.segments])
        self._firm = np.array([s.side is not None for s in self.segments])
        self._bend = np.array([joint(s.bend or s.end) for s in self.segments])
        self._hinged = np.array([s.bend is not None for s in self.segments])
        below = {segment.parent: index for index, segment in enumerate(self.segments)}
        self._below = np.array([below.get(name, index) for index, name in enumerate(self.names)])
        depth = np.zeros(len(self.segments), int)
        for index, parent in enumerate(self._parent):
            depth[index] = depth[parent] + 1 if parent >= 0 else 0
        self._levels = [np.flatnonzero(depth == level) for level in range(depth.max() + 1)]

    def solve(self, joints_m):
        """Rotations (T, S, 3, 3) of one person's whole clip, joints_m (T, 17, 3): the same as `step` after `step`."""
        joints_m = np.asarray(joints_m, np.float64)
        if joints_m.ndim != 3 or joints_m.shape[1:] != (17, 3):
            raise ValueError(f"joints_m: expected (T, 17, 3) metres, got {joints_m.shape}")
        return self._solve(joints_m[None], np.full((1, len(self.segments), 3, 3), np.nan))[0]

    def step(self, joints_m, before=None):
        """Rotations (P, S, 3, 3) of the people in one frame.

        joints_m (P, 17, 3) in any right-handed frame; before: the same people's last answer, NaN for a person who is
        new, None where all are. A bone of no length or with a joint that is not finite is carried by its parent.
        """
        joints_m = np.asarray(joints_m, np.float64)
        if before is None:
            before = np.full((len(joints_m), len(self.segments), 3, 3), np.nan)
        return self._solve(joints_m[:, None], before)[:, 0]

    def _solve(self, joints_m, before):
        """Rotations (P, T, S, 3, 3) of clips (P, T, 17, 3) that go on from `before` (P, S, 3, 3), NaN at a start."""
        rotations = np.empty((*joints_m.shape[:2], len(self.segments), 3, 3))
        rotations[:] = np.eye(3)
        for level in self._levels:
            parent = self._parent[level]
            above, above_before = np.eye(3)[None, None, None], np.eye(3)[None, None]
            if parent[0] >= 0:
                above, above_before = rotations[:, :, parent], before[:, parent]
            from_above = above.swapaxes(-1, -2)
            local_before = above_before.swapaxes(-1, -2) @ before[:, level]
            lower_before = _apply(
                above_before.swapaxes(-1, -2) @ before[:, self._below[level]], self.rest[self._below[level]]
            )
            rotations[:, :, level] = above @ self._turn(level, joints_m, from_above, local_before, lower_before)
        return rotations

    def _turn(self, level, joints_m, from_above, local_before, lower_before):
        """Rotations (P, T, L, 3, 3) of one level's segments in their parents' frames.

        A rotation is the shortest turn from the rest pose to the bone's direction, then a twist about the bone. Only
        the twist depends on the past: `carry` is how much of it the shortest turn from the last direction brings,
        `wanted` is where the references want it.
        """
        rest, side_rest = self.rest[level], self._side_rest[level]
        fresh = ~np.isfinite(local_before).all((-1, -2))
        local_before = np.where(fresh[..., None, None], np.eye(3), local_before)
        first = _apply(local_before, rest)
        along = joints_m[:, :, self._end[level]] - joints_m[:, :, self._start[level]]
        direction, previous = _filled(_apply(from_above, along), first)
        swing = shortest_turn(rest, direction)
        swing_before = shortest_turn(rest, first)
        base = _apply(swing, side_rest)
        base_before = np.concatenate([_apply(swing_before, side_rest)[:, None], base[:, :-1]], 1)
        carry = _signed_angle(direction, base, _apply(shortest_turn(previous, direction), base_before))

        wanted, lower_turn = self._wanted(level, joints_m, from_above, direction, base, lower_before)
        sure = np.linalg.norm(wanted, axis=-1).clip(0, 1)
        limit = np.where(self._firm[level], np.inf, OWN_SHARE * _angle(previous, direction) + lower_turn)
        limit[:, 0] = np.where(fresh, np.inf, limit[:, 0])
        twist = _signed_angle(first, base_before[:, 0], _apply(local_before, side_rest))
        twist = _follow(twist, carry, _signed_angle(direction, base, wanted), sure, limit)
        return about(direction, twist) @ swing

    def _wanted(self, level, joints_m, from_above, direction, base, lower_before):
        """Where the side axes should point: vectors (P, T, L, 3) across the bones, as long as they are sure (0 to 1
        and more); and how far the bones below hinges turned (P, T, L) rad: a forearm that swings turns the upper arm.
        """
        side = joints_m[:, :, self._side[level, 1]] - joints_m[:, :, self._side[level, 0]]
        side, side_sine = _across(_apply(from_above, side), direction)
        side_weight = self._firm[level] * ((side_sine - LEAST_SINE) / (FULL_SINE - LEAST_SINE)).clip(0, 1)

        lower = joints_m[:, :, self._bend[level]] - joints_m[:, :, self._end[level]]
        finite = np.isfinite(lower_before).all(-1, keepdims=True)
        lower, previous = _filled(_apply(from_above, lower), np.where(finite, lower_before, self.rest[level]))
        bend = np.cross(direction, lower)
        bend_sine = np.linalg.norm(bend, axis=-1) * self._hinged[level]
        hinge, _ = _across(bend, direction)
        lower_turn = np.where(self._hinged[level], _angle(previous, lower), 0)

        rest_cosine = _dot(direction, self.rest[level])
        rest_weight = np.where(self._firm[level], 0, ((1 + rest_cosine) / 2 * (1 - bend_sine**2)) ** 2)
        parts = (side_weight, side), (BEND_WEIGHT * bend_sine**2, hinge), (rest_weight, base)
        return sum(weight[..., None] * part for weight, part in parts), lower_turn


def _follow(twist, carry, wanted, sure, limit):
    """Twists (P, T, L) rad: carried along, then led towards the wanted one by at most `limit` a step."""
    twists = np.empty_like(carry)
    for frame in range(carry.shape[1]):
        twist = twist + carry[:, frame]
        error = (wanted[:, frame] - twist + np.pi) % (2 * np.pi) - np.pi
        twist = twist + (error * sure[:, frame]).clip(-limit[:, frame], limit[:, frame])
        twists[:, frame] = twist
    return twists


def _filled(vectors, first):
    """Unit directions (P, T, L, 3), the last known one where there is none, and each frame's one before.

    first (P, L, 3): the directions before the first frame.
    """
    direction, known = _unit(vectors)
    if not known.all():
        frames = np.arange(vectors.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(known, frames, -1), 1)[..., None]
        direction = np.where(last < 0, first[:, None], np.take_along_axis(direction, last.clip(0), 1))
    return direction, np.concatenate([first[:, None], direction[:, :-1]], 1)


def _signed_angle(axis, a, b):
    """Angle (...) rad about the unit `axis` from vector a to b, both across it; 0 where one has no length."""
    return np.arctan2(_dot(axis, np.cross(a, b)), _dot(a, b))


def shortest_turn(a, b):
    """Rotation (..., 3, 3) by the smallest angle from unit vector a (..., 3) to b; of opposite ones, about some axis
    across them."""
    axis, cosine = np.cross(a, b), _dot(a, b)
    skew = _skew(axis)
    turn = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-9)[..., None, None]
    opposite = cosine < -1 + 1e-9
    if opposite.any():
        across = _unit(np.cross(a, np.where(np.abs(a[..., :1]) < 0.7, X, Y)))[0]
        half = 2 * across[..., :, None] * across[..., None, :] - np.eye(3)
        turn = np.where(opposite[..., None, None], half, turn)
    return turn


def about(axis, angle):
    """Rotation (..., 3, 3) by `angle` (...) rad about the unit vector `axis` (..., 3), Rodrigues' formula."""
    skew = _skew(axis)
    return np.eye(3) + np.sin(angle)[..., None, None] * skew + (1 - np.cos(angle))[..., None, None] * (skew @ skew)


def _across(vectors, direction):
    """The part of `vectors` across the unit `direction`: unit vectors, and the sine of the angle between the two."""
    length = np.linalg.norm(vectors, axis=-1)
    part = vectors - _dot(vectors, direction)[..., None] * direction
    across, known = _unit(part)
    sine = np.linalg.norm(part, axis=-1) / np.maximum(length, 1e-9)
    return np.where(known[..., None], across, 0), np.where(known, sine, 0)


def _unit(vectors):
    """Unit vectors, and which of them had a length to speak of."""
    length = np.linalg.norm(vectors, axis=-1)
    known = np.isfinite(length) & (length > 1e-6)
    safe = np.where(known[..., None], vectors, 0.0)
    return safe / np.where(known, length, 1.0)[..., None], known


def _skew(v):
    zero = np.zeros(v.shape[:-1])
    rows = (zero, -v[..., 2], v[..., 1], v[..., 2], zero, -v[..., 0], -v[..., 1], v[..., 0], zero)
    return np.stack(rows, -1).reshape(*v.shape, 3)


def _apply(rotation, vectors):
    return (rotation * vectors[..., None, :]).sum(-1)


def _dot(a, b):
    return (a * b).sum(-1)


def _angle(a, b):
    """Angle (...) rad between unit vectors, exact also for small ones."""
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), _dot(a, b))
