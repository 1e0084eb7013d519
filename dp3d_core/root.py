"""From root-relative pose to metres in the camera: closed-form root, its filter over time, and body proportions.

Knows nothing of networks. The root is where the pose must stand so that it projects onto the seen rays; its depth is
only as good as the body size, so the depth's standard deviation is part of the answer.
"""
# P people, T frames, J = 17 joints; state rows: bearing x, bearing y, log depth

import numpy as np

from dp3d_core.skeleton import BONES

DETECTOR_SIGMA_M = 0.02
"""How far a detected joint is from the joint centre at the person, metres (recipes/detector_noise.md)."""
HEIGHT_SIGMA = 0.05
"""Relative standard deviation of the unknown body size; depth error is proportional to it (4 % = 11 cm at 4 m)."""
KNOWN_HEIGHT_SIGMA = 0.015
"""The same once `person_height_m` is given: posture and joint definitions remain."""
ACCELERATION_M_S2 = 2.0
"""Standard deviation of a walking person's root acceleration: the process noise of the filter."""
ERROR_TIME_S = 0.6
"""Pose and detector errors last this long; a frame is therefore worth less than an independent measurement."""
MIN_DEPTH_M, MAX_DEPTH_M = 0.3, 100.0
_LOG_MIN_DEPTH, _LOG_MAX_DEPTH = np.log(MIN_DEPTH_M), np.log(MAX_DEPTH_M)
BONE_TIME_S = 10.0
"""Time constant after which running bone lengths forget."""
ANKLE_TO_FLOOR_M = 0.08

_PARENT = np.array([parent for parent, _ in BONES])
_CHILD = np.array([child for _, child in BONES])
# joints = _CHAIN @ bone vectors: every joint is the sum of the bones on its way from the root
_CHAIN = np.zeros((17, len(BONES)), np.float32)
for _index, (_from, _to) in enumerate(BONES):
    _CHAIN[_to] = _CHAIN[_from]
    _CHAIN[_to, _index] = 1
_LEG = [_index for _index, (_, _to) in enumerate(BONES) if _to in (2, 3, 5, 6)]
_TRUNK = [_index for _index, (_, _to) in enumerate(BONES) if _to in (7, 8, 9, 10)]


def solve(joints_virtual_m, rays_virtual, confidence, sigma_m):
    """Root by weighted least squares, in closed form (ZeDO; MeTRAbs).

    joints_virtual_m (P, 17, 3) root-relative, rays_virtual (P, 17, 2), confidence (P, 17) with 0 = missing, sigma_m
    (P, 17). Minimises sum w |(X + Tx) - u (Z + Tz)|^2 + the same in y, w = confidence^2. Returns root (P, 3) in the
    virtual camera, depth variance (P,) from the errors of pose and detector (not of body size), and solved (P,) bool:
    False where too few rays are seen, or the answer is not in front of the camera.
    """
    weight = confidence.astype(np.float64) ** 2
    total = weight.sum(-1)
    safe = np.where(total > 0, total, 1.0)[:, None]
    offset = rays_virtual * joints_virtual_m[..., 2:] - joints_virtual_m[..., :2]
    both = np.concatenate([rays_virtual, offset], -1)
    mean = (weight[:, None] @ both)[:, 0] / safe
    mean_ray, mean_offset = mean[:, :2], mean[:, 2:]
    away = both - mean[:, None]
    ray_x, ray_y = away[..., 0], away[..., 1]
    square = ray_x * ray_x + ray_y * ray_y
    spread = (weight * square).sum(1)
    solved = (spread > 1e-8) & ((weight > 0).sum(-1) >= 3)
    spread = np.where(solved, spread, 1.0)
    depth = -(weight * (ray_x * away[..., 2] + ray_y * away[..., 3])).sum(1) / spread
    solved &= (depth > MIN_DEPTH_M) & (depth < MAX_DEPTH_M)
    depth = np.minimum(np.maximum(depth, MIN_DEPTH_M), MAX_DEPTH_M)
    root = np.concatenate([mean_ray * depth[:, None] + mean_offset, depth[:, None]], 1)
    noise = sigma_m.astype(np.float64) ** 2 + DETECTOR_SIGMA_M**2
    variance = (weight * weight * square * noise).sum(1) / spread**2
    return root, variance, solved


