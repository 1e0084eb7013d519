"""Several cameras in one pass are each what a stream of its own gives, and none touches another."""

import numpy as np
import pytest
from helpers import CAMERA, by_joint_config, random_lifter, tiny_config
from test_streaming import Recorder, irregular, keypoints, same

from dp3d_core.geometry.camera import Camera

CAMERAS = {
    "left": CAMERA,
    "right": Camera(fx=700.0, fy=720.0, cx=500.0, cy=260.0, width=960, height=540),
    "back": Camera.from_fov(width=960, height=540),
}
OPTIONS = {"joint_set": "h36m17", "reset_after_s": 0.4}
STAMPS_S = {name: irregular(60, seed=seed, start_s=100.0 * seed) for seed, name in enumerate(CAMERAS)}
GUESTS = {1: (0, 60), 2: (3, 20), 3: (10, 60), 4: (30, 45)}
"""Ids, the same in every camera, and from which frame to which they are there."""
CLIPS = {
    (name, person): keypoints(STAMPS_S[name], seed=10 * number + person)
    for number, name in enumerate(CAMERAS)
    for person in GUESTS
}


def frame(name, index):
    """(stamp_s, people) of a camera; people come and go at different times in each."""
    shift = 4 * list(CAMERAS).index(name)
    here = [person for person, (first, last) in GUESTS.items() if first <= (index + shift) % 60 < last]
    return float(STAMPS_S[name][index]), {
        person: (CLIPS[name, person][0][index], CLIPS[name, person][1][index]) for person in here
    }


@pytest.mark.parametrize("lookahead", [0, 2])
@pytest.mark.parametrize("config", [tiny_config(), by_joint_config()], ids=["frame tokens", "joint tokens"])
def test_cameras_together_are_streams_of_their_own(config, lookahead):
    """All of them in each pass, one, or two that are no neighbours; each at its own place in time."""
    lifter, generator = random_lifter(config), np.random.default_rng(0)
    together = lifter.streams(CAMERAS, lookahead=lookahead, **OPTIONS)
    alone = {name: lifter.stream(camera=camera, lookahead=lookahead, **OPTIONS) for name, camera in CAMERAS.items()}
    together.backend = Recorder(together.backend)
    next_frame, passes, crowd = dict.fromkeys(CAMERAS, 0), 0, 0
    for chosen in [tuple(CAMERAS)] * 10 + [("left", "back")] * 8 + [("right",)] * 5 + [None] * 60:
        names = chosen or tuple(name for name in CAMERAS if generator.random() < 0.6)
        frames = {name: frame(name, next_frame[name]) for name in reversed(names) if next_frame[name] < 60}
        found = together.push(frames)
        assert set(found) == set(frames)
        passes += any(together[name].latest is not None for name in frames)
        crowd = max(crowd, len(together.tracks))
        for name, (stamp_s, people) in frames.items():
            next_frame[name] += 1
            wanted = alone[name].push(stamp_s, people)
            assert set(found[name].ids) == set(wanted.ids) and found[name].metric == wanted.metric
            for person in wanted.ids:
                same(found[name], wanted, person)
            left, right = together[name].latest, alone[name].latest
            for person in right.ids if right is not None else ():
                same(left, right, person)
    assert min(next_frame.values()) > 30 and crowd > 6
    assert len(together.backend.calls) == passes
    for name, stream in alone.items():
        assert together[name].counters == stream.counters


def test_a_clock_that_jumps_back_resets_its_own_camera_alone():
    lifter = random_lifter()
    together, alone = lifter.streams(CAMERAS, **OPTIONS), lifter.stream(camera=CAMERA, **OPTIONS)
    fresh = lifter.stream(camera=CAMERAS["right"], **OPTIONS)
    for index in range(30):
        together.push({name: frame(name, index) for name in ("left", "right")})
        alone.push(*frame("left", index))
    for index in range(30, 40):
        found = together.push({"left": frame("left", index), "right": frame("right", index - 30)})
        wanted = {"left": alone.push(*frame("left", index)), "right": fresh.push(*frame("right", index - 30))}
        for name, skeletons in wanted.items():
            assert set(found[name].ids) == set(skeletons.ids)
            for person in skeletons.ids:
                same(found[name], skeletons, person)
    assert together["right"].counters["stream_reset"] == 1 and not together["left"].counters["stream_reset"]


def test_a_frame_that_is_dropped_stops_nobody_else():
    streams = random_lifter().streams(CAMERAS, **OPTIONS)
    for index in range(5):
        streams.push({name: frame(name, index) for name in CAMERAS})
    found = streams.push({"left": frame("left", 4), "right": frame("right", 5), "back": (300.0, {})})
    assert found["left"].ids == () and streams["left"].counters["duplicate_stamp"] == 1
    assert 1 in found["right"].ids
    streams["back"].reset()
    assert found["back"].predicted.all() and len(streams.tracks.people[2]) == 0 < len(streams.tracks)


def test_bad_arrays_of_one_camera_leave_all_as_they_were():
    lifter = random_lifter()
    streams, plain = (lifter.streams(CAMERAS, **OPTIONS) for _ in range(2))
    for index in range(8):
        for each in (streams, plain):
            each.push({name: frame(name, index) for name in CAMERAS})
    bad = 1e6, {1: (np.zeros((3, 2)), np.zeros(3))}
    for frames, text in (
        ({"left": frame("left", 8), "right": bad}, "person 1: expected keypoints"),
        ({"left": frame("left", 8), "right": (float("nan"), {})}, "stamp_s: expected finite"),
        ({"left": frame("left", 8), "top": frame("right", 8)}, r"expected cameras of \['left', 'right', 'back'\]"),
    ):
        with pytest.raises(ValueError, match=text):
            streams.push(frames)
    found, wanted = (each.push({name: frame(name, 8) for name in CAMERAS}) for each in (streams, plain))
    for name in CAMERAS:
        np.testing.assert_array_equal(found[name].joints_cam_m, wanted[name].joints_cam_m)


def test_most_people_are_of_each_camera_and_options_of_all():
    streams = random_lifter().streams(CAMERAS, max_people=2, **OPTIONS)
    crowd = {person: (CLIPS["left", 1][0][0], np.ones(17)) for person in range(5)}
    found = streams.push({name: (0.0, crowd) for name in CAMERAS})
    assert all(skeletons.ids == (0, 1) for skeletons in found.values())
    assert all(streams[name].counters == {"too_many_people": 3} for name in CAMERAS)
    streams["left"].configure(min_joints=17)
    assert streams["back"].config.min_joints == 17 and list(streams) == list(CAMERAS)


def test_no_cameras_are_one_clear_error():
    with pytest.raises(ValueError, match="cameras: expected one or more"):
        random_lifter().streams({})
