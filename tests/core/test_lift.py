"""A whole sequence lifted offline: one clear error on bad input, and the same geometry as the stream."""
# T frames, K keypoints, J = 17 joints, H hypotheses

import numpy as np
import pytest
import torch
from helpers import CAMERA, LENS, random_lifter, seen, swing, tiny_config, walk

from dp3d_core import offline
from dp3d_core.config import DenoiserConfig, LiftConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.geometry.body_size import SIZE_SIGMA
from dp3d_core.geometry.camera import Camera, turn_to
from dp3d_core.geometry.observation import follow_all, observe
from dp3d_core.geometry.proportions import Proportions, stature_m
from dp3d_core.lift import Lifter
from dp3d_core.model import Encoded
from dp3d_core.model.motion_denoiser import MotionDenoiser
from dp3d_core.skeleton import MIRROR, mirror

STAMPS_S = np.cumsum(np.random.default_rng(0).choice([0.02, 0.033, 0.08], 40))


def lift(lifter, pixels, confidence, stamps_s=None, **options):
    stamps_s = STAMPS_S[: len(pixels)] if stamps_s is None else stamps_s
    return lifter.lift(pixels, confidence, stamps_s, **({"camera": CAMERA, "joint_set": "h36m17"} | options))


def knows_truth(joints_cam_m, camera, stamps_s):
    """A lifter whose network is perfect, for sequences shorter than a chunk."""
    lifter = random_lifter()
    pixels, confidence = seen(joints_cam_m, camera)
    state = follow_all(camera.rays(pixels)[None], confidence[None], (stamps_s - stamps_s[0])[None], np)
    rotation = turn_to(state[0, :, :2], np)
    relative = joints_cam_m - joints_cam_m[:, :1]
    pose = np.einsum("tij,tkj->tki", rotation, relative) / lifter.config.pose_scale_m

    class Perfect(torch.nn.Module):
        config = lifter.config

        def __init__(self):
            super().__init__()
            self.anything = torch.nn.Parameter(torch.zeros(1))

        def forward(self, observed, *_):
            answer = torch.from_numpy(pose)[None].float()
            frames = answer.shape[1]
            return Encoded(
                answer,
                torch.full((1, frames, 17, 2), -5.0),
                torch.zeros(1, frames, 2),
                torch.zeros(1, frames, 15),
                torch.zeros(1, frames, 8),
            )

    lifter.encoder = Perfect()
    return lifter, pixels, confidence


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_perfect_poses_come_out_where_they_are(camera):
    joints = walk(STAMPS_S, velocity_m_s=(0.4, 0.0, -0.3))
    lifter, pixels, confidence = knows_truth(joints, camera, STAMPS_S)
    out = lift(lifter, pixels, confidence, camera=camera)
    np.testing.assert_allclose(out.joints_cam_m, joints, atol=0.015)
    assert (np.abs(out.root_sigma_m / np.linalg.norm(joints[:, 0], axis=1) - SIZE_SIGMA) < 0.02).all()


def test_known_height_scales_the_depth():
    joints = walk(STAMPS_S)
    lifter, pixels, confidence = knows_truth(joints, CAMERA, STAMPS_S)
    people = Proportions(1)
    pose = swing(np.zeros(1)).astype(np.float32)
    people.follow(slice(None), pose, np.full((1, 17), 0.03, np.float32), np.full(1, 0.03, np.float32))
    height = 1.25 * float(stature_m(people.length_m)[0])
    tall = lift(lifter, pixels, confidence, person_height_m=height)
    plain = lift(lifter, pixels, confidence)
    np.testing.assert_allclose(tall.joints_cam_m / plain.joints_cam_m, 1.25, rtol=0.01)
    assert (tall.root_sigma_m < plain.root_sigma_m).all()


@pytest.mark.parametrize("steps", [1, 3])
def test_flip_answers_the_mirrored_person_with_the_mirror_image(steps):
    """Whatever the weights are, and only with `flip`; the camera's axis is the mirror."""
    lifter = random_lifter()
    pixels, confidence = seen(walk(STAMPS_S))
    confidence[:, 3] = 0.4
    turned = mirror(pixels - [CAMERA.cx, 0]) + [CAMERA.cx, 0]
    both = [(pixels, confidence), (turned, confidence[:, list(MIRROR)])]
    one, other = (lift(lifter, *one, flip=True, steps=steps) for one in both)
    np.testing.assert_allclose(mirror(other.joints_cam_m), one.joints_cam_m, atol=2e-4)
    np.testing.assert_allclose(other.sigma_m[:, list(MIRROR)], one.sigma_m, atol=2e-5)
    np.testing.assert_allclose(other.action_probability, one.action_probability, atol=1e-5)
    one, other = (lift(lifter, *one, steps=steps) for one in both)
    assert np.abs(mirror(other.joints_cam_m) - one.joints_cam_m).max() > 0.01


