# M people known, N bodies of one frame, J = 17 joints
"""Which person of the last frames is this body? Ids by predicted place, body size and pose, for streams and videos.

Each person is followed in the picture and in size, which together are the 3D place up to the person's height, by a
Kalman filter of constant velocity. A body is compared with a person joint by joint, over the joints that both show,
so half a body is no smaller person. The assignment of a whole frame is the cheapest (Hungarian). Time is the stamps'.

Never moves or fills a body. Knows nothing of cameras, networks or joint sets.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

MOST_PEOPLE = 256
"""Beyond it, who was unseen longest is forgotten: a detector that sees people everywhere must not fill the memory."""
NEW_ID_COST = 16.0
"""Squared deviations beyond which a body is rather somebody new: three variables, so 0.1 % of true pairs."""
PLACE_NOISE, SIZE_NOISE = 0.08, 0.3
"""Standard deviation of a detected body's place, in body heights, and of the logarithm of its size."""
LEAST_SURE = 0.5
"""Detectors mean different things by low scores: below this a body's place is no less sure."""
POSE_NOISE = 0.2
"""Usual distance of a joint from where the person last had it, in body heights, once place and size are aligned."""
SLACK = 3.0
"""Who is nowhere near their prediction, and a body near nobody else's, may be this many times farther apart."""
MOST_POSE_COST = 2.0
SPEED, RESIZE = 0.5, 0.1
"""Standard deviation of a newcomer's velocity, in body heights a second, and of the rate of the size's logarithm."""
ACCELERATION, RESIZE_CHANGE = 0.2, 0.1
"""How strongly velocities change: standard deviation after one second, in the same units a second."""
BLEND = 0.9
"""How far each remembered joint moves to the newest one in a frame."""
MOST_RESCALE = 0.9
"""Nobody is this much larger or smaller, as a logarithm, than predicted."""
MOST_GROWTH = 0.5
"""Nobody is predicted larger or smaller than by this logarithm: who walks on was not seen growing for long."""
DOUBLE_DISTANCE, DOUBLE_SIZE = 0.3, 0.5
"""A body this near to another, in body heights, and this like in the logarithm of size, may be the same one twice."""
HOLD_S = 0.5
"""A newcomer who lies on a known person gets an id after so long: mostly it is that person, detected twice."""
LEAST_JOINTS = 3
TORSO_HEIGHTS, SPREAD_HEIGHTS = 0.3, 0.27
"""Thorax to hip, and the root mean square distance of all joints from their centre, in body heights."""
_HIP, _THORAX = 0, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyConfig:
    """How long a person may be unseen and keep the id."""

    max_gap_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.max_gap_s >= 0:
            raise ValueError(f"identify: expected max_gap_s >= 0, got {self.max_gap_s}")


