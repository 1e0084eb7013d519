"""The people of one clip in 3D, as every writer takes them: rows of skeletons, their camera and their ground.

Axes. `cam`: the camera's optical frame, x right, y down, z forward. `world`: upright on the ground, x to the camera's
right, y away from it, z up, the origin on the ground below the camera. `y_up`: the same with y up and z towards the
camera, as animation tools have it. All right-handed, in metres.
"""
# F frames, R rows (one person in one frame), T frames of one stay, J = 17 joints

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp3d_core.drawing.ground import Ground
from dp3d_core.geometry.camera import Camera

Y_UP_FROM_WORLD = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
STEADY = 0.02
"""Intervals within this share of a whole number of frames need no resampling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """What was lifted; rows are sorted by frame, then person."""

    name: str
    source: str
    format: str
    stamps_s: np.ndarray
    """(F,) of all frames, those with nobody too."""
    frame: np.ndarray
    """(R,) int."""
    person: np.ndarray
    """(R,) int."""
    stay: np.ndarray
    """(R,) int: 0 until a person is away for more than a second, then 1 ..."""
    joints_cam_m: np.ndarray
    """(R, 17, 3) float32."""
    sigma_m: np.ndarray
    """(R, 17) float32: deviation of a joint about its root, per axis."""
    sigma_lateral_m: np.ndarray
    """(R, 17) float32: its part across the viewing ray, ..."""
    sigma_depth_m: np.ndarray
    """(R, 17) float32: ... and along it."""
    root_sigma_m: np.ndarray
    """(R,) float32: deviation of the root along its ray."""
    stature_m: np.ndarray
    """(R,) float32: standing height of the person, as far as it is known."""
    contact: np.ndarray
    """(R, 2) float32: probability that the right and the left foot stand."""
    joints_px: np.ndarray
    """(R, 17, 2) the 17 joints as the detector saw them."""
    confidence: np.ndarray
    """(R, 17), 0 = not seen."""
    keypoints_px: np.ndarray
    """(R, K, 2) of `joint_set`."""
    keypoint_confidence: np.ndarray
    joint_set: str
    camera: Camera
    camera_from: str
    metric: bool
    ground: Ground
    ground_from: str
    video: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def joints_world_m(self) -> np.ndarray:
        """(R, 17, 3)."""
        return self.ground.to_world(self.joints_cam_m)

    def stays(self) -> Iterator["Stay"]:
        """Each person's stays, by person, then time."""
        world_m = self.joints_world_m
        for person, stay in np.unique(np.stack([self.person, self.stay], 1), axis=0):
            rows = np.flatnonzero((self.person == person) & (self.stay == stay))
            suffix = f"person{person}" if stay == 0 else f"person{person}_{stay + 1}"
            yield Stay(
                name=f"{self.name}.{suffix}",
                person=int(person),
                rows=rows,
                stamps_s=self.stamps_s[self.frame[rows]],
                joints_y_up_m=world_m[rows] @ Y_UP_FROM_WORLD.T,
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stay:
    """One person from entering to leaving."""

    name: str
    person: int
    rows: np.ndarray
    """(T,) rows of the result."""
    stamps_s: np.ndarray
    """(T,)."""
    joints_y_up_m: np.ndarray
    """(T, 17, 3)."""

    def uniform(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Rate in Hz, joints (N, 17, 3) at that rate from the first stamp on, and which of the N were measured.

        Missing frames are filled in on straight lines; stamps that keep no rhythm are resampled so, all of them.
        """
        if len(self.stamps_s) < 2:
            return 30.0, self.joints_y_up_m, np.ones(1, bool)
        relative_s = self.stamps_s - self.stamps_s[0]
        interval_s = float(np.median(np.diff(relative_s)))
        steps = relative_s / interval_s
        index = np.round(steps).astype(int)
        # the median is a rounded number in many files: the whole length tells the interval better
        interval_s = relative_s[-1] / index[-1]
        index = np.round(relative_s / interval_s).astype(int)
        steady = np.abs(relative_s / interval_s - index).max() <= STEADY * 10 and (np.diff(index) > 0).all()
        grid_s = np.arange(index[-1] + 1) * interval_s
        flat = self.joints_y_up_m.reshape(len(relative_s), -1)
        at = index * interval_s if steady else relative_s
        filled = np.stack([np.interp(grid_s, at, column) for column in flat.T], 1)
        measured = np.zeros(len(grid_s), bool)
        measured[index[(index >= 0) & (index < len(grid_s))]] = True
        return 1 / interval_s, filled.reshape(-1, 17, 3), measured
