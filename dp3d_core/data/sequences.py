"""One benchmark sequence as the evaluation sees it: 2D of one person from one camera, and the 3D truth.

Also how joints in another order than ours are told by their bones. Knows nothing of files, networks or error metrics.

# T frames, 17 joints in the order of dp3d_core.skeleton.JOINT_NAMES
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import BONES, JOINT_NAMES

FARTHEST_PX = 1e6
"""No keypoint of an image is farther: beyond it a file is damaged."""
# Shortest and longest bone of an adult in metres, by the joint at its end. Data sets place the joints of trunk and head
# each in their own way, so these are held to little; limbs are alike everywhere.
ANY_BONE_M = (0.02, 0.8)
BONE_M = {
    side + part: span
    for side in "LR"
    for part, span in {
        "Hip": (0.03, 0.3),
        "Knee": (0.25, 0.65),
        "Ankle": (0.25, 0.65),
        "Shoulder": (0.05, 0.4),
        "Elbow": (0.15, 0.45),
        "Wrist": (0.15, 0.45),
    }.items()
}
LIMBS = ("Knee", "Ankle", "Elbow", "Wrist")
MOST_CHANGE = 0.15
"""Median deviation of a limb's bone from its median length, over that length; at most 0.11 in our mocap."""
MOST_UNEVEN = 1.4
"""Longer over shorter of a limb's left and right bone; at most 1.35 in our mocap."""
BETWEEN = (("RHip", "Hip", "LHip"), ("Hip", "Spine", "Thorax"), ("Hip", "Thorax", "Nose"), ("Thorax", "Nose", "Head"))
"""The second lies between the others: it is nearer to each than they are to one another, by and large."""
BETWEEN_SLACK = 1.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvalSequence:
    """One person in one video.

    keypoints_px (T, 17, 2) with confidence (T, 17) in [0, 1], 0 = missing; joints_cam_m (T, 17, 3) in the optical
    frame; stamps_s (T,). valid (T,) bool marks the frames that count, the others are context (default: all count).
    metric is False where the truth is rescaled, so that only root-relative errors mean something. up_cam (3,) is
    against gravity in the optical frame of a camera that stands still, None where nobody knows. ValueError otherwise.
    """

    name: str
    action: str
    subject: str
    fps: float
    stamps_s: np.ndarray
    keypoints_px: np.ndarray
    confidence: np.ndarray
    joints_cam_m: np.ndarray
    camera: Camera
    valid: np.ndarray = None  # type: ignore[assignment]  # None: every frame
    metric: bool = True
    up_cam: np.ndarray | None = None

    def __post_init__(self):
        joints = len(JOINT_NAMES)
        frames = len(self.stamps_s)
        if self.valid is None:
            object.__setattr__(self, "valid", np.ones(frames, dtype=bool))
        for field, shape in (
            ("stamps_s", (frames,)),
            ("keypoints_px", (frames, joints, 2)),
            ("confidence", (frames, joints)),
            ("joints_cam_m", (frames, joints, 3)),
            ("valid", (frames,)),
        ):
            if getattr(self, field).shape != shape:
                raise ValueError(f"{self.name}: {field}: expected {shape}, got {getattr(self, field).shape}")
        if not frames or not self.valid.any():
            raise ValueError(f"{self.name}: expected at least one valid frame, got none of {frames}")
        if self.valid.dtype != bool:
            raise ValueError(f"{self.name}: valid: expected bool, got {self.valid.dtype}")
        for field in ("stamps_s", "keypoints_px", "confidence"):
            if not np.isfinite(getattr(self, field)).all():
                raise ValueError(
                    f"{self.name}: {field}: expected finite numbers, got NaN or infinity; "
                    "mark a missing keypoint by confidence 0"
                )
        if not np.isfinite(self.joints_cam_m[self.valid]).all():
            raise ValueError(f"{self.name}: joints_cam_m: expected finite metres in valid frames, got NaN or infinity")
        if self.confidence.min() < 0 or self.confidence.max() > 1:
            raise ValueError(
                f"{self.name}: confidence: expected 0 to 1, got {self.confidence.min():.3g} to "
                f"{self.confidence.max():.3g}"
            )
        if (np.diff(self.stamps_s) <= 0).any():
            raise ValueError(f"{self.name}: stamps_s: expected strictly increasing seconds, got a step back or none")

    def __len__(self) -> int:
        """Number of frames, valid or not."""
        return len(self.stamps_s)


def check_joint_order(joints_m: np.ndarray, *, title: str, order: str) -> None:
    """ValueError if these joints (T, 17, 3), finite metres, do not make a body; it begins with title, names the order.

    In another order bones join what does not belong together: too long or short, of changing length, uneven. Only
    medians over the frames count, so a few corrupt frames do not fail a file. The orders of other data sets fail, and
    random ones. Not seen: left for right, which is still a body, and often two exchanged joints of one limb.
    """
    fault = next(_faults(joints_m), None)
    if fault:
        raise ValueError(f"{title}: expected a body with its joints in the order {order}; got {fault}; reorder them")


def _faults(joints_m):
    lengths_m = {
        JOINT_NAMES[child]: np.linalg.norm(joints_m[:, child] - joints_m[:, parent], axis=-1) for parent, child in BONES
    }
    median_m = {name: float(np.median(length_m)) for name, length_m in lengths_m.items()}
    for parent, child in BONES:
        name = JOINT_NAMES[child]
        shortest_m, longest_m = BONE_M.get(name, ANY_BONE_M)
        if not shortest_m <= median_m[name] <= longest_m:
            yield (
                f"{median_m[name]:.2f} m from {JOINT_NAMES[parent]} to {name}, where {shortest_m:g} to "
                f"{longest_m:g} m are possible"
            )
    for part in LIMBS:
        left_m, right_m = median_m[f"L{part}"], median_m[f"R{part}"]
        for name in (f"L{part}", f"R{part}"):
            change = float(np.median(np.abs(lengths_m[name] - median_m[name]))) / median_m[name]
            if change > MOST_CHANGE:
                yield f"a bone to {name} whose length changes by {change:.0%}"
        if max(left_m, right_m) > MOST_UNEVEN * min(left_m, right_m):
            yield f"bones to L{part} and R{part} of {left_m:.2f} and {right_m:.2f} m"
    for first, middle, last in BETWEEN:
        ends = [joints_m[:, JOINT_NAMES.index(name)] for name in (first, last)]
        inner = joints_m[:, JOINT_NAMES.index(middle)]
        apart_m = np.median(np.linalg.norm(ends[0] - ends[1], axis=-1))
        if max(np.median(np.linalg.norm(end - inner, axis=-1)) for end in ends) > BETWEEN_SLACK * apart_m:
            yield f"{middle} not between {first} and {last}"
