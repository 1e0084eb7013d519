"""What an integrator most likely did wrong, read from one camera's counters: pure functions of what was counted.

Each finding is a cause and a sentence that says what is seen and what to do.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

SILENT_S = 5.0
"""After so long without input, or without a publisher, something is said."""
CAMERA_CHANGES = 3
HISTORY = 10
"""So many CameraInfos that differ within so many looks come of two cameras on one topic."""
PACE = 8.0
"""Stamps that advance so many times as fast as the clock are no seconds; replaying is slower than that."""

Finding = tuple[str, str]


class Look(NamedTuple):
    """What is known at one moment, about once a second."""

    clock_s: float
    """Of the node; simulated time counts."""
    steady_s: float
    """Of a clock that never jumps."""
    values: Mapping[str, Any]
    """As the diagnostics publish them."""
    stamp_s: float | None
    """The newest stamp that came in."""
    unheard: tuple[str, ...]
    """Topics without a publisher."""


NOBODY_COMES_OUT = {
    "stream.normalised_pixel": "the keypoints are shares of the picture (0 to 1): multiply by its width and height",
    "stream.below_min_confidence": "all scores are below min_confidence ({min_confidence:g}): lower it",
    "stream.not_finite": "the pixels are NaN, Inf or beyond a million",
    "stream.placeholder_pixel": "the keypoints are at (0, 0) or (-1, -1): the detector sees nobody",
    "stream.border_pixel": "the keypoints are clamped to the picture's border",
    "stream.few_joints": "fewer than min_joints ({min_joints}) joints are visible; is joint_set ({joint_set}) right?",
    "stream.unsolved_root": "the distance cannot be solved; are camera_info and joint_set ({joint_set}) right?",
}
"""Why people that come in do not come out, the more telling first."""


class Advisor:
    """Remembers the last looks of one camera since it was activated. options: what texts name, see above."""

    def __init__(self, options: Callable[[], Mapping[str, Any]]):
        self._options = options
        self._looks: deque[Look] = deque(maxlen=HISTORY)
        self._heard_s: float | None = None

    def forget(self) -> None:
        """Start afresh, as after an activation."""
        self._looks.clear()
        self._heard_s = None

    def findings(self, look: Look) -> list[Finding]:
        """What to say after this look, the gravest first."""
        before, oldest = (self._looks[-1], self._looks[0]) if self._looks else (look, look)
        self._looks.append(look)
        new, lately = _since(before, look), _since(oldest, look)
        if self._heard_s is None or new("messages_in"):
            self._heard_s = look.steady_s
        silent_s = look.steady_s - self._heard_s
        options = self._options()
        return [
            *_silence(look, silent_s),
            *_nobody(new, options),
            *_pixels(new, options),
            *_people(new, lately, options),
            *_pace(before, look, new),
        ]


def _since(before: Look, now: Look) -> Callable[[str], int]:
    """new(key): by how much a counter has grown."""
    return lambda key: now.values.get(key, 0) - before.values.get(key, 0)


def _silence(look: Look, silent_s: float):
    if silent_s < SILENT_S:
        return
    for topic in look.unheard:
        yield f"no_publisher{topic}", f"nobody publishes {topic}: is it remapped, is the other node running?"
    if not look.unheard:
        yield "no_input", f"no keypoints have come for {silent_s:.0f} s, though somebody publishes them"


def _nobody(new: Callable[[str], int], options: Mapping[str, Any]):
    if new("frames_out") < 3 or new("people_in") < 3 or new("skeletons_out"):
        return
    causes = [cause for cause in NOBODY_COMES_OUT if new(cause)]
    text = f"{new('people_in')} people came in and none came out: "
    if not causes:
        yield "nobody_comes_out", text + "see the counters"
        return
    yield "nobody_comes_out", text + NOBODY_COMES_OUT[causes[0]].format(**options)


def _pixels(new: Callable[[str], int], options: Mapping[str, Any]):
    if new("stream.confidence_out_of_range") > new("people_in") > 0:
        yield "scores_beyond_1", "scores are above 1 and used as 1: divide them by 100 if they are percent"
    if new("stream.normalised_pixel"):
        yield "normalised_pixels", "keypoints are shares of the picture (0 to 1): multiply by its width and height"
    if new("stream.within_half_picture"):
        yield (
            "within_half_picture",
            "no keypoint was ever beyond half of the picture of CameraInfo: of which picture size are they? set "
            "image_width_px and image_height_px",
        )
    if new("stream.outside_picture"):
        yield (
            "outside_picture",
            "most keypoints lie outside the picture of CameraInfo: of which picture size are they? set image_width_px "
            "and image_height_px",
        )
    if new("stream.odd_bones"):
        yield (
            "odd_bones",
            f"limbs are unlike those of people: is joint_set ({options['joint_set']}) that of the detector?",
        )


def _people(new: Callable[[str], int], lately: Callable[[str], int], options: Mapping[str, Any]):
    if new("stream.too_many_people"):
        yield "too_many_people", f"more than max_people ({options['max_people']}) people: raise it"
    if lately("odd.camera_changed") >= CAMERA_CHANGES:
        yield (
            "camera_keeps_changing",
            f"CameraInfo changed {lately('odd.camera_changed')} times in the last seconds: do two cameras publish "
            "on one topic? people start afresh each time",
        )


def _pace(before: Look, look: Look, new: Callable[[str], int]):
    if before.stamp_s is None or look.stamp_s is None or new("odd.clock_jumped_back") or new("messages_in") < 3:
        return
    passed_s, advanced_s = look.clock_s - before.clock_s, look.stamp_s - before.stamp_s
    if not 0.2 < passed_s < 10 or advanced_s < 0:
        return
    if advanced_s > PACE * passed_s or advanced_s < passed_s / 50:
        yield (
            "stamps_are_no_seconds",
            f"stamps advanced by {advanced_s:.3g} s in {passed_s:.1f} s: are they frame numbers or milliseconds? "
            "copy the stamp of the image",
        )
