"""A live stream of one camera: `push` each frame's keypoints of everybody, get everybody's skeleton in metres back.

This file knows one camera's clock, who is who, and what is published; what all cameras share, one network pass over
all people, is in `batch.py`. Time is the stamps': the wall clock is never read. Knows no ROS.
"""
# P people in this frame, K keypoints of the source, J = 17 joints

from collections import Counter, deque
from typing import NamedTuple

import numpy as np

from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.gaps import last_rays
from dp3d_core.geometry.viewpoint import rays_moved
from dp3d_core.live.intake import Intake, seconds
from dp3d_core.skeleton import adapt
from dp3d_core.types import Skeletons

LATE_S = 0.5
"""A frame that lies back less is late, as detectors on several threads are; more, and time itself has jumped."""


class Arrival(NamedTuple):
    """A checked frame that has changed nothing yet."""

    stamp_s: float
    nameless: bool
    ids: list
    keypoints_px: np.ndarray
    """(P, K, 2)."""
    confidence: np.ndarray
    """(P, K)."""


class Sight(NamedTuple):
    """What one camera brings to the network's pass: all P people it follows, in the order of their rows."""

    rays: np.ndarray
    """(P, 17, 2)."""
    confidence: np.ndarray
    """(P, 17), 0 for who is not seen."""
    dt_s: list
    """P seconds since each one's last frame; 0 for who is new."""
    step_s: float
    """Seconds from the oldest frame of the last working window to that of this one: what is published moves by it."""