def test_shapes_types_and_probabilities():
    lifter = random_lifter()
    out = lift(lifter, *seen(walk(STAMPS_S)))
    assert out.joints_cam_m.shape == (40, 17, 3) and out.joints_cam_m.dtype == np.float32
    assert out.sigma_m.shape == (40, 17) and (out.sigma_m[:, 0] == 0).all() and (out.sigma_m[:, 1:] > 0).all()
    assert out.root_sigma_m.shape == (40,) and out.metric
    np.testing.assert_allclose(out.action_probability.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(out.stamps_s, STAMPS_S)


def test_only_time_differences_matter():
    lifter = random_lifter()
    data = seen(walk(STAMPS_S))
    now, later = lift(lifter, *data), lift(lifter, *data, stamps_s=STAMPS_S + 1.7e9)
    np.testing.assert_allclose(later.joints_cam_m, now.joints_cam_m, atol=2e-3)


def test_causal_lift_ignores_the_future(monkeypatch):
    """The poses do not know what comes; only the root's smoothing and the bone lengths look both ways."""
    lifter = random_lifter()
    pixels, confidence = seen(walk(STAMPS_S))
    other = pixels.copy()
    other[30:] += 40
    calls = []
    original = offline.encode
    monkeypatch.setattr(offline, "encode", lambda *given: calls.append(original(*given)) or calls[-1])
    for sequence in (pixels, other):
        lift(lifter, sequence, confidence, causal=True)
        lift(lifter, sequence, confidence, causal=False)
    causal, both, causal_other, both_other = (answer.pose for answer in calls)
    np.testing.assert_allclose(causal_other[:30], causal[:30], atol=1e-5)
    assert np.abs(both_other[:30] - both[:30]).max() > 1e-3


def test_what_happens_much_later_changes_no_pose_and_no_action():
    """Each block looks one window ahead, and the action pooling of what it sees one further."""
    lifter = random_lifter(tiny_config(frame_layers=2))
    stamps_s = np.arange(100) / 30
    pixels, confidence = seen(walk(stamps_s))
    other = pixels.copy()
    other[80:] += 60 * np.random.default_rng(0).normal(size=other[80:].shape)

    def encoded(data):
        seen, relative_s = observed(lifter, data, confidence, stamps_s)
        return offline.encode(lifter.encoder, seen, np.zeros((1, 100, 4), np.float32), relative_s, LiftConfig())

    before = 80 - 3 * (lifter.config.window_frames - 1)
    for now, changed in zip(encoded(pixels), encoded(other), strict=True):
        np.testing.assert_allclose(changed[:before], now[:before], atol=1e-5)
        assert np.abs(changed[before:80] - now[before:80]).max() > 1e-3


def observed(lifter, pixels, confidence, stamps_s):
    """What the network sees of a sequence, and its seconds, as `offline.denoise` takes them."""
    rays = CAMERA.rays(pixels)[None]
    state = follow_all(rays, confidence[None], stamps_s[None], np)
    return observe(rays, confidence[None], state, np)[0].astype(np.float32), stamps_s[None]


@pytest.mark.parametrize("causal", [True, False])
def test_long_sequences_have_no_seams(causal, monkeypatch):
    """Pieces with one window of context on each side equal one pass, as far as one block can see."""
    lifter = random_lifter(tiny_config(frame_layers=1, action_prompts=False))
    stamps_s = np.arange(100) / 30
    data = seen(walk(stamps_s))
    whole = lift(lifter, *data, stamps_s=stamps_s, causal=causal)
    monkeypatch.setattr(offline, "CHUNK_FRAMES", 30)
    pieces = lift(lifter, *data, stamps_s=stamps_s, causal=causal)
    np.testing.assert_allclose(pieces.joints_cam_m, whole.joints_cam_m, atol=2e-3)
    np.testing.assert_allclose(pieces.sigma_m, whole.sigma_m, atol=1e-3)


def test_hypotheses_have_no_seams(monkeypatch):
    lifter = random_lifter(tiny_config(frame_layers=1, action_prompts=False))
    stamps_s = np.arange(100) / 30
    data = seen(walk(stamps_s))
    whole = lift(lifter, *data, stamps_s=stamps_s, samples=2, steps=2)
    monkeypatch.setattr(offline, "CHUNK_FRAMES", 40)
    pieces = lift(lifter, *data, stamps_s=stamps_s, samples=2, steps=2)
    jump = np.abs(np.diff(pieces.joints_cam_m - whole.joints_cam_m, axis=0)).max()
    assert jump < 0.03


def test_same_seed_same_samples():
    lifter = random_lifter()
    data = seen(walk(STAMPS_S))
    first, again, other = (lift(lifter, *data, samples=3, steps=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.joints_cam_m, again.joints_cam_m)
    assert np.abs(first.joints_cam_m - other.joints_cam_m).max() > 1e-4


def test_disagreement_of_hypotheses_is_part_of_sigma():
    lifter = random_lifter(tiny_config(log_variance=False))
    data = seen(walk(STAMPS_S))
    assert lift(lifter, *data, samples=8, steps=2).sigma_m[:, 1:].mean() > lift(lifter, *data).sigma_m[:, 1:].mean()


def test_oracle_label_changes_the_pose_and_not_what_the_network_believes():
    lifter = random_lifter()
    data = seen(walk(STAMPS_S))
    oracle = np.zeros(len(lifter.actions), np.float32)
    oracle[2] = 1
    told, free = lift(lifter, *data, action_probability=oracle), lift(lifter, *data)
    np.testing.assert_array_equal(told.action_probability, free.action_probability)
    assert np.abs(told.joints_cam_m - free.joints_cam_m).max() > 1e-3


def test_assumed_camera_is_not_metric():
    out = lift(random_lifter(), *seen(walk(STAMPS_S)), camera=Camera.from_fov(width=960, height=540))
    assert not out.metric


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -1e25])
def test_keypoints_that_are_no_pixels_count_as_missing(value):
    lifter = random_lifter()
    pixels, confidence = seen(walk(STAMPS_S))
    missing = confidence.copy()
    missing[5, 3], missing[7] = 0, 0
    pixels[5, 3], pixels[7] = value, value
    out, want = lift(lifter, pixels, confidence), lift(lifter, pixels, missing)
    assert np.isfinite(out.joints_cam_m).all() and np.isfinite(out.sigma_m).all()
    np.testing.assert_array_equal(out.joints_cam_m, want.joints_cam_m)


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_keypoints_beyond_the_lens_count_as_missing(camera):
    lifter = random_lifter()
    pixels, confidence = seen(walk(STAMPS_S), camera)
    missing = confidence.copy()
    missing[5, 3], pixels[5, 3] = 0, (-4e5, 2e5)
    out, want = (lift(lifter, pixels, trust, camera=camera) for trust in (confidence, missing))
    np.testing.assert_array_equal(out.joints_cam_m, want.joints_cam_m)


