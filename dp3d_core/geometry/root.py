"""From root-relative pose to metres in the camera: closed-form root, its filter over time, and body proportions.

Knows nothing of networks. The root is where the pose must stand so that it projects onto the seen rays; its depth is
only as good as the body size, so the depth's standard deviation is part of the answer.
"""
# P people, T frames, J = 17 joints

from math import exp, log, sqrt

import numpy as np

from dp3d_core.geometry.camera import RAY_FARTHEST
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
_LOG_MIN_DEPTH, _LOG_MAX_DEPTH = log(MIN_DEPTH_M), log(MAX_DEPTH_M)
COAST_S = 5.0
"""Without a measurement, speed moves a person for no longer: the most that `predict_for_s` may ask for."""
BONE_TIME_S = 10.0
"""Time constant after which running bone lengths forget."""
ANKLE_TO_FLOOR_M = 0.08

# the bone of joint j is number j - 1: every joint but the root hangs on one
_PARENT = np.array([parent for parent, _ in BONES])
_LEAST_M = np.float32(1e-6)
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
    people = len(confidence)
    # of each joint: 1, the ray u, the offset o = u Z - X, u.u and u.o; all that is asked for is sums of these
    terms = np.empty((people, 17, 7))
    rays, offset = terms[..., 1:3], terms[..., 3:5]
    terms[..., 0] = 1
    rays[...] = rays_virtual
    np.multiply(rays, joints_virtual_m[..., 2:], out=offset)
    offset -= joints_virtual_m[..., :2]
    (terms[..., 1:5].reshape(people, 17, 2, 2) * rays[:, :, None]).sum(-1, out=terms[..., 5:])
    # weighted by w, by w^2 times the joint's own variance, and counted
    weights = np.empty((people, 3, 17))
    weight, noise = weights[:, 0], weights[:, 1]
    np.multiply(confidence, confidence, out=weight)
    np.multiply(sigma_m, sigma_m, out=noise)
    noise += DETECTOR_SIGMA_M**2
    noise *= weight
    noise *= weight
    np.greater(weight, 0, out=weights[:, 2])
    # a person's sums are a handful of numbers: plain ones are cheaper than arrays of them
    found = np.array([_root(*sums) for sums in (weights @ terms).tolist()]).reshape(people, 5)
    return found[:, :3], found[:, 3], found[:, 4] > 0


def _root(sums, noisy_sums, counts):
    """Root x, y, z, depth variance and 1 if solved, else 0, from one person's sums of `solve`."""
    total, ray_x, ray_y, offset_x, offset_y, square, product = sums
    safe = total if total > 0 else 1.0
    ray_x, ray_y, offset_x, offset_y = ray_x / safe, ray_y / safe, offset_x / safe, offset_y / safe
    spread = square - total * (ray_x * ray_x + ray_y * ray_y)
    solved = spread > 1e-8 and counts[0] >= 3
    if not solved:
        spread = 1.0
    depth = (total * (ray_x * offset_x + ray_y * offset_y) - product) / spread
    solved = solved and MIN_DEPTH_M < depth < MAX_DEPTH_M
    depth = min(max(depth, MIN_DEPTH_M), MAX_DEPTH_M)
    noise, noise_x, noise_y, _, _, noise_square, _ = noisy_sums
    away = noise_square - 2 * (ray_x * noise_x + ray_y * noise_y) + noise * (ray_x * ray_x + ray_y * ray_y)
    return ray_x * depth + offset_x, ray_y * depth + offset_y, depth, max(away, 0.0) / spread**2, float(solved)


