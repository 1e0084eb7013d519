"""How good is a result? What can be told without ground truth: printed, and written into every npz and json.

A small reprojection error says that the pose fits the keypoints, not that its depth is right.
"""
# R rows (one person in one frame), J = 17 joints

import numpy as np

from dp3d_core.files.results import Result
from dp3d_core.skeleton import BONES, JOINT_NAMES

FASTEST_ROOT_M_S = 8.0
FASTEST_JOINT_M_S = 20.0
STATURES_M = (1.0, 2.2)
UNEQUAL_SIDES = 0.15
UNSTEADY_BONE = 0.1
_LEG = (("RHip", "RKnee"), ("RKnee", "RAnkle"), ("LHip", "LKnee"), ("LKnee", "LAnkle"))


def quality(result: Result) -> dict:
    """Plain numbers, and `warnings`, a sentence each."""
    seen = result.confidence > 0
    facts = {
        "people": len(np.unique(result.person)),
        "stays": len(np.unique(np.stack([result.person, result.stay], 1), axis=0)),
        "frames": len(result.stamps_s),
        "frames_with_people": len(np.unique(result.frame)),
        "seconds": _round(result.stamps_s[-1] - result.stamps_s[0], 3),
        "skeletons": len(result.frame),
        "seen_joints": _round(seen.mean(), 3),
        **(_reprojection(result, seen) if seen.any() else {}),
        "distance_m_median": _round(np.median(np.linalg.norm(result.joints_cam_m[:, 0], axis=-1)), 2),
        "root_sigma_m_median": _round(np.median(result.root_sigma_m), 3),
        "metric": bool(result.metric),
        "camera": result.camera_from,
        "ground": result.ground_from,
        "camera_above_ground_m": _round(result.ground.distance_m, 2),
    }
    warnings = [*_speed(result), *_bones(result)]
    if not result.metric:
        warnings.insert(0, "the camera is assumed: distances and sizes are not metres, poses about their hips are")
    if seen.any() and facts["seen_joints"] < 0.5:
        warnings.append(f"only {facts['seen_joints']:.0%} of the joints were seen")
    if facts.get("within_2_sigma", 1) < 0.6:
        warnings.append(f"only {facts['within_2_sigma']:.0%} of the seen joints are within two of their sigmas")
    return facts | {"notes": list(result.notes), "warnings": warnings}


def _reprojection(result: Result, seen: np.ndarray) -> dict[str, float]:
    """Distances of the seen joints (R, 17) from where they were seen, in pixels, and how many are within one and two of
    their own sigmas across the ray, in metres at their depth: 39 and 86 % would be right, if nothing else were wrong.
    """
    pixels = result.camera.project(result.joints_cam_m)
    error_px = np.nan_to_num(np.linalg.norm(pixels - result.joints_px, axis=-1), nan=1e4)
    sigmas = (
        error_px * np.abs(result.joints_cam_m[..., 2]) / result.camera.fx / np.maximum(result.sigma_lateral_m, 1e-6)
    )
    return {
        "reprojection_px_median": _round(np.median(error_px[seen]), 2),
        "reprojection_px_p95": _round(np.percentile(error_px[seen], 95), 2),
        **{f"within_{count}_sigma": _round((sigmas[seen] <= count).mean(), 3) for count in (1, 2)},
    }


def _speed(result: Result) -> list[str]:
    """People who move faster than people do."""
    warnings = []
    for stay in result.stays():
        if len(stay.rows) < 2:
            continue
        interval_s = np.diff(stay.stamps_s)[:, None]
        step_m = np.diff(stay.joints_y_up_m, axis=0)
        speed_m_s = np.linalg.norm(step_m, axis=-1) / interval_s
        about_root = np.linalg.norm(step_m - step_m[:, :1], axis=-1) / interval_s
        if (speed_m_s[:, 0] > FASTEST_ROOT_M_S).any():
            at = int(speed_m_s[:, 0].argmax())
            warnings.append(
                f"person {stay.person}: {speed_m_s[at, 0]:.0f} m/s at {stay.stamps_s[at]:.2f} s: two people, one id?"
            )
        elif (about_root > FASTEST_JOINT_M_S).any():
            at, joint = np.unravel_index(about_root.argmax(), about_root.shape)
            warnings.append(
                f"person {stay.person}: {JOINT_NAMES[joint]} at {about_root[at, joint]:.0f} m/s about the hip at "
                f"{stay.stamps_s[at]:.2f} s"
            )
    return warnings


def _bones(result: Result) -> list[str]:
    """People whose bones are no people's."""
    warnings = []
    for stay in result.stays():
        joints = stay.joints_y_up_m
        length = np.stack([np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in BONES], 1)
        middle = np.median(length, 0)
        unsteady = (np.percentile(np.abs(length - middle), 90, axis=0) / np.maximum(middle, 0.05)).max()
        # a body is about 4.05 legs' halves tall: thigh and shin are 0.245 and 0.246 of the stature (Winter, 2009)
        pairs = [tuple(JOINT_NAMES.index(name) for name in bone) for bone in _LEG]
        legs = np.array([np.median(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)) for a, b in pairs])
        stature_m = legs.sum() / 2 / 0.491
        if result.metric and not STATURES_M[0] <= stature_m <= STATURES_M[1]:
            warnings.append(f"person {stay.person}: legs of somebody {stature_m:.2f} m tall")
        right, left = legs[:2].sum(), legs[2:].sum()
        if abs(right - left) > UNEQUAL_SIDES * max(right, left):
            warnings.append(f"person {stay.person}: legs of {right:.2f} and {left:.2f} m")
        if unsteady > UNSTEADY_BONE:
            warnings.append(f"person {stay.person}: a bone changes its length by {unsteady:.0%}")
    return warnings


def _round(value: float, digits: int) -> float:
    return round(float(value), digits)
