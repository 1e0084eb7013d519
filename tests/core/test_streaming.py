"""A live stream is the offline layout computed frame by frame, for each person as if they were alone."""
# P people, T frames, R rows of the offline layout, J = 17 joints

import numpy as np
import pytest
import torch
from helpers import CAMERA, by_joint_config, random_lifter, seen, tiny_config, walk

from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.gaps import bridge_all
from dp3d_core.geometry.observation import follow_all, observe
from dp3d_core.model.diffusion import rolling_layout
from dp3d_core.skeleton import BONES

WINDOW = tiny_config().window_frames


class Recorder:
    """A backend that notes what it was asked and what it answered."""

    def __init__(self, backend):
        self.backend, self.calls = backend, []

    def step(self, *arrays):
        out = self.backend.step(*arrays)
        self.calls.append((tuple(array.copy() for array in arrays), out))
        return out


def irregular(frames, seed=0, start_s=0.0, mean_s=0.033):
    """Ascending stamps (T,) with jitter and dropped frames, none of the gaps long enough to forget anybody."""
    generator = np.random.default_rng(seed)
    return start_s + np.cumsum(mean_s * generator.choice([0.5, 1.0, 1.3, 4.0], frames))


def keypoints(stamps_s, seed=0, drop=0.15):
    """A walker's noisy pixels (T, 17, 2) and confidence (T, 17), a share of joints missing, never all."""
    generator = np.random.default_rng(seed)
    start_m = (generator.uniform(-1, 1), 0.1, generator.uniform(3, 6))
    velocity_m_s = (0.2, 0.0, -0.05) if stamps_s[-1] - stamps_s[0] < 10 else (0.0, 0.0, 0.0)
    joints = walk(stamps_s, start_m, velocity_m_s, yaw=generator.uniform(-3, 3))
    pixels, confidence = seen(joints, noise_px=2.0, seed=seed)
    confidence = generator.uniform(0.3, 1, confidence.shape) * (generator.random(confidence.shape) >= drop)
    return pixels, confidence.astype(np.float32)


def push_all(stream, stamps_s, people):
    """Push every frame of {id: (pixels (T, ...), confidence (T, ...))}; a None frame is left out. List of outputs."""
    out = []
    for frame, stamp_s in enumerate(stamps_s):
        present = {person: (px[frame], c[frame]) for person, (px, c) in people.items() if c[frame] is not None}
        out.append(stream.push(float(stamp_s), present))
    return out


def offline_rows(lifter, pixels, confidence, stamps_s, lookahead):
    """The rolling layout and the network's answer to it, without a stream: causal rows, then rows that look ahead."""
    confidence = np.where(confidence < 0.05, 0, confidence).astype(np.float32)
    rays = CAMERA.rays(np.where(confidence[..., None] > 0, pixels, 0))
    rays, confidence = bridge_all(rays, confidence, stamps_s)
    rays = rays[None]
    relative_s = (stamps_s - stamps_s[0])[None].astype(np.float32)
    observed = observe(rays, confidence[None], follow_all(rays, confidence[None], relative_s, np), np)[0]
    observed = torch.from_numpy(observed).float()
    moments = list(range(len(stamps_s)))
    rows = rolling_layout(len(stamps_s), lifter.config.window_frames, lookahead, moments)
    with torch.no_grad():
        return rows, lifter.encoder(
            observed[:, rows.frame], torch.zeros(1, len(rows.frame), 4), torch.from_numpy(relative_s)[:, rows.frame],
            rows.mask[None], rows.pool_row,
        )  # fmt: skip


