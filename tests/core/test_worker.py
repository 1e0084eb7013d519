"""The detector's worker: what goes through the pipes, and a real ONNX model at their end."""

import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict

import numpy as np
import pytest
import tiny_onnx

from dp3d_core.capture.detect import live
from dp3d_core.capture.detect.worker import (
    Detected,
    WorkerConfig,
    WorkerFailed,
    detected,
    make_reader,
    receive_answer,
    receive_frame,
    send_frame,
    serve,
)

STANDING = np.array([
    (32, 8), (33, 7), (31, 7), (34, 8), (30, 8), (37, 15), (27, 15), (39, 23), (25, 23), (40, 30), (24, 30), (35, 32),
    (29, 32), (35, 43), (29, 43), (35, 54), (29, 54),
], np.float32)  # fmt: skip
"""COCO keypoints of somebody in a picture of 64 x 64."""
PERSON = (32, 30, 20, 52, 0.9, np.concatenate([STANDING, np.full((17, 1), 0.8)], 1))


class Counting:
    """A reader that sees one person with as many keypoints as the picture is wide, at the stamp."""

    joint_set = "coco17"

    def read(self, image_bgr, stamp_s):
        if stamp_s < 0:
            raise ValueError("stamp: expected seconds from 0")
        count = int(image_bgr[0, 0, 0])
        points = np.full((count, 17, 2), stamp_s, np.float32)
        return Detected(np.arange(count, dtype=np.int32), points, np.full((count, 17), 0.5, np.float32))


@pytest.fixture
def pipes():
    """ask(image, stamp_s) of a worker that serves `Counting` in a thread; (ask, end)."""
    frames_out, frames_in = os.pipe()
    answers_out, answers_in = os.pipe()
    codes = []
    frames, answers = open(frames_in, "wb"), open(answers_out, "rb")  # noqa: SIM115 (closed below)
    ends = open(frames_out, "rb"), open(answers_in, "wb")  # noqa: SIM115
    thread = threading.Thread(target=lambda: codes.append(serve(Counting, *ends)))
    thread.start()
    assert receive_answer(answers) == {"joint_set": "coco17"}

    def ask(image, stamp_s):
        send_frame(frames, image, stamp_s)
        return detected(receive_answer(answers))

    def end():
        frames.close()
        thread.join(10)
        return codes

    yield ask, end
    for file in (frames, answers, *ends):
        file.close()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_seen_comes_back(pipes, count):
    ask, end = pipes
    for stamp_s in (0.0, 0.25):
        found = ask(np.full((5, 7, 3), count, np.uint8), stamp_s)
        assert found.ids.tolist() == list(range(count)) and found.keypoints_px.shape[0] == count
        assert (found.keypoints_px == stamp_s).all() and (found.confidence == 0.5).all()
    assert end() == [0]


def test_an_error_of_the_reader_is_told_in_its_words(pipes):
    ask, end = pipes
    with pytest.raises(WorkerFailed, match="stamp: expected seconds from 0"):
        ask(np.zeros((4, 4, 3), np.uint8), -1.0)
    assert end() == [1]


def test_what_is_no_frame_and_no_answer_is_refused():
    assert receive_frame(io.BytesIO(b"")) is None and receive_frame(io.BytesIO(b"dp3f")) is None
    with pytest.raises(WorkerFailed, match="expected a frame"):
        receive_frame(io.BytesIO(b"GET / HTTP/1.1\r\nHost: a\r\n"))
    with pytest.raises(WorkerFailed, match="process has ended"):
        receive_answer(io.BytesIO(b"Traceback (most recent call last):"))


class Scene:
    """Stands for MediaPipe and the search: people who stand at x (px) in a picture of 640 x 480, 100 px tall."""

    def __init__(self, monkeypatch, at):
        self.at, self.read_boxes, self.searches = list(at), [], 0
        monkeypatch.setattr(live, "PoseReader", lambda config: self)
        monkeypatch.setattr(live, "PeopleFinder", lambda config: self)

    def landmarks(self, image_bgr, box):
        self.read_boxes.append(box)
        near = [x for x in self.at if abs(x - (box[0] + box[2]) / 2) < 20]
        return self._body(near[0]) if near else None

    def whole(self, image_bgr):
        return None

    def close(self):
        pass

    def propose(self, image_bgr, predicted):
        self.searches += 1
        return np.array([(x - 15, 150, x + 15, 250) for x in self.at], float).reshape(-1, 4)

    def _body(self, x):
        height = np.linspace(0, 1, 33)
        points = np.stack([x + 12 * np.sin(9 * height), 150 + 100 * height], 1)
        return np.concatenate([points, np.full((33, 1), 0.9)], 1)


