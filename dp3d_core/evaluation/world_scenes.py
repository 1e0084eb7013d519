"""Made cameras for `world`: clips of motion capture before cameras that stand, pan, drive past, roll or look down.

Fixed frame: z up, metres, the floor at 0. Optical frame: x right, y down, z forward.
"""
# T frames, J = 17 joints

from dataclasses import dataclass

import numpy as np

from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_pose import CameraPose

CAMERA = Camera(fx=800, fy=800, cx=960, cy=720, width=1920, height=1440)
LEVEL = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From the fixed frame to a level camera that looks along +y."""
UNSEEN = (7, 10)
"""Spine and head top: no common detector has them."""
CONFIDENCE = 0.9
SETTLED = 15
"""Frames after which an answer counts."""


@dataclass(frozen=True)
class Scene:
    """One person before one camera."""

    world_m: np.ndarray
    """(T, 17, 3) in the fixed frame."""
    turn: np.ndarray
    """(T, 3, 3) from the fixed frame to the optical frame."""
    place_m: np.ndarray
    """(T, 3) of the optical centre in the fixed frame."""
    rate_hz: float

    @property
    def joints_cam_m(self) -> np.ndarray:
        """(T, 17, 3)."""
        return np.einsum("tij,tkj->tki", self.turn, self.world_m - self.place_m[:, None])

    def to_fixed(self, joints_cam_m: np.ndarray) -> np.ndarray:
        """(T, 17, 3) of the optical frame in the fixed frame."""
        return np.einsum("tji,tkj->tki", self.turn, joints_cam_m) + self.place_m[:, None]

    def pose(self, frame: int, given: str) -> CameraPose | None:
        """What the lifter gets to know of the camera: "nothing", "up", or the "full" transform with the floor at 0."""
        if given == "nothing":
            return None
        if given == "up":
            return CameraPose.from_up(self.turn[frame, :, 2])
        return CameraPose.from_transform(self.turn[frame].T, self.place_m[frame])


def about(axis: int, angle_rad) -> np.ndarray:
    """Rotations (T, 3, 3) about axis 0, 1 or 2 by angles (T,)."""
    angle_rad = np.atleast_1d(angle_rad).astype(float)
    turn = np.zeros((len(angle_rad), 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn[:, axis, axis] = 1
    turn[:, first, first] = turn[:, second, second] = np.cos(angle_rad)
    turn[:, second, first] = np.sin(angle_rad)
    turn[:, first, second] = -turn[:, second, first]
    return turn


def before(world_m, place_m, *, yaw=0.0, pitch=0.0, roll=0.0, rate_hz=30.0) -> Scene:
    """The clip (T, 17, 3) before a camera at place_m (3,) or (T, 3); angles in radians, one or T.

    Positive yaw turns the camera to the left, positive pitch downwards.
    """
    frames = len(world_m)
    angles = [np.broadcast_to(angle, frames) for angle in (roll, pitch, yaw)]
    turn = about(2, angles[0]) @ about(0, angles[1]) @ about(1, angles[2]) @ LEVEL
    return Scene(world_m, turn, np.broadcast_to(np.asarray(place_m, float), (frames, 3)), rate_hz)


def centred(world_m, angle_rad=0.0, scale=1.0) -> np.ndarray:
    """The clip about the origin of the floor, turned about the vertical and made so much larger."""
    world_m = np.asarray(world_m, float).copy()
    world_m[..., :2] -= world_m[:, 0, :2].mean(0)
    return scale * world_m @ about(2, angle_rad)[0].T


def lying(world_m, angle_rad) -> np.ndarray:
    """A standing clip turned rigidly by 90 degrees onto its back, the head towards angle_rad about the vertical."""
    down = centred(world_m) @ about(1, np.pi / 2)[0].T
    # the joints' centres lie a hand's breadth above the floor
    down[..., 2] += 0.1 - np.percentile(down[..., 2], 2)
    return centred(down, angle_rad)


def stream(lifter, scene: Scene, given: str, noise_px: float, seed: int, given_scene: Scene | None = None):
    """Push the scene frame by frame: joints (T, 17, 3) in the camera, root sigma (T,), keypoints (T, 17, 2).

    given_scene: another scene whose poses are given instead of the true ones.
    """
    generator = np.random.default_rng(seed)
    pixels = CAMERA.project(scene.joints_cam_m)
    pixels = pixels + noise_px * generator.normal(size=pixels.shape)
    confidence = np.where(np.isin(np.arange(17), UNSEEN), 0, CONFIDENCE) * np.isfinite(pixels).all(-1)
    pixels = np.where(np.isfinite(pixels), pixels, 0)
    live = lifter.stream(camera=CAMERA, joint_set="h36m17", max_people=1, reset_after_s=60.0, predict_for_s=5.0)
    joints, sigma = np.full((len(pixels), 17, 3), np.nan), np.full(len(pixels), np.nan)
    for frame in range(len(pixels)):
        pose = (given_scene or scene).pose(frame, given)
        out = live.push(frame / scene.rate_hz, {0: (pixels[frame], confidence[frame])}, pose=pose)
        if out.ids:
            joints[frame], sigma[frame] = out.joints_cam_m[0], out.root_sigma_m[0]
    return joints, sigma, pixels
