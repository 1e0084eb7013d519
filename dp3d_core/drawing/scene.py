# N skeletons, H height, W width of the picture
"""The stage of a film: where the ground is and from where it is seen. Knows nothing of drawing, networks or ROS."""

from dataclasses import dataclass, replace

import numpy as np

from dp3d_core.drawing.ground import Ground, estimate_ground

WIDTH, HEIGHT = 1600, 720
"""Size of the whole picture in pixels: the camera's picture in the left half, the views in the right one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A pinhole view of the upright world into one panel of the picture."""

    name: str
    rotation: np.ndarray
    """(3, 3) panel frame (x right, y down, z into the picture) from the world."""
    eye_m: np.ndarray
    focal_px: float
    centre_px: tuple[float, float]
    box_px: tuple[int, int, int, int]
    """x, y, width, height of the panel in the picture."""

    def project(self, points_world_m):
        """(..., 3) metres to (..., 2) pixels of the panel and (...) depth in metres."""
        local = (points_world_m - self.eye_m) @ self.rotation.T
        depth = local[..., 2]
        return local[..., :2] / np.maximum(depth, 0.05)[..., None] * self.focal_px + self.centre_px, depth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What stays the same in all frames of a film."""

    ground: Ground
    views: tuple[View, ...]
    low_m: np.ndarray
    high_m: np.ndarray
    """(2,) corners of the ground where the people are, world metres."""
    limbs: tuple[tuple[int, int], ...]
    image_size_px: tuple[int, int]


def make_scene(joints_cam_m, *, limbs, image_size_px, ground=None):
    """Ground, grid and two fixed views that hold all of (N, 17, 3) skeletons but the outermost few percent.

    limbs: pairs of the detector's keypoints, image_size_px: (width, height) of the camera. ground: a known `Ground`,
    else it is estimated from the skeletons.
    """
    joints = np.asarray(joints_cam_m, np.float64).reshape(-1, 17, 3)
    ground = estimate_ground(joints) if ground is None else ground
    roots = ground.to_world(joints[np.isfinite(joints).all((1, 2)), 0])[:, :2]
    low = np.percentile(roots, 2, axis=0, method="lower")
    high = np.percentile(roots, 98, axis=0, method="higher")
    roots = roots[((roots >= low) & (roots <= high)).all(1)]
    spare = np.maximum(0.8, (3.0 - (high - low)) / 2)
    low, high = low - spare, high + spare
    half, right = HEIGHT // 2, WIDTH // 2
    boxes = (right + 4, 8, right - 12, half - 12), (right + 4, half + 4, right - 12, half - 12)
    views = (
        _aim("from behind the camera", 0.0, 22.0, roots, boxes[0]),
        _aim("from the camera's left", 90.0, 22.0, roots, boxes[1]),
    )
    return Scene(
        ground=ground, views=views, low_m=low, high_m=high, limbs=tuple(limbs), image_size_px=tuple(image_size_px)
    )


def _aim(name, turn_deg, raise_deg, roots_m, box_px):
    """The nearest view at these angles that holds people at (N, 2) roots; turn_deg 0 looks away from the camera."""
    turn, lift = np.radians(turn_deg), np.radians(raise_deg)
    ahead = np.array([np.sin(turn) * np.cos(lift), np.cos(turn) * np.cos(lift), -np.sin(lift)])
    right = np.array([np.cos(turn), -np.sin(turn), 0.0])
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    around = np.array([(x, y, z) for x in (-0.8, 0.8) for y in (-0.8, 0.8) for z in (-0.1, 2.1)])
    people = (np.append(roots_m, np.zeros((len(roots_m), 1)), 1)[:, None] + around).reshape(-1, 3)
    middle = (people.min(0) + people.max(0)) / 2
    width, height = box_px[2:]
    focal = 1.7 * width
    distance = 1.0
    while True:  # ends: ever farther away, everything fits
        eye = middle - distance * ahead
        view = View(name=name, rotation=rotation, eye_m=eye, focal_px=focal, centre_px=(0.0, 0.0), box_px=box_px)
        pixels, depth = view.project(people)
        size = np.ptp(pixels, axis=0)
        if depth.min() > 1.0 and size[0] < 0.94 * width and size[1] < 0.84 * height:
            break
        distance *= 1.03
    offset = (pixels.min(0) + pixels.max(0)) / 2
    return replace(view, centre_px=(width / 2 - offset[0], height * 0.53 - offset[1]))