def test_known_people_are_read_where_they_are_and_new_ones_are_searched_for(monkeypatch):
    scene = Scene(monkeypatch, [100.0, 300.0])
    reader = make_reader(WorkerConfig())
    picture = np.zeros((480, 640, 3), np.uint8)
    for frame in range(30):
        scene.at = [100.0 + 4 * frame, 300.0] + ([500.0] if frame >= 10 else [])
        scene.read_boxes.clear()
        found = reader.read(picture, frame / 10)
        reader.close()  # waits for the search, as long as that takes on this machine
        if 2 <= frame < 10:
            assert sorted(found.ids.tolist()) == [0, 1] and len(scene.read_boxes) <= 4
    assert sorted(found.ids.tolist()) == [0, 1, 2] and found.keypoints_px.shape == (3, 33, 2)
    assert 4 <= scene.searches <= 7, "every half second"


def test_an_onnx_model_sees_people_in_the_pictures_own_pixels(tmp_path):
    """The picture is twice as large as the model's, and wide: points come back scaled; a double is suppressed."""
    other = (12, 30, 16, 50, 0.8, np.concatenate([STANDING - (20, 0), np.full((17, 1), 0.7)], 1))
    double = (33, 30, 20, 52, 0.7, PERSON[-1] * 1.01)
    reader = make_reader(WorkerConfig(model=str(tiny_onnx.yolo(tmp_path / "a.onnx", [double, PERSON, other]))))
    assert reader.joint_set == "coco17"
    white = np.full((96, 128, 3), 255, np.uint8)
    first, second = reader.read(white, 0.0), reader.read(white, 0.1)
    assert first.ids.tolist() == second.ids.tolist() == [0, 1]
    np.testing.assert_allclose(first.keypoints_px[0], 2 * STANDING, atol=1e-3)
    np.testing.assert_allclose(first.confidence[0][STANDING[:, 1] < 47], 0.8, atol=1e-6)
    assert (first.confidence[0][2 * STANDING[:, 1] > 95] == 0).all()  # below the picture
    assert len(reader.read(np.zeros((96, 128, 3), np.uint8), 0.2).ids) == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: path, FileNotFoundError, "no file at"),
        (lambda path: path.write_bytes(b"nonsense" * 20) and path, ValueError, "OpenVINO cannot read it"),
        (lambda path: tiny_onnx.write(path, np.zeros((1, 8, 4)), np.zeros((1, 8, 4))), ValueError, "neither those of"),
        (lambda path: tiny_onnx.write(path, np.zeros((1, 11, 60)), np.zeros((1, 11, 60))), ValueError, "2 keypoints"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(tmp_path, make, error, message):
    with pytest.raises(error, match=message):
        make_reader(WorkerConfig(model=str(make(tmp_path / "a.onnx"))))


def test_a_model_needs_a_joint_set_of_its_size(tmp_path):
    model = str(tiny_onnx.yolo(tmp_path / "a.onnx", [PERSON]))
    assert make_reader(WorkerConfig(model=model, joint_set="rtmpose17")).joint_set == "rtmpose17"
    with pytest.raises(ValueError, match=r"17 keypoints.*got 'halpe26'"):
        make_reader(WorkerConfig(model=model, joint_set="halpe26"))


def test_the_process_answers_and_ends_with_its_pipe(tmp_path):
    """What libraries print does not get between the answers; an error is one sentence."""
    config = WorkerConfig(model=str(tiny_onnx.yolo(tmp_path / "a.onnx", [PERSON])))
    command = [sys.executable, "-m", "dp3d_core.capture.detect.worker"]
    with subprocess.Popen(
        [*command, json.dumps(asdict(config))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert receive_answer(process.stdout) == {"joint_set": "coco17"}
        send_frame(process.stdin, np.full((64, 64, 3), 255, np.uint8), 0.0)
        np.testing.assert_allclose(detected(receive_answer(process.stdout)).keypoints_px, STANDING[None], atol=1e-3)
        process.stdin.close()
        assert process.wait(30) == 0
    asked = json.dumps(asdict(WorkerConfig(model=str(tmp_path / "none.onnx"))))
    done = subprocess.run([*command, asked], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 1
    with pytest.raises(WorkerFailed, match="model: no file at"):
        receive_answer(io.BytesIO(done.stdout))
