"""The detector's own parts: crops map back, doubles go, ids follow people, a missing extra is said clearly."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from dp3d_core.capture import detect
from dp3d_core.capture.detect.people import PeopleConfig, PeopleFinder, first_of_overlapping, iou, median_background
from dp3d_core.capture.detect.pose import (
    PoseConfig,
    PoseReader,
    alone,
    belongs_to,
    crop_matrix,
    distinct,
    hide_outside,
    to_image,
)
from dp3d_core.capture.detect.video import (
    DetectConfig,
    Rows,
    body_boxes,
    images,
    long_enough,
    read_people,
    video_info,
    without_short_tracks,
)
from dp3d_core.capture.detect.video import detect as read_video
from dp3d_core.cli import run as dp3d
from dp3d_core.live.identify import IdentifyConfig

HAS_CV2 = importlib.util.find_spec("cv2") is not None
HAS_MEDIAPIPE = HAS_CV2 and importlib.util.find_spec("mediapipe") is not None
needs_cv2 = pytest.mark.skipif(not HAS_CV2, reason="the extra 'detector' is not installed")


def body(centre=(100.0, 100.0), height=80.0):
    """33 keypoints of an upright figure, all visible."""
    offsets = np.linspace(-0.5, 0.5, 33)
    figure = np.stack([0.2 * np.sin(7 * offsets), offsets], axis=1)
    return np.array(centre) + height * figure, np.full(33, 0.9)


def box_at(x, y=100.0, width=30.0, height=80.0):
    return np.array((x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def test_points_return_from_the_crop():
    points = np.random.default_rng(0).uniform(0, 700, (33, 2))
    crop = crop_matrix(np.array((300, 200, 340, 300)), 1.5, 384)
    np.testing.assert_allclose(to_image(points @ crop[:, :2].T + crop[:, 2], crop), points, atol=1e-9)


def test_crop_is_centred_on_the_box():
    crop = crop_matrix(np.array((300, 200, 340, 300)), 1.5, 384)
    np.testing.assert_allclose(crop @ (320, 250, 1), (192, 192))
    np.testing.assert_allclose(crop @ (320, 175, 1), (192, 0))


def test_a_box_without_height_is_refused():
    with pytest.raises(ValueError, match="y1 > y0"):
        crop_matrix(np.array((10, 20, 30, 20)), 1.5, 384)


def test_neighbours_are_painted_over():
    box = np.array((300.0, 200, 340, 300))
    crop = crop_matrix(box, 1.5, 384)
    painted = alone(np.zeros((384, 384, 3), np.uint8), box, crop)
    assert painted[:, 192].max() == 0 and painted[:, 0].min() == painted[:, -1].min() == 128


def test_a_neighbours_body_does_not_belong_to_the_box():
    keypoints_px, _ = body()
    assert belongs_to(keypoints_px, box_at(100))
    assert not belongs_to(keypoints_px + (40, 0), box_at(100))
    assert not belongs_to(keypoints_px, box_at(100, height=300))


def test_keypoints_outside_the_image_are_missing():
    seen_px = np.array([(-3.0, 5), (5, 5), (5, 101)])
    keypoints_px, confidence = hide_outside(seen_px, np.array((0.9, 1.2, 0.9)), 100, 100)
    np.testing.assert_array_equal(confidence, (0, 1, 0))
    np.testing.assert_array_equal(keypoints_px, [(0, 0), (5, 5), (0, 0)])


def test_the_same_body_twice_is_kept_once_and_neighbours_stay():
    (first, seen), (second, _), (other, _) = body(), body((102, 101)), body((130, 100))
    assert distinct([first, second, other], [0.5 * seen, seen, seen], 0.12) == [1, 2]
    assert distinct([], [], 0.12) == []


def test_iou_of_known_boxes():
    boxes = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (5, 5, 5, 5)])
    np.testing.assert_allclose(iou(boxes[:1], boxes), [[1, 1 / 3, 0]])
    np.testing.assert_array_equal(first_of_overlapping(boxes, 0.3), boxes[[0, 2]])


def test_boxes_of_joints_grow_to_the_body():
    np.testing.assert_allclose(body_boxes(np.array([(10.0, 20, 30, 120)])), [(10, 14, 30, 126)])
    assert body_boxes(np.zeros((0, 4))).shape == (0, 4)


def test_short_tracks_are_dropped_and_ids_closed_up():
    person = np.array((0, 3, 3, 5, 3, 5), np.int32)
    np.testing.assert_array_equal(long_enough(person, 2), person > 0)
    rows = Rows(
        frame_count=6,
        frame=np.arange(6),
        person=person,
        keypoints_px=np.zeros((6, 33, 2)),
        confidence=np.zeros((6, 33)),
    )
    kept = without_short_tracks(rows, 2)
    np.testing.assert_array_equal(kept.person, (0, 0, 1, 0, 1))
    np.testing.assert_array_equal(kept.frame, np.arange(1, 6))
    assert len(without_short_tracks(rows, 9).person) == 0


def test_people_of_an_image_come_once_each():
    class Finder:
        def propose(self, image_bgr, predicted):
            return np.stack([box_at(100), box_at(103), box_at(200), box_at(300)])

    class Reader:
        def read(self, image_bgr, box):
            return None if box[0] > 250 else body((100 if box[0] < 150 else 200, 100))

    bodies, visible = read_people(np.zeros((1, 1, 3)), Finder(), Reader(), np.zeros((0, 4)), PoseConfig())
    assert [round(one[:, 0].mean()) for one in bodies] == [100, 200] and len(visible) == 2


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (PeopleConfig, {"enlarge": 0}),
        (PeopleConfig, {"same_box_iou": 2}),
        (PoseConfig, {"crop_scale": 0.5}),
        (PoseConfig, {"min_confidence": 0}),
        (DetectConfig, {"min_rows": 0}),
        (DetectConfig, {"start": -1}),
        (DetectConfig, {"max_frames": 0}),
    ],
)
def test_impossible_settings_are_refused(config, change):
    with pytest.raises(ValueError, match=r"(people|pose|detect): expected"):
        config(**change)


def test_a_missing_extra_is_named():
    with pytest.raises(ImportError, match=r"pip install '\.\[detector\]'"):
        detect.extra("no_such_module_anywhere")


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys, dp3d_core.capture.detect.command;"
        "sys.exit(any(name in sys.modules for name in ('cv2', 'mediapipe', 'scipy', 'torch', 'tqdm')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_video_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        dp3d("detect", [str(tmp_path / "none.avi"), "--out", str(tmp_path / "a.npz")])
    assert stopped.value.code == 2
    assert "no file at" in capsys.readouterr().err


@needs_cv2
def test_a_file_that_is_no_video_is_said(tmp_path):
    (tmp_path / "a.avi").write_text("hello")
    with pytest.raises(ValueError, match="OpenCV cannot read it"):
        video_info(tmp_path / "a.avi")


@pytest.fixture
def video(tmp_path):
    """Five grey frames at 10 Hz; each is as bright as ten times its number."""
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "grey.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
    for number in range(5):
        writer.write(np.full((240, 320, 3), 10 * number, np.uint8))
    writer.release()
    return path


def test_frames_come_from_the_start_and_stop_at_the_limit(video):
    info = video_info(video)
    assert (info.width, info.height, info.fps) == (320, 240, 10)
    levels = [round(image.mean() / 10) for image in images(video, 1, 3)]
    assert levels == [1, 2, 3] and list(images(video, 9, None)) == []


@pytest.mark.parametrize(("fps", "people"), [(30, [0, 0]), (10, [0, 1])])
def test_the_gap_of_a_video_is_in_its_seconds(video, monkeypatch, fps, people):
    """Somebody is in frames 1 and 3: 0.07 s apart they are the same, 0.2 s apart they are not."""

    class Finder:
        def __init__(self, config, background_bgr):
            pass

        def propose(self, image_bgr, predicted):
            return box_at(100)[None] if round(image_bgr.mean() / 10) in (1, 3) else np.zeros((0, 4))

    class Reader:
        def __init__(self, config):
            pass

        def read(self, image_bgr, box):
            return body()

        def close(self):
            pass

    monkeypatch.setattr("dp3d_core.capture.detect.video.PeopleFinder", Finder)
    monkeypatch.setattr("dp3d_core.capture.detect.video.PoseReader", Reader)
    rows = read_video(video, DetectConfig(identify=IdentifyConfig(max_gap_s=0.1), min_rows=1), fps=fps)
    assert rows.frame.tolist() == [1, 3] and rows.person.tolist() == people


@needs_cv2
def test_a_walker_stands_out_of_the_background():
    if not hasattr(pytest.importorskip("cv2"), "HOGDescriptor"):
        pytest.skip("OpenCV 5 has no people detector; the extra 'detector' brings OpenCV 4")
    walk = [np.full((240, 320, 3), 60, np.uint8) for _ in range(9)]
    for step, image in enumerate(walk):
        image[80:180, 30 * step : 30 * step + 30] = 200
    background_bgr = median_background(walk)
    assert background_bgr.max() == 60
    finder = PeopleFinder(PeopleConfig(), background_bgr=background_bgr)
    boxes = finder.propose(walk[4], box_at(30, 130, 30, 100)[None])
    assert iou(boxes, np.array([(120, 80, 150, 180)])).max() > 0.8
    assert iou(boxes, box_at(30, 130, 30, 100)[None]).max() == 0  # a track's guess without foreground is refused


@pytest.mark.skipif(HAS_MEDIAPIPE, reason="MediaPipe is installed")
@needs_cv2
def test_the_command_names_the_extra_when_mediapipe_is_missing(video, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        dp3d("detect", [video, "--out", str(tmp_path / "a.npz")])
    assert stopped.value.code == 2
    assert "pip install '.[detector]'" in capsys.readouterr().err


@pytest.mark.skipif(not HAS_MEDIAPIPE, reason="the extra 'detector' is not installed")
def test_an_empty_scene_gives_a_recording_with_nobody(video, tmp_path):

    from dp3d_core.capture.recording import load

    dp3d("detect", [video, "--out", str(tmp_path / "a.npz"), "--fov-deg", "70", "--max-frames", "3"])
    recording = load(tmp_path / "a.npz")
    assert len(recording.stamps_s) == 3 and len(recording.frame) == 0 and recording.intrinsics == "assumed"
    with_nobody = PoseReader(PoseConfig())
    assert with_nobody.read(np.full((240, 320, 3), 60, np.uint8), box_at(100)) is None
    with_nobody.close()
