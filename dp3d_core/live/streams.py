"""The streams of one or of several cameras, whose people are the rows of one batch: one network pass for all of them.

Follow (the virtual camera), encode (the network), place (metres). `Streams` owns everything; each camera's clock and
people are in its `Roster`. A camera that is not pushed is not touched. Knows no ROS.
"""
# P people of this pass, J = 17 joints, W = lookahead + 1 frames of the working window

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import exp
from typing import Any, NamedTuple

import numpy as np

from dp3d_core.config import POOL_TIMES_S, ROTARY_PERIOD_S, ModelConfig, StreamConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_track import Moment
from dp3d_core.geometry.gaps import bridge
from dp3d_core.geometry.observation import up_input
from dp3d_core.geometry.placement import Placed, Placement, Seen, World
from dp3d_core.geometry.proportions import stature_m
from dp3d_core.geometry.uncertainty import one_sigma
from dp3d_core.geometry.viewpoint import Viewpoint, look
from dp3d_core.live.roster import Observations, Roster
from dp3d_core.live.stream import Stream
from dp3d_core.live.tracks import HostMemory, Person, Rows, Tracks, rows_of
from dp3d_core.skeleton import joint_set
from dp3d_core.types import USED, Frame, Skeletons

UNSEEN_SPEED_M_S = 0.25
"""How fast the standard deviation of a joint grows while its person is not seen."""
FIRST_INTERVAL_S = 1 / 30
"""A person's first frame has no interval: count it as one of 30 a second."""
_POOL_RATES = (-1 / np.array(POOL_TIMES_S)).astype(np.float32)


class Part(NamedTuple):
    """One camera's share of a pass."""

    roster: Roster
    seen: Observations
    people: slice
    """Of the people of the pass."""


class Poses(NamedTuple):
    """P people of one moment with all that is published of them; every field is in the same order."""

    people: list[Person]
    unseen_s: list[float]
    actions: list[str | None]
    stature_m: np.ndarray
    """(P,)."""
    placed: Placed


