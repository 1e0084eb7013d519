import numpy as np
import pytest

from dp3d_core.geometry.gaps import BRIDGE_S, CONFIDENCE_TIME_S, SPEED_TIME_S, bridge, bridge_all, forgotten

STEP_S = 1 / 30


def moving(frames=12, speed=(0.3, -0.6)):
    """A person all of whose joints move alike: rays, confidence, stamps."""
    stamps_s = np.arange(frames) * STEP_S
    start = np.random.default_rng(0).normal(size=(17, 2))
    rays = start + stamps_s[:, None, None] * np.array(speed)
    return rays.astype(np.float32), np.full((frames, 17), 0.8, np.float32), stamps_s


def test_what_is_seen_stays_as_it_is():
    rays, confidence, stamps_s = moving()
    got = bridge_all(rays, confidence, stamps_s)
    np.testing.assert_array_equal(got[0], rays)
    np.testing.assert_array_equal(got[1], confidence)


def test_a_lost_joint_glides_on_and_fades():
    rays, confidence, stamps_s = moving()
    confidence[6:8, 4], rays[6:8, 4] = 0, 99.0  # a missing joint's ray may hold anything
    got, trust = bridge_all(rays, confidence, stamps_s)
    for frame, age_s in ((6, STEP_S), (7, 2 * STEP_S)):
        glided_s = SPEED_TIME_S * (1 - np.exp(-age_s / SPEED_TIME_S))
        np.testing.assert_allclose(got[frame, 4], rays[5, 4] + np.array([0.3, -0.6]) * glided_s, atol=1e-5)
        assert trust[frame, 4] == pytest.approx(0.8 * np.exp(-age_s / CONFIDENCE_TIME_S), rel=1e-5)
    others = np.arange(17) != 4
    np.testing.assert_array_equal(trust[:, others], confidence[:, others])
    np.testing.assert_array_equal(got[8:], rays[8:])


def test_a_long_gap_is_a_gap():
    rays, confidence, stamps_s = moving(30)
    confidence[6:, 4] = 0
    trust = bridge_all(rays, confidence, stamps_s)[1][:, 4]
    last_s = stamps_s[5]
    assert (trust[(stamps_s > last_s) & (stamps_s < last_s + BRIDGE_S - 1e-3)] > 0).all()
    assert not trust[stamps_s > last_s + BRIDGE_S + 1e-3].any()


def test_a_joint_never_seen_and_a_person_not_seen_are_left_alone():
    rays, confidence, stamps_s = moving()
    confidence[:, 2] = 0
    confidence[7] = 0
    trust = bridge_all(rays, confidence, stamps_s)[1]
    assert not trust[:, 2].any() and not trust[7].any()


def test_speed_is_not_made_of_frames_too_near_or_too_far():
    rays, confidence, _ = moving(3)
    for interval_s, fastest in ((1e-4, 60.0), (BRIDGE_S + 0.1, 0.0)):
        stamps_s = np.array([0, interval_s, interval_s + STEP_S])
        rays[1] = rays[0] + 0.1
        confidence[2, 0] = 0
        got, _ = bridge_all(rays, confidence, stamps_s)
        assert np.abs(got[2, 0] - rays[1, 0]).max() <= 0.1 * fastest * STEP_S + 1e-6


def test_people_are_bridged_apart():
    rays, confidence, stamps_s = moving()
    other_confidence = confidence.copy()
    confidence[5, 1], other_confidence[8, 3] = 0, 0
    memory, out = forgotten(2), []
    for frame in range(len(stamps_s)):
        both = np.stack([rays[frame], -rays[frame]]), np.stack([confidence[frame], other_confidence[frame]])
        out.append(bridge(memory, *both, [STEP_S, STEP_S] if frame else [0.0, 0.0]))
    for person, alone in enumerate([(rays, confidence), (-rays, other_confidence)]):
        wanted = bridge_all(*alone, stamps_s)
        np.testing.assert_allclose(np.stack([ray[person] for ray, _ in out]), wanted[0], atol=1e-6)
        np.testing.assert_allclose(np.stack([trust[person] for _, trust in out]), wanted[1], atol=1e-6)
