# N skeletons of a whole recording, J = 17 joints
"""The flat ground that people stand on, and the upright world that it makes of the camera's optical frame.

World: x to the camera's right, y away from it, z up, origin on the ground right below the camera; metres.
"""

from dataclasses import dataclass

import numpy as np

ANKLE_HEIGHT_M = 0.09
"""Height of the lower ankle joint above the ground: 0.07 standing, more in a stride."""
_ANKLES, _NECK, _HIP = (3, 6), 8, 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """The plane normal_cam . X + distance_m = 0; the unit normal points up, distance_m is the camera's height."""

    normal_cam: np.ndarray
    distance_m: float

    def __post_init__(self):
        normal = np.asarray(self.normal_cam, np.float64)
        if normal.shape != (3,) or not np.isfinite(normal).all() or not np.linalg.norm(normal) > 1e-6:
            raise ValueError(f"normal_cam: expected a finite (3,) vector that is not zero, got {normal.tolist()}")
        if abs(normal[2]) > 0.999 * np.linalg.norm(normal):
            raise ValueError(
                "normal_cam: the camera looks straight down or up; expected one that looks across the ground"
            )
        object.__setattr__(self, "normal_cam", normal / np.linalg.norm(normal))
        object.__setattr__(self, "distance_m", float(self.distance_m))

    @property
    def world_from_cam(self):
        """(3, 3) rotation whose rows are the world's axes in the camera's optical frame."""
        up = self.normal_cam
        away = np.array([0.0, 0.0, 1.0]) - up[2] * up
        away /= np.linalg.norm(away)
        return np.stack([np.cross(away, up), away, up])

    def to_world(self, points_cam_m):
        """(..., 3) metres in the camera's optical frame to (..., 3) metres in the upright world."""
        return np.asarray(points_cam_m, np.float64) @ self.world_from_cam.T + (0.0, 0.0, self.distance_m)


def estimate_ground(joints_cam_m, *, tilt_prior_deg=4.0, noise_m=0.15):
    """The ground under (N, 17, 3) skeletons in the camera's optical frame.

    Up is first the median direction from ankles to neck, then tilted (with a prior of `tilt_prior_deg`, so that a
    single file of people cannot tip it over) until the lower ankles lie in one plane: Huber's weights by iterated
    least squares. ValueError without a single finite skeleton.
    """
    joints = np.asarray(joints_cam_m, np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (17, 3):
        raise ValueError(f"joints_cam_m: expected (N, 17, 3) metres, got {joints.shape}")
    joints = joints[np.isfinite(joints).all((1, 2))]
    if not len(joints):
        raise ValueError("joints_cam_m: expected at least one finite skeleton, got none; nothing was lifted")
    body = joints[:, _NECK] - joints[:, _ANKLES].mean(1)
    up = np.median(body / np.linalg.norm(body, axis=1, keepdims=True).clip(1e-6), 0)
    if np.linalg.norm(up) < 0.3 or abs(up[2]) > 0.95 * np.linalg.norm(up):
        up = np.array([0.0, -1.0, 0.0])  # nobody stands: trust a level camera
    up /= np.linalg.norm(up)
    ankles = joints[:, _ANKLES]
    lower = np.take_along_axis(ankles, (ankles @ up).argmin(1)[:, None, None], 1)[:, 0]

    right = np.cross(up, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    tilts = np.stack([right, np.cross(right, up)])
    # height of an ankle = lower . (up + a tilts0 + b tilts1) + d; unknowns a, b, d
    design = np.concatenate([lower @ tilts.T, np.ones((len(lower), 1))], 1)
    target = ANKLE_HEIGHT_M - lower @ up
    # Frames of one walk repeat one error: the prior counts against people-seconds, not against every frame
    prior = np.diag([1.0, 1.0, 0.0]) * (noise_m / np.radians(tilt_prior_deg)) ** 2 * max(1.0, len(lower) / 100)
    weight = np.ones(len(lower))
    solution = np.array([0.0, 0.0, np.median(target)])
    for _ in range(20):
        solution = np.linalg.solve((design * weight[:, None]).T @ design + prior, design.T @ (weight * target))
        residual = np.abs(design @ solution - target)
        weight = noise_m / residual.clip(noise_m)
    normal = up + solution[:2] @ tilts
    length = np.linalg.norm(normal)
    return Ground(normal_cam=normal / length, distance_m=solution[2] / length)
