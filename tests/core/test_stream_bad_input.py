"""Whatever a detector or a clock does, a stream answers with finite numbers or one clear error, and counts it."""
# P people, K keypoints, J = 17 joints

import numpy as np
import pytest
from helpers import CAMERA, random_lifter, seen, tiny_config, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from dp3d_core.config import StreamConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.live.roster import LATE_S
from dp3d_core.skeleton import JOINT_SETS

LIFTER = random_lifter()
STAMPS_S = np.arange(90) / 30
PIXELS, CONFIDENCE = seen(walk(STAMPS_S))


def open_stream(**options):
    return LIFTER.stream(camera=CAMERA, **({"joint_set": "h36m17"} | options))


def person(frame):
    """One good person's keypoints at a frame, as copies."""
    return PIXELS[frame].copy(), CONFIDENCE[frame].copy()


def assert_finite(skeletons):
    for array in (skeletons.joints_cam_m, skeletons.sigma_m, skeletons.root_sigma_m):
        assert np.isfinite(array).all()
    assert len(skeletons.ids) == len(skeletons.joints_cam_m) == len(skeletons.predicted) == len(skeletons.actions)


def started(frames=10, **options):
    """A stream that already follows person 1."""
    stream = open_stream(**options)
    for frame in range(frames):
        assert_finite(stream.push(STAMPS_S[frame], {1: person(frame)}))
    return stream


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e7])
def test_keypoints_that_are_no_pixels_count_as_missing(value):
    stream, plain = started(), started()
    pixels, confidence = person(10)
    pixels[[3, 13]] = value
    out = stream.push(STAMPS_S[10], {1: (pixels, confidence)})
    assert_finite(out)
    assert stream.counters == {"not_finite": 2}
    confidence[[3, 13]] = 0
    want = plain.push(STAMPS_S[10], {1: (pixels, confidence)})
    np.testing.assert_array_equal(out.joints_cam_m, want.joints_cam_m)
    assert not plain.counters  # a missing keypoint may hold anything


def test_all_pixels_nan_is_an_unseen_person():
    stream = started()
    out = stream.push(STAMPS_S[10], {1: (np.full((17, 2), np.nan), np.ones(17))})
    assert_finite(out)
    assert out.ids == (1,) and out.predicted.all()
    assert stream.counters == {"not_finite": 17, "few_joints": 1}


def test_confidence_outside_0_to_1_is_clipped_and_counted():
    stream = started()
    pixels, confidence = person(10)
    confidence[2], confidence[5], confidence[9] = 1.7, -0.3, np.nan
    out = stream.push(STAMPS_S[10], {1: (pixels, confidence)})
    assert_finite(out)
    assert stream.counters == {"confidence_out_of_range": 2, "not_finite": 1}


@pytest.mark.parametrize(
    ("pixels", "confidence"),
    [
        ((17, 3), (17,)), ((16, 2), (16,)), ((17, 2), (16,)), ((2, 17), (17,)), ((0, 2), (0,)), ((1, 17, 2), (1, 17)),
        ((34,), (17,)), ((17, 2), (17, 1)),
    ],
)  # fmt: skip
def test_misshapen_arrays_are_one_clear_error_and_the_stream_lives_on(pixels, confidence):
    stream = started()
    with pytest.raises(ValueError, match=r"person 7: expected keypoints \(17, 2\) .* got"):
        stream.push(STAMPS_S[10], {1: person(10), 7: (np.zeros(pixels), np.zeros(confidence))})
    plain = started()
    np.testing.assert_array_equal(
        stream.push(STAMPS_S[10], {1: person(10)}).joints_cam_m, plain.push(STAMPS_S[10], {1: person(10)}).joints_cam_m
    )


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (None, "people: expected {id: .* got NoneType"), (5, "people: expected {id: .* got int"),
        ({1: None}, r"person 1: expected a pair of keypoints \(17, 2\) .* got None"),
        ([5], "person 0: expected a pair"), ({1: 5}, "person 1: expected a pair"),
        ({1: (PIXELS[0],)}, "person 1: expected a pair"), ({1: ([[1, 2], [3]], [1])}, "person 1: expected a pair"),
        ({1: (np.full((17, 2), None), np.ones(17))}, "person 1: expected .* as numbers, got object and float64"),
        ("ab", "person 0: expected a pair"),
    ],
)  # fmt: skip
def test_people_that_are_none_are_one_clear_error_and_change_nothing(people, message):
    stream, plain = started(), started()
    with pytest.raises(ValueError, match=message):
        stream.push(STAMPS_S[10], people)
    np.testing.assert_array_equal(
        stream.push(STAMPS_S[10], {1: person(10)}).joints_cam_m, plain.push(STAMPS_S[10], {1: person(10)}).joints_cam_m
    )


