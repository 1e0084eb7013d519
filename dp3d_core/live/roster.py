"""One camera of a stream: its intrinsics, its clock, and who is there. The only place that judges stamps.

Time is the stamps': the wall clock is never read. Knows no network and no ROS.
"""
# P people, K keypoints of the source, J = 17 joints

import reprlib
from collections import Counter, deque
from typing import Any, NamedTuple

import numpy as np

from dp3d_core.config import StreamConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.geometry.camera_track import CameraTrack, Moment, checked_pose
from dp3d_core.geometry.gaps import last_rays
from dp3d_core.geometry.viewpoint import rays_moved
from dp3d_core.live.assignment import IdAssignment
from dp3d_core.live.hints import LOOK_EVERY, Hints
from dp3d_core.live.intake import seconds, take_in
from dp3d_core.live.tracks import Person, Tracks
from dp3d_core.skeleton import JointSet, adapt
from dp3d_core.types import LATE, REPEATED, RESTARTED, USED, Frame, Keypoints, Skeletons

LATE_S = 0.5
"""A frame that lies back less is late, as detectors on several threads are; more, and time itself has jumped."""


class Observations(NamedTuple):
    """What one camera brings to the network's pass: all P people it follows, in the order of their rows."""

    rays: np.ndarray
    """(P, 17, 2)."""
    confidence: np.ndarray
    """(P, 17), 0 for who is not seen."""
    dt_s: list[float]
    """P seconds since each one's last frame; 0 for who is new."""
    step_s: float
    """Seconds from the oldest frame of the last working window to that of this one: what is published moves by it."""
    outcome: str
    """used or restarted."""
    newest: Moment
    """The newest frame's pose and motion of the camera, ..."""
    oldest: Moment
    """... and those of the frame that is answered."""


class Checked(NamedTuple):
    """A frame whose people are packed and judged."""

    stamp_s: float
    keypoints: Keypoints
    tag: Any
    pose: CameraPose | None


