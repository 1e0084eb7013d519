"""What a detector writes for a joint that it does not see is a missing joint, whatever its score."""

from collections import Counter

import numpy as np
import pytest
from helpers import CAMERA, random_lifter, seen, walk

from dp3d_core.live.intake import judge

LIFTER = random_lifter()
STAMPS_S = np.arange(20) / 30
PIXELS, CONFIDENCE = seen(walk(STAMPS_S))
WIDTH, HEIGHT = CAMERA.size_px
LOST = [3, 16]


def run(pixels, confidence, camera=CAMERA, **options):
    stream = LIFTER.stream(camera=camera, joint_set="h36m17", **options)
    return [stream.push(s, {1: pair}) for s, *pair in zip(STAMPS_S, pixels, confidence)], stream


@pytest.mark.parametrize("lift", [False, True])
@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ((0, 0), "placeholder_pixel"), ((-1, -1), "placeholder_pixel"), ((0, 300), "border_pixel"),
        ((WIDTH, 300), "border_pixel"), ((WIDTH - 1, 300), "border_pixel"), ((400, 0), "border_pixel"),
        ((400, HEIGHT), "border_pixel"), ((400, HEIGHT - 1), "border_pixel"), ((WIDTH, HEIGHT), "border_pixel"),
    ],
)  # fmt: skip
def test_a_joint_at_a_place_that_means_unseen_is_missing(place, cause, lift):
    marked, missing, trust = PIXELS.copy(), CONFIDENCE.copy(), CONFIDENCE.copy()
    marked[:, LOST], trust[:, LOST], missing[:, LOST] = place, 0.3, 0
    if lift:
        got, want = (
            LIFTER.lift(PIXELS if c is missing else marked, c, STAMPS_S, camera=CAMERA, joint_set="h36m17").joints_cam_m
            for c in (trust, missing)
        )
    else:
        (*_, got), stream = run(marked, trust)
        (*_, want), _ = run(PIXELS, missing)
        got, want = got.joints_cam_m, want.joints_cam_m
        assert stream.counters == {cause: 2 * len(STAMPS_S)}
    np.testing.assert_array_equal(got, want)


def test_a_joint_a_little_beyond_the_border_is_used():
    pixels = PIXELS.copy()
    pixels[:, 3] = (400, HEIGHT + 7.5)
    _, stream = run(pixels, CONFIDENCE)
    assert not stream.counters


def test_shares_of_the_picture_are_nobody_and_said():
    shares = PIXELS / CAMERA.size_px
    out, stream = run(shares, CONFIDENCE)
    assert not any(skeletons.ids for skeletons in out)
    assert stream.counters["normalised_pixel"] == 17 * len(STAMPS_S)
    with pytest.raises(ValueError, match="shares of the picture"):
        LIFTER.lift(shares, CONFIDENCE, STAMPS_S, camera=CAMERA, joint_set="h36m17")


def test_a_camera_for_a_picture_of_another_size_sees_the_same_rays():
    half = CAMERA.resized(WIDTH // 2, HEIGHT // 2)
    pixels = (PIXELS + 0.5) / 2 - 0.5
    np.testing.assert_allclose(half.rays(pixels), CAMERA.rays(PIXELS), atol=1e-6)
    (*_, got), _ = run(pixels, CONFIDENCE, half)
    (*_, want), _ = run(PIXELS, CONFIDENCE)
    np.testing.assert_allclose(got.joints_cam_m, want.joints_cam_m, atol=1e-4)


@pytest.mark.parametrize(
    ("scale", "hints"),
    [(1.0, set()), (0.45, {"within_half_picture"}), (3.0, {"outside_picture"})],
)
def test_a_picture_of_another_size_is_hinted_at(scale, hints):
    """Somebody who walks through the whole picture, seen in a picture of another size."""
    stamps_s = np.arange(120) / 30
    pixels, confidence = seen(walk(stamps_s, start_m=(-1.6, 0.1, 4.5), velocity_m_s=(0.8, 0.0, 0.0)))
    stream = LIFTER.stream(camera=CAMERA, joint_set="h36m17")
    for stamp_s, *pair in zip(stamps_s, pixels * scale, confidence):
        stream.push(stamp_s, {1: pair})
    assert set(stream.counters) - {"border_pixel"} == hints


def test_a_wrong_joint_set_is_hinted_at_and_the_right_one_is_not():
    stamps_s = np.arange(300) / 30
    pixels, confidence = seen(walk(stamps_s, velocity_m_s=(0.0, 0.0, 0.0)))
    counted = {}
    for name in ("h36m17", "coco17"):
        stream = LIFTER.stream(camera=CAMERA, joint_set=name)
        for stamp_s, *pair in zip(stamps_s, pixels, confidence):
            stream.push(stamp_s, {1: pair})
        counted[name] = stream.counters["odd_bones"]
    assert counted["h36m17"] == 0 < counted["coco17"]


def test_people_whose_scores_are_all_too_low_are_counted():
    _, stream = run(PIXELS, CONFIDENCE * 0 + 0.01)
    assert stream.counters == {"below_min_confidence": len(STAMPS_S), "few_joints": len(STAMPS_S)}


def test_the_usual_frame_is_handed_on_as_it_is():
    counted = Counter()
    xy_px, confidence = judge(PIXELS, CONFIDENCE, (5000, 5000), lambda cause, number: counted.update({cause: number}))
    assert xy_px is PIXELS and confidence is CONFIDENCE and not counted
