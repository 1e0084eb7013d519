"""Where a camera hangs and how it is turned: gravity, height above the floor, and its place in a fixed frame.

Frames: `cam` is the optical frame (x right, y down, z forward); `fixed` is any frame with z up that does not move, such
as odom or map. Knows nothing of ROS: the caller looks the transform up.
"""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

TRANSFORM_UP_SIGMA_RAD = 0.005
"""Standard deviation of up from a calibrated transform, 0.3 degrees."""
GIVEN_UP_SIGMA_RAD = 0.01
"""Standard deviation of an up vector that somebody measured or read from a resting IMU, 0.6 degrees."""
LOWEST_M, HIGHEST_M = 0.05, 20.0
"""Heights of a camera above the floor that people are seen from."""
FARTHEST_M = 1e7
"""Translations beyond it are no metres."""
ROTATION_ERROR = 0.02
"""A matrix whose product with its transpose differs from the identity by more is no rotation."""
SPEED_M_S, TURN_RAD_S = 15.0, 20.0
"""Between two frames no camera moves faster: its fixed frame jumped (a corrected map, a lost track)."""
JUMP_M, JUMP_RAD = 0.1, 0.1
"""Steps below these are no jump, however short the interval."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraPose:
    """What is known of a camera's place in the world at one moment; make it with `from_up` or `from_transform`."""

    up_cam: np.ndarray
    """(3,) float64 unit vector against gravity, in the optical frame."""
    up_sigma_rad: float
    """Standard deviation of its direction."""
    height_m: float | None = None
    """Of the optical centre above the floor; None: unknown."""
    rotation: np.ndarray | None = None
    """(3, 3) from the optical frame to the fixed frame; None: unknown."""
    translation_m: np.ndarray | None = None
    """(3,) the optical centre in the fixed frame."""

    @classmethod
    def from_up(
        cls, up_cam: np.ndarray, height_m: float | None = None, *, up_sigma_rad: float = GIVEN_UP_SIGMA_RAD
    ) -> "CameraPose":
        """From gravity alone: `up_cam` (3,) points against gravity in the optical frame and need not have unit length.

        A level camera has (0, -1, 0). height_m: of the optical centre above the floor, if known. ValueError says what
        is wrong.
        """
        up = _numbers(up_cam, (3,), "up_cam")
        length = float(np.linalg.norm(up))
        if not 1e-6 < length < 1e6:
            raise ValueError(f"up_cam: expected a vector with a length, got {up.tolist()}; a level camera: (0, -1, 0)")
        if not 0 <= up_sigma_rad <= 1.5:
            raise ValueError(f"up_sigma_rad: expected 0 to 1.5 radians, got {up_sigma_rad}")
        return cls(up_cam=up / length, up_sigma_rad=float(up_sigma_rad), height_m=_height(height_m, "height_m"))

    @classmethod
    def from_transform(
        cls,
        rotation: np.ndarray,
        translation_m: np.ndarray,
        floor_m: float | None = 0.0,
        *,
        up_sigma_rad: float = TRANSFORM_UP_SIGMA_RAD,
    ) -> "CameraPose":
        """From the transform that takes points of the optical frame to a fixed frame with z up, in metres.

        rotation (3, 3), translation_m (3,); floor_m is the floor's z in the fixed frame, None where nobody knows it.
        ValueError says what is wrong: not a rotation, left-handed, not finite, or no height that a camera has.
        """
        turn = _rotation(rotation)
        place = _numbers(translation_m, (3,), "translation_m")
        if np.abs(place).max() > FARTHEST_M:
            raise ValueError(f"translation_m: expected metres, got {place.tolist()}")
        if not 0 <= up_sigma_rad <= 1.5:
            raise ValueError(f"up_sigma_rad: expected 0 to 1.5 radians, got {up_sigma_rad}")
        height = None
        if floor_m is not None:
            try:
                above_m = float(place[2]) - float(floor_m)
            except (TypeError, ValueError):
                raise ValueError(f"floor_m: expected metres, got {floor_m!r}") from None
            height = _height(above_m, "translation_m: height above floor_m")
        return cls(
            up_cam=turn[2].copy(), up_sigma_rad=float(up_sigma_rad), height_m=height, rotation=turn, translation_m=place
        )

    def to_fixed(self, points_cam_m: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the optical frame in the fixed frame; ValueError where the transform is not known."""
        if self.rotation is None or self.translation_m is None:
            raise ValueError("pose: expected a full transform (from_transform), got gravity alone")
        return points_cam_m @ self.rotation.T + self.translation_m


def motion_between(before: CameraPose | None, now: CameraPose | None) -> tuple[np.ndarray, np.ndarray] | None:
    """How points move in the optical frame because the camera moved: p_now = turn @ p_before + shift_m.

    Returns turn (3, 3) and shift_m (3,), or None where one of the two poses has no transform.
    """
    if before is None or before.rotation is None or before.translation_m is None:
        return None
    if now is None or now.rotation is None or now.translation_m is None:
        return None
    turn = now.rotation.T @ before.rotation
    return turn, now.rotation.T @ (before.translation_m - now.translation_m)


def jumped(turn: np.ndarray, shift_m: np.ndarray, dt_s: float) -> bool:
    """Whether a motion within dt_s seconds is faster than a camera moves."""
    angle_rad = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
    distance_m = sqrt(float(shift_m @ shift_m))
    return bool(distance_m > JUMP_M + SPEED_M_S * dt_s or angle_rad > JUMP_RAD + TURN_RAD_S * dt_s)


def _numbers(values, shape, name):
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected {shape} numbers, got {type(values).__name__}") from None
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got {array.tolist()}")
    return array


def _rotation(values):
    """`values` as the nearest exact rotation."""
    turn = _numbers(values, (3, 3), "rotation")
    off = np.abs(turn @ turn.T - np.eye(3)).max()
    if off > ROTATION_ERROR:
        raise ValueError(f"rotation: expected an orthonormal matrix, got one that is off by {off:.3g}")
    if np.linalg.det(turn) < 0:
        raise ValueError("rotation: expected a right-handed rotation, got a left-handed one; is an axis mirrored?")
    left, _, right = np.linalg.svd(turn)
    return left @ right


def _height(value, name):
    if value is None:
        return None
    try:
        height_m = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected metres, got {value!r}") from None
    if not (isfinite(height_m) and LOWEST_M <= height_m <= HIGHEST_M):
        raise ValueError(f"{name}: expected {LOWEST_M:g} to {HIGHEST_M:g} m, got {height_m:g}; None if it is not known")
    return height_m
