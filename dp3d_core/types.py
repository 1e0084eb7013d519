"""What goes into the lifter and what comes out: plain records of numpy arrays."""
# P people, T frames, K keypoints of the source, J = 17 joints

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dp3d_core.geometry.body_size import Floor
from dp3d_core.geometry.camera_pose import CameraPose

USED, REPEATED, LATE, RESTARTED = "used", "repeated", "late", "restarted"
"""What became of a pushed frame, see `Skeletons.outcome`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keypoints:
    """The 2D keypoints of everybody in one frame, packed."""

    ids: tuple | None
    """P different ids, or None where the source has none: a stream then assigns them."""
    xy_px: np.ndarray
    """(P, K, 2) pixels; anything where the keypoint is missing."""
    confidence: np.ndarray
    """(P, K) in [0, 1]; 0: missing."""

    def __len__(self) -> int:
        return len(self.confidence)


Person = tuple[Any, Any]
"""keypoints_px (K, 2) and confidence (K,) of one person, as arrays or lists."""
People = Mapping[Any, Person] | Sequence[Person] | Keypoints
"""{id: person}, or a list of people where the source has no ids, or all of them packed."""


class Frame(NamedTuple):
    """One frame of one camera, as `Streams.push` takes it; a plain tuple of the same values will do."""

    stamp_s: float
    people: People
    tag: Any = None
    """Anything; it comes back with this frame's skeletons."""
    pose: CameraPose | None = None
    """Of the camera at `stamp_s`; None: nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skeletons:
    """People of one frame, in metres, in the camera's optical frame (x right, y down, z forward)."""

    stamp_s: float
    ids: tuple
    joints_cam_m: np.ndarray
    """(P, 17, 3) float32."""
    sigma_m: np.ndarray
    """(P, 17) float32: standard deviation per axis of each joint about its own root, metres."""
    sigma_lateral_m: np.ndarray
    """(P, 17) float32: its part per axis across the viewing ray, ..."""
    sigma_depth_m: np.ndarray
    """(P, 17) float32: ... and along it; `sigma_m` is the root of their mean square over the three axes."""
    root_sigma_m: np.ndarray
    """(P,) float32: standard deviation of the root along the viewing ray, metres; height error dominates it."""
    stature_m: np.ndarray
    """(P,) float32: standing height, as far as it is known."""
    contact: np.ndarray
    """(P, 2) float32: probability that the right and the left foot stand."""
    predicted: np.ndarray
    """(P,) bool: the person was not seen in this frame."""
    actions: tuple[str | None, ...]
    """The most likely action class where the network is more than half sure, else None."""
    metric: bool
    """False: the camera is assumed, so only root-relative positions mean anything."""
    joints_fixed_m: np.ndarray | None = None
    """(P, 17, 3) float32 in the fixed frame of the camera's pose; None where no transform was given."""
    floor: Floor | None = None
    """Below the camera, as given, or estimated from people's feet; None: unknown."""
    tag: Any = None
    """The tag of the frame that these skeletons are of; None while a lookahead has not filled, as there is no such
    frame yet."""
    outcome: str = USED
    """What became of the pushed frame: used; repeated or late (its stamp was that of the last frame, or up to 0.5 s
    older: the frame was left out); restarted (0.5 s older or more: everybody starts afresh, and the frame was used)."""

    @classmethod
    def empty(cls, stamp_s: float, metric: bool = True, tag: Any = None, outcome: str = USED) -> "Skeletons":
        """Nobody."""
        return cls(
            stamp_s=stamp_s,
            ids=(),
            joints_cam_m=np.zeros((0, 17, 3), np.float32),
            sigma_m=np.zeros((0, 17), np.float32),
            root_sigma_m=np.zeros(0, np.float32),
            sigma_lateral_m=np.zeros((0, 17), np.float32),
            sigma_depth_m=np.zeros((0, 17), np.float32),
            stature_m=np.zeros(0, np.float32),
            contact=np.zeros((0, 2), np.float32),
            predicted=np.zeros(0, bool),
            actions=(),
            metric=metric,
            tag=tag,
            outcome=outcome,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """One person's sequence lifted offline, in metres, in the camera's optical frame."""

    stamps_s: np.ndarray
    """(T,) float64."""
    joints_cam_m: np.ndarray
    """(T, 17, 3) float32."""
    sigma_m: np.ndarray
    """(T, 17) float32, as in `Skeletons`."""
    sigma_lateral_m: np.ndarray
    """(T, 17) float32, as in `Skeletons`."""
    sigma_depth_m: np.ndarray
    """(T, 17) float32, as in `Skeletons`."""
    root_sigma_m: np.ndarray
    """(T,) float32, as in `Skeletons`."""
    stature_m: float
    """Standing height, as far as it is known."""
    contact: np.ndarray
    """(T, 2) float32, as in `Skeletons`."""
    joints_fixed_m: np.ndarray | None
    """(T, 17, 3) float32 in the fixed frame; None where a frame has no transform."""
    action_probability: np.ndarray
    """(T, A) float32 over `dp3d_core.data.actions.ACTIONS`."""
    metric: bool
