"""What comes out of the lifter: plain frozen records of numpy arrays."""
# P people, T frames, J = 17 joints

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeletons:
    """People of one frame, in metres, in the camera's optical frame (x right, y down, z forward)."""

    stamp_s: float
    ids: tuple[int, ...]
    joints_cam_m: np.ndarray
    """(P, 17, 3) float32."""
    sigma_m: np.ndarray
    """(P, 17) float32: standard deviation per axis of each joint about its own root, metres."""
    root_sigma_m: np.ndarray
    """(P,) float32: standard deviation of the root along the viewing ray, metres; height error dominates it."""
    predicted: np.ndarray
    """(P,) bool: the person was not seen in this frame."""
    actions: tuple[str | None, ...]
    """The most likely action class where the network is more than half sure, else None."""
    metric: bool
    """False: the camera is assumed, so only root-relative positions mean anything."""

    @classmethod
    def empty(cls, stamp_s, metric=True):
        """Nobody."""
        return cls(
            stamp_s=stamp_s, ids=(), joints_cam_m=np.zeros((0, 17, 3), np.float32),
            sigma_m=np.zeros((0, 17), np.float32), root_sigma_m=np.zeros(0, np.float32),
            predicted=np.zeros(0, bool), actions=(), metric=metric,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """One person's sequence lifted offline, in metres, in the camera's optical frame."""

    stamps_s: np.ndarray
    """(T,) float64."""
    joints_cam_m: np.ndarray
    """(T, 17, 3) float32."""
    sigma_m: np.ndarray
    """(T, 17) float32, as in `Skeletons`."""
    root_sigma_m: np.ndarray
    """(T,) float32, as in `Skeletons`."""
    action_probability: np.ndarray
    """(T, A) float32 over `dp3d_core.data.actions.ACTIONS`."""
    metric: bool