class _People:
    """What is known of M people, as arrays with one row a person."""

    def __init__(self) -> None:
        self.id = np.zeros(0, np.int32)
        """-1 while a newcomer is held back."""
        self.alone_s = np.zeros(0)
        """When each was first seen, or last lay on nobody else's body."""
        self.seen_s = np.zeros(0)
        self.joints_px = np.zeros((0, 17, 2))
        """Where the joints were last, smoothed."""
        self.trust = np.zeros((0, 17))
        """How sure each joint is, 0 where it was never seen."""
        self.velocity_px_s = np.zeros((0, 2))
        self.growth = np.zeros(0)
        """Rate of the logarithm of the size, per second."""
        self.place_variance = np.zeros((0, 3))
        """In body heights: of the place along each axis, its covariance with the velocity, of the velocity."""
        self.size_variance = np.zeros((0, 3))
        """The same of the size's logarithm and its rate."""

    def __len__(self) -> int:
        return len(self.id)

    def keep(self, chosen: np.ndarray) -> None:
        """Forget all people but these, a mask or indices."""
        for name in vars(self):
            setattr(self, name, getattr(self, name)[chosen])

    def add(self, count: int, **values: Any) -> None:
        """Append `count` people; values by attribute, nought where none is given."""
        for name, array in vars(self).items():
            new = np.zeros((count, *array.shape[1:]), array.dtype)
            new[...] = values.get(name, 0)
            setattr(self, name, np.concatenate([array, new]))

    def predict(self, rows: np.ndarray, stamp_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of these people at `stamp_s`: joints (M, 17, 2) px, and both variances (M, 3)."""
        past_s = stamp_s - self.seen_s[rows]
        joints_px, weight = self.joints_px[rows], self.trust[rows] / self.trust[rows].sum(1, keepdims=True)
        centre_px = (joints_px * weight[..., None]).sum(1, keepdims=True)
        grown = np.exp(np.clip(self.growth[rows] * past_s, -MOST_GROWTH, MOST_GROWTH))[:, None, None]
        joints_px = (joints_px - centre_px) * grown + centre_px + (self.velocity_px_s[rows] * past_s[:, None])[:, None]
        return (
            joints_px,
            _passed(self.place_variance[rows], past_s, ACCELERATION),
            _passed(self.size_variance[rows], past_s, RESIZE_CHANGE),
        )


def _passed(variance: np.ndarray, past_s: np.ndarray, change: float) -> np.ndarray:
    """Constant-velocity variance (M, 3) after `past_s` (M,) seconds of white acceleration."""
    own, shared, rate = variance.T
    noise = change * change * past_s
    return np.stack(
        [own + past_s * (2 * shared + past_s * (rate + noise / 3)), shared + past_s * (rate + noise / 2), rate + noise],
        axis=1,
    )


def _corrected(variance: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kalman gain of the rate (n,), and the variance (n, 3) after a measurement of variance `noise`."""
    own, shared, rate = variance.T
    gain, rate_gain = own / (own + noise), shared / (own + noise)
    return rate_gain, np.stack([(1 - gain) * own, (1 - gain) * shared, rate - rate_gain * shared], 1)


class Comparison(NamedTuple):
    """Bodies (N) against people (M): arrays (M, N, ...) of how the body differs, over the joints that both show."""

    offset: np.ndarray
    """(M, N, 2) of the place, in body heights."""
    log_scale: np.ndarray
    """Logarithm of the body's size over the person's."""
    pose: np.ndarray
    """Mean square distance of the joints in body heights, once place and size are aligned."""
    reach: np.ndarray
    """Spread of the shared joints over that of a whole body, at most 1: the size is as sure as this is large."""


def compare(
    people_px: np.ndarray, trust: np.ndarray, height_px: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray
) -> Comparison:
    """See `Comparison`. people_px (M, 17, 2), trust (M, 17), height_px (M,); joints_px (N, 17, 2), confidence (N, 17).

    People who share fewer than three joints with a body are infinitely far from it.
    """
    weight = trust[:, None] * confidence[None]
    few = (weight > 0).sum(-1) < 3
    weight = weight / np.maximum(weight.sum(-1, keepdims=True), 1e-9)
    mean, other_mean = np.einsum("mnj,mjd->mnd", weight, people_px), np.einsum("mnj,njd->mnd", weight, joints_px)
    square = np.einsum("mnj,mj->mn", weight, (people_px**2).sum(-1)) - (mean**2).sum(-1)
    other = np.einsum("mnj,nj->mn", weight, (joints_px**2).sum(-1)) - (other_mean**2).sum(-1)
    both = np.einsum("mnj,mjd,njd->mn", weight, people_px, joints_px) - (mean * other_mean).sum(-1)
    least = (0.02 * height_px[:, None]) ** 2
    square, other = np.maximum(square, least), np.maximum(other, least)
    height = height_px[:, None]
    pose = 2 * (square - both * np.sqrt(square / other)) / height**2
    offset = np.where(few[..., None], np.inf, (other_mean - mean) / height[..., None])
    reach = np.minimum(np.sqrt(square) / (SPREAD_HEIGHTS * height), 1)
    return Comparison(offset, 0.5 * np.log(other / square), np.maximum(pose, 0), reach)


def body_heights_px(joints_px: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Standing height (N,) in pixels, guessed from whatever is seen: the torso's length or the spread of the joints."""
    weight = confidence / np.maximum(confidence.sum(1, keepdims=True), 1e-9)
    centre = (joints_px * weight[..., None]).sum(1)
    spread = np.sqrt((((joints_px - centre[:, None]) ** 2).sum(-1) * weight).sum(1))
    torso = np.linalg.norm(joints_px[:, _THORAX] - joints_px[:, _HIP], axis=1)
    torso = np.where((confidence[:, _THORAX] > 0) & (confidence[:, _HIP] > 0), torso, 0)
    return np.maximum(np.maximum(torso / TORSO_HEIGHTS, spread / SPREAD_HEIGHTS), 1.0)


class Identifier:
    """Gives every body of every frame an id; ids count up from 0 and are never given again."""

    def __init__(self, config: IdentifyConfig) -> None:
        self.config = config
        """May be exchanged between frames."""
        from scipy.optimize import linear_sum_assignment  # half a second on a slow machine: not in the first frame

        self._solve = linear_sum_assignment
        self._next_id = 0
        self._people = _People()

    def __len__(self) -> int:
        """How many people are remembered."""
        return len(self._people)

    def predicted_boxes(self, stamp_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Ids (M,) of the remembered people and boxes (M, 4), x0, y0, x1, y1 px, of their joints at `stamp_s`."""
        people = self._people
        rows = np.flatnonzero((people.id >= 0) & (stamp_s - people.seen_s <= self.config.max_gap_s))
        joints_px, shown = people.predict(rows, stamp_s)[0], people.trust[rows, :, None] > 0
        low, high = np.where(shown, joints_px, np.inf).min(1), np.where(shown, joints_px, -np.inf).max(1)
        return people.id[rows], np.concatenate([low, high], 1)

    def update(self, joints_px: np.ndarray, confidence: np.ndarray, stamp_s: float) -> np.ndarray:
        """Ids (N,) int32 of a frame's bodies; -1 for one who shows too little, or lies on another body (`HOLD_S`).

        joints_px (N, 17, 2) and confidence (N, 17), 0 = missing, are finite. ValueError if they are not.
        """
        joints_px, confidence = np.asarray(joints_px, np.float64), np.asarray(confidence, np.float64)
        if not (np.isfinite(joints_px).all() and np.isfinite(confidence).all()):
            raise ValueError("joints_px, confidence: expected finite numbers, got NaN or infinity")
        people = self._people
        people.keep(stamp_s - people.seen_s <= np.where(people.id < 0, HOLD_S, self.config.max_gap_s))
        row = np.full(len(joints_px), -1)  # of each body, the person's
        shown = (confidence > 0).sum(1) >= LEAST_JOINTS
        named = people.id >= 0
        # whoever has an id chooses first; then who moved unlike before, among the bodies that lie on no other
        for who, slack in ((named, 1.0), (named, SLACK), (~named, 1.0)):
            free = np.flatnonzero(shown & (row < 0))
            if slack > 1:
                free = free[~_doubles(free, np.flatnonzero(row >= 0), joints_px, confidence)]
            rows = np.setdiff1d(np.flatnonzero(who), row)
            if len(rows) and len(free):
                matched, bodies = self._match(rows, joints_px[free], confidence[free], stamp_s, slack)
                row[free[bodies]] = rows[matched]
        free = np.flatnonzero(shown & (row < 0))
        row[free] = self._add(joints_px[free], confidence[free], stamp_s)
        self._name(row, joints_px, confidence, stamp_s)
        ids = np.where(row >= 0, people.id[row], -1) if len(people) else np.full(len(row), -1)
        if len(people) > MOST_PEOPLE:
            people.keep(np.argsort(-people.seen_s, kind="stable")[:MOST_PEOPLE])
        return ids.astype(np.int32)

    def _match(
        self, rows: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray, stamp_s: float, slack: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match people (their rows) and bodies as cheaply as possible and correct the people; indices of both.

        slack: how many times farther from the prediction than usual a body may be.
        """
        people = self._people
        predicted_px, place_variance, size_variance = people.predict(rows, stamp_s)
        height_px = body_heights_px(predicted_px, people.trust[rows])
        found = compare(predicted_px, people.trust[rows], height_px, joints_px, confidence)
        sure = np.maximum(confidence.sum(1) / (confidence > 0).sum(1), LEAST_SURE)
        place_noise = np.broadcast_to((slack * PLACE_NOISE / sure) ** 2, found.reach.shape)
        size_noise = (SIZE_NOISE / sure / found.reach) ** 2
        place_total, size_total = place_variance[:, :1] + place_noise, size_variance[:, :1] + size_noise
        cost = (found.offset**2).sum(-1) / place_total + found.log_scale**2 / size_total
        cost += np.minimum(found.pose / POSE_NOISE**2, MOST_POSE_COST)
        # a person whose place is unsure must not take the body of one whose place is sure
        cost += np.log(place_total / PLACE_NOISE**2) + 0.5 * np.log(size_total / SIZE_NOISE**2)
        cost = np.where(np.abs(found.log_scale) < MOST_RESCALE, cost, np.inf)
        matched, bodies = self._solve(np.minimum(cost, NEW_ID_COST))
        good = cost[matched, bodies] < NEW_ID_COST
        matched, bodies = matched[good], bodies[good]
        pair, who = (matched, bodies), rows[matched]
        offset_px = found.offset[pair] * height_px[matched, None]
        rate_gain, people.place_variance[who] = _corrected(place_variance[matched], place_noise[pair])
        people.velocity_px_s[who] += rate_gain[:, None] * offset_px
        rate_gain, people.size_variance[who] = _corrected(size_variance[matched], size_noise[pair])
        people.growth[who] += rate_gain * found.log_scale[pair]
        people.seen_s[who] = stamp_s
        # where a joint is seen for the first time there is nothing to blend with
        share = np.where(confidence[bodies] > 0, np.where(people.trust[who] > 0, BLEND, 1), 0)
        people.joints_px[who] = predicted_px[matched] + share[..., None] * (joints_px[bodies] - predicted_px[matched])
        people.trust[who] += share * (confidence[bodies] - people.trust[who])
        return matched, bodies

    def _add(self, joints_px: np.ndarray, confidence: np.ndarray, stamp_s: float) -> np.ndarray:
        """Begin to follow these bodies; their rows."""
        people, first = self._people, len(self._people)
        if not len(joints_px):
            return np.arange(first, first)
        people.add(
            len(joints_px),
            id=-1,
            alone_s=stamp_s,
            seen_s=stamp_s,
            joints_px=joints_px,
            trust=confidence,
            place_variance=np.array((PLACE_NOISE**2, 0, SPEED**2)),
            size_variance=np.array((SIZE_NOISE**2, 0, RESIZE**2)),
        )
        return np.arange(first, len(people))

    def _name(self, row: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray, stamp_s: float) -> None:
        """Give ids to newcomers who lie on nobody's body, or have done so for long enough."""
        people = self._people
        taken = np.flatnonzero(row >= 0)
        known = people.id[row[taken]] >= 0
        new, others = taken[~known], list(taken[known])
        for body in new[np.argsort(-confidence[new].sum(1), kind="stable")]:
            who = row[body]
            held = stamp_s - people.alone_s[who] < HOLD_S
            if held and _doubles(np.array([body]), np.array(others, int), joints_px, confidence)[0]:
                continue
            people.id[who], self._next_id = self._next_id, self._next_id + 1
            others.append(body)


def _doubles(bodies: np.ndarray, others: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Which of these bodies lie on one of the others, as the same person detected twice does: (len(bodies),) bool."""
    if not len(bodies) or not len(others):
        return np.zeros(len(bodies), bool)
    heights_px = body_heights_px(joints_px[others], confidence[others])
    found = compare(joints_px[others], confidence[others], heights_px, joints_px[bodies], confidence[bodies])
    near = (found.offset**2).sum(-1) < DOUBLE_DISTANCE**2
    return (near & (np.abs(found.log_scale) < DOUBLE_SIZE)).any(0)
