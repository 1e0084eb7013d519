"""From the network's poses to people in metres: root, size, standing feet and rays, for many people in one step.

Everything that lasts from frame to frame is a row a person, in the optical frame of the person's camera. The order:
move everything by the camera's own motion; solve the root; which feet stand; how large the bodies are; filter the
root; move joints to their rays; hold the standing feet. Knows nothing of networks or ids.
"""
# P people, J = 17 joints

from typing import NamedTuple

import numpy as np

from dp3d_core.geometry.body_size import KNOWN_SIZE_SIGMA, BodySizes
from dp3d_core.geometry.contact import ANKLE_HEIGHT_M, ANKLES, Contacts
from dp3d_core.geometry.root import solve
from dp3d_core.geometry.root_filter import Belief, RootFilters
from dp3d_core.geometry.settle import Settling

LATERAL_SEEN = 0.7
"""Uncertainty of a seen joint across its ray over that per axis, on detector-like keypoints of dev."""
LOW_M = 0.15
"""A foot lower than the floor by no more stands on it: the height of the camera is not exact."""
IN_FRONT_M = 0.1
"""A solved root nearer to the image plane than this is no measurement."""


class Seen(NamedTuple):
    """What the network made of P people and what they were seen by."""

    pose_m: np.ndarray
    """(P, 17, 3) root-relative in the virtual cameras, metres of the network's body."""
    sigma_m: np.ndarray
    """(P, 17)."""
    rotation: np.ndarray
    """(P, 3, 3) from the camera to the virtual cameras."""
    rays: np.ndarray
    """(P, 17, 2) in the virtual cameras."""
    confidence: np.ndarray
    """(P, 17) with 0 = missing."""
    dt_s: np.ndarray
    """(P,) since each one's last frame."""
    sigmas_m: np.ndarray | None = None
    """(P, 17, 2) per axis across the ray, and along it; None: `sigma_m` divided as is usual."""
    contact: np.ndarray | None = None
    """(P, 2) a network's probability that the right and left foot stand; None: from how the ankles move."""


class World(NamedTuple):
    """What is known of one camera in one frame."""

    people: slice
    """Its people among the P."""
    motion: tuple[np.ndarray, np.ndarray] | None = None
    """Turn (3, 3) and shift_m (3,) of points in its optical frame since the last frame, None where unknown."""
    up_cam: np.ndarray | None = None
    """(3,) against gravity; None: unknown."""
    up_sigma_rad: float = 0.0
    height_m: float | None = None
    """Above the floor; None: unknown."""


class Placed(NamedTuple):
    """People in metres in their cameras."""

    joints_cam_m: np.ndarray
    """(P, 17, 3) float32."""
    sigma_m: np.ndarray
    """(P, 17) float32 per axis about the root, ..."""
    sigma_lateral_m: np.ndarray
    """... its part across the viewing ray ..."""
    sigma_depth_m: np.ndarray
    """... and along it."""
    root_sigma_m: np.ndarray
    """(P,) float32 along the viewing ray."""
    size: np.ndarray
    """(P,) how much larger the body is than the network's."""
    contact: np.ndarray
    """(P, 2) float32 probability that the right and left foot stand."""
    solved: np.ndarray
    """(P,) bool: the root was solved in this frame."""
    started: np.ndarray
    """(P,) bool: the person has a place."""
    floors: list
    """Of each `World` a `Floor` or None."""
    contradicted: list
    """Of each `World` the number of people whose feet contradict the floor."""
    before: Belief | None
    """The root filter before the frame's own measurement; None while it learns, ..."""
    after: Belief | None
    """... and after it, without what standing feet add."""
    size_variance: np.ndarray
    """(P,) of the log size."""