class RootFilter:
    """Constant-velocity Kalman filters on one person's bearing and log depth, in plain numbers.

    Bearing (x/z, y/z) is measured well and depth badly: filtering them apart keeps a depth error from moving the
    person sideways. Both bearings are measured alike, so they share one covariance. Nothing is mutable inside: a
    shallow copy may run ahead.
    """

    __slots__ = ("_bearing", "_coasted_s", "_depth", "_speed", "mean", "started")

    def __init__(self):
        self.started = False
        self.mean = (0.0, 0.0, 0.0)
        """Bearing x, bearing y, log depth."""
        self._speed = (0.0, 0.0, 0.0)
        self._coasted_s = 0.0  # since the last measurement
        self._bearing = self._depth = (0.0, 0.0, 0.0)  # variance, covariance with the speed, variance of the speed

    @property
    def variance(self):
        """Of the three means."""
        return self._bearing[0], self._bearing[0], self._depth[0]

    def predict(self, dt_s):
        """Let dt_s seconds pass."""
        x, y, log_depth = self.mean
        speed_x, speed_y, speed_depth = self._speed
        moving_s = min(dt_s, max(COAST_S - self._coasted_s, 0.0))
        self._coasted_s += dt_s
        log_depth = min(max(log_depth + moving_s * speed_depth, _LOG_MIN_DEPTH), _LOG_MAX_DEPTH)
        self.mean = _seen_ray(x + moving_s * speed_x), _seen_ray(y + moving_s * speed_y), log_depth
        noise = (ACCELERATION_M_S2 / exp(log_depth)) ** 2
        self._bearing, self._depth = _later(self._bearing, dt_s, noise), _later(self._depth, dt_s, noise)

    def correct(self, root_cam_m, depth_variance, dt_s):
        """Blend in a measured root (x, y, z) metres with its depth variance; dt_s is the time since the last frame."""
        x, y, depth = root_cam_m
        depth = max(depth, MIN_DEPTH_M)
        measured = _seen_ray(x / depth), _seen_ray(y / depth), log(depth)
        self._coasted_s = 0.0
        lateral = (DETECTOR_SIGMA_M / 2 / depth) ** 2
        # correlated errors: inflate so that one ERROR_TIME_S of frames counts as one measurement
        along = depth_variance / depth**2 * (1 + ERROR_TIME_S / max(dt_s, 1e-3))
        if not self.started:
            speed = (1.5 / depth) ** 2
            self.mean, self._speed = measured, (0.0, 0.0, 0.0)
            self._bearing, self._depth = (lateral, 0.0, speed), (along, 0.0, speed)
            self.started = True
            return
        self._bearing, place, speed = _corrected(self._bearing, lateral)
        self._depth, place_depth, speed_depth = _corrected(self._depth, along)
        off_x, off_y, off_depth = (now - then for now, then in zip(measured, self.mean))
        x, y, log_depth = self.mean
        self.mean = x + place * off_x, y + place * off_y, log_depth + place_depth * off_depth
        x, y, log_depth = self._speed
        self._speed = x + speed * off_x, y + speed * off_y, log_depth + speed_depth * off_depth

    def root(self, height_sigma):
        """Root x, y, z in metres in the camera frame, and its standard deviation along the ray."""
        x, y, log_depth = self.mean
        depth = exp(min(max(log_depth, _LOG_MIN_DEPTH), _LOG_MAX_DEPTH))
        distance = depth * sqrt(x * x + y * y + 1)
        return x * depth, y * depth, depth, distance * sqrt(max(self._depth[0], 0.0) + height_sigma**2)


def _seen_ray(ray):
    """A bearing within what any camera sees."""
    return min(max(ray, -RAY_FARTHEST), RAY_FARTHEST)


def _later(covariance, dt_s, noise):
    """(variance, covariance, speed's variance) after dt_s seconds of acceleration noise."""
    a, b, c = covariance
    return a + 2 * dt_s * b + dt_s**2 * c + noise * dt_s**4 / 4, b + dt_s * c + noise * dt_s**3 / 2, c + noise * dt_s**2


def _corrected(covariance, variance):
    """The covariance after a measurement of `variance`, and the gains of mean and speed."""
    a, b, c = covariance
    total = a + variance + 1e-12
    place, speed = a / total, b / total
    return (a * (1 - place), b * (1 - place), c - speed * b), place, speed


