"""COCO's annotation form with `keypoints_3d`: [x, y, z, sigma] in the camera's frame in metres, 17 times a person.

As in COCO there are images, annotations (with `keypoints` in pixels, v = 2 seen or 0, `bbox`, `track_id`) and one
category with names and skeleton (from 1).
"""

import json
from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result
from dp3d_core.files.writers.json import camera_of, rounded
from dp3d_core.skeleton import BONES, JOINT_NAMES


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """One file."""
    path = out / f"{result.name}.coco3d.json"
    with beside(path) as unfinished:
        unfinished.write_text(json.dumps(content(result, facts), ensure_ascii=False), encoding="utf-8")
    return [path]


def content(result: Result, facts: dict) -> dict:
    """The object that is written."""
    camera = result.camera
    annotations = []
    for row in range(len(result.frame)):
        seen = result.confidence[row] > 0
        points = np.concatenate([result.joints_px[row], np.where(seen, 2, 0)[:, None]], 1)
        low, high = (side(result.joints_px[row][seen], 0) if seen.any() else np.zeros(2) for side in (np.min, np.max))
        in_3d = np.concatenate([result.joints_cam_m[row], result.sigma_m[row][:, None]], 1)
        annotations.append({
            "id": row + 1, "image_id": int(result.frame[row]), "category_id": 1, "track_id": int(result.person[row]),
            "iscrowd": 0, "bbox": rounded(np.concatenate([low, high - low])), "area": float(np.prod(high - low)),
            "num_keypoints": int(seen.sum()), "keypoints": rounded(points.ravel()),
            "keypoints_3d": rounded(in_3d.ravel()),
        })  # fmt: skip
    return {
        "info": {"description": "people in 3D by dp3d", "source": result.source, "camera": camera_of(result),
                 "units": "m", "quality": facts},
        "images": [
            {"id": index, "width": camera.width, "height": camera.height, "file_name": f"{index:06d}.jpg",
             "timestamp_s": float(stamp_s)} for index, stamp_s in enumerate(result.stamps_s)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "supercategory": "person", "keypoints": list(JOINT_NAMES),
                        "skeleton": [[a + 1, b + 1] for a, b in BONES]}],
    }  # fmt: skip
