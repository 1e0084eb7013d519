"""Pinhole camera with OpenCV's lens distortion, and the person-centred virtual camera in which the network sees.

Frames: `cam` is the optical frame (x right, y down, z forward). `virtual` is the same camera turned so that one person
is in the middle. Functions marked "any array" take NumPy arrays or torch tensors: training and streaming share them.
"""
# B batch, P people, J joints

from dataclasses import dataclass, field, replace
from math import isfinite, radians, tan

import numpy as np

RAY_FARTHEST = 20.0
"""Rays (x/z or y/z) beyond it, 87 degrees off the axis, are no measurement."""
LENS_ERROR = 0.02
"""Share of the image's width: a ray that projects back farther from its pixel is none. Outside the image a lens model
has no inverse, and OpenCV's iteration ends at any ray, also at plausible ones."""
CENTRE_TIME_S = 0.3
"""Time constant with which the virtual camera follows its person: turning with the jitter of a single frame would put
that jitter into the pose."""
UPRIGHT_FROM = 0.2
"""Length of the up vector in the picture, 12 degrees off the view's axis, from where on it alone says what is upright.
Nearer to the axis a small error of up would roll the view far, so the view rolls less and less."""
LEAST_DEPTH = 0.05
"""A ray more than 90 degrees off the view's centre has no place on its plane: this depth keeps it finite."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Intrinsics in pixels; `distortion` in OpenCV's order (k1 k2 p1 p2 k3 ... ; four values for "equidistant").

    An "equidistant" camera without distortion values, or with only zeros, is the ideal fisheye: r = f theta.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()
    model: str = "plumb_bob"
    assumed: bool = False
    _centre_px: np.ndarray = field(init=False, repr=False, compare=False)
    _focal_px: np.ndarray = field(init=False, repr=False, compare=False)
    _lens: np.ndarray | None = field(init=False, repr=False, compare=False)
    """What OpenCV takes as distortion; None where rays are straight and OpenCV is not needed."""

    def __post_init__(self):
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(isfinite(value) for value in values):
            raise ValueError(f"camera: expected finite intrinsics, got {values}")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(
                f"camera: expected positive focal lengths in pixels, got fx={self.fx}, fy={self.fy}; is it calibrated?"
            )
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"camera: expected a positive image size, got {self.width} x {self.height}")
        if self.model not in ("plumb_bob", "rational_polynomial", "equidistant"):
            raise ValueError(
                f"camera: expected distortion model plumb_bob, rational_polynomial or equidistant, got {self.model!r}"
            )
        fisheye, distortion = self.model == "equidistant", tuple(float(value) for value in self.distortion)
        if fisheye and not any(distortion) and len(distortion) <= 5:
            distortion = (0.0,) * 4  # some drivers write none, and some write the five zeros of a pinhole
        allowed = (0, 4) if fisheye else (0, 4, 5, 8, 12, 14)
        if len(distortion) not in allowed:
            raise ValueError(f"camera: {self.model} takes {allowed} distortion values, got {len(distortion)}")
        object.__setattr__(self, "distortion", distortion)
        object.__setattr__(self, "_lens", np.array(distortion) if fisheye or any(distortion) else None)
        object.__setattr__(self, "_centre_px", np.array([self.cx, self.cy], np.float32))
        object.__setattr__(self, "_focal_px", np.array([self.fx, self.fy], np.float32))

    @classmethod
    def from_fov(cls, *, width, height, horizontal_fov_deg=60.0):
        """A guess for an uncalibrated camera; results are then root-relative only (`assumed`)."""
        if not 5 <= horizontal_fov_deg <= 170:
            raise ValueError(f"camera: expected a field of view of 5 to 170 degrees, got {horizontal_fov_deg}")
        focal = width / 2 / tan(radians(horizontal_fov_deg) / 2)
        return cls(fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height, assumed=True)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def resized(self, width: int, height: int) -> "Camera":
        """The same camera for keypoints of its picture at another size."""
        right, down = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * right,
            fy=self.fy * down,
            cx=(self.cx + 0.5) * right - 0.5,
            cy=(self.cy + 0.5) * down - 0.5,
            width=width,
            height=height,
        )

    @property
    def matrix(self):
        """(3, 3) float64 intrinsic matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    @staticmethod
    def _opencv():
        try:
            import cv2  # only lenses need it
        except ImportError as error:
            raise ImportError(
                f"a camera with lens distortion needs OpenCV ({error}); pip install opencv-python-headless, or rectify "
                "the image and give a camera without distortion"
            ) from error
        return cv2

    def see(self, joints_px, confidence):
        """Rays (..., J, 2) of pixels (..., J, 2), and their confidence (..., J): 0 where the camera has no such ray."""
        rays = self.rays(joints_px)
        off = np.abs(rays) / RAY_FARTHEST
        if self._lens is not None:
            back_px = self.project(np.concatenate([rays, np.ones_like(rays[..., :1])], -1))
            off = np.maximum(off, np.abs(back_px - joints_px) / (LENS_ERROR * self.width))
        if not off.size or off.max() <= 1:
            return rays, confidence
        usable = np.all(off <= 1, axis=-1)
        return np.where(usable[..., None], rays, 0), np.where(usable, confidence, 0)

    def rays(self, keypoints_px):
        """(..., 2) pixels to (..., 2) float32 undistorted rays (x/z, y/z)."""
        keypoints_px = np.asarray(keypoints_px)
        if self._lens is not None:
            cv2 = self._opencv()
            flat = np.ascontiguousarray(keypoints_px.reshape(-1, 1, 2), np.float64)
            undistort = cv2.fisheye.undistortPoints if self.model == "equidistant" else cv2.undistortPoints
            if not len(flat):
                return np.zeros(keypoints_px.shape, np.float32)
            rays = undistort(flat, self.matrix, self._lens).reshape(keypoints_px.shape)
            return rays.astype(np.float32)
        return ((keypoints_px - self._centre_px) / self._focal_px).astype(np.float32, copy=False)

    def project(self, points_cam_m):
        """(..., 3) metres to (..., 2) float64 pixels; NaN behind the camera."""
        points = np.asarray(points_cam_m, np.float64)
        if self._lens is not None:
            cv2 = self._opencv()
            flat = points.reshape(-1, 1, 3)
            project = cv2.fisheye.projectPoints if self.model == "equidistant" else cv2.projectPoints
            zero = np.zeros(3)
            if not len(flat):
                return np.zeros((*points.shape[:-1], 2))
            pixels = project(flat, zero, zero, self.matrix, self._lens)[0].reshape(*points.shape[:-1], 2)
        else:
            depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
            pixels = points[..., :2] / depth * (self.fx, self.fy) + (self.cx, self.cy)
        return np.where(points[..., 2:] > 1e-6, pixels, np.nan)