def smooth(root_cam_m, depth_variance, solved, stamps_s):
    """Offline roots: the filter forward and backward in time, averaged by precision. (T, 3), (T,), (T,), (T,).

    Only the forward pass has taken in a frame's own measurement (Fraser & Potter, 1969): counted twice, it would pull
    each root to its own noise.
    """
    passes = []
    for order, own in ((slice(None), True), (slice(None, None, -1), False)):
        filter_, out, spread, last = RootFilter(), [], [], None
        for root, variance, ok, stamp in zip(
            root_cam_m[order].tolist(), depth_variance[order].tolist(), solved[order].tolist(),
            stamps_s[order].tolist(), strict=True,
        ):  # fmt: skip
            dt_s = 0.0 if last is None else abs(stamp - last)
            last = stamp
            filter_.predict(dt_s)
            before = filter_.mean, filter_.variance if filter_.started else (1e6, 1e6, 1e6)
            if ok:
                filter_.correct(root, variance, dt_s or 1 / 30)
            after = filter_.mean, filter_.variance if filter_.started else (1e6, 1e6, 1e6)
            mean, variances = after if own else before
            out.append(mean)
            spread.append(variances)
        passes.append((np.array(out)[order], 1 / np.maximum(np.array(spread)[order], 1e-12)))
    (ahead, ahead_weight), (back, back_weight) = passes
    blended = (ahead * ahead_weight + back * back_weight) / (ahead_weight + back_weight)
    depth = np.exp(np.clip(blended[:, 2], _LOG_MIN_DEPTH, _LOG_MAX_DEPTH))
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
        trust = _trust(sigma_m)
        proportions.weight[0] = trust.sum(0)
        proportions.length_m[0] = (_bones(joints_m)[1] * trust).sum(0) / proportions.weight[0]
        return proportions

    def clear(self, row):
        """Forget one person."""
        self.length_m[row], self.weight[row] = 0, 0

    def move(self, source, target):
        """Copy row `source` over row `target`."""
        self.length_m[target], self.weight[target] = self.length_m[source], self.weight[source]

    def follow(self, rows, joints_m, sigma_m, dt_s, person_height_m=0.0):
        """Take in poses (P, 17, 3) with sigma_m (P, 17), dt_s (P,) after the last, and return what `apply` does."""
        bones, length = _bones(joints_m)
        trust = _trust(sigma_m)
        trust *= np.maximum(dt_s, 1e-3)[:, None]
        kept = self.weight[rows] * np.exp(dt_s * (-1 / BONE_TIME_S))[:, None]
        total = kept + trust
        wanted = (self.length_m[rows] * kept + length * trust) / total
        self.length_m[rows], self.weight[rows] = wanted, total
        return _rebuilt(bones, length, wanted, person_height_m)

    def apply(self, rows, joints_m, person_height_m=0.0):
        """Poses (P, 17, 3) with the running bone lengths (their own before any `follow`), scaled to person_height_m
        where it is given."""
        bones, length = _bones(joints_m)
        wanted = np.where(self.weight[rows] > 0, self.length_m[rows], length + _LEAST_M)
        return _rebuilt(bones, length, wanted, person_height_m)


def _bones(joints_m):
    """Bone vectors (P, 16, 3) of poses (P, 17, 3), and their lengths (P, 16)."""
    bones = joints_m[:, 1:] - joints_m.take(_PARENT, 1)
    return bones, np.sqrt((bones * bones).sum(-1))


def _trust(sigma_m):
    """How far to trust each bone (P, 16): by the certainty of its far joint. sigma_m (P, 17)."""
    return np.float32(1) / (sigma_m[:, 1:] ** 2 + np.float32(1e-4))


def _rebuilt(bones, length_m, wanted_m, person_height_m):
    """Poses (P, 17, 3) of bones (P, 16, 3) with lengths wanted_m instead of length_m (P, 16)."""
    scale = wanted_m / (length_m + _LEAST_M)
    if person_height_m > 0:
        scale = scale * (person_height_m / np.maximum(stature_m(wanted_m), 0.3))[:, None]
    return _CHAIN @ (bones * scale[..., None]).astype(np.float32, copy=False)


def stature_m(bone_lengths_m):
    """Standing height of bodies with these bone lengths (P, 16): legs, trunk, head and the ankle's height."""
    return bone_lengths_m[:, _LEG].sum(1) / 2 + bone_lengths_m[:, _TRUNK].sum(1) + ANKLE_TO_FLOOR_M
