"""A recording by calibrated cameras with a detector's real 2D and a triangulated reference, from one .npz file.

Keys, for C cameras and T frames of one person: `joints_3d_world` (T, 17, 3) metres in our order of joints, z up, NaN
where unknown; `K` (C, 3, 3), `R` (C, 3, 3), `t` (C, 3) from the world to the optical frames, `dist` (C, n) in OpenCV's
order, `size` (C, 2) width and height, `fps`; and the 2D in pixels: `mediapipe33_2d` (C, T, 33, 2) with `visibility`, or
`keypoints_2d` (C, T, 17, 2) with `conf`. NaN or confidence 0 is a joint that was not seen. Knows no network.
"""

from pathlib import Path

import numpy as np

from dp3d_core.data.sequences import EvalSequence
from dp3d_core.geometry.camera import Camera
from dp3d_core.skeleton import adapt, joint_set

DETECTIONS = (("mediapipe33_2d", "visibility", "mediapipe33"), ("keypoints_2d", "conf", "h36m17"))
"""Key of the keypoints, key of their confidence (1 where it is missing), and joint set; the first there counts."""
REFERENCE = ("joints_3d_world", "K", "R", "t", "dist", "size", "fps")


ALWAYS_KNOWN = 0.9
"""Joints count that the reference has in this share of the frames, and frames in which it has all of those."""


def load_recorded(path: str | Path) -> tuple[list[EvalSequence], str, tuple[int, ...]]:
    """One `EvalSequence` a camera, the joint set of the 2D, and the joints that count: never the root, which is zero.

    ValueError says what is missing or does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {key: archive[key] for key in archive.files}
    except (OSError, ValueError) as error:
        raise ValueError(f"--recording: {path} is not a .npz file of plain arrays ({error})") from None
    missing = [key for key in REFERENCE if key not in found]
    source = next((of for of in DETECTIONS if of[0] in found), None)
    if missing or source is None:
        wanted = missing or [f"one of {', '.join(key for key, _, _ in DETECTIONS)}"]
        raise ValueError(f"--recording: {path}: expected {', '.join(wanted)}, got {', '.join(sorted(found))}")
    key, confidence_key, joints = source
    points = found[key].astype(np.float32)
    confidence = found.get(confidence_key, np.ones(points.shape[:-1])).astype(np.float32)
    reference = found["joints_3d_world"].astype(np.float64)
    size = len(joint_set(joints).keypoints)
    cameras, frames = len(found["K"]), len(reference)
    for name, array, shape in (
        (key, points, (cameras, frames, size, 2)),
        (confidence_key, confidence, (cameras, frames, size)),
        ("joints_3d_world", reference, (frames, 17, 3)),
    ):
        if array.shape != shape:
            raise ValueError(f"--recording: {path}: {name}: expected {shape}, got {array.shape}")
    known = np.isfinite(reference).all(-1)
    counted = tuple(joint for joint in range(1, known.shape[1]) if known[:, joint].mean() >= ALWAYS_KNOWN)
    valid = known[:, (0, *counted)].all(1)
    if not counted or not valid.any():
        raise ValueError(
            f"--recording: {path}: expected a reference with the pelvis and other joints in {ALWAYS_KNOWN:.0%} of the "
            "frames, got none"
        )
    confidence = np.where(np.isfinite(points).all(-1), confidence, 0).clip(0, 1)
    points = np.nan_to_num(points)
    seen = points, confidence, joints, reference, valid, path
    return [_seen_by(index, found, *seen) for index in range(cameras)], joints, counted


def _seen_by(index, found, points, confidence, joints, reference, valid, path):
    """The `EvalSequence` of one camera."""
    matrix, rotation, shift_m = (found[key][index].astype(np.float64) for key in ("K", "R", "t"))
    width, height = (int(value) for value in found["size"][index])
    keypoints_px, seen = adapt(points[index], confidence[index], joint_set(joints))
    fps = float(found["fps"])
    return EvalSequence(
        name=f"{Path(path).stem}, camera {index}",
        action=f"camera {index}",
        subject="",
        fps=fps,
        stamps_s=np.arange(len(reference)) / fps,
        keypoints_px=keypoints_px,
        confidence=seen,
        joints_cam_m=(np.nan_to_num(reference) @ rotation.T + shift_m).astype(np.float32),
        camera=Camera(
            fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2], width=width, height=height,
            distortion=tuple(found["dist"][index]),
        ),
        valid=valid,
        up_cam=rotation[:, 2],
    )  # fmt: skip