@pytest.mark.parametrize("lookahead", [0, 2, 4])
@pytest.mark.parametrize("config", [tiny_config(), by_joint_config()], ids=["frame tokens", "joint tokens"])
@pytest.mark.parametrize(
    ("frames", "start_s", "mean_s"),
    [(5, 0.0, 0.033), (30, 1.7e9, 0.033), (200, 60.0, 0.25)],
    ids=["filling", "full, epoch stamps", "longer than the rotary period"],
)
def test_streaming_equals_the_offline_rolling_layout(lookahead, config, frames, start_s, mean_s):
    """Cached keys of a partly filled, full and many times overwritten ring, at irregular stamps."""
    lifter = random_lifter(config)
    stamps_s = irregular(frames, start_s=start_s, mean_s=mean_s)
    if mean_s > 0.1:
        assert stamps_s[-1] - stamps_s[0] > 64
    pixels, confidence = keypoints(stamps_s)
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead, reset_after_s=10.0)
    stream._streams.backend = Recorder(stream._streams.backend)
    push_all(stream, stamps_s, {1: (pixels, confidence)})
    calls = stream._streams.backend.calls
    rows, offline = offline_rows(lifter, pixels, confidence, stamps_s, lookahead)
    # not a comparison of noughts
    assert np.abs(calls[-1][1][0]).max() > 0.1
    row = frames
    for moment, (_, (pose, log_variance, contact, logits, *_)) in enumerate(calls):
        count = min(lookahead, moment)
        index = [*range(row, row + count), moment]
        row += count
        got, want = pose[0, lookahead - count :], offline.pose[0, index].numpy()
        np.testing.assert_allclose(got, want, atol=5e-4, err_msg=f"moment {moment}")
        np.testing.assert_allclose(
            log_variance[0, lookahead - count :], offline.log_variance[0, index].numpy(), atol=2e-3
        )
        np.testing.assert_allclose(contact[0, lookahead - count :], offline.contacts[0, index].numpy(), atol=2e-3)
        np.testing.assert_allclose(logits[0], offline.action_logits[0, moment].numpy(), atol=1e-3)
    assert row == len(rows.frame)


def same(left, right, person, atol=2e-4):
    """Assert that a person's skeletons are the same in two outputs of the same frame."""
    assert (person in left.ids) == (person in right.ids) and left.stamp_s == right.stamp_s
    if person in left.ids:
        a, b = left.ids.index(person), right.ids.index(person)
        np.testing.assert_allclose(left.joints_cam_m[a], right.joints_cam_m[b], atol=atol)
        np.testing.assert_allclose(left.sigma_m[a], right.sigma_m[b], atol=atol)
        np.testing.assert_allclose(left.root_sigma_m[a], right.root_sigma_m[b], rtol=1e-3)
        assert left.predicted[a] == right.predicted[b] and left.actions[a] == right.actions[b]


@pytest.mark.parametrize("lookahead", [0, 2])
def test_people_in_one_batch_equal_each_alone(lookahead):
    lifter = random_lifter()
    stamps_s = irregular(25)
    people = {person: keypoints(stamps_s, seed=person) for person in (7, 8, 9)}
    options = {"camera": CAMERA, "joint_set": "h36m17", "lookahead": lookahead}
    together = push_all(lifter.stream(**options), stamps_s, people)
    assert together[-1].ids == (7, 8, 9)
    for person, sequence in people.items():
        for left, right in zip(together, push_all(lifter.stream(**options), stamps_s, {person: sequence})):
            same(left, right, person)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_joining_and_leaving_do_not_change_the_others(lookahead):
    lifter = random_lifter()
    stamps_s = irregular(60)
    options = {"camera": CAMERA, "joint_set": "h36m17", "lookahead": lookahead, "reset_after_s": 0.4}
    stays = keypoints(stamps_s, seed=1)
    guests = {}
    for person, (first, last) in {2: (0, 12), 3: (5, 30), 4: (20, 60), 5: (33, 40)}.items():
        pixels, confidence = keypoints(stamps_s, seed=person)
        guests[person] = (pixels, [c if first <= f < last else None for f, c in enumerate(confidence)])
    # the guests come first in each message, so that rows move when they leave
    crowd = push_all(lifter.stream(**options), stamps_s, {**guests, 1: stays})
    alone = push_all(lifter.stream(**options), stamps_s, {1: stays})
    for left, right in zip(crowd, alone):
        same(left, right, 1) if 1 in right.ids else None
    assert {len(out.ids) for out in crowd} >= {2, 3}
    assert 2 not in crowd[-1].ids and 4 in crowd[-1].ids


