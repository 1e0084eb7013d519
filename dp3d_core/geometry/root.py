"""From root-relative pose to metres in the camera, in closed form.

Knows nothing of networks or of time (`root_filter` does). The root is where the pose must stand so that it projects
onto the seen rays; its depth is only as good as the body's size (`body_size`).
"""
# P people, J = 17 joints

import numpy as np

from dp3d_core.geometry.root_filter import DETECTOR_SIGMA_M

MIN_DEPTH_M, MAX_DEPTH_M = 0.3, 100.0


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
