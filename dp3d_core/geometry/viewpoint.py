"""What `camera.follow` and `observation.observe` do, for a live stream: few people, one frame, microseconds count.

A person's view is a handful of numbers, and plain ones are cheaper than arrays of them; what there is of every joint
stays in arrays. A test holds the two ways to each other.
"""
# P people, J = 17 joints

from itertools import repeat
from math import exp, log, sqrt

import numpy as np

from dp3d_core.geometry.camera import CENTRE_TIME_S, LEAST_DEPTH, roll_of, turn_axes
from dp3d_core.geometry.observation import LOG_SIZE_CENTRE, RAY_LIMIT

RAY_CHANGE = 0.005
"""Rays that move by less, 2 cm at 4 m, are where they were: a detector errs by as much."""


class Viewpoint:
    """The virtual camera that follows one person: where it looks, and how large the person is in it."""

    __slots__ = ("log_size", "started", "x", "y")

    def __init__(self):
        self.started = False
        self.x = self.y = self.log_size = 0.0

    def follow(self, x, y, log_size, dt_s):
        """One step towards a centre (rays) and log size, dt_s seconds after the last; the first goes all the way."""
        gain = 1 - exp(-dt_s / CENTRE_TIME_S) if self.started else 1.0
        self.x += gain * (x - self.x)
        self.y += gain * (y - self.y)
        self.log_size += gain * (log_size - self.log_size)
        self.started = True

    def turn(self, turn: np.ndarray) -> None:
        """Go on looking at the same place in the world after the camera turned: points move by turn (3, 3)."""
        x, y, z = (turn @ (self.x, self.y, 1.0)).tolist()
        if self.started and z > LEAST_DEPTH:
            self.x, self.y = x / z, y / z


def look(viewpoints, rays, confidence, dt_s, up=None):
    """Let each of P viewpoints follow its person and see the person from there.

    rays (P, 17, 2) and confidence (P, 17) float32 with 0 = missing, finite also there; dt_s P seconds since the last
    frame; up, if known, is P unit vectors against gravity in their cameras (zeros: unknown), which turn the views
    upright. Who is not seen at all moves no viewpoint. Returns as `observe` does: seen (P, 17, 4), rotation
    (P, 3, 3) and rays in the virtual camera (P, 17, 2), float32.
    """
    weight = confidence[:, None]
    total = confidence.sum(1)
    centre = weight @ rays / np.maximum(total, 1e-30)[:, None, None]
    away = rays - centre
    spread = weight @ (away * away)
    axes, sizes = [], []
    for viewpoint, trust, ((x, y),), ((wide, high),), past_s, above in zip(
        viewpoints, total.tolist(), centre.tolist(), spread.tolist(), dt_s, repeat(None) if up is None else up
    ):
        if trust > 0:
            viewpoint.follow(x, y, 0.5 * log((wide + high) / trust + 1e-8), past_s)
        turned = turn_axes(viewpoint.x, viewpoint.y, sqrt)
        axes.append(turned if above is None else _rolled(turned, above))
        sizes.append((exp(-viewpoint.log_size), viewpoint.log_size - LOG_SIZE_CENTRE))
    rotation, sizes = np.array(axes, np.float32), np.array(sizes, np.float32)
    turned = rays @ rotation[:, :, :2].swapaxes(1, 2)
    turned += rotation[:, None, :, 2]
    turned_rays = turned[..., :2] / np.maximum(turned[..., 2:], LEAST_DEPTH)
    seen = np.empty((*confidence.shape, 4), np.float32)
    picture = seen[..., :2]
    np.multiply(turned_rays, ((confidence > 0) * sizes[:, :1])[..., None], out=picture)
    np.clip(picture, -RAY_LIMIT, RAY_LIMIT, out=picture)
    seen[..., 2] = confidence
    seen[..., 3] = sizes[:, 1:]
    return seen, rotation, turned_rays


def _rolled(axes, up):
    """Rows of a rotation from `cam` to a view, rolled until up (x, y, z in `cam`) points upwards in the view."""
    (ax, ay, az), (bx, by, bz), forward = axes
    ux, uy, uz = up
    cos, sin = roll_of(ax * ux + ay * uy + az * uz, bx * ux + by * uy + bz * uz, sqrt)
    return (
        (cos * ax + sin * bx, cos * ay + sin * by, cos * az + sin * bz),
        (cos * bx - sin * ax, cos * by - sin * ay, cos * bz - sin * az),
        forward,
    )


def rays_moved(before, now, shown, old_camera, camera):
    """Whether another camera sees the same joints elsewhere, as when a calibration is mended, and not in a zoom.

    before (N, 2) rays as the old camera saw them last, now (N, 2) rays in the new one, shown (N,) bool which of these
    are there. In a zoom, or an image of another size, pixels change and rays stay; with a mended calibration it is the
    other way round, and what is seen says which. Where nothing is, the cameras' word is taken.
    """
    if not len(before):
        return False
    same_pixels = camera.rays(old_camera.project(np.concatenate([before, np.ones_like(before[:, :1])], 1)))
    if _median_distance(same_pixels, before) <= RAY_CHANGE:
        return False
    before, now, same_pixels = before[shown], now[shown], same_pixels[shown]
    return not shown.any() or _median_distance(now, same_pixels) < _median_distance(now, before)


def _median_distance(rays, others):
    return float(np.median(np.linalg.norm(rays - others, axis=1)))