def test_who_comes_back_after_long_is_new():
    lifter = random_lifter()
    stamps_s = np.arange(60) / 30
    pixels, confidence = keypoints(stamps_s)
    away = [c if f < 10 or f >= 50 else None for f, c in enumerate(confidence)]
    out = push_all(lifter.stream(camera=CAMERA, joint_set="h36m17"), stamps_s, {1: (pixels, away)})
    fresh = push_all(
        lifter.stream(camera=CAMERA, joint_set="h36m17"), stamps_s[50:], {1: (pixels[50:], confidence[50:])}
    )
    for left, right in zip(out[50:], fresh):
        same(left, right, 1)


@pytest.mark.parametrize("lookahead", [0, 4])
def test_reset_equals_fresh(lookahead):
    lifter = random_lifter()
    stamps_s = irregular(20)
    used = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead)
    push_all(used, irregular(30, seed=5), {person: keypoints(irregular(30, seed=5), person) for person in (1, 2, 3)})
    used.reset()
    assert used.latest is None
    fresh = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead)
    people = {person: keypoints(stamps_s, seed=person + 10) for person in (3, 1)}
    for left, right in zip(push_all(used, stamps_s, people), push_all(fresh, stamps_s, people)):
        assert left.ids == right.ids
        for person in left.ids:
            same(left, right, person, atol=1e-6)


def test_resetting_one_person_keeps_the_others():
    lifter = random_lifter()
    stamps_s = irregular(30)
    people = {person: keypoints(stamps_s, seed=person) for person in (1, 2, 3)}
    first = {person: (px[:15], c[:15]) for person, (px, c) in people.items()}
    second = {person: (px[15:], c[15:]) for person, (px, c) in people.items()}
    one, plain, fresh = (lifter.stream(camera=CAMERA, joint_set="h36m17") for _ in range(3))
    push_all(one, stamps_s[:15], first)
    push_all(plain, stamps_s[:15], first)
    one.reset(1)
    one.reset("nobody")
    outs = [push_all(stream, stamps_s[15:], second) for stream in (one, plain, fresh)]
    for reset, untouched, new in zip(*outs):
        same(reset, untouched, 2)
        same(reset, untouched, 3)
        same(reset, new, 1)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_latest_survives_a_reset_of_somebody(lookahead):
    lifter = random_lifter()
    stamps_s = irregular(10)
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead)
    push_all(stream, stamps_s, {person: keypoints(stamps_s, seed=person) for person in (1, 2)})
    stream.reset(1)
    latest = stream.latest
    assert latest is None or latest.ids == (2,)


def test_same_input_gives_the_same_poses():
    lifter = random_lifter()
    stamps_s = irregular(12)
    people = {1: keypoints(stamps_s), 2: keypoints(stamps_s, seed=2)}
    outs = [push_all(lifter.stream(camera=CAMERA, joint_set="h36m17"), stamps_s, people) for _ in range(2)]
    for left, right in zip(*outs):
        np.testing.assert_array_equal(left.joints_cam_m, right.joints_cam_m)


def test_two_streams_of_one_lifter_do_not_touch():
    lifter = random_lifter()
    stamps_s = irregular(12)
    first, second, alone = (lifter.stream(camera=CAMERA, joint_set="h36m17") for _ in range(3))
    pixels, confidence = keypoints(stamps_s)
    other = keypoints(stamps_s, seed=9)
    for frame, stamp_s in enumerate(stamps_s):
        out = first.push(stamp_s, {1: (pixels[frame], confidence[frame])})
        second.push(stamp_s, {1: (other[0][frame], other[1][frame])})
        same(out, alone.push(stamp_s, {1: (pixels[frame], confidence[frame])}), 1, atol=0)


@pytest.mark.parametrize("lookahead", [0, 2, 4])
def test_output_is_the_frame_lookahead_pushes_ago(lookahead):
    lifter = random_lifter()
    stamps_s = irregular(20)
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead)
    pixels, confidence = keypoints(stamps_s)
    for frame, stamp_s in enumerate(stamps_s):
        out = stream.push(stamp_s, {5: (pixels[frame], confidence[frame])})
        assert stream.latest.stamp_s == stamp_s and stream.latest.ids == (5,)
        if frame < lookahead:
            assert out.ids == ()
        else:
            assert out.stamp_s == stamps_s[frame - lookahead] and out.ids == (5,)


