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


def take_in(people, source: JointSet, count: Callable[[str, int], None]) -> Keypoints:
    """Everybody's keypoints, packed and judged; ValueError where they do not fit the joint set `source`.

    people: see `dp3d_core.types.People`. What is mended is counted: count(cause, number).
    """
    if not isinstance(people, Keypoints):
        return _judge(_pack(people, source), count)
    size, number = len(source.keypoints), len(people.confidence)
    if people.xy_px.shape != (number, size, 2) or people.confidence.shape != (number, size):
        raise ValueError(
            f"people: expected xy_px (P, {size}, 2) and confidence (P, {size}), got {people.xy_px.shape} and "
            f"{people.confidence.shape}"
        )
    if people.ids is not None and not len(people.ids) == len(set(people.ids)) == number:
        raise ValueError(f"people: expected {number} different ids, got {reprlib.repr(people.ids)}")
    return _judge(people, count)


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


def _judge(keypoints: Keypoints, count: Callable[[str, int], None]) -> Keypoints:
    """The keypoints with impossible ones missing and confidence in [0, 1]; both are counted."""
    points, trust = keypoints.xy_px, keypoints.confidence
    # the usual frame, where nothing is to be mended (no NaN passes a comparison)
    if not trust.size:
        return keypoints
    if trust.min() > 0 and trust.max() <= 1 and points.min() > -LIMIT_PX and points.max() < LIMIT_PX:
        return keypoints
    finite = np.isfinite(trust) & (np.abs(points) < LIMIT_PX).all(-1)
    # a missing keypoint may hold anything
    count("not_finite", int((~finite & (trust != 0)).sum()))
    trust = np.where(finite, trust, 0)
    count("confidence_out_of_range", int(((trust < 0) | (trust > 1)).sum()))
    trust = np.clip(trust, 0, 1)
    return Keypoints(ids=keypoints.ids, xy_px=np.where((trust > 0)[..., None], points, 0), confidence=trust)


def seconds(stamp_s) -> float:
    """A stamp as a float; ValueError if it is no finite number."""
    try:
        if isfinite(stamp_s):
            return float(stamp_s)
    except (TypeError, OverflowError):
        pass
    raise ValueError(f"stamp_s: expected finite seconds, got {reprlib.repr(stamp_s)}")