def test_input_arrays_are_not_changed():
    pixels, confidence = seen(walk(STAMPS_S))
    pixels[3], confidence[4] = np.nan, 1.5
    before = pixels.copy(), confidence.copy()
    lift(random_lifter(), pixels, confidence)
    np.testing.assert_array_equal(pixels, before[0])
    np.testing.assert_array_equal(confidence, before[1])


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_missing_joints_and_frames_never_give_nan(share):
    generator = np.random.default_rng(0)
    pixels, confidence = seen(walk(STAMPS_S))
    confidence[generator.random(confidence.shape) < share] = 0
    confidence[generator.random(len(confidence)) < share] = 0
    out = lift(random_lifter(), pixels, confidence)
    for array in (out.joints_cam_m, out.sigma_m, out.root_sigma_m):
        assert np.isfinite(array).all()


def test_one_frame_is_a_sequence():
    out = lift(random_lifter(), *seen(walk(STAMPS_S[:1])))
    assert out.joints_cam_m.shape == (1, 17, 3) and np.isfinite(out.joints_cam_m).all()


@pytest.mark.parametrize(
    ("pixels", "confidence", "stamps_s", "message"),
    [
        ((5, 17, 3), (5, 17), np.arange(5), r"keypoints_px: expected \(T, 17, 2\) .*pass confidence separately"),
        ((5, 16, 2), (5, 16), np.arange(5), "keypoints_px: expected"),
        ((17, 2), (17,), np.arange(1), "keypoints_px: expected"),
        ((5, 17, 2), (5, 16), np.arange(5), r"confidence: expected \(5, 17\)"),
        ((5, 17, 2), (5, 17), np.arange(4), r"stamps_s: expected \(5,\)"),
        ((5, 17, 2), (5, 17), np.array([0, 1, 1, 2, 3]), "stamps_s: expected .* ascending"),
        ((5, 17, 2), (5, 17), np.array([0, 1, np.nan, 2, 3]), "stamps_s: expected .* finite"),
        ((0, 17, 2), (0, 17), np.zeros(0), "at least one frame"),
    ],
)
def test_misshapen_input_is_one_clear_error(pixels, confidence, stamps_s, message):
    with pytest.raises(ValueError, match=message):
        lift(random_lifter(), np.ones(pixels), np.ones(confidence), stamps_s.astype(float))