@pytest.mark.parametrize(
    "stamp_s", [float("nan"), float("inf"), -float("inf"), "1.5", None, pytest.param(10**400, id="huge"), [1.0]]
)
def test_stamps_that_are_no_time_are_refused_and_change_nothing(stamp_s):
    stream, plain = started(), started()
    with pytest.raises(ValueError, match="stamp_s: expected finite seconds"):
        stream.push(stamp_s, {1: person(10)})
    np.testing.assert_array_equal(
        stream.push(STAMPS_S[10], {1: person(10)}).joints_cam_m, plain.push(STAMPS_S[10], {1: person(10)}).joints_cam_m
    )


@pytest.mark.parametrize(("back_s", "cause"), [(0.0, "duplicate_stamp"), (0.05, "late_stamp")])
def test_equal_and_slightly_late_stamps_are_dropped_and_counted(back_s, cause):
    stream, plain = started(), started()
    out = stream.push(STAMPS_S[9] - back_s, {1: person(8)})
    assert out.ids == () and stream.counters == {cause: 1}
    np.testing.assert_array_equal(
        stream.push(STAMPS_S[10], {1: person(10)}).joints_cam_m, plain.push(STAMPS_S[10], {1: person(10)}).joints_cam_m
    )


def test_a_clock_that_jumps_back_starts_afresh():
    stream, fresh = started(60), open_stream()
    for frame in range(3):
        out, want = (s.push(STAMPS_S[frame], {1: person(frame)}) for s in (stream, fresh))
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=1e-6)
    assert stream.counters == {"stream_reset": 1}


@pytest.mark.parametrize("reset_after_s", [0.05, 60.0])
def test_a_bag_loop_shorter_than_reset_after_s_starts_afresh(reset_after_s):
    stream, fresh = started(30, reset_after_s=reset_after_s), open_stream()
    for frame in range(3):
        out, want = (s.push(STAMPS_S[frame], {1: person(frame)}) for s in (stream, fresh))
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=1e-6)
    assert stream.counters == {"stream_reset": 1}


@pytest.mark.parametrize("ahead_s", [0.3, 0.9])
def test_one_stamp_ahead_of_its_time_silences_nobody_for_long(ahead_s):
    stream = started(30)
    stream.push(STAMPS_S[30] + ahead_s, {1: person(30)})
    silent = sum(stream.push(STAMPS_S[frame], {1: person(frame)}).ids == () for frame in range(31, 60))
    assert silent <= ahead_s * 30 and silent < LATE_S * 30


@pytest.mark.parametrize("lookahead", [0, 2])
def test_output_stamps_do_not_go_back_for_dropped_frames(lookahead):
    stream, emitted = open_stream(lookahead=lookahead), []
    for frame in range(30):
        emitted.append(stream.push(STAMPS_S[frame], {1: person(frame)}).stamp_s)
        if frame % 5 == 4:
            again = (stream.push(STAMPS_S[frame] - back_s, {1: person(frame)}) for back_s in (0.0, 0.05))
            emitted.extend(out.stamp_s for out in again)
    assert (np.diff(emitted) >= 0).all() and emitted[-1] == STAMPS_S[29 - lookahead]


class Broken:
    """A backend whose answer number `at` holds `value` in array number `which`, for the person in `row`."""

    def __init__(self, backend, at, which, row=0, value=np.nan):
        self.backend, self.at, self.which, self.row, self.value, self.calls = backend, at, which, row, value, 0

    def step(self, *arrays):
        answer = [array.copy() for array in self.backend.step(*arrays)]
        if self.calls == self.at:
            answer[self.which][self.row].flat[-1] = self.value
        self.calls += 1
        return tuple(answer)


