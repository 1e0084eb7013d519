"""VideoPose3D's 2D keypoints: `positions_2d` {subject: {action: [(F, 17, 2) a camera]}} and `metadata`.

data/prepare_data_2d_custom.py and data/data_utils.py of VideoPose3D. Read without unpickling anything.
"""

from pathlib import Path

import numpy as np

from dp3d_core.data.vp3d_npz import read_vp3d
from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions

LAYOUTS = {"coco": "coco17", "h36m": "h36m17"}


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """A clip for each subject, action and camera, one person in each."""
    held = read_vp3d(path, keys=("positions_2d", "metadata"))
    positions, metadata = held["positions_2d"], held["metadata"]
    if not isinstance(positions, dict) or not isinstance(metadata, dict):
        raise ValueError(f"{path}: expected dicts positions_2d and metadata, got other content")
    layout = metadata.get("layout_name", "coco")
    joint_set = options.joint_set or LAYOUTS.get(layout)
    if joint_set is None:
        raise ValueError(f"{path}: expected layout_name coco or h36m, got {layout!r}; give --joint-set")
    videos = metadata.get("video_metadata", {})
    clips = []
    for subject, actions in positions.items():
        if not isinstance(actions, dict):
            raise ValueError(f"{path}: {subject}: expected a dict of actions, got {type(actions).__name__}")
        for action, cameras in actions.items():
            for camera, values in enumerate(cameras):
                name = "_".join(str(part) for part in (path.stem, subject, action))
                name = name if len(cameras) == 1 else f"{name}_camera{camera}"
                clips.append(_clip(path, name, joint_set, np.asarray(values, float), videos.get(subject)))
    if not clips:
        raise ValueError(f"{path}: expected keypoints of at least one subject, got none")
    return clips


def _clip(path: Path, name: str, joint_set: str, values: np.ndarray, video: object) -> Detections:
    if values.ndim != 3 or values.shape[2] not in (2, 3):
        raise ValueError(f"{path}: {name}: expected (F, K, 2) or (F, K, 3), got {values.shape}")
    rows = Rows(str(path), joint_set)
    for frame, points in enumerate(values):
        rows.add(frame, 0, points[:, :2], points[:, 2] if points.shape[1] == 3 else np.ones(len(points)))
    size, stamps_s = None, None
    if isinstance(video, dict) and {"w", "h"} <= set(video):
        size = int(video["w"]), int(video["h"])
        fps = video.get("fps")
        if isinstance(fps, (int, float)) and fps > 0:
            stamps_s = np.arange(len(values)) / fps
    return rows.detections(
        name=name,
        format=f"VideoPose3D keypoints ({joint_set})",
        frames=len(values),
        image_size_px=size,
        stamps_s=stamps_s,
    )
