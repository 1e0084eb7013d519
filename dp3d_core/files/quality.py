"""How good is a result? What can be said without ground truth: printed, and written into every npz and json.

A small reprojection error says that the pose fits the keypoints, not that its depth is right.
"""
# R rows (one person in one frame), J = 17 joints

import numpy as np

from dp3d_core.files.results import Result
from dp3d_core.skeleton import JOINT_NAMES

FASTEST_ROOT_M_S = 8.0
FASTEST_JOINT_M_S = 20.0
STATURES_M = (1.0, 2.2)
UNEQUAL_SIDES = 0.15
UNSTEADY_BONE = 0.2
LEG_SHARE = 0.491
"""Thigh and shin over the stature: 0.245 and 0.246 (Winter, 2009)."""
LIMBS = tuple(
    (JOINT_NAMES.index(a), JOINT_NAMES.index(b))
    for a, b in (
        ("RHip", "RKnee"), ("RKnee", "RAnkle"), ("LHip", "LKnee"), ("LKnee", "LAnkle"), ("RShoulder", "RElbow"),
        ("RElbow", "RWrist"), ("LShoulder", "LElbow"), ("LElbow", "LWrist"),
    )
)  # fmt: skip
"""Legs first, right before left."""


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
    roots, joints = {}, {}
    for stay in result.stays():
        if len(stay.rows) < 2:
            continue
        interval_s = np.diff(stay.stamps_s)[:, None]
        step_m = np.diff(stay.joints_y_up_m, axis=0)
        root_m_s = (np.linalg.norm(step_m[:, 0], axis=-1) / interval_s[:, 0]).max()
        about_root_m_s = (np.linalg.norm(step_m - step_m[:, :1], axis=-1) / interval_s).max()
        if root_m_s > FASTEST_ROOT_M_S:
            roots[stay.person] = max(root_m_s, roots.get(stay.person, 0))
        if about_root_m_s > FASTEST_JOINT_M_S:
            joints[stay.person] = max(about_root_m_s, joints.get(stay.person, 0))
    return [
        *_of_people(roots, "up to {most:.0f} m/s: two people with one id?"),
        *_of_people(joints, "a joint at up to {most:.0f} m/s about the hip"),
    ]


def _bones(result: Result) -> list[str]:
    """People whose bones are no people's."""
    statures, unequal, unsteady = {}, {}, {}
    for stay in result.stays():
        joints = stay.joints_y_up_m
        length_m = np.stack([np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in LIMBS], 1)
        middle_m = np.median(length_m, 0)
        change = (np.percentile(np.abs(length_m - middle_m), 90, axis=0) / np.maximum(middle_m, 0.05)).max()
        right_m, left_m = middle_m[:2].sum(), middle_m[2:4].sum()
        stature_m = (right_m + left_m) / 2 / LEG_SHARE
        if result.metric and not STATURES_M[0] <= stature_m <= STATURES_M[1]:
            statures[stay.person] = stature_m
        if abs(right_m - left_m) > UNEQUAL_SIDES * max(right_m, left_m):
            unequal[stay.person] = abs(right_m - left_m) / max(right_m, left_m)
        if change > UNSTEADY_BONE:
            unsteady[stay.person] = max(change, unsteady.get(stay.person, 0))
    return [
        *_of_people(statures, "legs of somebody up to {most:.2f} m tall"),
        *_of_people(unequal, "one leg up to {most:.0%} shorter than the other"),
        *_of_people(unsteady, "an arm's or leg's bone changes its length by up to {most:.0%}"),
    ]


def _of_people(values: dict[int, float], text: str) -> list[str]:
    """One sentence about all people of whom something is true, none about nobody."""
    if not values:
        return []
    who = ", ".join(map(str, sorted(values)))
    return [f"{'person' if len(values) == 1 else 'people'} {who}: {text.format(most=max(values.values()))}"]


def _round(value: float, digits: int) -> float:
    return round(float(value), digits)