class Stream:
    """See the module's head; made by `Lifter.stream`, or several that share their passes by `Lifter.streams`.

    `counters` counts by cause what was dropped or mended: not_finite, confidence_out_of_range, few_joints,
    too_many_people, unseen_displaced, duplicate_stamp, late_stamp, stream_reset, camera_changed, unsolved_root,
    not_finite_answer.
    """

    def __init__(self, *, batch, number, name, camera, joint_set):
        self.name, self.number = name, number
        self.camera = checked_camera(camera)
        self._last_camera = camera  # that of the last frame
        self.counters = Counter()
        self.newest = None
        """What `latest` is made of; the batch puts it here."""
        self.frames = 0
        """Frames passed through the network, resets or not: it says the newest one's place in everybody's ring."""
        self.window_stamps_s = deque(maxlen=batch.config.lookahead + 1)
        self._batch = batch
        self._intake = Intake(joint_set, self.count)
        self._people = batch.tracks.people[number]
        self._known = {}
        self._stamp_s = None

    def push(self, stamp_s, people):
        """Take one frame in and return the skeletons of the frame `lookahead` pushes ago.

        stamp_s seconds on the source's clock; people {id: (keypoints_px (K, 2), confidence (K,))}, with confidence 0
        for a missing keypoint; leave out who was not detected. Where the source has no ids, people is a list of such
        pairs, and ids are assigned by overlap from frame to frame, counting up from 0. Returns `Skeletons`; with a
        lookahead they are empty until a person has been here for lookahead + 1 frames. `latest` is the zero-lag
        estimate. Arrays of another shape or not of numbers, and a stamp that is no finite number, raise ValueError;
        everything else is mended and counted. For several cameras at once, see `Streams.push`.
        """
        return self._batch.push({self.name: (stamp_s, people)})[self.name]

    @property
    def config(self):
        """The `StreamConfig`, the same for all cameras of a batch."""
        return self._batch.config

    @property
    def metric(self):
        """False where the camera is assumed."""
        return not self.camera.assumed

    @property
    def latest(self):
        """The newest frame's zero-lag `Skeletons`; with lookahead 0 what `push` returned.

        None before any person and after a reset.
        """
        if self.newest is None or self.config.lookahead == 0:
            return self.newest
        return self._batch.ahead(self)

    def set_camera(self, camera):
        """Use another camera from now on.

        People who are then seen along the same rays (a zoom, an image of another size) go on; where their rays moved (a
        calibration that was mended) all start afresh and keep their ids: what was filtered stood elsewhere.
        """
        if checked_camera(camera) != self.camera:
            self.count("camera_changed", 1)
            self.camera = camera

    def reset(self, person_id=None):
        """Forget one person (by the id given to `push`), or everybody and the clock; other cameras are untouched."""
        if person_id is None:
            for person in list(self._people):
                self._drop(person)
            self._stamp_s = self.newest = None
            self._intake.forget()
            self.window_stamps_s.clear()
        elif person_id in self._known:
            self._drop(self._known[person_id])
            self.newest = None

    def configure(self, **options):
        """Change options that are `live` while running, for all cameras of a batch; ValueError refuses the others."""
        self._batch.configure(**options)

    def count(self, cause, number):
        """Add to a counter; a cause that never happened is not in it."""
        if number:
            self.counters[cause] += number

    # --- the parts of a frame, called by the batch -----------------------------------------------------------------

    def check(self, stamp_s, people):
        """An `Arrival`; ValueError as in `push`. Nothing changes but the counters."""
        return Arrival(seconds(stamp_s), not isinstance(people, dict), *self._intake.check(people))

    def take(self, arrival):
        """Take a frame in. Returns its `Sight`, or the `Skeletons` of nobody where there is nothing to pass on."""
        stamp_s = arrival.stamp_s
        if not self._clock(stamp_s):
            return Skeletons.empty(self.window_stamps_s[0], self.metric)  # what comes out never goes back in time
        oldest_s = self.window_stamps_s[0] if self.window_stamps_s else stamp_s
        self.window_stamps_s.append(stamp_s)
        ids, rays, confidence, enough = self._look(arrival)
        self._forget(stamp_s)
        self._make_room([person for person, visible in zip(ids, enough) if visible])
        seen = self._meet(ids, enough, stamp_s)
        past_s = 0.0 if self._stamp_s is None else stamp_s - self._stamp_s
        self._stamp_s = stamp_s
        last_camera, self._last_camera = self._last_camera, self.camera
        if not self._people:
            self.newest = None
            return Skeletons.empty(self.window_stamps_s[0], self.metric)
        for person in self._people:
            person.unseen_s.append(stamp_s - person.last_seen_s)
        if seen != self._people:
            rays, confidence = self._in_rows(seen, rays, confidence)
        if last_camera is not self.camera:
            self._settle(rays, confidence, last_camera)
        dt_s = [past_s if person.frames else 0.0 for person in self._people]
        return Sight(rays, confidence, dt_s, self.window_stamps_s[0] - oldest_s)

    def _look(self, arrival):
        """Ids, rays (P, 17, 2) with confidence (P, 17), and for each person whether enough joints are seen."""
        config, ids, keypoints_px, confidence = self.config, *arrival[2:]
        confidence = confidence * (confidence >= config.min_confidence)
        if arrival.nameless:
            ids, keypoints_px, confidence = self._intake.assign(keypoints_px, confidence, arrival.stamp_s, config)
        joints_px, confidence = adapt(keypoints_px, confidence, self._intake.source)
        rays, confidence = self.camera.see(joints_px, confidence)
        enough = [number >= config.min_joints for number in (confidence > 0).sum(1).tolist()]
        self.count("few_joints", enough.count(False))
        return ids, rays, confidence, enough

    def _in_rows(self, seen, rays, confidence):
        """What the people of a message show (`seen`: each one's `Person`, or None) as rows of all who are followed."""
        first, count = self._people[0].row, len(self._people)
        rows = [person.row - first for person in seen if person is not None]
        taken = [index for index, person in enumerate(seen) if person is not None]
        all_rays, all_confidence = np.zeros((count, 17, 2), np.float32), np.zeros((count, 17), np.float32)
        all_rays[rows], all_confidence[rows] = rays[taken], confidence[taken]
        return all_rays, all_confidence

    def _clock(self, stamp_s):
        """False if this frame must be dropped; a clock that jumped back (a bag that loops) resets the stream."""
        if self._stamp_s is None or stamp_s > self._stamp_s:
            return True
        if stamp_s == self._stamp_s:
            self.count("duplicate_stamp", 1)
            return False
        if self._stamp_s - stamp_s < LATE_S:
            self.count("late_stamp", 1)
            return False
        self.count("stream_reset", 1)
        self.reset()
        return True

    def _settle(self, rays, confidence, last_camera):
        """After a change of camera: all start afresh if their rays (P, 17, 2) moved."""
        tracks, first = self._batch.tracks, self._people[0].row
        before, ever = last_rays(tracks.gaps[first : first + len(self._people)])
        if rays_moved(before[ever], rays[ever], confidence[ever] > 0, last_camera, self.camera):
            for person in self._people:
                tracks.restart(person)

    def _forget(self, stamp_s):
        """Drop people who have not been seen for longer than reset_after_s."""
        limit_s = self.config.reset_after_s
        for person in [person for person in self._people if stamp_s - person.last_seen_s > limit_s]:
            self._drop(person)

    def _make_room(self, visible):
        """Where new people would not fit, drop who has been unseen longest; nobody visible is dropped."""
        most = self.config.max_people
        if len(self._people) + len(visible) <= most:
            return
        visible = set(visible)
        lacking = len(self._people) + len(visible.difference(self._known)) - most
        if lacking > 0:
            unseen = [person for person in self._people if person.name not in visible]
            longest = sorted(unseen, key=lambda person: person.last_seen_s)[:lacking]
            for person in longest:
                self._drop(person)
            self.count("unseen_displaced", len(longest))

    def _meet(self, ids, enough, stamp_s):
        """The `Person` of each id in the message; None for who has too few joints or no room."""
        met = []
        for name, visible in zip(ids, enough):
            person = self._known.get(name) if visible else None
            if visible and person is None:
                if len(self._people) < self.config.max_people:
                    person = self._known[name] = self._batch.tracks.add(self.number, name, stamp_s)
                else:
                    self.count("too_many_people", 1)
            if person is not None:
                person.last_seen_s = stamp_s
            met.append(person)
        return met

    def _drop(self, person):
        del self._known[person.name]
        self._batch.tracks.remove(self.number, person)


def checked_camera(camera):
    """`camera`; ValueError if it is none."""
    if not isinstance(camera, Camera):
        raise ValueError(f"camera: expected a Camera, got {type(camera).__name__}; Camera.from_fov makes a guess")
    return camera