@pytest.mark.parametrize("lookahead", [2, 4])
def test_output_stamps_never_go_back_also_when_people_come_and_go(lookahead):
    lifter = random_lifter()
    stamps_s = np.arange(80) / 30
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead, reset_after_s=0.2)
    pixels, confidence = keypoints(stamps_s)
    out = [
        stream.push(stamp_s, {1: (pixels[f], confidence[f])} if f % 40 in range(10, 25) else {})
        for f, stamp_s in enumerate(stamps_s)
    ]
    emitted = [skeletons.stamp_s for skeletons in out]
    assert (np.diff(emitted) >= 0).all()
    assert emitted[lookahead:] == stamps_s[: len(stamps_s) - lookahead].tolist()


def test_latest_is_the_zero_lag_answer():
    stamps_s = np.arange(30) / 30
    joints = walk(stamps_s)
    out, stream = with_truth(joints, stamps_s, lookahead=2)
    latest = stream.latest
    assert (out[-1].stamp_s, latest.stamp_s) == (stamps_s[-3], stamps_s[-1])
    np.testing.assert_allclose(latest.joints_cam_m[0], joints[-1], atol=0.05)


def test_reading_latest_changes_nothing():
    lifter = random_lifter()
    stamps_s = irregular(15)
    read, unread = (lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=2) for _ in range(2))
    pixels, confidence = keypoints(stamps_s)
    confidence[8:, 5:] = 0
    pixels[8:, :5] = 100.0  # coincident rays: no root can be found
    for frame, stamp_s in enumerate(stamps_s):
        people = {1: (pixels[frame], confidence[frame])}
        left, right = read.push(stamp_s, people), unread.push(stamp_s, people)
        for _ in range(3):
            assert read.latest is None or read.latest.stamp_s == stamp_s
        same(left, right, 1, atol=0)
    assert read.counters == unread.counters


class Truth:
    """A backend that answers with the true pose in the virtual view: what remains is the stream's own geometry."""

    def __init__(self, lifter, joints_cam_m):
        self.lifter, self.joints, self.frame, self.stream = lifter, joints_cam_m, 0, None

    def step(self, seen, *rest):
        pose, log_variance, *others = self.lifter._backend.step(seen, *rest)
        rows = seen.shape[1]
        for row in range(rows):
            frame = max(0, self.frame - (rows - 1 - row))
            relative = self.joints[frame] - self.joints[frame, :1]
            rotation = self.stream._streams.tracks.rotation[0, row]
            pose[0, row] = relative @ rotation.T / self.lifter.config.pose_scale_m
        self.frame += 1
        return pose, np.full_like(log_variance, -5.0), *others


def with_truth(joints_cam_m, stamps_s, camera=CAMERA, confidence=None, **options):
    """Outputs of a stream whose network is perfect."""
    lifter = random_lifter()
    backend = Truth(lifter, joints_cam_m)
    stream = lifter.stream(camera=camera, joint_set="h36m17", **options)
    stream._streams.backend, backend.stream = backend, stream
    pixels, trust = seen(joints_cam_m, camera)
    confidence = trust if confidence is None else confidence
    return [stream.push(float(s), {1: (pixels[f], confidence[f])}) for f, s in enumerate(stamps_s)], stream


@pytest.mark.parametrize("lookahead", [0, 2, 4])
def test_perfect_poses_come_out_where_they_are(lookahead):
    """Virtual camera, closed-form root, filter and the turn back add no error of their own; also after a gap."""
    stamps_s = np.concatenate([np.arange(40) / 30, 2.0 + np.arange(40) / 30])
    joints = walk(stamps_s, velocity_m_s=(0.5, 0.0, -0.3))
    out, _ = with_truth(joints, stamps_s, lookahead=lookahead, reset_after_s=2.0)
    worst = [np.abs(s.joints_cam_m[0] - joints[f - lookahead]).max() for f, s in enumerate(out) if f >= lookahead + 3]
    # the figure's feet slide while they turn round: for that moment they count as standing
    assert max(worst) < 0.07, (np.argmax(worst), max(worst))
    assert np.median(worst) < 0.02


