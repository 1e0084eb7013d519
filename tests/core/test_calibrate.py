"""A camera is recovered from people who walk under it, and clear sentences come back where that cannot be."""

from dataclasses import replace

import numpy as np
import pytest

from dp3d_core.capture import calibrate as module
from dp3d_core.capture.calibrate import CalibrateConfig, apply, calibrate, ground_positions_m, walking_speeds_m_s
from dp3d_core.capture.recording import Recording, load, save
from dp3d_core.cli import run as dp3d
from dp3d_core.skeleton import joint_set

SPEED_M_S, FPS = 1.3, 7.0
NAMES = joint_set("coco17").keypoints
EARS = [NAMES.index(name) for name in ("left_ear", "right_ear")]
ANKLES = [NAMES.index(name) for name in ("left_ankle", "right_ankle")]


def pedestrians(*, focal_px, pitch_deg, roll_deg, height_m, noise_px=0.0, outliers=0.0, people=24, seed=0):
    """A recording of people of known statures (mean 1.70 m) who cross the view of a known camera in straight lines."""
    generator = np.random.default_rng(seed)
    width, height, frames = 768, 576, 60
    K = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
    up = module._up(np.radians(pitch_deg), np.radians(roll_deg))
    forward = np.array((0, 0, 1.0)) - up[2] * up
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    statures_m = generator.normal(1.70, 0.08, people)
    statures_m += 1.70 - statures_m.mean()
    rows = []
    for person, stature_m in enumerate(statures_m):
        near_m, angle = generator.uniform(1.5, 6) * height_m, generator.uniform(0, 2 * np.pi)
        middle_m, way = np.array((generator.normal(0, 2), near_m)), np.array((np.cos(angle), np.sin(angle)))
        for frame in range(frames):
            along, across = middle_m + way * SPEED_M_S * (frame - frames / 2) / FPS
            ground_m = -height_m * up + along * right + across * forward
            points_m = ground_m + np.outer((module.EAR_SHARE * stature_m, module.ANKLES_SHARE * stature_m), up)
            points_px = (points_m[:, :2] / points_m[:, 2:]) * focal_px + (width / 2, height / 2)
            inside = (points_px > 0).all() and (points_px < (width, height)).all()
            if (points_m[:, 2] < 1).any() or not inside:
                continue
            keypoints_px, confidence = np.zeros((17, 2)), np.zeros(17)
            keypoints_px[EARS], keypoints_px[ANKLES] = points_px[0], points_px[1]
            confidence[EARS + ANKLES] = 0.9
            keypoints_px += generator.normal(0, noise_px, (17, 2)) if noise_px else 0
            if generator.uniform() < outliers:
                keypoints_px[EARS] += generator.normal(0, 40, 2)
            rows.append((frame, person, keypoints_px, confidence))
    rows.sort(key=lambda row: row[:2])
    frame, person, keypoints_px, confidence = (np.array(column) for column in zip(*rows, strict=True))
    return Recording(
        stamps_s=np.arange(frames) / FPS,
        frame=frame,
        person=person,
        keypoints_px=keypoints_px,
        confidence=confidence,
        joint_set="coco17",
        image_size_px=np.array((width, height)),
        K=K,
        distortion=np.zeros(0),
        intrinsics="calibrated",
        source="synthetic pedestrians",
        provenance="seeded",
        ground_normal_cam=up,
        ground_distance_m=height_m,
    )


@pytest.mark.parametrize(
    "camera",
    [
        dict(focal_px=1100, pitch_deg=20, roll_deg=-2, height_m=7),
        dict(focal_px=600, pitch_deg=25, roll_deg=1, height_m=4),
    ],
)
def test_known_camera_is_recovered_from_noisy_people(camera):
    truth = pedestrians(**camera, noise_px=1.5, outliers=0.05)
    found = calibrate(truth)
    assert found.K[0, 0] == pytest.approx(camera["focal_px"], rel=0.06)
    assert found.ground_distance_m == pytest.approx(camera["height_m"], rel=0.06)
    assert np.degrees(np.arccos(found.ground_normal_cam @ truth.ground_normal_cam)) < 2
    assert 0 < found.focal_std_px < 0.2 * camera["focal_px"]


def test_walking_speed_follows_from_the_estimated_camera():
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7, noise_px=0.5)
    assert np.median(walking_speeds_m_s(truth)) == pytest.approx(SPEED_M_S, rel=0.02)
    assert np.median(walking_speeds_m_s(apply(truth, calibrate(truth)))) == pytest.approx(SPEED_M_S, rel=0.06)


def test_scale_is_that_of_the_assumed_stature():
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7)
    small = calibrate(truth, CalibrateConfig(resamples=2))
    tall = calibrate(truth, CalibrateConfig(mean_height_m=1.87, height_spread_m=0.099, resamples=2))
    assert tall.ground_distance_m / small.ground_distance_m == pytest.approx(1.1, rel=0.005)
    assert tall.K[0, 0] == pytest.approx(small.K[0, 0], rel=0.005)


def test_ground_positions_lie_on_the_ground_and_unseen_feet_give_nan():
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=-2, height_m=7)
    confidence = truth.confidence.copy()
    confidence[0, ANKLES[0]] = 0
    position_m = ground_positions_m(replace(truth, confidence=confidence))
    assert np.isnan(position_m[0]).all()
    np.testing.assert_allclose(position_m[1:] @ truth.ground_normal_cam, -7, atol=1e-6)


def test_apply_stores_the_camera_and_keeps_the_keypoints(tmp_path):
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7)
    once = apply(truth, calibrate(truth, CalibrateConfig(resamples=2)))
    twice = apply(once, calibrate(once, CalibrateConfig(resamples=2)))
    assert once.intrinsics == "estimated" and twice.provenance == once.provenance
    np.testing.assert_array_equal(once.keypoints_px, truth.keypoints_px)
    save(tmp_path / "a.npz", once)
    assert load(tmp_path / "a.npz").ground_distance_m == once.ground_distance_m


def test_too_few_people_and_missing_heads_are_refused():
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7)
    with pytest.raises(ValueError, match="expected at least 30 upright rows of 2 or more people"):
        calibrate(pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7, people=1))
    with pytest.raises(ValueError, match="got 0 rows of 0"):
        calibrate(replace(truth, confidence=np.zeros_like(truth.confidence)))


@pytest.mark.parametrize("change", [{"mean_height_m": 0}, {"focal_prior_px": -5}, {"noise_share": np.nan}])
def test_impossible_assumptions_are_refused(change):
    with pytest.raises(ValueError, match="calibrate: expected"):
        CalibrateConfig(**change)


def test_ground_is_needed_for_positions():
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7)
    with pytest.raises(ValueError, match="no ground plane"):
        ground_positions_m(replace(truth, ground_normal_cam=None, ground_distance_m=None))


def test_command_writes_only_when_told(tmp_path, capsys):
    path = tmp_path / "a.npz"
    truth = pedestrians(focal_px=1100, pitch_deg=20, roll_deg=0, height_m=7)
    save(path, replace(truth, ground_normal_cam=None, ground_distance_m=None))
    before = path.read_bytes()
    dp3d("calibrate", [str(path)])
    assert path.read_bytes() == before
    assert "focal_px 1" in capsys.readouterr().out
    dp3d("calibrate", [str(path), "--write"])
    assert load(path).ground_distance_m is not None
    with pytest.raises(SystemExit, match="no such file") as stopped:
        dp3d("calibrate", [str(tmp_path / "none.npz")])
    assert stopped.value.code == 2
    assert "no such file" in capsys.readouterr().err