@pytest.mark.parametrize("lookahead", [0, 2])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
@pytest.mark.parametrize("which", range(6))
def test_an_answer_that_is_not_finite_costs_one_person_one_frame(which, value, lookahead):
    """They start afresh with the next frame, whichever part of the answer it was; nobody else notices."""
    stream, plain, fresh = (open_stream(lookahead=lookahead) for _ in range(3))
    stream._streams.backend = Broken(stream._streams.backend, at=10, which=which, row=1, value=value)
    for frame in range(18):
        both = {1: person(frame), 2: person(frame)}
        out, want = stream.push(STAMPS_S[frame], both), plain.push(STAMPS_S[frame], both)
        assert_finite(out)
        assert_finite(stream.latest)
        at, there = (skeletons.ids.index(1) if 1 in skeletons.ids else None for skeletons in (out, want))
        if at is not None:
            np.testing.assert_allclose(out.joints_cam_m[at], want.joints_cam_m[there], atol=1e-5)
        if frame == 10:
            assert 2 not in out.ids and 2 not in stream.latest.ids and 1 in stream.latest.ids
        if frame > 10:
            anew = fresh.push(STAMPS_S[frame], {2: person(frame)})
            assert (2 in out.ids) == (2 in anew.ids) == (frame > 10 + lookahead)
            if 2 in out.ids:
                np.testing.assert_allclose(out.joints_cam_m[out.ids.index(2)], anew.joints_cam_m[0], atol=1e-5)
    assert stream.counters == {"not_finite_answer": 1} and not plain.counters


def test_after_a_reset_no_one_inherits_a_broken_answer():
    stream, fresh = open_stream(), open_stream()
    stream._streams.backend = Broken(stream._streams.backend, at=10, which=5)
    for frame in range(11):
        stream.push(STAMPS_S[frame], {1: person(frame)})
    stream.reset()
    for frame in range(11, 40):
        out, want = (each.push(STAMPS_S[frame], {3: person(frame)}) for each in (stream, fresh))
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=1e-5)


def test_negative_stamps_are_stamps():
    stream, fresh = open_stream(), open_stream()
    for frame in range(20):
        out = stream.push(STAMPS_S[frame] - 128.0, {1: person(frame)})
        want = fresh.push(STAMPS_S[frame], {1: person(frame)})
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=1e-3)
    assert not stream.counters


def test_a_long_gap_starts_people_afresh():
    stream, fresh = started(reset_after_s=0.5), open_stream()
    for frame in range(30, 33):
        out, want = (s.push(STAMPS_S[frame], {1: person(frame)}) for s in (stream, fresh))
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=1e-6)


def test_a_shorter_gap_keeps_people():
    stream, fresh = started(reset_after_s=0.9), open_stream()
    out, want = (s.push(STAMPS_S[30], {1: person(30)}) for s in (stream, fresh))
    assert np.abs(out.joints_cam_m - want.joints_cam_m).max() > 1e-3


def test_ten_thousand_people_are_as_many_as_fit_and_counted():
    stream = open_stream(max_people=4)
    crowd = {index: person(0) for index in range(10_000)}
    out = stream.push(0.0, crowd)
    assert out.ids == (0, 1, 2, 3) and stream.counters == {"too_many_people": 9_996}
    assert_finite(out)
    assert len(stream.push(STAMPS_S[1], {2: person(1)}).ids) == 4  # three are predicted