class RootFilter:
    """Constant-velocity Kalman filters on bearing and log depth, one row a person.

    Bearing (x/z, y/z) is measured well and depth badly: filtering them apart keeps a depth error from moving the
    person sideways. Predict with `predict`, correct with `correct`; rows are independent.
    """

    def __init__(self, people):
        self.mean = np.zeros((people, 3, 2))
        self.covariance = np.zeros((people, 3, 2, 2))
        self.started = np.zeros(people, bool)

    def clear(self, row):
        """Forget one person."""
        self.started[row] = False

    def move(self, source, target):
        """Copy row `source` over row `target`."""
        for array in (self.mean, self.covariance, self.started):
            array[target] = array[source]

    def predict(self, rows, dt_s):
        """Let `rows` (slice) run for dt_s (P,) seconds."""
        mean, covariance = self.mean[rows], self.covariance[rows]
        dt_s = dt_s[:, None]
        mean[..., 0] += dt_s * mean[..., 1]
        depth = np.exp(np.minimum(np.maximum(mean[:, 2, 0], -3), 6))[:, None]
        noise = (ACCELERATION_M_S2 / depth) ** 2
        a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
        covariance[..., 0, 0] = a + 2 * dt_s * b + dt_s**2 * c + noise * dt_s**4 / 4
        covariance[..., 0, 1] = covariance[..., 1, 0] = b + dt_s * c + noise * dt_s**3 / 2
        covariance[..., 1, 1] = c + noise * dt_s**2

    def correct(self, rows, root_cam_m, depth_variance, solved, dt_s):
        """Blend in measured roots (P, 3) with depth variances (P,); rows with solved False only coast."""
        mean, covariance, started = self.mean[rows], self.covariance[rows], self.started[rows]
        depth = np.maximum(root_cam_m[:, 2], MIN_DEPTH_M)
        measured = np.array([root_cam_m[:, 0] / depth, root_cam_m[:, 1] / depth, np.log(depth)]).T
        lateral = (DETECTOR_SIGMA_M / 2 / depth) ** 2
        # correlated errors: inflate so that one ERROR_TIME_S of frames counts as one measurement
        repeats = 1 + ERROR_TIME_S / np.maximum(dt_s, 1e-3)
        variance = np.array([lateral, lateral, depth_variance / depth**2 * repeats]).T
        fresh = solved & ~started
        if fresh.any():
            mean[fresh, :, 0], mean[fresh, :, 1] = measured[fresh], 0
            covariance[fresh] = 0
            covariance[fresh, :, 0, 0] = variance[fresh]
            covariance[fresh, :, 1, 1] = ((1.5 / depth[fresh]) ** 2)[:, None]
        old = (solved & started)[:, None]
        gain_total = old / (covariance[..., 0, 0] + variance + 1e-12)
        position, speed = covariance[..., 0, 0] * gain_total, covariance[..., 0, 1] * gain_total
        innovation = measured - mean[..., 0]
        mean[..., 0] += position * innovation
        mean[..., 1] += speed * innovation
        a, b = covariance[..., 0, 0].copy(), covariance[..., 0, 1].copy()
        covariance[..., 0, 0] = a * (1 - position)
        covariance[..., 0, 1] = covariance[..., 1, 0] = b * (1 - position)
        covariance[..., 1, 1] -= speed * b
        started |= solved

    def root(self, rows, height_sigma):
        """Roots (P, 3) in metres in the camera frame, and their standard deviation along the ray (P,)."""
        mean = self.mean[rows]
        depth = np.exp(np.minimum(np.maximum(mean[:, 2, 0], _LOG_MIN_DEPTH), _LOG_MAX_DEPTH))
        root = np.array([mean[:, 0, 0] * depth, mean[:, 1, 0] * depth, depth]).T
        relative = np.sqrt(np.maximum(self.covariance[rows][:, 2, 0, 0], 0) + height_sigma**2)
        return root, relative * np.sqrt((root * root).sum(1))


