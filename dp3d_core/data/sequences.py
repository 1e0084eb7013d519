"""One benchmark sequence as the evaluation sees it: 2D of one person from one camera, and the 3D truth.

Knows nothing of files, networks or error metrics.

# T frames, 17 joints in the order of dp3d_core.skeleton.JOINT_NAMES
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dp3d_core.camera import Camera
from dp3d_core.skeleton import JOINT_NAMES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvalSequence:
    """One person in one video.

    keypoints_px (T, 17, 2) with confidence (T, 17) in [0, 1], 0 = missing; joints_cam_m (T, 17, 3) in the optical
    frame; stamps_s (T,). valid (T,) bool marks the frames that count, the others are context (default: all count).
    metric is False where the truth is rescaled, so that only root-relative errors mean something. ValueError otherwise.
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
    valid: np.ndarray | None = None
    metric: bool = True

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
                raise ValueError(f"{self.name}: {field}: expected finite numbers, got NaN or infinity; "
                                 "mark a missing keypoint by confidence 0")  # fmt: skip
        if not np.isfinite(self.joints_cam_m[self.valid]).all():
            raise ValueError(f"{self.name}: joints_cam_m: expected finite metres in valid frames, got NaN or infinity")
        if self.confidence.min() < 0 or self.confidence.max() > 1:
            raise ValueError(f"{self.name}: confidence: expected 0 to 1, got {self.confidence.min():.3g} to "
                             f"{self.confidence.max():.3g}")  # fmt: skip
        if (np.diff(self.stamps_s) <= 0).any():
            raise ValueError(f"{self.name}: stamps_s: expected strictly increasing seconds, got a step back or none")

    def __len__(self) -> int:
        """Number of frames, valid or not."""
        return len(self.stamps_s)