def test_ids_that_keep_changing_do_not_shut_out_who_is_visible():
    stream = open_stream(max_people=3)
    for frame in range(30):
        out = stream.push(STAMPS_S[frame], {7: person(frame), 100 + frame // 2: person(frame)})
        assert {7, 100 + frame // 2} <= set(out.ids) and len(out.ids) <= 3
    assert stream.counters == {"unseen_displaced": 13}


def test_a_full_stream_keeps_who_is_visible():
    stream = open_stream(max_people=2)
    stream.push(STAMPS_S[0], {1: person(0), 2: person(0)})
    out = stream.push(STAMPS_S[1], {3: person(1), 2: person(1), 1: person(1)})
    assert set(out.ids) == {1, 2} and stream.counters == {"too_many_people": 1}
    out = stream.push(STAMPS_S[2], {3: person(2), 1: person(2)})
    assert set(out.ids) == {1, 3} and not out.predicted.any()


def test_a_person_with_three_joints_is_unseen_and_counted():
    stream = open_stream()
    pixels, confidence = person(0)
    confidence[3:] = 0
    out = stream.push(0.0, {1: (pixels, confidence)})
    assert out.ids == () and stream.counters == {"few_joints": 1}
    stream = started()
    out = stream.push(STAMPS_S[10], {1: (pixels, confidence)})
    assert out.ids == (1,) and out.predicted.all() and stream.counters == {"few_joints": 1}


def test_four_joints_are_a_person():
    stream = open_stream()
    pixels, confidence = person(0)
    confidence[[j for j in range(17) if j not in (0, 3, 10, 13)]] = 0
    out = stream.push(0.0, {1: (pixels, confidence)})
    assert out.ids == (1,) and not out.predicted.any()
    assert_finite(out)


def test_all_joints_on_one_pixel_are_finite_and_unsolved():
    stream = open_stream()
    for frame in range(5):
        assert_finite(stream.push(STAMPS_S[frame], {1: (np.full((17, 2), 300.0), np.ones(17))}))
    assert stream.counters["unsolved_root"] == 5


def test_pixels_far_outside_the_image_are_finite():
    stream = open_stream()
    generator = np.random.default_rng(0)
    for frame in range(20):
        out = stream.push(STAMPS_S[frame], {1: (generator.uniform(-9e5, 9e5, (17, 2)), np.ones(17))})
        assert_finite(out)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_nobody_forever_is_nothing_forever(lookahead):
    stream = open_stream(lookahead=lookahead)
    for frame in range(200):
        out = stream.push(frame / 30, {})
        assert out.ids == () and out.joints_cam_m.shape == (0, 17, 3)
    assert stream.latest is None and not stream.counters


@pytest.mark.parametrize("lookahead", [0, 2])
def test_an_unseen_person_is_predicted_with_growing_sigma_then_dropped(lookahead):
    # a network that is always as sure: what grows is the stream's own doubt
    lifter = random_lifter(tiny_config(log_variance=False))
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead, predict_for_s=0.3, reset_after_s=1.0)
    for frame in range(30):
        stream.push(STAMPS_S[frame], {1: person(frame)})
    sigmas, root_sigmas, shown = [], [], []
    for frame in range(30, 80):
        out = stream.push(STAMPS_S[frame], {} if frame % 2 else {1: (np.zeros((17, 2)), np.zeros(17))})
        assert_finite(out)
        shown.append(1 in out.ids)
        if out.ids and out.predicted[0]:
            sigmas.append(out.sigma_m[0, 1:].mean())
            root_sigmas.append(out.root_sigma_m[0])
    assert len(sigmas) == 9 and (np.diff(sigmas) > 0).all() and (np.diff(root_sigmas) > 0).all()
    assert shown == [True] * (9 + lookahead) + [False] * (41 - lookahead)
    assert len(stream._streams.tracks) == 0


def test_a_person_who_returns_soon_is_seen_again_at_once():
    stream = started(30)
    for frame in range(30, 36):
        stream.push(STAMPS_S[frame], {})
    out = stream.push(STAMPS_S[36], {1: person(36)})
    assert out.ids == (1,) and not out.predicted.any()


@pytest.mark.parametrize("lookahead", [0, 4])
@pytest.mark.parametrize("what", ["frames", "joints"])
def test_dropping_30_percent_never_gives_nan(what, lookahead):
    generator = np.random.default_rng(1)
    stream = open_stream(lookahead=lookahead)
    shown = 0
    for frame in range(len(STAMPS_S)):
        pixels, confidence = person(frame)
        if what == "joints":
            confidence[generator.random(17) < 0.3] = 0
        elif generator.random() < 0.3:
            continue
        out = stream.push(STAMPS_S[frame], {1: (pixels, confidence)})
        assert_finite(out)
        assert_finite(stream.latest)
        shown += len(out.ids)
    assert shown > 50


@pytest.mark.parametrize("name", JOINT_SETS)
def test_every_joint_set_streams(name):
    stream = open_stream(joint_set=name)
    size = len(JOINT_SETS[name].keypoints)
    points = np.random.default_rng(0).uniform(200, 400, (size, 2))
    out = stream.push(0.0, {1: (points, np.full(size, 0.8))})
    assert_finite(out)
    assert out.ids == (1,) or stream.counters["unsolved_root"] == 1


def test_integers_lists_and_half_precision_are_taken():
    stream = open_stream()
    for frame, kind in enumerate((np.int32, np.float16, np.float64)):
        out = stream.push(frame / 30, {1: (PIXELS[frame].astype(kind), np.ones(17, kind))})
        assert_finite(out)
    out = stream.push(0.5, {1: (PIXELS[3].tolist(), [1] * 17)})
    assert out.ids == (1,)
    assert_finite(out)


def test_input_arrays_are_not_changed():
    pixels, confidence = person(0)
    pixels[2], confidence[4], confidence[5] = np.nan, 1.5, 0.01
    before = pixels.copy(), confidence.copy()
    open_stream().push(0.0, {1: (pixels, confidence)})
    np.testing.assert_array_equal(pixels, before[0])
    np.testing.assert_array_equal(confidence, before[1])


def test_output_arrays_are_the_callers_to_keep():
    stream = started()
    out = stream.push(STAMPS_S[10], {1: person(10)})
    kept = out.joints_cam_m.copy()
    for frame in range(11, 15):
        stream.push(STAMPS_S[frame], {1: person(frame)})
    np.testing.assert_array_equal(out.joints_cam_m, kept)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_camera_that_changes_keeps_people_in_place(lookahead):
    """A zoom: other intrinsics and other pixels, the same rays; the skeletons go on as if nothing had happened."""
    zoomed = Camera(fx=1800.0, fy=1800.0, cx=480.0, cy=270.0, width=960, height=540)
    stream, plain = open_stream(lookahead=lookahead), open_stream(lookahead=lookahead)
    for frame in range(40):
        if frame == 20:
            stream.set_camera(zoomed)
            stream.set_camera(zoomed)
        pixels, confidence = person(frame)
        want = plain.push(STAMPS_S[frame], {1: (pixels, confidence)})
        if frame >= 20:
            pixels = (pixels - (480, 270)) * 2 + (480, 270)
        out = stream.push(STAMPS_S[frame], {1: (pixels, confidence)})
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=2e-3)
    assert stream.counters == {"camera_changed": 1}


WIDER = Camera(fx=600.0, fy=600.0, cx=480.0, cy=270.0, width=960, height=540)
"""The same pixels along other rays than those of CAMERA: what was assumed before a calibration, say."""


@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_camera_whose_rays_change_starts_people_afresh_with_their_ids(lookahead):
    stream, fresh = started(20, lookahead=lookahead), open_stream(lookahead=lookahead)
    stream.set_camera(WIDER)
    fresh.set_camera(WIDER)
    for frame in range(20, 40):
        both = {1: person(frame), 2: person(frame)}  # somebody new at the same time
        out, want = (each.push(STAMPS_S[frame], both) for each in (stream, fresh))
        assert out.ids == want.ids
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=1e-4)
        np.testing.assert_allclose(stream.latest.joints_cam_m, fresh.latest.joints_cam_m, atol=1e-4)