def smooth(root_cam_m, depth_variance, solved, stamps_s):
    """Offline roots: the filter forward and backward in time, averaged by precision. (T, 3), (T,), (T,), (T,)."""
    passes = []
    for order in (slice(None), slice(None, None, -1)):
        filter_, out, spread, last = RootFilter(1), [], [], None
        for root, variance, ok, stamp in zip(
            root_cam_m[order], depth_variance[order], solved[order], stamps_s[order], strict=True
        ):
            dt_s = 0.0 if last is None else abs(stamp - last)
            last = stamp
            filter_.predict(slice(0, 1), np.array([dt_s]))
            filter_.correct(slice(0, 1), root[None], variance[None], np.array([ok]), np.array([dt_s or 1 / 30]))
            out.append(filter_.mean[0, :, 0].copy())
            spread.append(filter_.covariance[0, :, 0, 0].copy() if filter_.started[0] else np.full(3, 1e6))
        passes.append((np.array(out)[order], 1 / np.maximum(np.array(spread)[order], 1e-12)))
    (ahead, ahead_weight), (back, back_weight) = passes
    blended = (ahead * ahead_weight + back * back_weight) / (ahead_weight + back_weight)
    depth = np.exp(np.clip(blended[:, 2], np.log(MIN_DEPTH_M), np.log(MAX_DEPTH_M)))
    root = np.stack([blended[:, 0] * depth, blended[:, 1] * depth, depth], 1)
    return root, np.sqrt(1 / (ahead_weight + back_weight)[:, 2])


class Proportions:
    """Running bone lengths of each person, so that limbs keep their length, and the scale of a known height."""

    def __init__(self, people):
        self.length_m = np.zeros((people, len(BONES)), np.float32)
        self.weight = np.zeros((people, len(BONES)), np.float32)

    @classmethod
    def of_clip(cls, joints_m, sigma_m):
        """One person's lengths over a whole clip (T, 17, 3), every frame counting by its certainty alone."""
        proportions = cls(1)
        length, trust = _bones(joints_m, sigma_m)
        proportions.weight[0] = trust.sum(0)
        proportions.length_m[0] = (length * trust).sum(0) / proportions.weight[0]
        return proportions

    def clear(self, row):
        """Forget one person."""
        self.length_m[row], self.weight[row] = 0, 0

    def move(self, source, target):
        """Copy row `source` over row `target`."""
        self.length_m[target], self.weight[target] = self.length_m[source], self.weight[source]

    def update(self, rows, joints_m, sigma_m, dt_s):
        """Take in poses (P, 17, 3); a bone counts by how sure its far joint is."""
        length, trust = _bones(joints_m, sigma_m)
        trust *= np.maximum(dt_s, 1e-3)[:, None]
        kept = self.weight[rows] * np.exp(-dt_s / BONE_TIME_S)[:, None]
        total = kept + trust
        self.length_m[rows] = (self.length_m[rows] * kept + length * trust) / total
        self.weight[rows] = total

    def apply(self, rows, joints_m, person_height_m=0.0):
        """Poses (P, 17, 3) with the running bone lengths (their own before any `update`), scaled to person_height_m
        where it is given."""
        bones = joints_m[:, _CHILD] - joints_m[:, _PARENT]
        length = np.sqrt((bones**2).sum(-1)) + np.float32(1e-6)
        wanted = np.where(self.weight[rows] > 0, self.length_m[rows], length)
        if person_height_m > 0:
            wanted = wanted * (person_height_m / np.maximum(stature_m(wanted), 0.3))[:, None]
        return _CHAIN @ (bones * (wanted / length)[..., None]).astype(np.float32)


def _bones(joints_m, sigma_m):
    """Lengths (P, 16) of the bones of poses (P, 17, 3), and how far to trust them: by the far joint's certainty."""
    length = np.sqrt(((joints_m[:, _CHILD] - joints_m[:, _PARENT]) ** 2).sum(-1))
    return length, np.float32(1) / (sigma_m[:, _CHILD] ** 2 + np.float32(1e-4))


def stature_m(bone_lengths_m):
    """Standing height of bodies with these bone lengths (P, 16): legs, trunk, head and the ankle's height."""
    return bone_lengths_m[:, _LEG].sum(1) / 2 + bone_lengths_m[:, _TRUNK].sum(1) + ANKLE_TO_FLOOR_M
