"""A camera's poses from frame to frame: what may be believed of them, and how the camera moved."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dp3d_core.geometry.camera_pose import CameraPose, jumped, motion_between

UPSIDE_DOWN_S = 0.5
"""People who hang head down for so long say that up points down."""
HIP, THORAX = 0, 8

Motion = tuple[np.ndarray, np.ndarray]
"""Turn (3, 3) and shift_m (3,) of points in the optical frame."""


class Moment(NamedTuple):
    """One frame's pose and the camera's motion since the frame before, as far as they are known."""

    pose: CameraPose | None = None
    motion: Motion | None = None


class CameraTrack:
    """The poses of a working window of frames. `count(cause, number)` is called for poses that are refused."""

    def __init__(self, window: int, count: Callable[[str, int], None]):
        self._count = count
        self._moments: deque[Moment] = deque(maxlen=window)
        self._last: tuple[CameraPose | None, float] = None, 0.0
        self._upside_down_s = 0.0

    def forget(self) -> None:
        """Start afresh."""
        self._moments.clear()
        self._last, self._upside_down_s = (None, 0.0), 0.0

    def add(self, pose: CameraPose | None, stamp_s: float, rays: np.ndarray, confidence: np.ndarray) -> None:
        """Take in a new frame: its pose, None where there is none, and what is seen of people: rays (P, 17, 2) in the
        camera and their confidence (P, 17)."""
        before, before_s = self._last
        if pose is not None and pose.up_cam[1] > 0 and self._hang(pose, stamp_s - before_s, rays, confidence):
            self._count("up_contradicted", 1)
            pose = None
        motion = motion_between(before, pose)
        if motion is not None and jumped(*motion, stamp_s - before_s):
            self._count("pose_jumped", 1)
            motion = None
        self._last = pose, stamp_s
        self._moments.append(Moment(pose, motion))

    def _hang(self, pose: CameraPose, dt_s: float, rays: np.ndarray, confidence: np.ndarray) -> bool:
        """Whether everybody hangs head down, for longer than a moment, in a camera that is said to be upside down."""
        seen = (confidence[:, HIP] > 0) & (confidence[:, THORAX] > 0)
        if seen.any():
            hips, trunks = rays[seen, HIP], rays[seen, THORAX] - rays[seen, HIP]
            upwards = pose.up_cam[:2] - hips * pose.up_cam[2]
            hanging = ((trunks * upwards).sum(1) < 0).all()
            self._upside_down_s = min(self._upside_down_s + min(dt_s, 0.1), 2 * UPSIDE_DOWN_S) if hanging else 0.0
        return self._upside_down_s > UPSIDE_DOWN_S

    @property
    def newest(self) -> Moment:
        """Of the newest frame."""
        return self._moments[-1]

    @property
    def oldest(self) -> Moment:
        """Of the working window's oldest frame, which is answered."""
        return self._moments[0]

    def ahead(self) -> Moment:
        """The newest frame's pose and the motion since the oldest one."""
        turn, shift = np.eye(3), np.zeros(3)
        for _, motion in list(self._moments)[1:]:
            if motion is None:
                return Moment(self.newest.pose, None)
            turn, shift = motion[0] @ turn, motion[0] @ shift + motion[1]
        return Moment(self.newest.pose, (turn, shift))


def checked_pose(pose: Any) -> CameraPose | None:
    """`pose`; ValueError if it is none."""
    if pose is not None and not isinstance(pose, CameraPose):
        raise ValueError(
            f"pose: expected a CameraPose or None, got {type(pose).__name__}; CameraPose.from_up and "
            "CameraPose.from_transform make one"
        )
    return pose