def test_who_is_not_seen_while_rays_change_is_not_shown_where_they_were():
    stream = started(20)
    stream.set_camera(WIDER)
    assert stream.push(STAMPS_S[20], {}).ids == ()
    assert stream.push(STAMPS_S[21], {1: person(21)}).ids == (1,)


def test_a_camera_that_drifts_a_little_restarts_nobody():
    """A calibration that is refined online with every frame."""
    stream, plain = open_stream(), open_stream()
    for frame in range(60):
        f_px = 900.0 + 0.1 * frame
        stream.set_camera(Camera(fx=f_px, fy=f_px, cx=480.0, cy=270.0, width=960, height=540))
        seen_now = {1: person(frame)} if frame % 7 else {}
        out, want = (each.push(STAMPS_S[frame], seen_now) for each in (stream, plain))
        np.testing.assert_allclose(out.joints_cam_m, want.joints_cam_m, atol=0.1)
    assert stream._roster.people[0].frames == plain._roster.people[0].frames == 59


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joint_set": "coco18"}, r"joint_set: expected one of .*coco17"),
        ({"lookahed": 2}, r"unknown option 'lookahed'; known options are .*lookahead"),
        ({"lookahead": 3}, r"lookahead: expected one of \[0, 2, 4\], got 3"),
        ({"max_people": 0}, r"max_people: expected 1 to 64, got 0"),
        ({"min_confidence": float("nan")}, "min_confidence"),
        ({"min_joints": 4.0}, "min_joints: expected int"),
        ({"person_height_m": -1.0}, "person_height_m"),
    ],
)
def test_unknown_or_impossible_options_are_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        open_stream(**options)


