"""A live stream: `push` each frame's keypoints of everybody, get everybody's skeleton in metres back.

One network pass a frame over all people. Time is the stamps': the wall clock is never read. Knows no ROS.
"""
# P people in this frame, K keypoints of the source, J = 17 joints, W = lookahead + 1 rows of the working window

from collections import Counter, deque
from dataclasses import replace
from math import isfinite

import numpy as np

from dp3d_core.camera import Camera, follow, person_view
from dp3d_core.diffusion import triangular_levels
from dp3d_core.intake import Intake
from dp3d_core.model.attention import ROTARY_PERIOD_S
from dp3d_core.model.prompts import POOL_TIMES_S
from dp3d_core.observation import observe
from dp3d_core.root import HEIGHT_SIGMA, KNOWN_HEIGHT_SIGMA, solve
from dp3d_core.skeleton import adapt, joint_set
from dp3d_core.tracks import Tracks
from dp3d_core.types import Skeletons

UNSEEN_SPEED_M_S = 0.25
"""How fast the standard deviation of a joint grows while its person is not seen."""
_POOL_TIMES_S = np.array(POOL_TIMES_S)


def _checked(camera):
    if not isinstance(camera, Camera):
        raise ValueError(f"camera: expected a Camera, got {type(camera).__name__}; Camera.from_fov makes a guess")
    return camera


