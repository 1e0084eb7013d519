"""Every input format, written to its documented form, is recognised and says the same people; what is wrong with a file
is said in one sentence."""

import json

import files_samples as samples
import numpy as np
import pytest

from dp3d_core.files import readers
from dp3d_core.files.prepare import PrepareOptions, prepare
from dp3d_core.files.readers import ReadOptions
from dp3d_core.skeleton import adapt, joint_set

WRITERS = {
    "recording": (lambda at: samples.recording(at / "clip.npz"), "mediapipe33"),
    "openpose25": (lambda at: samples.openpose(at / "json"), "openpose25"),
    "openpose18": (lambda at: samples.openpose(at / "json", "openpose18"), "openpose18"),
    "pose2sim": (lambda at: samples.openpose(at / "json", "halpe26", ids=True), "halpe26"),
    "mmpose": (lambda at: samples.mmpose(at / "clip.json"), "coco17"),
    "mmpose_list": (lambda at: samples.mmpose(at / "clip.json", "wholebody133", meta=False), "wholebody133"),
    "alphapose": (lambda at: samples.alphapose(at / "clip.json"), "halpe26"),
    "coco": (lambda at: samples.coco(at / "clip.json"), "coco17"),
    "coco_annotations": (lambda at: samples.coco(at / "clip.json", annotations=True), "coco17"),
    "mediapipe_npz": (lambda at: samples.mediapipe_npz(at / "clip.npz"), "mediapipe33"),
    "mediapipe_wide": (lambda at: samples.mediapipe_csv(at / "clip.csv"), "mediapipe33"),
    "mediapipe_long": (lambda at: samples.mediapipe_csv(at / "clip.csv", wide=False), "mediapipe33"),
    "vp3d": (lambda at: samples.vp3d(at / "clip.npz"), "coco17"),
    "mcap": (lambda at: samples.rosbag(at / "bag"), "coco17"),
    "sqlite3": (lambda at: samples.rosbag(at / "bag", sqlite=True, person=False), "coco17"),
}
ONE_PERSON = ("mediapipe_wide", "mediapipe_long", "vp3d")
FORMATS = {
    "openpose25": "openpose", "openpose18": "openpose", "pose2sim": "openpose", "mmpose_list": "mmpose",
    "coco_annotations": "coco", "mediapipe_npz": "mediapipe", "mediapipe_wide": "mediapipe",
    "mediapipe_long": "mediapipe", "mcap": "rosbag", "sqlite3": "rosbag",
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_says_the_same_people(kind, tmp_path):
    write, name = WRITERS[kind]
    path = write(tmp_path)
    assert readers.recognise(path) == FORMATS.get(kind, kind)
    (found,) = readers.read(path)
    assert found.joint_set == name and found.frames == samples.FRAMES
    if kind == "sqlite3":  # a cloud without the field "person" is one person
        return
    clip = prepare(found, PrepareOptions(hfov_deg=40 if found.camera is None else None, image_size_px=samples.SIZE))
    people = 1 if kind in ONE_PERSON else 2
    assert len(np.unique(clip.person)) == people and len(clip.frame) == people * samples.FRAMES
    for row in (0, len(clip.frame) - 1):
        truth = samples.clip()[clip.frame[row]][1]
        wanted = [adapt(*_columns(samples.as_set(*seen, name)), joint_set(name))[0] for seen in truth.values()]
        got = adapt(clip.keypoints_px[row], clip.confidence[row], joint_set(name))[0]
        assert min(np.abs(got - one).max() for one in wanted) < 0.01


def _columns(values):
    return values[:, :2], values[:, 2]


def test_ids_of_the_file_are_kept_and_missing_ones_found(tmp_path):
    (with_ids,) = readers.read(samples.openpose(tmp_path / "a", "halpe26", ids=True))
    (without,) = readers.read(samples.openpose(tmp_path / "b", "halpe26"))
    assert with_ids.person is not None and without.person is None
    clip = prepare(without, PrepareOptions(hfov_deg=40))
    pairs = set(zip(with_ids.person.tolist(), clip.person.tolist()))
    assert len(pairs) == 2 and "told apart" in " ".join(clip.notes)


def test_a_bag_brings_its_camera_and_stamps(tmp_path):
    (found,) = readers.read(samples.rosbag(tmp_path / "bag"))
    assert (found.camera.width, found.camera.height) == samples.SIZE and "camera_info" in found.camera_from
    np.testing.assert_allclose(found.stamps_s - found.stamps_s[0], [stamp for stamp, _ in samples.clip()], atol=1e-6)
    with pytest.raises(ValueError, match="called /other"):
        readers.read(tmp_path / "bag", ReadOptions(topic="/other"))


def test_missing_frame_numbers_are_frames_with_nobody(tmp_path):
    (found,) = readers.read(samples.openpose(tmp_path / "json", skip=(3, 4, 9)))
    assert found.frames == samples.FRAMES and not {3, 4, 9} & set(found.frame.tolist())
    assert "3 of 16 frames have no file (the first is 8)" in found.notes[0]


def test_two_videos_in_one_folder_are_two_clips(tmp_path):
    samples.openpose(tmp_path / "json", stem="left")
    samples.openpose(tmp_path / "json", stem="right")
    assert [found.name for found in readers.read(tmp_path / "json")] == ["left", "right"]


def test_a_folder_of_inputs_stands_for_them(tmp_path):
    samples.openpose(tmp_path / "all" / "walk_json")
    samples.mediapipe_csv(tmp_path / "all" / "mp.csv")
    (tmp_path / "all" / "notes.txt").write_text("not an input")
    assert [path.name for path in readers.expand([tmp_path / "all"])] == ["mp.csv", "walk_json"]


def test_the_same_input_without_a_camera_says_what_is_assumed(tmp_path):
    clip = prepare(readers.read(samples.mmpose(tmp_path / "clip.json"))[0])
    assert clip.camera.assumed and "assumed" in clip.camera_from
    text = " ".join(clip.notes)
    assert "30 frames a second are assumed" in text and "1280 x 720 is assumed" in text


def bad(tmp_path, kind):
    """A broken input, and words that the sentence about it must have."""
    at = tmp_path / "in"
    at.mkdir()
    if kind == "nothing there":
        return at / "no.json", ("no such file",)
    if kind == "empty folder":
        return at, ("folder of JSON files",)
    if kind == "unknown ending":
        (at / "a.doc").write_text("x")
        return at / "a.doc", (".doc", "expected a video")
    if kind == "cut JSON":
        samples.mmpose(at / "a.json")
        (at / "a.json").write_text((at / "a.json").read_text()[:500])
        return at / "a.json", ("expected JSON", "cut off")
    if kind == "JSON of another tool":
        (at / "a.json").write_text(json.dumps({"objects": [1]}))
        return at / "a.json", ("OpenPose, mmpose", "objects")
    if kind == "one foreign file among OpenPose's":
        samples.openpose(at)
        (at / "walk_000000000009_keypoints.json").write_text("[]")
        return at, ("walk_000000000009", "another tool")
    if kind == "nobody":
        (at / "a_000_keypoints.json").write_text('{"people": []}')
        return at, ("frames with nobody",)
    if kind == "hands only":
        (at / "a_000_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [1, 2, 3] * 21}]}))
        return at, ("--joint-set", "63 numbers")
    if kind == "words for numbers":
        flat = samples.as_set(*samples.clip()[0][1][0], "coco17").ravel().tolist()
        (at / "a_000_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": ["x", *flat[1:]]}]}))
        return at, ("frame 0", "numbers")
    if kind == "npz of something else":
        np.savez(at / "a.npz", images=np.zeros(3))
        return at / "a.npz", ("landmarks", "images")
    if kind == "npz cut off":
        samples.mediapipe_npz(at / "a.npz")
        (at / "a.npz").write_bytes((at / "a.npz").read_bytes()[:200])
        return at / "a.npz", ("cannot be read",)
    if kind == "landmarks of hands":
        np.savez(at / "a.npz", landmarks=np.zeros((4, 21, 3)))
        return at / "a.npz", ("33", "(4, 21, 3)")
    if kind == "csv without landmarks":
        (at / "a.csv").write_text("a,b\n1,2\n")
        return at / "a.csv", ("x0, y0",)
    if kind == "csv empty":
        (at / "a.csv").write_text("")
        return at / "a.csv", ("header",)
    if kind == "bag cut off":
        samples.rosbag(at / "bag")
        file = next((at / "bag").glob("*.mcap"))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return at / "bag", ("rosbag2", "cut off")
    if kind == "bag without keypoints":
        samples.rosbag(at / "bag")
        (at / "bag" / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
        return at / "bag", ("rosbag2",)
    if kind == "not a video":
        (at / "a.mp4").write_bytes(b"no video at all" * 9)
        return at / "a.mp4", ("expected a video",)
    raise KeyError(kind)


BAD = (
    "nothing there", "empty folder", "unknown ending", "cut JSON", "JSON of another tool",
    "one foreign file among OpenPose's", "nobody", "hands only", "words for numbers", "npz of something else",
    "npz cut off", "landmarks of hands", "csv without landmarks", "csv empty", "bag cut off", "bag without keypoints",
    "not a video",
)  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_broken_input_is_said_in_one_sentence(kind, tmp_path):
    path, words = bad(tmp_path, kind)
    with pytest.raises((ValueError, OSError)) as caught:
        readers.read(path)
    text = str(caught.value)
    assert str(path) in text and all(word in text for word in words), text


def test_cameras_and_sizes_that_do_not_fit_are_refused(tmp_path):
    (found,) = readers.read(samples.mmpose(tmp_path / "clip.json"))
    with pytest.raises(ValueError, match=r"outside .* give the camera of this picture"):
        prepare(found, PrepareOptions(hfov_deg=40, image_size_px=(320, 240)))
    (shares,) = readers.read(samples.mediapipe_npz(tmp_path / "clip.npz"))
    with pytest.raises(ValueError, match="but the file says"):
        prepare(shares, PrepareOptions(image_size_px=(640, 480)))


def test_shares_without_a_picture_size_are_refused(tmp_path):
    path = samples.mediapipe_npz(tmp_path / "clip.npz")
    with np.load(path) as held:
        np.savez(path, landmarks=held["landmarks"])
    with pytest.raises(ValueError, match="give --image-size"):
        prepare(readers.read(path)[0])


def test_percent_scores_and_zeroed_keypoints_are_understood(tmp_path):
    path = samples.coco(tmp_path / "clip.json")
    items = json.loads(path.read_text())
    for item in items:
        points = np.reshape(item["keypoints"], (-1, 3))
        points[:, 2] *= 100
        points[0] = 0, 0, 40
        item["keypoints"] = points.ravel().tolist()
    path.write_text(json.dumps(items))
    (found,) = readers.read(path)
    assert found.confidence.max() <= 1 and (found.confidence[:, 0] == 0).all() and "percent" in found.notes[0]