def test_no_camera_is_one_clear_error():
    with pytest.raises(ValueError, match="camera: expected a Camera, got NoneType"):
        LIFTER.stream(camera=None)
    stream = started()
    with pytest.raises(ValueError, match="camera: expected a Camera, got tuple"):
        stream.set_camera((900.0, 900.0))
    assert stream.push(STAMPS_S[10], {1: person(10)}).ids == (1,)


def test_live_options_change_and_others_are_refused():
    stream = started()
    stream.configure(min_joints=17, person_height_m=1.8)
    assert stream.config == StreamConfig(joint_set="h36m17", min_joints=17, person_height_m=1.8)
    for options in ({"lookahead": 2}, {"nonsense": 1}):
        with pytest.raises(ValueError, match="cannot change while the stream runs"):
            stream.configure(**options)
    with pytest.raises(ValueError, match="min_joints: expected 1 to 17"):
        stream.configure(min_joints=99)
    pixels, confidence = person(10)
    confidence[4] = 0
    assert stream.push(STAMPS_S[10], {1: (pixels, confidence)}).predicted.all()


def test_nameless_people_get_ids_that_follow_them():
    stream = open_stream()
    left = seen(walk(STAMPS_S, start_m=(-1.0, 0.0, 5.0)))
    right = seen(walk(STAMPS_S, start_m=(1.0, 0.0, 5.0)))
    for frame in range(20):
        pair = [(left[0][frame], left[1][frame]), (right[0][frame], right[1][frame])]
        out = stream.push(STAMPS_S[frame], pair if frame % 2 else pair[::-1])
        assert_finite(out)
    assert set(out.ids) == {0, 1}
    side = dict(zip(out.ids, out.joints_cam_m[:, 0, 0] > 0))
    assert side == {0: True, 1: False}
    stream.push(STAMPS_S[20], [])
    stream.push(STAMPS_S[21], [(np.full((17, 2), np.nan), np.ones(17))])
    with pytest.raises(ValueError, match="person 0: expected keypoints"):
        stream.push(STAMPS_S[22], [(np.zeros((5, 2)), np.ones(5))])


@pytest.mark.parametrize("hz", [10, 30, 60])
@pytest.mark.parametrize("gap_s", [0.0, 0.2, 0.8])
def test_a_nameless_person_keeps_one_id_at_any_frame_rate_and_through_gaps(hz, gap_s):
    """What is not yet forgotten is not somebody new: no ghost of the old id beside the new one."""
    stream, stamps_s = open_stream(), np.arange(3 * hz) / hz
    pixels, confidence = seen(walk(stamps_s, start_m=(-1.5, 0.1, 4.5), velocity_m_s=(1.2, 0.0, 0.0), yaw=1.57))
    for frame, stamp_s in enumerate(stamps_s):
        there = not 1 <= stamp_s < 1 + gap_s
        out = stream.push(stamp_s, [(pixels[frame], confidence[frame])] if there else [])
        assert out.ids == (0,) or (not there and out.ids == ())


@pytest.mark.parametrize(("hz", "speed_m_s"), [(10, 6.0), (15, 6.0), (30, 7.0)])
def test_a_nameless_runner_is_one_person(hz, speed_m_s):
    stream, stamps_s = open_stream(), np.arange(int(0.7 * hz)) / hz
    for yaw in (0.0, 1.57):
        stream.reset()
        runner = seen(walk(stamps_s, start_m=(-2.0, 0.1, 4.5), velocity_m_s=(speed_m_s, 0.0, 0.0), yaw=yaw))
        assert all(stream.push(s, [view]).ids == (0,) for s, *view in zip(stamps_s, *runner))