class Stream:
    """See the module's head; made by `Lifter.stream`. `config` is a `StreamConfig`.

    `counters` counts by cause what was dropped or mended: not_finite, confidence_out_of_range, few_joints,
    too_many_people, unseen_displaced, duplicate_stamp, late_stamp, stream_reset, camera_changed, unsolved_root.
    """

    def __init__(self, *, backend, model, groups, actions, temperature, camera, config):
        self.config = config
        self.camera = _checked(camera)
        self.counters = Counter()
        self._backend, self._actions = backend, actions
        self._sigma_unit_m = np.float32(temperature * model.pose_scale_m)
        self._pose_unit_m = np.float32(model.pose_scale_m)
        self._intake = Intake(joint_set(config.joint_set), self._count)
        self._levels = triangular_levels(config.lookahead).numpy()
        self._tracks = Tracks(model, groups, config.max_people, config.lookahead + 1)
        self._stamp_s = None
        self._window_stamps_s = deque(maxlen=config.lookahead + 1)
        self._newest = None

    def push(self, stamp_s, people):
        """Take one frame in and return the skeletons of the frame `lookahead` pushes ago.

        stamp_s seconds on the source's clock; people {id: (keypoints_px (K, 2), confidence (K,))}, with confidence 0
        for a missing keypoint; leave out who was not detected. Where the source has no ids, people is a list of such
        pairs, and ids are assigned by overlap from frame to frame, counting up from 0. Returns `Skeletons`; with a
        lookahead they are empty until a person has been here for lookahead + 1 frames. `latest` is the zero-lag
        estimate. Misshapen arrays and a stamp that is not finite raise ValueError; everything else is mended and
        counted.
        """
        if not isfinite(stamp_s):
            raise ValueError(f"stamp_s: expected finite seconds, got {stamp_s!r}")
        nameless = not isinstance(people, dict)
        ids, keypoints_px, confidence = self._intake.check(dict(enumerate(people)) if nameless else people)
        if not self._clock(stamp_s):
            return Skeletons.empty(stamp_s, self._metric)
        self._window_stamps_s.append(stamp_s)
        if nameless:
            ids, keypoints_px, confidence = self._intake.assign(keypoints_px, confidence)
        tracks, config = self._tracks, self.config
        joints_px, confidence = adapt(keypoints_px, confidence, self._intake.source)
        confidence[confidence < config.min_confidence] = 0
        enough = (confidence > 0).sum(1) >= config.min_joints
        self._count("few_joints", int((~enough).sum()))

        self._forget(stamp_s)
        self._make_room([person for person, visible in zip(ids, enough) if visible])
        rows = self._rows(ids, enough, stamp_s)
        count = len(tracks)
        if count == 0:
            self._stamp_s, self._newest = stamp_s, None
            return Skeletons.empty(self._window_stamps_s[0], self._metric)
        rays, seen_confidence = np.zeros((count, 17, 2), np.float32), np.zeros((count, 17), np.float32)
        taken = rows >= 0
        rays[rows[taken]] = self.camera.rays(joints_px[taken])
        seen_confidence[rows[taken]] = confidence[taken]

        dt_s = np.where(tracks.frames[:count] > 0, stamp_s - tracks.stamp_s[:count, -1], 0.0).astype(np.float32)
        output_before_s = tracks.stamp_s[:count, 0].copy()
        self._look(rays, seen_confidence, dt_s, stamp_s, count)
        logits = self._denoise(dt_s, count)
        self._stamp_s = stamp_s
        # what is placed is the oldest row: its time moves by the interval of `lookahead` pushes ago
        step_s = (tracks.stamp_s[:count, 0] - output_before_s).astype(np.float32)
        return self._place(stamp_s, step_s, logits, count)

    @property
    def latest(self):
        """The newest frame's zero-lag `Skeletons`; with lookahead 0 what `push` returned.

        None before any person and after a reset.
        """
        if self._newest is None or self.config.lookahead == 0:
            return self._newest
        return self._ahead(*self._newest)

    def set_camera(self, camera):
        """Use another camera from now on; people are kept: their poses do not depend on the camera."""
        if _checked(camera) != self.camera:
            self._count("camera_changed", 1)
            self.camera = camera

    def reset(self, person_id=None):
        """Forget one person (by the id given to `push`), or everybody and the clock."""
        if person_id is None:
            self._tracks.ids.clear()
            self._stamp_s = self._newest = None
            self._intake.forget()
            self._window_stamps_s.clear()
        elif person_id in self._tracks.ids:
            self._tracks.remove(self._tracks.ids.index(person_id))
            self._newest = None

    def configure(self, **options):
        """Change options that are `live` while running; ValueError refuses the others."""
        for name in options:
            item = next((f for f in self.config.__dataclass_fields__.values() if f.name == name), None)
            if item is None or not item.metadata["live"]:
                raise ValueError(f"{name}: cannot change while the stream runs; make a new stream")
        self.config = replace(self.config, **options)

    @property
    def _metric(self):
        return not self.camera.assumed

    def _count(self, cause, number):
        if number:
            self.counters[cause] += number

    def _clock(self, stamp_s):
        """False if this frame must be dropped; a clock that jumped back (a bag that loops) resets the stream."""
        if self._stamp_s is None or stamp_s > self._stamp_s:
            return True
        if stamp_s == self._stamp_s:
            self._count("duplicate_stamp", 1)
            return False
        if self._stamp_s - stamp_s < self.config.reset_after_s:
            self._count("late_stamp", 1)
            return False
        self._count("stream_reset", 1)
        self.reset()
        return True

    def _forget(self, stamp_s):
        """Drop people who have not been seen for longer than reset_after_s."""
        tracks = self._tracks
        for row in reversed(range(len(tracks))):
            if stamp_s - tracks.last_seen_s[row] > self.config.reset_after_s:
                tracks.remove(row)

    def _make_room(self, visible):
        """Where new people would not fit, drop who has been unseen longest; nobody visible is dropped."""
        tracks, visible = self._tracks, set(visible)
        lacking = len(tracks) + len(visible.difference(tracks.ids)) - self.config.max_people
        if lacking <= 0:
            return
        unseen = [row for row, person in enumerate(tracks.ids) if person not in visible]
        longest = sorted(unseen, key=lambda row: tracks.last_seen_s[row])[:lacking]
        for row in sorted(longest, reverse=True):
            tracks.remove(row)
        self._count("unseen_displaced", len(longest))

    def _rows(self, ids, enough, stamp_s):
        """The row of each person in the message, (P,); -1 for who has too few joints or no room."""
        tracks = self._tracks
        known = {person: row for row, person in enumerate(tracks.ids)}
        rows = np.full(len(ids), -1)
        for index, person in enumerate(ids):
            if not enough[index]:
                continue
            if person in known:
                rows[index] = known[person]
            elif len(tracks) < self.config.max_people:
                rows[index] = tracks.add(person, stamp_s)
            else:
                self._count("too_many_people", 1)
                continue
            tracks.last_seen_s[rows[index]] = stamp_s
        return rows

    def _look(self, rays, confidence, dt_s, stamp_s, count):
        """Follow each person with the virtual camera and put the new frame at the end of the working windows."""
        tracks = self._tracks
        view, weight = person_view(rays, confidence, np)
        state = follow(view, weight.astype(np.float32), tracks.view[:count], dt_s, np)
        tracks.view[:count] = state
        tracks.shift(count)
        tracks.seen[:count, -1], tracks.rotation[:count, -1], tracks.rays[:count, -1] = observe(
            rays, confidence, state, np
        )
        tracks.stamp_s[:count, -1] = stamp_s
        tracks.unseen_s[:count, -1] = stamp_s - tracks.last_seen_s[:count]
        tracks.clean[:count, -1] = 0

    def _denoise(self, dt_s, count):
        """One pass over the working windows; fills `tracks.clean` and the memory, returns log variance and actions."""
        tracks, window = self._tracks, self._tracks.window
        tracks.filled[:count, -window:] = np.arange(window, 0, -1) <= (tracks.frames[:count, None] + 1)
        # rows under refinement start from their last estimate at the noise level of their age; the noise is zero
        noisy = tracks.clean[:count] * (1 - self._levels)[:, None, None]
        decay = np.exp(-dt_s[:, None] / _POOL_TIMES_S).astype(np.float32)
        phase = (tracks.stamp_s[:count] % ROTARY_PERIOD_S).astype(np.float32)
        clean, log_variance, logits, keys, values, pooled = self._backend.step(
            noisy, tracks.seen[:count], np.broadcast_to(self._levels, (count, window)).copy(), phase,
            tracks.keys[:count], tracks.values[:count], tracks.filled[:count], tracks.pooled[:count], decay,
        )  # fmt: skip
        tracks.clean[:count] = clean
        tracks.remember(count, keys, values, pooled)
        return log_variance, logits

    def _place(self, stamp_s, step_s, output, count):
        """The oldest row of the working windows, in metres in the camera."""
        tracks, config = self._tracks, self.config
        log_variance, logits = output
        actions = self._name_actions(logits)
        rows = slice(0, count)
        pose_m = tracks.clean[rows, 0] * self._pose_unit_m
        sigma_m = self._sigma(log_variance[:, 0], tracks.unseen_s[rows, 0])
        # a person's first output frame starts its filter and bone lengths; until then its rows hold nothing
        ready = tracks.frames[rows] >= tracks.window
        there = np.flatnonzero(ready)
        tracks.bones.update(there, pose_m[there], sigma_m[there], step_s[there])
        tracks.root.predict(rows, step_s)
        joints_cam_m, root_sigma_m = self._metres(tracks.root, tracks.bones, pose_m, sigma_m, 0, step_s, ready, count)
        self._newest = (stamp_s, log_variance, actions, count)
        shown = ready & tracks.root.started[rows] & (tracks.unseen_s[rows, 0] <= config.predict_for_s)
        chosen = np.flatnonzero(shown)
        skeletons = self._skeletons(self._window_stamps_s[0], chosen, joints_cam_m, sigma_m, root_sigma_m, 0, actions)
        if config.lookahead == 0:
            self._newest = skeletons
        return skeletons

    def _metres(self, roots, bones, pose_m, sigma_m, row, dt_s, ready, count):
        """Bone lengths, closed-form root, filter and turn to the camera: (P, 17, 3) metres and depth sigma (P,)."""
        tracks, config = self._tracks, self.config
        rows = slice(0, count)
        pose_m = bones.apply(rows, pose_m, config.person_height_m)
        rotation = tracks.rotation[rows, row]
        root, variance, solved = solve(pose_m, tracks.rays[rows, row], tracks.seen[rows, row, :, 2], sigma_m)
        turned = np.einsum("pij,pi->pj", rotation, root)
        if row == 0:  # not where `latest` only looks ahead
            self._count("unsolved_root", int((ready & ~solved & (tracks.unseen_s[rows, row] == 0)).sum()))
        # behind the image plane there is no bearing; such a person coasts
        solved &= ready & (turned[:, 2] > 0.1)
        # a person's first frame has no interval: count it as one of 30 a second
        roots.correct(rows, turned, variance, solved, np.where(dt_s > 0, dt_s, 1 / 30))
        height_sigma = KNOWN_HEIGHT_SIGMA if config.person_height_m > 0 else HEIGHT_SIGMA
        place, root_sigma_m = roots.root(rows, height_sigma)
        joints_cam_m = np.einsum("pij,pki->pkj", rotation, pose_m) + place[:, None]
        return joints_cam_m.astype(np.float32), root_sigma_m.astype(np.float32)

    def _sigma(self, log_variance, unseen_s):
        """(P, 17) metres: the network's, growing while unseen; the root has none about itself."""
        sigma_m = np.exp(0.5 * log_variance) * self._sigma_unit_m
        sigma_m = np.sqrt(sigma_m**2 + (UNSEEN_SPEED_M_S * unseen_s[:, None]) ** 2).astype(np.float32)
        sigma_m[:, 0] = 0
        return sigma_m

    def _name_actions(self, logits):
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        probability = shifted / shifted.sum(1, keepdims=True)
        best = probability.argmax(1)
        return [
            self._actions[index] if probability[row, index] > 0.5 else None for row, index in enumerate(best.tolist())
        ]

    def _skeletons(self, stamp_s, chosen, joints_cam_m, sigma_m, root_sigma_m, row, actions):
        tracks = self._tracks
        return Skeletons(
            stamp_s=stamp_s, ids=tuple(tracks.ids[index] for index in chosen), joints_cam_m=joints_cam_m[chosen],
            sigma_m=sigma_m[chosen], root_sigma_m=root_sigma_m[chosen],
            predicted=tracks.unseen_s[chosen, row] > 0, actions=tuple(actions[index] for index in chosen),
            metric=self._metric,
        )  # fmt: skip

    def _ahead(self, stamp_s, log_variance, actions, count):
        """The newest rows, placed by copies of the filters that run ahead of the output's."""
        from copy import deepcopy

        tracks = self._tracks
        rows = slice(0, count)
        roots = deepcopy(tracks.root)
        sigma_m = self._sigma(log_variance[:, -1], tracks.unseen_s[rows, -1])
        span_s = tracks.stamp_s[rows, -1] - tracks.stamp_s[rows, 0]
        roots.predict(rows, np.where(tracks.frames[rows] >= tracks.window, span_s, 0.0))
        pose_m = tracks.clean[rows, -1] * self._pose_unit_m
        everybody = np.ones(count, bool)
        joints_cam_m, root_sigma_m = self._metres(
            roots, tracks.bones, pose_m, sigma_m, -1, np.full(count, 1 / 30), everybody, count
        )
        chosen = np.flatnonzero(roots.started[rows] & (tracks.unseen_s[rows, -1] <= self.config.predict_for_s))
        return self._skeletons(stamp_s, chosen, joints_cam_m, sigma_m, root_sigma_m, -1, actions)
