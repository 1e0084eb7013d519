"""Ids for people of a source that has none, frame by frame; who is who, `identify.py` decides."""
# P people, J = 17 joints

from collections.abc import Callable

import numpy as np

from dp3d_core.config import StreamConfig
from dp3d_core.live.identify import LEAST_JOINTS, Identifier, IdentifyConfig

CROWD = 4
"""People beyond so many times `max_people` are not even given ids: the assignment would stall the stream."""


class IdAssignment:
    """Remembers the people of one camera; ids count up from 0. `count(cause, number)` reports who is left out."""

    def __init__(self, count: Callable[[str, int], None]):
        self._count = count
        self._identifier: Identifier | None = None

    def forget(self) -> None:
        """Start the ids afresh."""
        self._identifier = None

    def assign(
        self, joints_px: np.ndarray, confidence: np.ndarray, stamp_s: float, config: StreamConfig
    ) -> tuple[list[int], np.ndarray]:
        """Ids of those who get one, and their places among the people; joints (P, 17, 2), confidence (P, 17).

        Left out is who shows fewer than three joints, who is too many (`CROWD`), and for a moment who lies on somebody
        else, as one body detected twice does.
        """
        identify = IdentifyConfig(max_gap_s=config.reset_after_s)
        if self._identifier is None:
            self._identifier = Identifier(identify)
        self._identifier.config = identify
        shown = (confidence > 0).sum(1) >= LEAST_JOINTS
        self._count("few_joints", int((~shown).sum()))
        chosen = self._not_too_many(np.flatnonzero(shown), joints_px, confidence, stamp_s, CROWD * config.max_people)
        ids = self._identifier.update(joints_px[chosen], confidence[chosen], stamp_s)
        self._count("doubled_body", int((ids < 0).sum()))
        return ids[ids >= 0].tolist(), chosen[ids >= 0]

    def _not_too_many(
        self, people: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray, stamp_s: float, most: int
    ) -> np.ndarray:
        """At most about `most` of these people: who is nearest to somebody known, and the best seen."""
        if len(people) <= most:
            return people
        best = people[np.argsort(-confidence[people].sum(1), kind="stable")[:most]]
        visible = (confidence[people] > 0)[..., None]
        low = np.where(visible, joints_px[people], np.inf).min(1)
        high = np.where(visible, joints_px[people], -np.inf).max(1)
        assert self._identifier is not None
        _, boxes = self._identifier.predicted_boxes(stamp_s)
        x, y = (boxes[:, :2] + boxes[:, 2:]).T[:, :, None] - (low + high).T[:, None]
        nearest = people[(x * x + y * y).argmin(1)] if len(boxes) else people[:0]
        chosen = np.union1d(nearest, best)
        self._count("too_many_people", len(people) - len(chosen))
        return chosen