def test_nobody_visible_and_unknown_joint_set_are_clear_errors():
    pixels, confidence = seen(walk(STAMPS_S))
    with pytest.raises(ValueError, match="at least one visible joint"):
        lift(random_lifter(), pixels, 0 * confidence)
    with pytest.raises(ValueError, match="joint_set: expected one of"):
        lift(random_lifter(), pixels, confidence, joint_set="h36m")


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"samples": 0},
        {"action_probability": np.ones(3)},
        {"action_probability": np.ones(len(ACTIONS))},
    ],
)
def test_impossible_options_are_clear_errors(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        lift(random_lifter(), *seen(walk(STAMPS_S)), **options)


def test_weights_without_a_denoiser_draw_no_samples():
    lifter = random_lifter()
    lifter.denoiser = None
    lift(lifter, *seen(walk(STAMPS_S)))
    for options in ({"steps": 2}, {"samples": 3}):
        with pytest.raises(ValueError, match=r"steps, samples: expected 1 and 1, got .*no denoiser"):
            lift(lifter, *seen(walk(STAMPS_S)), **options)


def lifter_with_motions():
    lifter = random_lifter()
    torch.manual_seed(3)
    config = DenoiserConfig(
        width=16, layers=1, heads=2, feature_width=lifter.config.frame_width, actions=len(lifter.actions)
    )
    denoiser = MotionDenoiser(config).eval().requires_grad_(False)
    denoiser.joint_factor[:3] = 0
    lifter.motion_denoiser = denoiser
    return lifter


def test_motions_are_drawn_beside_the_encoder_by_seed_and_their_mean_is_lifted():
    lifter, given = lifter_with_motions(), seen(walk(STAMPS_S))
    draw = lambda **options: lifter.sample(*given, STAMPS_S, camera=CAMERA, joint_set="h36m17", **options)  # noqa: E731
    one, again, other = draw(samples=4), draw(samples=4), draw(samples=4, seed=1)
    np.testing.assert_array_equal(one[0], again[0])
    assert one[0].shape == (4, len(STAMPS_S), 17, 3) and np.abs(one[0] - other[0]).max() > 1e-3
    assert np.abs(one[0] - one[0].mean(0)).max() > 1e-3
    # as smooth as residuals are, not noise of its own in every frame
    apart = one[0] - one[0].mean(0)
    assert np.diff(apart, axis=1).std() < 0.5 * apart.std()
    assert np.isfinite(draw(samples=2, steps=3, flip=True)[0]).all()


def test_a_motion_goes_on_over_the_seams_of_pieces(monkeypatch):
    monkeypatch.setattr("dp3d_core.offline.CHUNK_FRAMES", 8)
    lifter, given = lifter_with_motions(), seen(walk(STAMPS_S))
    drawn = lifter.sample(*given, STAMPS_S, camera=CAMERA, joint_set="h36m17", samples=6)[0]
    apart = (drawn - drawn[:, :, :1]) - (drawn - drawn[:, :, :1]).mean(0)
    jump = np.linalg.norm(np.diff(apart, axis=1), axis=-1).mean((0, 2)) / np.sqrt(np.diff(STAMPS_S))
    assert jump[7::8].mean() < 2 * np.median(jump)


def test_warm_up_leaves_no_trace():
    lifter = random_lifter()
    before = lift(lifter, *seen(walk(STAMPS_S))).joints_cam_m
    lifter.warm_up(people=2, lookahead=2)
    np.testing.assert_array_equal(lift(lifter, *seen(walk(STAMPS_S))).joints_cam_m, before)


def test_unknown_backend_lists_the_known_ones():
    from dp3d_core.backends import make_backend

    with pytest.raises(ValueError, match=r"backend: expected one of .*eager.*got 'cuda9'"):
        make_backend("cuda9", random_lifter().encoder)


def test_shipped_weights_lift_a_walker_upright_and_about_in_place():
    """Sanity of what is shipped, not its quality: offline and live, finite, head up, sides right, depth plausible."""
    lifter = Lifter.load("small", backend="eager")
    stamps_s = np.arange(45) / 30
    joints = walk(stamps_s, yaw=0.3)
    pixels, confidence = seen(joints, noise_px=1.0)
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17")
    live = [stream.push(s, {1: (pixels[f], confidence[f])}) for f, s in enumerate(stamps_s)]
    for pose in (lift(lifter, pixels, confidence, stamps_s).joints_cam_m[-1], live[-1].joints_cam_m[0]):
        assert np.isfinite(pose).all()
        assert pose[10, 1] < pose[0, 1] < min(pose[3, 1], pose[6, 1])
        assert np.sign(pose[11, 0] - pose[14, 0]) == np.sign(joints[-1, 11, 0] - joints[-1, 14, 0])
        assert 0.6 < pose[0, 2] / joints[-1, 0, 2] < 1.6
        reprojected = CAMERA.project(pose)
        assert np.linalg.norm(reprojected - pixels[-1], axis=1).mean() < 40
