"""What a source hands to a stream, packed once and judged: no NaN and no wild number gets past this file."""
# P people, K keypoints of the source

import reprlib
from collections.abc import Callable
from math import isfinite

import numpy as np

from dp3d_core.skeleton import JointSet
from dp3d_core.types import Keypoints

LIMIT_PX = 1e6
"""Farther pixels belong to no camera, and their rays would overflow single-precision squares."""
NORMALISED_PX = 2.0
"""A body within so many pixels of the corner is in no picture: its coordinates are fractions of the picture."""


def take_in(people, source: JointSet, size_px: tuple[int, int], count: Callable[[str, int], None]) -> Keypoints:
    """Everybody's keypoints, packed and judged; ValueError where they do not fit the joint set `source`.

    people: see `dp3d_core.types.People`; size_px: width and height of the picture. What is mended is counted:
    count(cause, number).
    """
    keypoints = _checked(people, source) if isinstance(people, Keypoints) else _pack(people, source)
    xy_px, confidence = judge(keypoints.xy_px, keypoints.confidence, size_px, count)
    if confidence is keypoints.confidence:
        return keypoints
    return Keypoints(ids=keypoints.ids, xy_px=xy_px, confidence=confidence)


def _checked(people: Keypoints, source: JointSet) -> Keypoints:
    """`people`; ValueError where they do not fit the joint set."""
    size, number = len(source.keypoints), len(people.confidence)
    if people.xy_px.shape != (number, size, 2) or people.confidence.shape != (number, size):
        raise ValueError(
            f"people: expected xy_px (P, {size}, 2) and confidence (P, {size}), got {people.xy_px.shape} and "
            f"{people.confidence.shape}"
        )
    if people.ids is not None and not len(people.ids) == len(set(people.ids)) == number:
        raise ValueError(f"people: expected {number} different ids, got {reprlib.repr(people.ids)}")
    return people


def _pack(people, source: JointSet) -> Keypoints:
    """{id: (keypoints_px, confidence)}, or any sequence of such pairs, as `Keypoints`."""
    ids = tuple(people) if isinstance(people, dict) else None
    size = len(source.keypoints)
    try:
        pairs = list(people.items() if ids is not None else enumerate(people))
    except TypeError:
        raise ValueError(
            f"people: expected {{id: (keypoints_px, confidence)}} or a list of such pairs, got {type(people).__name__}"
        ) from None
    if not pairs:
        return Keypoints(ids=ids, xy_px=np.zeros((0, size, 2), np.float32), confidence=np.zeros((0, size), np.float32))
    points, trust = zip(*[_person(name, pair, source) for name, pair in pairs])
    return Keypoints(ids=ids, xy_px=np.array(points, np.float32), confidence=np.array(trust, np.float32))


def _person(name, pair, source: JointSet) -> tuple[np.ndarray, np.ndarray]:
    """One person's keypoints and confidence as arrays; ValueError names the person."""
    size = len(source.keypoints)
    try:
        keypoints_px, confidence = pair
        keypoints_px, confidence = np.asarray(keypoints_px), np.asarray(confidence)
    except (TypeError, ValueError):
        raise ValueError(
            f"person {name}: expected a pair of keypoints ({size}, 2) pixels and confidence ({size},), got "
            f"{reprlib.repr(pair)}"
        ) from None
    if keypoints_px.dtype.kind not in "fiub" or confidence.dtype.kind not in "fiub":
        raise ValueError(
            f"person {name}: expected keypoints and confidence as numbers, got {keypoints_px.dtype} and "
            f"{confidence.dtype}"
        )
    if keypoints_px.shape != (size, 2) or confidence.shape != (size,):
        raise ValueError(
            f"person {name}: expected keypoints ({size}, 2) pixels and confidence ({size},) for joint set "
            f"{source.name}, got {keypoints_px.shape} and {confidence.shape}"
        )
    return keypoints_px, confidence


def judge(
    xy_px: np.ndarray, confidence: np.ndarray, size_px: tuple[int, int], count: Callable[[str, int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, K, 2) and confidence (N, K) with what cannot be a seen joint missing, and confidence in [0, 1].

    size_px: width and height of the picture. N bodies of one frame, or one body in N frames. Nothing is changed in
    place; what is mended is counted.
    """
    if not confidence.size:
        return xy_px, confidence
    # the usual frame, where nothing is to be mended (no NaN passes a comparison)
    usual = confidence.min() > 0 and confidence.max() <= 1 and xy_px.min() > NORMALISED_PX
    if usual and xy_px.max() < min(size_px) - 1:
        return xy_px, confidence
    possible = np.isfinite(confidence) & (np.abs(xy_px) < LIMIT_PX).all(-1)
    # a missing keypoint may hold anything
    count("not_finite", int((~possible & (confidence != 0)).sum()))
    confidence = np.where(possible, confidence, 0)
    count("confidence_out_of_range", int(((confidence < 0) | (confidence > 1)).sum()))
    confidence = np.clip(confidence, 0, 1)
    xy_px = np.where((confidence > 0)[..., None], xy_px, 0)
    for cause, missing in _unseen(xy_px, confidence > 0, size_px):
        count(cause, int(missing.sum()))
        confidence = np.where(missing, 0, confidence)
        xy_px = np.where(missing[..., None], 0, xy_px)
    return xy_px, confidence


def _unseen(xy_px: np.ndarray, shown: np.ndarray, size_px: tuple[int, int]):
    """(cause, (N, K) bool) of the shown keypoints whose place says that they are not seen; no keypoint twice."""
    x, y = xy_px[..., 0], xy_px[..., 1]
    width, height = size_px
    placeholder = shown & (((x == 0) & (y == 0)) | ((x == -1) & (y == -1)))
    if placeholder.any():
        yield "placeholder_pixel", placeholder
        shown = shown & ~placeholder
    # nobody is two pixels tall
    small = (np.abs(xy_px).max(-1) <= NORMALISED_PX) | ~shown
    normalised = small.all(-1) & (shown.sum(-1) >= 2)
    if normalised.any():
        yield "normalised_pixel", shown & normalised[:, None]
        shown = shown & ~normalised[:, None]
    border = shown & ((x == 0) | (x == width - 1) | (x == width) | (y == 0) | (y == height - 1) | (y == height))
    if border.any():
        yield "border_pixel", border


def seconds(stamp_s) -> float:
    """A stamp as a float; ValueError if it is no finite number."""
    try:
        if isfinite(stamp_s):
            return float(stamp_s)
    except (TypeError, OverflowError):
        pass
    raise ValueError(f"stamp_s: expected finite seconds, got {reprlib.repr(stamp_s)}")
