"""A keypoint recording keeps what was written, and says clearly what is wrong with one that is not a recording."""

import numpy as np
import pytest

from dp3d_core.capture.recording import Recording, load, save, shipped


def content(**changes):
    """A valid recording of three frames, the second with nobody in it."""
    generator = np.random.default_rng(0)
    fields = dict(
        stamps_s=np.array((0, 0.1, 0.2)),
        frame=np.array((0, 0, 2)),
        person=np.array((4, 7, 4)),
        keypoints_px=generator.uniform(0, 500, (3, 17, 2)).astype(np.float32),
        confidence=np.full((3, 17), 0.5),
        joint_set="coco17",
        image_size_px=np.array((640, 480)),
        K=np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]),
        distortion=np.zeros(0),
        intrinsics="assumed",
        source="a test",
        provenance="made up",
    )
    return fields | changes


def test_load_returns_what_save_wrote(tmp_path):
    written = Recording(**content(ground_normal_cam=np.array((0, -0.6, -0.8)), ground_distance_m=2.5))
    save(tmp_path / "a.npz", written)
    read = load(tmp_path / "a.npz")
    for name in content():
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    np.testing.assert_array_equal(read.ground_normal_cam, written.ground_normal_cam)
    assert read.ground_distance_m == 2.5


def test_save_writes_the_same_bytes_at_exactly_the_path(tmp_path):
    for name in ("a", "b.npz"):
        save(tmp_path / name, Recording(**content()))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_frames_include_those_with_nobody():
    recording = Recording(**content())
    frames = list(recording.frames())
    assert [stamp_s for stamp_s, _ in frames] == [0, 0.1, 0.2]
    assert [set(people) for _, people in frames] == [{4, 7}, set(), {4}]
    keypoints_px, confidence = frames[2][1][4]
    np.testing.assert_array_equal(keypoints_px, recording.keypoints_px[2])
    assert keypoints_px.dtype == confidence.dtype == np.float32 and confidence.shape == (17,)


def test_a_recording_may_hold_nobody(tmp_path):
    empty = dict(frame=np.zeros(0), person=np.zeros(0), keypoints_px=np.zeros((0, 17, 2)), confidence=np.zeros((0, 17)))
    save(tmp_path / "a.npz", Recording(**content(**empty)))
    assert [people for _, people in load(tmp_path / "a.npz").frames()] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints_px": np.zeros((3, 17, 3))}, r"keypoints_px: expected \(R, K, 2\)"),
        ({"keypoints_px": np.full((3, 17, 2), np.nan)}, "keypoints_px: expected finite"),
        ({"keypoints_px": np.zeros((3, 33, 2)), "confidence": np.zeros((3, 33))}, "coco17 has 17 keypoints, got 33"),
        ({"confidence": np.zeros((3, 16))}, "confidence: expected"),
        ({"confidence": np.full((3, 17), 1.5)}, "confidence: expected values in"),
        ({"stamps_s": np.array((0, 0.2, 0.1))}, "stamps_s: expected seconds from 0"),
        ({"stamps_s": np.array((1, 2, 3.0))}, "stamps_s: expected seconds from 0"),
        ({"stamps_s": np.zeros(0)}, "stamps_s: expected"),
        ({"frame": np.array((0, 0, 3))}, "frame: expected sorted indices"),
        ({"frame": np.array((2, 0, 0))}, "frame: expected sorted indices"),
        ({"frame": np.array((0, 0.5, 1))}, "frame: expected whole numbers"),
        ({"person": np.array((4, 4, 4))}, "person: one person appears twice"),
        ({"joint_set": "spider8"}, "joint_set: expected one of"),
        ({"image_size_px": np.array((0, 480))}, "image_size_px"),
        ({"K": np.eye(3) * 0}, "K: expected"),
        ({"K": np.array("x")}, "K: expected numbers"),
        ({"distortion": np.zeros((1, 5))}, "distortion"),
        ({"intrinsics": "guessed"}, "intrinsics: expected one of calibrated"),
        ({"ground_distance_m": 2.0}, "together or neither"),
        ({"ground_distance_m": 2.0, "ground_normal_cam": np.ones(3)}, "unit"),
        ({"ground_distance_m": -2.0, "ground_normal_cam": np.array((0, -1, 0))}, "positive camera height"),
    ],
)
def test_wrong_content_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Recording(**content(**changes))


def test_missing_and_unknown_keys_are_named(tmp_path):
    fields = content(colour=np.zeros(3))
    del fields["confidence"]
    np.savez(tmp_path / "a.npz", **fields)
    with pytest.raises(ValueError, match=r"missing keys \['confidence'\], unknown keys \['colour'\]"):
        load(tmp_path / "a.npz")


def test_files_that_are_no_recordings_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file at"):
        load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "pickle.npz", stamps_s=np.array([{}], object))
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text.npz", "pickle.npz", "array.npy"):
        with pytest.raises(ValueError, match="could not read it"):
            load(tmp_path / name)


def test_the_shipped_recording_is_valid_and_small():
    path = shipped("vtest")
    recording = load(path)
    assert recording.joint_set == "mediapipe33" and recording.intrinsics == "estimated"
    assert len(recording.stamps_s) == 795 and recording.ground_distance_m is not None
    assert path.stat().st_size < 1_000_000
    assert (path.parent / "PROVENANCE.md").is_file()


def test_unknown_shipped_names_list_the_known():
    with pytest.raises(FileNotFoundError, match=r"\['vtest'\].*'nothing'"):
        shipped("nothing")
