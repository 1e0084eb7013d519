"""The streams of one or of several cameras, whose people are the rows of one batch: one network pass for all of them.

Follow (the virtual camera), denoise (the network), place (metres). Each camera has its own intrinsics, clock, ids and
counters in its `Stream`; a camera that is not pushed is not touched. Knows no ROS.
"""
# P people of this pass, J = 17 joints, W = lookahead + 1 rows of the working window

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from math import exp

import numpy as np

from dp3d_core.geometry.gaps import bridge
from dp3d_core.geometry.root import HEIGHT_SIGMA, KNOWN_HEIGHT_SIGMA, solve
from dp3d_core.geometry.viewpoint import look
from dp3d_core.live.streaming import Stream
from dp3d_core.live.tracks import Tracks
from dp3d_core.model.attention import ROTARY_PERIOD_S
from dp3d_core.model.diffusion import triangular_levels
from dp3d_core.model.prompts import POOL_TIMES_S
from dp3d_core.skeleton import joint_set
from dp3d_core.types import Skeletons

UNSEEN_SPEED_M_S = 0.25
"""How fast the standard deviation of a joint grows while its person is not seen."""
FIRST_INTERVAL_S = 1 / 30
"""A person's first frame has no interval: count it as one of 30 a second."""
LARGEST_ANSWER = 1e6
"""Network units: whatever is not below, as NaN is not, comes of a broken engine or of broken weights."""
_POOL_RATES = (-1 / np.array(POOL_TIMES_S)).astype(np.float32)