def person_view(rays, confidence, xp):
    """Where one person is and how large: centre and log size on the unit-depth plane. Any array.

    rays (B, J, 2), confidence (B, J). Returns (B, 3): centre x, centre y, natural log of the RMS spread; zeros with
    weight 0 where nothing is visible, and the weight (B,).
    """
    seen = (confidence > 0) * confidence
    total = seen.sum(-1)
    safe = total + (total <= 0)
    centre = (rays * seen[..., None]).sum(-2) / safe[..., None]
    spread = (((rays - centre[..., None, :]) ** 2).sum(-1) * seen).sum(-1) / safe
    view = xp.stack([centre[..., 0], centre[..., 1], 0.5 * xp.log(spread + 1e-8)], -1)
    return view, (total > 0) * 1.0


def follow(view, weight, state, dt_s, xp):
    """One step of the virtual camera: the smoothed view of a person. Any array.

    view (B, 3) and weight (B,) from `person_view`; state (B, 4) = smoothed view and 1 once started; dt_s (B,) seconds
    since the last step. Returns the new state. A person's first view is taken as it is.
    """
    keep = xp.exp(-dt_s / CENTRE_TIME_S) * state[..., 3]
    gain = (weight * (1 - keep))[..., None]
    started = (state[..., 3:] + weight[..., None]) > 0
    smoothed = state[..., :3] + gain * (view - state[..., :3])
    return xp.concatenate([smoothed, started * 1.0 + 0 * smoothed[..., :1]], -1)


def turn_view(state, turn, xp):
    """The state (B, 4) of `follow` after the camera turned: points move by turn (B, 3, 3). Any array."""
    centre = xp.concatenate([state[..., :2], state[..., :1] * 0 + 1], -1)
    turned = (turn @ centre[..., None])[..., 0]
    ahead = turned[..., 2:] > LEAST_DEPTH
    centre = xp.where(ahead, turned[..., :2] / xp.clip(turned[..., 2:], LEAST_DEPTH, None), state[..., :2])
    return xp.concatenate([centre, state[..., 2:]], -1)


def turn_axes(a, b, sqrt):
    """The rows of `turn_to` as three tuples of x, y, z, of arrays of any kind or of plain numbers."""
    n = sqrt(a * a + b * b + 1)
    z = a / n, b / n, 1 / n
    m = sqrt(a * a + 1)
    x = 1 / m, 0 * a, -a / m
    return x, (z[1] * x[2], z[2] * x[0] - z[0] * x[2], -z[1] * x[0]), z


def turn_to(centre, xp):
    """Rotation (B, 3, 3) from `cam` to the virtual camera that looks along `centre` (B, 2), x kept level. Any array.

    Rows are the virtual axes: p_virtual = R @ p_cam.
    """
    return xp.stack([xp.stack(row, -1) for row in turn_axes(centre[..., 0], centre[..., 1], xp.sqrt)], -2)


def roll_of(x, y, root):
    """Cosine and sine of the roll that lets up, (x, y) in a picture with y down, point upwards; `turn_axes`' kinds.

    Up along the view's axis, as the zero vector for "unknown", rolls nothing.
    """
    length = root(x * x + y * y + 1e-12)
    rest = UPRIGHT_FROM - length
    cos = (rest + abs(rest)) / 2 - y
    norm = root(cos * cos + x * x + 1e-12)
    # 1 or, where no roll is better than another, the smallest push off it
    cos = cos + (norm < 1e-3) * 1.0
    norm = root(cos * cos + x * x)
    return cos / norm, x / norm


def upright(rotation, up, xp):
    """`rotation` (B, 3, 3) from `cam` to a view, rolled about the view's axis until up (B, 3) in `cam` points upwards
    in it. Any array."""
    turned = (rotation @ up[..., None])[..., 0]
    cos, sin = (part[..., None] for part in roll_of(turned[..., 0], turned[..., 1], xp.sqrt))
    x, y, z = rotation[..., 0, :], rotation[..., 1, :], rotation[..., 2, :]
    return xp.stack([cos * x + sin * y, cos * y - sin * x, z], -2)


def turn_rays(rays, rotation, xp):
    """Rays (B, J, 2) seen in the turned camera; (B, J, 2). Any array."""
    one = rays[..., :1] * 0 + 1
    turned = xp.concatenate([rays, one], -1) @ rotation.swapaxes(-1, -2)
    return turned[..., :2] / xp.clip(turned[..., 2:], LEAST_DEPTH, None)