class Placement:
    """The state of many people between frames, and the step from one to the next."""

    def __init__(self, people: int):
        self.roots, self.sizes = RootFilters(people), BodySizes(people)
        self.contacts, self.settling = Contacts(people), Settling(people)

    def _parts(self):
        return self.roots, self.sizes, self.contacts, self.settling

    def clear(self, row) -> None:
        """Forget one person."""
        for part in self._parts():
            part.clear(row)

    def move(self, source, target) -> None:
        """Copy row `source` over row `target`."""
        for part in self._parts():
            part.move(source, target)

    def copy_of(self, rows) -> "Placement":
        """These people alone, in this order, independent of the original."""
        other = object.__new__(Placement)
        other.roots, other.sizes, other.contacts, other.settling = (part.copy_of(rows) for part in self._parts())
        return other

    def with_sizes_alone(self) -> "Placement":
        """The same people, of whom nothing but the size is known yet."""
        other = Placement(len(self.sizes.size))
        other.sizes = self.sizes.copy_of(slice(None))
        return other

    def step(self, rows, seen: Seen, worlds: list[World], known_log_size=None, learn: bool = True) -> Placed:
        """One frame of the people in `rows` (slice or indices), who lie camera by camera as `worlds` say.

        known_log_size (P,): of people whose height is known, else None; learn: whether feet still say how large bodies
        are.
        """
        count = len(seen.pose_m)
        motion_known = self._move_cameras(rows, worlds, count)
        self.roots.predict(rows, seen.dt_s, motion_known)
        before = None if learn else self.roots.belief(rows)
        # float64: these are sums of squares of numbers that nearly cancel
        pose_cam = seen.pose_m.astype(np.float64) @ seen.rotation
        direction = directions(seen.rays, seen.rotation)
        root, variance, solved = solve(seen.pose_m, seen.rays, seen.confidence, seen.sigma_m)
        measured_m = (root[:, None] @ seen.rotation)[:, 0]
        log_variance = variance / (root[:, 2] * root[:, 2])
        usable = solved & (measured_m[:, 2] > IN_FRONT_M)
        standing = self._feet(rows, seen, worlds, measured_m, pose_cam, direction, usable)
        floors, contradicted = self._sizes(
            rows, seen, worlds, measured_m, pose_cam, direction, log_variance, standing & learn, usable, known_log_size
        )
        size = self.sizes.size[rows]
        measured_m *= size[:, None]
        distance = np.sqrt((measured_m * measured_m).sum(1))
        self.roots.correct(rows, measured_m, log_variance * distance * distance, seen.dt_s, usable)
        after = None if learn else self.roots.belief(rows)
        joints = self._joints(rows, seen, pose_cam, direction, standing, size)
        distance = np.sqrt((joints[:, 0] ** 2).sum(1))
        spread = np.maximum(self.sizes.variance[rows], KNOWN_SIZE_SIGMA**2)
        root_sigma_m = np.sqrt(self.roots.range_sigma_m(rows) ** 2 + distance * distance * spread)
        if seen.sigmas_m is None:
            sigma_m, lateral_m, depth_m = sigmas(seen.sigma_m, seen.confidence, size)
        else:
            grown = size.astype(np.float32)[:, None]
            sigma_m, lateral_m, depth_m = (
                part * grown for part in (seen.sigma_m, seen.sigmas_m[..., 0], seen.sigmas_m[..., 1])
            )
        return Placed(
            joints_cam_m=joints.astype(np.float32),
            sigma_m=sigma_m,
            sigma_lateral_m=lateral_m,
            sigma_depth_m=depth_m,
            root_sigma_m=root_sigma_m.astype(np.float32),
            size=size,
            contact=self.contacts.probability[rows].astype(np.float32),
            solved=solved,
            started=self.roots.started[rows] > 0,
            floors=floors,
            contradicted=contradicted,
            before=before,
            after=after,
            size_variance=spread,
        )

    def _move_cameras(self, rows, worlds, count):
        """Move all state by the cameras' own motion; (P,) bool, for whom that motion is known."""
        known = np.zeros(count, bool)
        moving = [(world.people, world.motion) for world in worlds if world.motion is not None]
        if not moving:
            return known
        turn, shift_m = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))
        for people, motion in moving:
            turn[people], shift_m[people] = motion
            known[people] = True
        for part in (self.roots, self.contacts, self.settling):
            part.move_camera(rows, turn, shift_m)
        return known

    def _feet(self, rows, seen, worlds, measured_m, pose_cam, direction, usable):
        """Which feet stand, (P, 2) bool."""
        # the filtered root, not this frame's: its depth does not jump
        began = (self.roots.started[rows] > 0)[:, None]
        root = np.where(began, self.roots.root_m[rows], measured_m * self.sizes.size[rows][:, None])
        ankles = root[:, None] + self.sizes.size[rows][:, None, None] * pose_cam.take(ANKLES, 1)
        rays = direction.take(ANKLES, 1)
        ankles = rays * (rays * ankles).sum(-1, keepdims=True)
        height = np.zeros((len(root), 2))
        for world in worlds:
            if world.up_cam is None:
                continue
            level = ankles[world.people] @ world.up_cam
            lowest = level.min(1, keepdims=True)
            if world.height_m is not None:
                lowest = np.maximum(lowest, ANKLE_HEIGHT_M - world.height_m - LOW_M)
            height[world.people] = level - lowest
        visible = (seen.confidence.take(ANKLES, 1) > 0) & usable[:, None]
        return self.contacts.update(rows, ankles, visible, height, seen.dt_s, seen.contact)

    def _sizes(
        self, rows, seen, worlds, measured_m, pose_cam, direction, log_variance, standing, usable, known_log_size
    ):
        """Take in standing feet and settle the sizes; what is filtered grows with them. Floors and contradictions."""
        before = self.sizes.size[rows].copy()
        feet, floors, contradicted = None, [], []
        for world in worlds:
            part = world.people
            own = _rows_of(rows, part)
            known = None if known_log_size is None else known_log_size[part]
            if world.up_cam is not None:
                if feet is None:
                    ankles = measured_m[:, None] + pose_cam.take(ANKLES, 1)
                    rays = direction.take(ANKLES, 1)
                    feet = rays * (rays * ankles).sum(-1, keepdims=True)
                self.sizes.observe(
                    own,
                    feet[part],
                    standing[part] & usable[part, None],
                    world.up_cam,
                    world.up_sigma_rad,
                    log_variance[part],
                    seen.dt_s[part],
                )
            floor, number = self.sizes.estimate(own, world.height_m, known)
            floors.append(floor)
            contradicted.append(number)
        factor = self.sizes.size[rows] / before
        if (factor != 1).any():
            self.roots.scale(rows, factor)
            self.settling.scale(rows, factor)
        return floors, contradicted

    def _joints(self, rows, seen, pose_cam, direction, standing, size):
        """(P, 17, 3) metres in the camera: on their rays, with standing feet where they stand."""
        joints = size[:, None, None] * pose_cam + self.roots.root_m[rows][:, None]
        joints = self.settling.to_rays(rows, joints, direction, seen.confidence, seen.sigma_m, seen.dt_s)
        pull = self.settling.pull(rows, joints, standing, seen.dt_s)
        self.roots.root_m[rows] += pull
        joints += pull[:, None]
        return self.settling.hold(rows, joints, standing, seen.dt_s)


def sigmas(sigma_m, confidence, size):
    """Sigma (P, 17) per axis, and its parts across and along the viewing ray, float32 metres of the true body."""
    sigma = sigma_m * size[:, None].astype(np.float32)
    lateral = sigma * np.where(confidence > 0, LATERAL_SEEN, 1).astype(np.float32)
    depth = np.sqrt(3 * sigma * sigma - 2 * lateral * lateral)
    return sigma, lateral, depth


def directions(rays_virtual, rotation):
    """Unit vectors (P, 17, 3) in the cameras of rays (P, 17, 2) in the virtual cameras."""
    rays = np.empty((*rays_virtual.shape[:2], 3))
    rays[..., :2], rays[..., 2] = rays_virtual, 1
    rays /= np.sqrt((rays * rays).sum(-1, keepdims=True))
    return rays @ rotation


def _rows_of(rows, part):
    """The rows of a part (slice) of the people in `rows`."""
    if isinstance(rows, slice):
        return slice(rows.start + part.start, rows.start + part.stop)
    return rows[part]