class Streams(Mapping):
    """{camera name: `Stream`}; made by `Lifter.streams`. `config` is a `StreamConfig`; max_people is of each camera."""

    def __init__(self, *, backend, model, groups, actions, temperature, cameras, config):
        if not cameras:
            raise ValueError("cameras: expected one or more {name: Camera}, got none")
        self.config, self.backend = config, backend
        self.tracks = Tracks(model, groups, config.max_people * len(cameras), config.lookahead + 1, len(cameras))
        source = joint_set(config.joint_set)
        self._streams = {
            name: Stream(batch=self, number=number, name=name, camera=camera, joint_set=source)
            for number, (name, camera) in enumerate(cameras.items())
        }
        self._actions = actions
        self._pose_unit_m = np.float32(model.pose_scale_m)
        self._sigma_unit_m = np.float32(temperature * model.pose_scale_m)
        levels = triangular_levels(config.lookahead).numpy()
        self._levels = np.tile(levels, (self.tracks.keys.shape[0], 1))
        self._kept = (1 - levels)[:, None, None]

    def __getitem__(self, name):
        return self._streams[name]

    def __iter__(self):
        return iter(self._streams)

    def __len__(self):
        return len(self._streams)

    def push(self, frames):
        """Take one frame of each of several cameras in, in one pass; {camera name: `Skeletons`} as of `Stream.push`.

        frames {camera name: (stamp_s, people)}, as for `Stream.push`; the stamps need not agree, and cameras left out
        are not touched. ValueError, also for a camera that is not known, leaves all of them as they were.
        """
        unknown = next((name for name in frames if name not in self._streams), None)
        if unknown is not None:
            raise ValueError(f"frames: expected cameras of {list(self._streams)}, got {unknown!r}")
        arrivals = [(self._streams[name], self._streams[name].check(*frame)) for name, frame in frames.items()]
        # in the order of their rows: who comes or goes moves only the people of later cameras
        arrivals.sort(key=lambda item: item[0].number)
        taken = [(stream, stream.take(arrival)) for stream, arrival in arrivals]
        out = {stream.name: sight for stream, sight in taken}
        passing = [(stream, sight) for stream, sight in taken if not isinstance(sight, Skeletons)]
        if passing:
            out.update(self._pass([stream for stream, _ in passing], [sight for _, sight in passing]))
        return out

    def configure(self, **options):
        """Change options that are `live` while running; ValueError refuses the others."""
        for name in options:
            item = next((f for f in self.config.__dataclass_fields__.values() if f.name == name), None)
            if item is None or not item.metadata["live"]:
                raise ValueError(f"{name}: cannot change while the stream runs; make a new stream")
        self.config = replace(self.config, **options)

    def ahead(self, stream):
        """The zero-lag skeletons of a stream with a lookahead: its newest rows, placed by filters that run ahead."""
        stamp_s, people, log_variance, actions = stream.newest
        rows = np.array([person.row for person in people])
        stamps_s = stream.window_stamps_s
        span_s = stamps_s[-1] - stamps_s[0]
        filters = [copy(person.root) for person in people]
        for person, root in zip(people, filters):
            root.predict(span_s if person.frames >= self.tracks.window else 0.0)
        unseen_s = [person.unseen_s[-1] for person in people]
        sigma_m = self._sigma(log_variance[:, -1], unseen_s)
        pose_m = self.tracks.bones.apply(rows, self.tracks.clean[rows, -1] * self._pose_unit_m, self._height_m)
        dt_s = [FIRST_INTERVAL_S] * len(people)
        placed = self._metres(filters, pose_m, sigma_m, rows, -1, dt_s)
        return self._skeletons(stream, stamp_s, people, filters, unseen_s, sigma_m, *placed[:2], actions)

    # --- the pass --------------------------------------------------------------------------------------------------

    def _pass(self, streams, sights):
        """One network pass over all people of these streams (in the order of their rows): {name: Skeletons}."""
        people, rows = self.tracks.of([stream.number for stream in streams])
        parts, start = [], 0
        for stream, sight in zip(streams, sights):
            parts.append((stream, slice(start, start + len(sight.rays)), sight.step_s))
            start += len(sight.rays)
        if len(sights) == 1:
            rays, confidence, dt_s, _ = sights[0]
        else:
            rays = np.concatenate([sight.rays for sight in sights])
            confidence = np.concatenate([sight.confidence for sight in sights])
            dt_s = [interval_s for sight in sights for interval_s in sight.dt_s]
        self._follow(people, rows, rays, confidence, dt_s)
        log_variance, logits = self._denoise(people, rows, parts, dt_s)
        return self._place(people, rows, parts, log_variance, self._name_actions(logits))

    def _follow(self, people, rows, rays, confidence, dt_s):
        """Bridge gaps, let the virtual cameras follow and put the new frame at the end of the working windows."""
        tracks = self.tracks
        memory = tracks.gaps[rows]
        rays, confidence = bridge(memory, rays, confidence, dt_s)
        tracks.gaps[rows] = memory  # rows may be indices, and this a copy
        viewpoints = [person.viewpoint for person in people]
        seen, rotation, turned = look(viewpoints, rays, confidence, dt_s)
        tracks.shift(rows, people)
        tracks.seen[rows, -1], tracks.rotation[rows, -1], tracks.rays[rows, -1] = seen, rotation, turned
        tracks.first[rows, -1] = 0

    def _denoise(self, people, rows, parts, dt_s):
        """One pass over the working windows; fills `tracks.clean` and the memory, returns log variance and logits."""
        tracks, count = self.tracks, len(people)
        # Rows under refinement start from their zero-lag estimate at the noise level of their age, as in training; the
        # noise is zero. Started from their last estimate they are 1.3 mm worse at lookahead 4 (experiments.md, 10).
        noisy = tracks.first[rows] * self._kept
        decay = np.exp(np.array(dt_s, np.float32)[:, None] * _POOL_RATES)
        phase = np.empty((count, tracks.window), np.float32)
        for stream, part, _ in parts:
            stamps_s = list(stream.window_stamps_s)
            # a window that has not filled: those rows are not attended to, and may stand anywhere
            padding = [stamps_s[0]] * (tracks.window - len(stamps_s))
            phase[part] = [stamp_s % ROTARY_PERIOD_S for stamp_s in padding + stamps_s]
        keys, values, filled, pooled = tracks.memory(rows)
        answer = self.backend.step(
            noisy, tracks.seen[rows], self._levels[:count], phase, keys, values, filled, pooled, decay
        )
        broken = _broken(answer)
        if broken:
            answer = [array.copy() for array in answer]
            for array in answer:
                array[broken] = 0
        clean, log_variance, logits, new_keys, new_values, new_pooled = answer
        tracks.clean[rows], tracks.pooled[rows] = clean, new_pooled
        tracks.first[rows, -1] = clean[:, -1]
        for stream, part, _ in parts:
            first = people[part.start].row
            own = slice(first, first + part.stop - part.start)
            tracks.remember(own, stream.frames % tracks.cached, new_keys[part], new_values[part])
            stream.frames += 1
            stream.count("not_finite_answer", sum(part.start <= index < part.stop for index in broken))
        for person in people:
            person.frames += 1
        for index in broken:
            tracks.restart(people[index])  # a frame's answer goes into all later ones of its person
        return log_variance, logits

    def _place(self, people, rows, parts, log_variance, actions):
        """The oldest rows of the working windows, in metres in their cameras: {camera name: Skeletons}."""
        tracks, window = self.tracks, self.tracks.window
        # a person's first output frame starts its filter and bone lengths: it has no interval behind it
        step_s = [
            part_step_s if person.frames > window else 0.0 for _, part, part_step_s in parts for person in people[part]
        ]
        ready = [index for index, person in enumerate(people) if person.frames >= window]
        placed_parts = [(stream, part) for stream, part, _ in parts]
        shown, variance, labels = people, log_variance[:, 0], actions
        if len(ready) < len(people):
            shown, step_s = [people[index] for index in ready], [step_s[index] for index in ready]
            rows, variance = np.array([person.row for person in shown], int), variance[ready]
            labels = [actions[index] for index in ready]
            placed_parts = [
                (stream, slice(*np.searchsorted(ready, (part.start, part.stop)))) for stream, part in placed_parts
            ]
        unseen_s = [person.unseen_s[0] for person in shown]
        sigma_m = self._sigma(variance, unseen_s)
        pose_m = tracks.clean[rows, 0] * self._pose_unit_m
        pose_m = tracks.bones.follow(rows, pose_m, sigma_m, np.array(step_s, np.float32), self._height_m)
        filters = [person.root for person in shown]
        for root, passed_s in zip(filters, step_s):
            root.predict(passed_s)
        intervals_s = [passed_s or FIRST_INTERVAL_S for passed_s in step_s]
        joints_cam_m, root_sigma_m, solved = self._metres(filters, pose_m, sigma_m, rows, 0, intervals_s)
        out = {}
        for (stream, part, _), (_, own) in zip(parts, placed_parts):
            stream.count("unsolved_root", sum(not s and u == 0 for s, u in zip(solved[own], unseen_s[own])))
            stream.newest = (stream.window_stamps_s[-1], people[part], log_variance[part], actions[part])
            skeletons = self._skeletons(
                stream, stream.window_stamps_s[0], shown[own], filters[own], unseen_s[own], sigma_m[own],
                joints_cam_m[own], root_sigma_m[own], labels[own],
            )  # fmt: skip
            if window == 1:
                stream.newest = skeletons
            out[stream.name] = skeletons
        return out

    def _metres(self, filters, pose_m, sigma_m, rows, index, dt_s):
        """Closed-form root, filter and turn to the camera: (P, 17, 3) metres, depth sigma (P,), and P times whether
        the root was solved. index: of the row in the working window."""
        tracks = self.tracks
        rotation = tracks.rotation[rows, index]
        root, variance, solved = solve(pose_m, tracks.rays[rows, index], tracks.seen[rows, index, :, 2], sigma_m)
        solved = solved.tolist()
        height_sigma = KNOWN_HEIGHT_SIGMA if self.config.person_height_m > 0 else HEIGHT_SIGMA
        places = []
        for filter_, turned, depth_variance, good, interval_s in zip(
            filters, (root[:, None] @ rotation)[:, 0].tolist(), variance.tolist(), solved, dt_s
        ):
            # behind the image plane there is no bearing; such a person coasts
            if good and turned[2] > 0.1:
                filter_.correct(turned, depth_variance, interval_s)
            places.append(filter_.root(height_sigma))
        places = np.array(places, np.float32).reshape(-1, 4)
        joints_cam_m = pose_m @ rotation
        joints_cam_m += places[:, None, :3]
        return joints_cam_m, places[:, 3], solved

    # --- what is published -----------------------------------------------------------------------------------------

    @property
    def _height_m(self):
        return self.config.person_height_m

    def _sigma(self, log_variance, unseen_s):
        """(P, 17) metres: the network's, growing while unseen; the root has none about itself."""
        sigma_m = np.exp(log_variance * np.float32(0.5))
        sigma_m *= self._sigma_unit_m
        if any(unseen_s):
            grown_m = UNSEEN_SPEED_M_S * np.array(unseen_s, np.float32)
            sigma_m = np.sqrt(sigma_m**2 + grown_m[:, None] ** 2)
        sigma_m[:, 0] = 0
        return sigma_m

    def _name_actions(self, logits):
        """Each person's most likely action where its probability is above one half, else None. logits (P, A)."""
        names = []
        for row in logits.tolist():
            most = max(row)
            sure = sum(exp(logit - most) for logit in row) < 2
            names.append(self._actions[row.index(most)] if sure else None)
        return names

    def _skeletons(self, stream, stamp_s, people, filters, unseen_s, sigma_m, joints_cam_m, root_sigma_m, actions):
        """Who has a place and was seen lately enough; the arrays are taken over."""
        limit_s = self.config.predict_for_s
        chosen = [i for i, (f, unseen) in enumerate(zip(filters, unseen_s)) if f.started and unseen <= limit_s]
        if len(chosen) < len(people):
            people, unseen_s, actions = ([part[i] for i in chosen] for part in (people, unseen_s, actions))
            sigma_m, joints_cam_m, root_sigma_m = sigma_m[chosen], joints_cam_m[chosen], root_sigma_m[chosen]
        return Skeletons(
            stamp_s=stamp_s, ids=tuple([person.name for person in people]), joints_cam_m=joints_cam_m,
            sigma_m=sigma_m, root_sigma_m=root_sigma_m, predicted=np.array(unseen_s) > 0, actions=tuple(actions),
            metric=stream.metric,
        )  # fmt: skip


def _broken(answer):
    """Whose share of the network's answer (arrays (P, ...)) is not finite: their indices, most often none."""
    # one product of each array is cheaper than looking at every number
    if sum([float(np.vdot(array, array)) for array in answer]) < LARGEST_ANSWER**2:
        return ()
    whole = [(np.abs(array) < LARGEST_ANSWER).reshape(len(array), -1).all(1) for array in answer]
    return np.flatnonzero(~np.all(whole, 0)).tolist()