def test_keypoints_below_min_confidence_do_not_shape_the_box_of_a_nameless_person():
    """Two people who stand apart, and a detector that puts what it does not see anywhere."""
    generator, stream = np.random.default_rng(0), open_stream(min_confidence=0.2)
    people = [seen(walk(STAMPS_S, (x, 0.1, 6.0), (0.0, 0.0, 0.0))) for x in (-0.5, 0.5)]
    for frame in range(60):
        views = []
        for pixels, confidence in people:
            view, trust = pixels[frame].copy(), confidence[frame].copy()
            lost = generator.choice(17, 4, replace=False)
            view[lost], trust[lost] = generator.uniform((-900, -500), (1900, 1000), (4, 2)), 0.15
            views.append((view, trust))
        out = stream.push(STAMPS_S[frame], views[:: 1 if frame % 2 else -1])
        side = dict(zip(out.ids, out.joints_cam_m[:, 0, 0] > 0))
        assert side == {0: True, 1: False}


def test_a_nameless_body_detected_twice_is_one_person_for_a_moment():
    stream = open_stream()
    for frame in range(20):
        double = (PIXELS[frame] + (5, 3), CONFIDENCE[frame] * 0.9)
        out = stream.push(STAMPS_S[frame], [person(frame), double] if 5 <= frame < 10 else [person(frame)])
        assert out.ids == (0,)
    assert stream.counters == {"doubled_body": 5}


def test_ten_thousand_nameless_people_do_not_stall_the_stream(monkeypatch):
    """Who is tracked stays, the best seen fill the room, and the assignment is of a few."""
    import scipy.optimize

    asked, solve = [], scipy.optimize.linear_sum_assignment
    monkeypatch.setattr(
        scipy.optimize,
        "linear_sum_assignment",
        lambda cost, **options: asked.append(cost.shape) or solve(cost, **options),
    )
    stream, generator = open_stream(max_people=4), np.random.default_rng(0)
    stream.push(0.0, [person(0)])
    for frame in range(1, 4):
        crowd = [(person(0)[0] + shift, np.full(17, 0.5)) for shift in generator.uniform(-400, 400, (10_000, 1, 2))]
        crowd[5_000] = PIXELS[frame], np.full(17, 0.2)
        out = stream.push(STAMPS_S[frame], crowd)
        assert_finite(out)
        assert len(out.ids) == 4 and out.ids[0] == 0 and not out.predicted[0]
        left_out = stream.counters["too_many_people"] + stream.counters["doubled_body"]
        assert frame > 1 or left_out == 9_996
    assert np.abs(out.joints_cam_m[0, 0] - started(4).latest.joints_cam_m[0, 0]).max() < 0.2
    assert max(rows * columns for rows, columns in asked) < 2_000


keypoint_floats = st.one_of(st.floats(width=32), st.floats(-2000, 2000, width=32))
frames = st.lists(
    st.tuples(
        st.one_of(st.floats(-0.2, 2.0), st.sampled_from([0.0, 1 / 30, 100.0, -100.0, 1e9])),
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2**32 - 1), keypoint_floats), max_size=4),
    ),
    min_size=1,
    max_size=12,
)


@given(frames=frames, lookahead=st.sampled_from([0, 2]))
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_frames_is_survived(frames, lookahead):
    stream, stamp_s = open_stream(lookahead=lookahead, max_people=3), 0.0
    for step_s, people in frames:
        stamp_s += step_s
        message = {}
        for name, seed, wild in people:
            generator = np.random.default_rng(seed)
            pixels = generator.uniform(-100, 1000, (17, 2)).astype(np.float32)
            confidence = generator.uniform(-0.2, 1.2, 17).astype(np.float32)
            pixels[generator.integers(17)], confidence[generator.integers(17)] = wild, generator.choice([0, 1, np.nan])
            message[name] = (pixels, confidence)
        out = stream.push(stamp_s, message)
        assert_finite(out)
        if stream.latest is not None:
            assert_finite(stream.latest)
        tracks = stream._streams.tracks
        for array in (tracks.memory.keys, tracks.memory.pooled, tracks.seen, tracks.pose):
            assert np.isfinite(array[: len(tracks)]).all()