class Roster:
    """See the module's head. `number` and `name` are the camera's; `tracks` holds the people of all cameras."""

    def __init__(self, *, number: int, name: Any, camera: Camera, source: JointSet, tracks: Tracks):
        self.number, self.name = number, name
        self.camera = checked_camera(camera)
        self.counters: Counter[str] = Counter()
        self.newest: Any = None
        """The newest frame's answer, of which `Stream.latest` is made; None if there is nobody."""
        self.passes = 0
        """Frames passed through the network, resets or not: the newest one's place in everybody's ring follows."""
        self.keypoints: Keypoints | None = None
        """Those of the last frame that was used, judged and with their ids."""
        self.stamps_s: deque[float] = deque(maxlen=tracks.window)
        """Of the working window, oldest first."""
        self._tags: deque[Any] = deque(maxlen=tracks.window)
        self.people: list[Person] = tracks.people[number]
        self._tracks, self._source = tracks, source
        self._assignment = IdAssignment(self.count)
        self._hints, self._looked = Hints(self.count), 0
        self.track = CameraTrack(tracks.window, self.count)
        self._by_id: dict[Any, Person] = {}
        self._stamp_s: float | None = None
        self._last_camera = camera  # that of the last frame

    @property
    def metric(self) -> bool:
        """False where the camera is assumed."""
        return not self.camera.assumed

    @property
    def answered_tag(self) -> Any:
        """The tag of the frame that is answered now; None while the working window has not filled."""
        return self._tags[0] if len(self._tags) == self._tags.maxlen else None

    @property
    def newest_tag(self) -> Any:
        """The tag of the newest frame."""
        return self._tags[-1] if self._tags else None

    def count(self, cause: str, number: int) -> None:
        """Add to a counter; a cause that never happened is not in it."""
        if number:
            self.counters[cause] += number

    def set_camera(self, camera: Camera) -> None:
        """Use another camera from the next frame on."""
        if checked_camera(camera) != self.camera:
            self.count("camera_changed", 1)
            self.camera = camera

    def reset(self, person_id: Any = None) -> None:
        """Forget one person, or everybody and the clock."""
        if person_id is None:
            for person in list(self.people):
                self._drop(person)
            self._stamp_s = self.newest = self.keypoints = None
            self._assignment.forget()
            self.stamps_s.clear()
            self._tags.clear()
            self.track.forget()
        elif person_id in self._by_id:
            self._drop(self._by_id[person_id])
            self.newest = None

    # --- a frame -----------------------------------------------------------------------------------------------------

    def check(self, frame: Frame | tuple) -> Checked:
        """The frame with its people as `Keypoints`; ValueError where something does not fit. Only counters change."""
        try:
            stamp_s, people, tag, pose = frame if isinstance(frame, Frame) else Frame(*frame)
        except TypeError:
            raise ValueError(f"frame: expected (stamp_s, people), got {reprlib.repr(frame)}") from None
        keypoints = take_in(people, self._source, self.camera.size_px, self.count)
        return Checked(seconds(stamp_s), keypoints, tag, checked_pose(pose))

    def take(self, frame: Checked, config: StreamConfig) -> Observations | Skeletons:
        """Take a checked frame in. Returns the `Skeletons` of nobody where there is nothing to pass on."""
        stamp_s, keypoints, tag, pose = frame
        assert isinstance(keypoints, Keypoints)
        outcome = self._judge_stamp(stamp_s)
        if outcome in (REPEATED, LATE):
            # what comes out never goes back in time
            return Skeletons.empty(self.stamps_s[0], self.metric, None, outcome)
        oldest_s = self.stamps_s[0] if self.stamps_s else stamp_s
        self.stamps_s.append(stamp_s)
        self._tags.append(tag)
        ids, rays, confidence, enough = self._see(keypoints, stamp_s, config)
        self.track.add(pose, stamp_s, rays, confidence)
        self._forget(stamp_s, config)
        self._make_room([person for person, visible in zip(ids or (), enough) if visible], config)
        seen = self._find(ids, enough, stamp_s, config)
        past_s = 0.0 if self._stamp_s is None else stamp_s - self._stamp_s
        self._stamp_s = stamp_s
        last_camera, self._last_camera = self._last_camera, self.camera
        if not self.people:
            self.newest = None
            return Skeletons.empty(self.stamps_s[0], self.metric, self.answered_tag, outcome)
        for person in self.people:
            person.unseen_s.append(stamp_s - person.last_seen_s)
        if seen != self.people:
            rays, confidence = self._in_rows(seen, rays, confidence)
        if last_camera is not self.camera:
            self._restart_if_rays_moved(rays, confidence, last_camera)
        dt_s = [past_s if person.frames else 0.0 for person in self.people]
        return Observations(
            rays, confidence, dt_s, self.stamps_s[0] - oldest_s, outcome, self.track.newest, self.track.oldest
        )

    def _judge_stamp(self, stamp_s: float) -> str:
        """What becomes of the frame; a clock that jumped back (a bag that loops) resets this camera."""
        if self._stamp_s is None or stamp_s > self._stamp_s:
            return USED
        if stamp_s == self._stamp_s:
            self.count("duplicate_stamp", 1)
            return REPEATED
        if self._stamp_s - stamp_s < LATE_S:
            self.count("late_stamp", 1)
            return LATE
        self.count("stream_reset", 1)
        self.reset()
        return RESTARTED

    def _see(self, keypoints: Keypoints, stamp_s: float, config: StreamConfig):
        """Ids, rays (P, 17, 2) with confidence (P, 17), and for each person whether enough joints are seen."""
        trusted = keypoints.confidence >= config.min_confidence
        confidence = keypoints.confidence * trusted
        if not trusted.all():
            unsure = (keypoints.confidence > 0).any(1) & ~trusted.any(1)
            self.count("below_min_confidence", int(unsure.sum()))
        joints_px, trust = adapt(keypoints.xy_px, confidence, self._source)
        if keypoints.ids is None:
            ids, people = self._assignment.assign(joints_px, trust, stamp_s, config)
            joints_px, trust = joints_px[people], trust[people]
            keypoints = Keypoints(ids=tuple(ids), xy_px=keypoints.xy_px[people], confidence=confidence[people])
        self.keypoints = keypoints
        self._looked += 1
        if self._looked % LOOK_EVERY == 0:
            self._hints.look(joints_px, trust, self.camera.size_px)
        rays, trust = self.camera.see(joints_px, trust)
        enough = [number >= config.min_joints for number in (trust > 0).sum(1).tolist()]
        if not all(enough):
            self.count("few_joints", enough.count(False))
        return keypoints.ids, rays, trust, enough

    def _in_rows(self, seen: list[Person | None], rays: np.ndarray, confidence: np.ndarray):
        """A message's rays and confidence (`seen`: the `Person` of each, or None) as rows of all who are followed."""
        first, count = self.people[0].row, len(self.people)
        rows = [person.row - first for person in seen if person is not None]
        taken = [index for index, person in enumerate(seen) if person is not None]
        all_rays, all_confidence = np.zeros((count, 17, 2), np.float32), np.zeros((count, 17), np.float32)
        all_rays[rows], all_confidence[rows] = rays[taken], confidence[taken]
        return all_rays, all_confidence

    def _restart_if_rays_moved(self, rays: np.ndarray, confidence: np.ndarray, last_camera: Camera) -> None:
        """After a change of camera: all start afresh if their rays (P, 17, 2) moved."""
        tracks, first = self._tracks, self.people[0].row
        before, ever = last_rays(tracks.gaps[first : first + len(self.people)])
        if rays_moved(before[ever], rays[ever], confidence[ever] > 0, last_camera, self.camera):
            for person in self.people:
                tracks.restart(person)

    # --- who is there ------------------------------------------------------------------------------------------------

    def _forget(self, stamp_s: float, config: StreamConfig) -> None:
        """Drop people who have not been seen for longer than reset_after_s."""
        for person in [person for person in self.people if stamp_s - person.last_seen_s > config.reset_after_s]:
            self._drop(person)

    def _make_room(self, visible: list, config: StreamConfig) -> None:
        """Where new people would not fit, drop who has been unseen longest; nobody visible is dropped."""
        most = config.max_people
        if len(self.people) + len(visible) <= most:
            return
        visible_ids = set(visible)
        lacking = len(self.people) + len(visible_ids.difference(self._by_id)) - most
        if lacking > 0:
            unseen = [person for person in self.people if person.name not in visible_ids]
            longest = sorted(unseen, key=lambda person: person.last_seen_s)[:lacking]
            for person in longest:
                self._drop(person)
            self.count("unseen_displaced", len(longest))

    def _find(self, ids, enough: list[bool], stamp_s: float, config: StreamConfig) -> list[Person | None]:
        """The `Person` of each id in the message, new or known; None for who has too few joints or no room."""
        found = []
        for name, visible in zip(ids, enough):
            person = self._by_id.get(name) if visible else None
            if visible and person is None:
                if len(self.people) < config.max_people:
                    person = self._by_id[name] = self._tracks.add(self.number, name, stamp_s)
                else:
                    self.count("too_many_people", 1)
            if person is not None:
                person.last_seen_s = stamp_s
            found.append(person)
        return found

    def _drop(self, person: Person) -> None:
        del self._by_id[person.name]
        self._tracks.remove(self.number, person)


def checked_camera(camera: Camera) -> Camera:
    """`camera`; ValueError if it is none."""
    if not isinstance(camera, Camera):
        raise ValueError(f"camera: expected a Camera, got {type(camera).__name__}; Camera.from_fov makes a guess")
    return camera