class Streams(Mapping):
    """{camera name: `Stream`}; made by `Lifter.streams`. `config` is a `StreamConfig`; max_people is of each camera."""

    def __init__(
        self,
        *,
        backend: Any,
        model: ModelConfig,
        actions: tuple[str, ...],
        temperature: float,
        cameras: Mapping[Any, Camera],
        config: StreamConfig,
    ):
        if not cameras:
            raise ValueError("cameras: expected one or more {name: Camera}, got none")
        self.config, self.backend = config, backend
        self.tracks = Tracks(
            model,
            config.max_people * len(cameras),
            config.lookahead + 1,
            len(cameras),
            getattr(backend, "memory", HostMemory),
        )
        source = joint_set(config.joint_set)
        self._rosters = {
            name: Roster(number=number, name=name, camera=camera, source=source, tracks=self.tracks)
            for number, (name, camera) in enumerate(cameras.items())
        }
        self._actions = actions
        self._pose_unit_m = np.float32(model.pose_scale_m)
        self._sigma_unit_m = np.float32(temperature * model.pose_scale_m)

    def __getitem__(self, name: Any) -> Stream:
        return Stream(self, self._rosters[name])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rosters)

    def __len__(self) -> int:
        return len(self._rosters)

    def push(self, frames: Mapping[Any, Frame | tuple]) -> dict[Any, Skeletons]:
        """Take one frame of each of several cameras in, in one pass; {camera name: `Skeletons`} as of `Stream.push`.

        frames {camera name: `Frame`, or (stamp_s, people)}, as for `Stream.push`; the stamps need not agree, and
        cameras left out are not touched. ValueError, also for a camera that is not known, leaves all of them as they
        were.
        """
        unknown = next((name for name in frames if name not in self._rosters), None)
        if unknown is not None:
            raise ValueError(f"frames: expected cameras of {list(self._rosters)}, got {unknown!r}")
        checked = [(self._rosters[name], self._rosters[name].check(frame)) for name, frame in frames.items()]
        # in the order of their rows: who comes or goes moves only the people of later cameras
        checked.sort(key=lambda item: item[0].number)
        out, passing = {}, []
        for roster, frame in checked:
            taken = roster.take(frame, self.config)
            if isinstance(taken, Skeletons):
                out[roster.name] = taken
            else:
                passing.append((roster, taken))
        if passing:
            out.update(self._pass(passing))
        return out

    def configure(self, **options: Any) -> None:
        """Change options that are `live` while running; ValueError refuses the others."""
        for name in options:
            item = self.config.__dataclass_fields__.get(name)
            if item is None or not item.metadata["live"]:
                raise ValueError(f"{name}: cannot change while the stream runs; make a new stream")
        self.config = replace(self.config, **options)

    def latest(self, roster: Roster) -> Skeletons | None:
        """See `Stream.latest`. With a lookahead: the window's newest frame, placed by filters that run ahead."""
        if roster.newest is None or isinstance(roster.newest, Skeletons):
            return roster.newest
        people, log_variance, actions = roster.newest
        rows = np.array([person.row for person in people])
        span_s = roster.stamps_s[-1] - roster.stamps_s[0]
        unseen_s = [person.unseen_s[-1] for person in people]
        sigmas_m = self._sigmas(log_variance[:, -1], unseen_s)
        pose_m = self.tracks.bones.apply(rows, self.tracks.pose[rows, -1] * self._pose_unit_m)
        step_s = [span_s if person.frames >= self.tracks.window else 0.0 for person in people]
        moment = roster.track.ahead()
        everybody = slice(0, len(people))
        stature, placed = self._metres(
            self.tracks.placement.copy_of(rows), everybody, pose_m, sigmas_m, rows, -1, step_s, [(everybody, moment)]
        )
        poses = Poses(people, unseen_s, actions, stature, placed)
        return self._skeletons(roster, roster.stamps_s[-1], roster.newest_tag, moment, poses, everybody, 0)

    # --- the pass --------------------------------------------------------------------------------------------------

    def _pass(self, passing: list[tuple[Roster, Observations]]) -> dict[Any, Skeletons]:
        """One network pass over all people of these cameras (in the order of their rows): {name: Skeletons}."""
        people, rows = self.tracks.of([roster.number for roster, _ in passing])
        parts, start = [], 0
        for roster, seen in passing:
            parts.append(Part(roster, seen, slice(start, start + len(seen.rays))))
            start += len(seen.rays)
        if len(parts) == 1:
            rays, confidence, dt_s, *_ = parts[0].seen
        else:
            rays = np.concatenate([part.seen.rays for part in parts])
            confidence = np.concatenate([part.seen.confidence for part in parts])
            dt_s = [interval_s for part in parts for interval_s in part.seen.dt_s]
        self._follow(people, rows, parts, rays, confidence, dt_s)
        log_variance, logits = self._encode(people, rows, parts, dt_s)
        actions = self._name_actions(logits)
        poses = self._place(people, rows, parts, log_variance[:, 0], actions)
        return self._share_out(people, parts, poses, log_variance, actions)

    def _follow(
        self,
        people: list[Person],
        rows: Rows,
        parts: list[Part],
        rays: np.ndarray,
        confidence: np.ndarray,
        dt_s: list[float],
    ):
        """Bridge gaps, let the virtual cameras follow and put the new frame at the end of the working windows."""
        tracks = self.tracks
        memory = tracks.gaps[rows]
        rays, confidence = bridge(memory, rays, confidence, dt_s)
        tracks.gaps[rows] = memory  # rows may be indices, and this a copy
        viewpoints = [person.viewpoint for person in people]
        up = _turned_to_the_world(viewpoints, parts)
        seen, rotation, turned = look(viewpoints, rays, confidence, dt_s, up)
        tracks.shift(rows, people)
        tracks.seen[rows, -1], tracks.rotation[rows, -1], tracks.rays[rows, -1] = seen, rotation, turned
        tracks.up[rows, -1] = 0 if up is None else up_input(np.array(up), _up_sigma_rad(parts), rotation, np)

    def _encode(self, people: list[Person], rows: Rows, parts: list[Part], dt_s: list[float]):
        """One pass over the working windows; fills `tracks.pose` and the memory.

        Returns log variance (P, W, 17, 2) and action logits (P, A).
        """
        tracks = self.tracks
        decay = np.exp(np.array(dt_s, np.float32)[:, None] * _POOL_RATES)
        slots = [(people_of, roster.passes % tracks.cached) for roster, _, people_of in parts]
        answer, broken = tracks.memory.step(
            self.backend,
            rows,
            slots,
            tracks.seen[rows],
            tracks.up[rows],
            self._phases(len(people), parts),
            tracks.filled[rows],
            decay,
        )
        pose, log_variance, _, logits, _ = answer
        tracks.pose[rows] = pose
        for (roster, _, part), (_, slot) in zip(parts, slots):
            tracks.filled[rows_of(rows, part), slot] = 1
            roster.passes += 1
            roster.count("not_finite_answer", sum(part.start <= index < part.stop for index in broken))
        for person in people:
            person.frames += 1
        for index in broken:
            tracks.restart(people[index])  # a frame's answer goes into all later ones of its person
        return log_variance, logits

    def _phases(self, count: int, parts: list[Part]) -> np.ndarray:
        """(P, W) stamps of the working windows within the rotary period."""
        phase = np.empty((count, self.tracks.window), np.float32)
        for roster, _, part in parts:
            stamps_s = list(roster.stamps_s)
            # a window that has not filled: those frames are not attended to, and may stand anywhere
            padding = [stamps_s[0]] * (self.tracks.window - len(stamps_s))
            phase[part] = [stamp_s % ROTARY_PERIOD_S for stamp_s in padding + stamps_s]
        return phase

    def _place(
        self, people: list[Person], rows: Rows, parts: list[Part], log_variance: np.ndarray, actions: list[str | None]
    ) -> Poses:
        """The oldest frames of the working windows, in metres in their cameras, of those whose window has filled.

        log_variance (P, 17, 2) is that of the oldest frames.
        """
        window, all_people = self.tracks.window, people
        # a person's first output frame starts its filter and bone lengths: it has no interval behind it
        step_s = [
            part.seen.step_s if person.frames > window else 0.0
            for part in parts
            for person in people[part.people]
            if person.frames >= window
        ]
        if len(step_s) < len(people):
            ready = [index for index, person in enumerate(people) if person.frames >= window]
            people, actions = [people[index] for index in ready], [actions[index] for index in ready]
            rows, log_variance = np.array([person.row for person in people], int), log_variance[ready]
        unseen_s = [person.unseen_s[0] for person in people]
        sigmas_m = self._sigmas(log_variance, unseen_s)
        pose_m = self.tracks.pose[rows, 0] * self._pose_unit_m
        pose_m = self.tracks.bones.follow(rows, pose_m, one_sigma(sigmas_m), np.array(step_s, np.float32))
        moments, first = [], 0
        for part in parts:
            count = sum([person.frames >= window for person in all_people[part.people]])
            moments.append((slice(first, first + count), part.seen.oldest))
            first += count
        stature, placed = self._metres(self.tracks.placement, rows, pose_m, sigmas_m, rows, 0, step_s, moments)
        return Poses(people, unseen_s, actions, stature, placed)

    def _share_out(
        self,
        people: list[Person],
        parts: list[Part],
        poses: Poses,
        log_variance: np.ndarray,
        actions: list[str | None],
    ) -> dict[Any, Skeletons]:
        """{camera name: Skeletons} of the poses, which are those of each camera's people whose window has filled."""
        window = self.tracks.window
        out, first, solved = {}, 0, poses.placed.solved.tolist()
        for number, (roster, seen, part) in enumerate(parts):
            own = slice(first, first + sum([person.frames >= window for person in people[part]]))
            first = own.stop
            roster.count("unsolved_root", sum([not s and u == 0 for s, u in zip(solved[own], poses.unseen_s[own])]))
            roster.count("floor_contradicted", poses.placed.contradicted[number])
            skeletons = self._skeletons(
                roster, roster.stamps_s[0], roster.answered_tag, seen.oldest, poses, own, number, seen.outcome
            )
            roster.newest = skeletons if window == 1 else (people[part], log_variance[part], actions[part])
            out[roster.name] = skeletons
        return out

    def _metres(
        self,
        placement: Placement,
        placement_rows: Rows,
        pose_m: np.ndarray,
        sigmas_m: np.ndarray,
        rows: Rows,
        index: int,
        step_s: list[float],
        moments: list[tuple[slice, Moment]],
    ) -> tuple[np.ndarray, Placed]:
        """Statures (P,) and people in metres. index: of the frame in the working window; step_s: seconds since each
        one's last answered frame, 0 for the first; moments: each camera's people with its pose and motion."""
        tracks, height_m = self.tracks, self.config.person_height_m
        network_m = stature_m(tracks.bones.length_m[rows])
        seen = Seen(
            pose_m=pose_m,
            sigma_m=one_sigma(sigmas_m),
            sigmas_m=sigmas_m,
            rotation=tracks.rotation[rows, index],
            rays=tracks.rays[rows, index],
            confidence=tracks.seen[rows, index, :, 2],
            dt_s=np.array([passed_s or FIRST_INTERVAL_S for passed_s in step_s]),
        )
        worlds = [
            World(people, moment.motion)
            if moment.pose is None
            else World(people, moment.motion, moment.pose.up_cam, moment.pose.up_sigma_rad, moment.pose.height_m)
            for people, moment in moments
        ]
        known = np.log(height_m / np.maximum(network_m, 0.3)) if height_m > 0 else None
        placed = placement.step(placement_rows, seen, worlds, known)
        return network_m * placed.size, placed

    # --- what is published -----------------------------------------------------------------------------------------

    def _sigmas(self, log_variance: np.ndarray, unseen_s: list[float]) -> np.ndarray:
        """(P, 17, 2) metres: the network's, growing while unseen; the root has none about itself."""
        sigmas_m = np.exp(log_variance * np.float32(0.5))
        sigmas_m *= self._sigma_unit_m
        if any(unseen_s):
            grown_m = UNSEEN_SPEED_M_S * np.array(unseen_s, np.float32)
            sigmas_m = np.sqrt(sigmas_m**2 + grown_m[:, None, None] ** 2)
        sigmas_m[:, 0] = 0
        return sigmas_m

    def _name_actions(self, logits: np.ndarray) -> list[str | None]:
        """Each person's most likely action where its probability is above one half, else None. logits (P, A)."""
        names = []
        for row in logits.tolist():
            most = max(row)
            sure = sum(exp(logit - most) for logit in row) < 2
            names.append(self._actions[row.index(most)] if sure else None)
        return names

    def _skeletons(
        self,
        roster: Roster,
        stamp_s: float,
        tag: Any,
        moment: Moment,
        poses: Poses,
        own: slice,
        number: int,
        outcome: str = USED,
    ) -> Skeletons:
        """Select the people to publish: root solved, last seen within `predict_for_s`.

        own: the people of this camera among those of the pass; number: of the camera in the pass.
        """
        limit_s, placed = self.config.predict_for_s, poses.placed
        chosen = [
            index for index in range(own.start, own.stop) if placed.started[index] and poses.unseen_s[index] <= limit_s
        ]
        rows = own if len(chosen) == own.stop - own.start else np.array(chosen, int)
        joints_cam_m, pose = placed.joints_cam_m[rows], moment.pose
        fixed = pose if pose is not None and pose.rotation is not None else None
        return Skeletons(
            stamp_s=stamp_s,
            ids=tuple([poses.people[index].name for index in chosen]),
            joints_cam_m=joints_cam_m,
            sigma_m=placed.sigma_m[rows],
            sigma_lateral_m=placed.sigma_lateral_m[rows],
            sigma_depth_m=placed.sigma_depth_m[rows],
            root_sigma_m=placed.root_sigma_m[rows],
            stature_m=poses.stature_m[rows].astype(np.float32),
            contact=placed.contact[rows],
            predicted=np.array([poses.unseen_s[index] > 0 for index in chosen], bool),
            actions=tuple([poses.actions[index] for index in chosen]),
            metric=roster.metric,
            joints_fixed_m=None if fixed is None else fixed.to_fixed(joints_cam_m).astype(np.float32),
            floor=placed.floors[number],
            tag=tag,
            outcome=outcome,
        )


def _turned_to_the_world(viewpoints: list[Viewpoint], parts: list[Part]) -> list | None:
    """Keep the viewpoints on their people while cameras turn; up in each one's camera, None if nobody knows it."""
    if all([part.seen.newest.pose is None for part in parts]):
        return None
    up = []
    for _, seen, people in parts:
        pose, motion = seen.newest
        if motion is not None:
            for viewpoint in viewpoints[people]:
                viewpoint.turn(motion[0])
        up += [(0.0, 0.0, 0.0) if pose is None else tuple(pose.up_cam.tolist())] * (people.stop - people.start)
    return up


def _up_sigma_rad(parts: list[Part]) -> np.ndarray:
    """(P,) of what is known of up."""
    sigmas = []
    for _, seen, people in parts:
        pose = seen.newest.pose
        sigmas += [0.0 if pose is None else pose.up_sigma_rad] * (people.stop - people.start)
    return np.array(sigmas)