@pytest.mark.parametrize("lookahead", [0, 2])
def test_the_first_root_is_nearly_as_sure_as_the_second(lookahead):
    stamps_s = np.arange(10) / 30
    out, _ = with_truth(walk(stamps_s), stamps_s, lookahead=lookahead)
    sigma_m = [s.root_sigma_m[0] for s in out if s.ids]
    assert sigma_m[1] <= sigma_m[0] < 1.5 * sigma_m[1]


def test_known_height_scales_the_depth():
    stamps_s = np.arange(30) / 30
    joints = walk(stamps_s)
    plain, stream = with_truth(joints, stamps_s)
    from dp3d_core.geometry.proportions import stature_m

    stature = float(stature_m(stream._streams.tracks.bones.length_m[:1])[0])
    taller, _ = with_truth(joints, stamps_s, person_height_m=1.2 * stature)
    ratio = taller[-1].joints_cam_m[0] / plain[-1].joints_cam_m[0]
    np.testing.assert_allclose(ratio[:, 2], 1.2, rtol=5e-3)
    assert taller[-1].root_sigma_m[0] / taller[-1].joints_cam_m[0, 0, 2] < (
        plain[-1].root_sigma_m[0] / plain[-1].joints_cam_m[0, 0, 2]
    )


def test_limbs_keep_their_length():
    lifter = random_lifter()
    stamps_s = np.arange(120) / 30
    out = push_all(lifter.stream(camera=CAMERA, joint_set="h36m17"), stamps_s, {1: keypoints(stamps_s)})
    bones = np.array(
        [[np.linalg.norm(s.joints_cam_m[0, b] - s.joints_cam_m[0, a]) for a, b in BONES] for s in out[60:]]
    )
    # answers of random weights are far from their rays, and what moves them there bends lengths most
    assert (bones.std(0) / bones.mean(0)).max() < 0.12


def test_a_lens_is_undone():
    from helpers import LENS

    stamps_s = np.arange(20) / 30
    joints = walk(stamps_s, start_m=(-1.2, 0.3, 3.5))
    out, _ = with_truth(joints, stamps_s, camera=LENS)
    np.testing.assert_allclose(out[-1].joints_cam_m[0], joints[-1], atol=0.02)


def test_assumed_camera_is_not_metric():
    lifter = random_lifter()
    stamps_s = irregular(3)
    camera = Camera.from_fov(width=960, height=540)
    out = push_all(lifter.stream(camera=camera, joint_set="h36m17"), stamps_s, {1: keypoints(stamps_s)})
    assert not out[-1].metric
    assert push_all(lifter.stream(camera=CAMERA, joint_set="h36m17"), stamps_s, {1: keypoints(stamps_s)})[-1].metric


def test_action_is_named_only_when_more_than_half_sure():
    lifter = random_lifter()
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17")
    logits = np.zeros((2, len(lifter.actions)), np.float32)
    logits[0, 3] = 20.0
    assert stream._streams._name_actions(logits) == [lifter.actions[3], None]


def test_temperature_scales_sigma_and_only_that():
    stamps_s = irregular(8)
    outs = [
        push_all(
            random_lifter(temperature=t).stream(camera=CAMERA, joint_set="h36m17"), stamps_s, {1: keypoints(stamps_s)}
        )[0]
        for t in (1.0, 2.0)
    ]
    np.testing.assert_allclose(outs[1].sigma_m, 2 * outs[0].sigma_m, rtol=1e-5)
    assert (outs[0].sigma_m[:, 0] == 0).all() and (outs[0].sigma_m[:, 1:] > 0).all()


def test_output_types_and_shapes():
    lifter = random_lifter()
    stamps_s = irregular(4)
    people = {person: keypoints(stamps_s, seed=person) for person in range(3)}
    out = push_all(lifter.stream(camera=CAMERA, joint_set="h36m17"), stamps_s, people)[-1]
    assert out.joints_cam_m.shape == (3, 17, 3) and out.joints_cam_m.dtype == np.float32
    assert out.sigma_m.shape == (3, 17) and out.sigma_m.dtype == np.float32
    assert out.root_sigma_m.shape == (3,) and out.predicted.dtype == bool and len(out.actions) == 3
