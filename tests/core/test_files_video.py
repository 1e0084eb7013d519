"""Videos as they come: rotation tags, variable rates, early ends, kept keypoints, and a detector that is not there."""

import os
import struct

import cv2
import files_samples as samples
import numpy as np
import pytest

from dp3d_core.files import readers
from dp3d_core.files.pictures.film import video_images
from dp3d_core.files.readers import ReadOptions, video

WIDTH, HEIGHT, FRAMES = 160, 96, 20


def write(path, code="mp4v"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (WIDTH, HEIGHT))
    for index in range(FRAMES):
        writer.write(np.full((HEIGHT, WIDTH, 3), 10 * index, np.uint8))
    writer.release()
    return path


def boxes(data, start, end, path=()):
    """(start, size, names from the outermost) of all boxes of an mp4."""
    while start < end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        yield start, size, (*path, name)
        if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield from boxes(data, start + 8, start + size, (*path, name))
        start += size


def turned(path):
    """The same file with the rotation tag of a phone held upright."""
    data = bytearray(path.read_bytes())
    start = next(at for at, _, names in boxes(data, 0, len(data)) if names[-1] == b"tkhd")
    one = 1 << 16
    data[start + 48 : start + 84] = struct.pack(">9i", 0, one, 0, -one, 0, 0, HEIGHT * one, 0, 1 << 30)
    path.write_bytes(data)
    return path


def uneven(path):
    """The same file with its second half at a third of the rate."""
    data = bytearray(path.read_bytes())
    shown = data.index(b"elst") + 12  # the edit list tells how much of the file is shown
    data[shown : shown + 4] = struct.pack(">I", 2 * struct.unpack(">I", data[shown : shown + 4])[0])
    found = list(boxes(data, 0, len(data)))
    start, size, names = next(box for box in found if box[2][-1] == b"stts")
    assert struct.unpack(">I", data[start + 12 : start + 16]) == (1,), "one rate in the file that OpenCV wrote"
    count, delta = struct.unpack(">II", data[start + 16 : start + 24])
    table = struct.pack(">5I", 2, count // 2, delta, count - count // 2, 3 * delta)
    for at, held, above in found:
        if names[: len(above)] == above:
            data[at : at + 4] = struct.pack(">I", held + 8)
    data[start + 12 : start + size] = table
    path.write_bytes(data)
    return path


def test_a_constant_rate_gives_even_stamps(tmp_path):
    stamps_s, notes = video.video_stamps(write(tmp_path / "ü.mp4"))
    np.testing.assert_allclose(stamps_s, np.arange(FRAMES) / 10, atol=1e-3)
    assert notes == ()


def test_a_rotation_tag_is_honoured_and_said(tmp_path):
    path = turned(write(tmp_path / "phone.mp4"))
    _, notes = video.video_stamps(path)
    assert "rotation tag" in " ".join(notes)
    assert next(video_images(path)).shape[:2] == (WIDTH, HEIGHT)


def test_a_variable_rate_keeps_the_stamps_of_the_file(tmp_path):
    stamps_s, notes = video.video_stamps(uneven(write(tmp_path / "a.mp4")))
    interval_s = np.diff(stamps_s)
    assert len(stamps_s) == FRAMES and "rate varies" in " ".join(notes)
    np.testing.assert_allclose(interval_s[:8], 0.1, atol=1e-3)
    np.testing.assert_allclose(interval_s[-8:], 0.3, atol=1e-3)


def test_a_video_that_ends_early_is_said(tmp_path):
    path = write(tmp_path / "a.avi", "MJPG")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    stamps_s, notes = video.video_stamps(path)
    assert 0 < len(stamps_s) < FRAMES and f"{len(stamps_s)} of {FRAMES} frames" in " ".join(notes)


def test_keypoints_of_an_earlier_run_are_used(tmp_path):
    path = write(tmp_path / "walk.mp4")
    kept = samples.recording(tmp_path / "walk.keypoints.npz")
    os.utime(path, (kept.stat().st_mtime - 9,) * 2)
    (found,) = readers.read(path, ReadOptions(keep=tmp_path))
    assert found.video == path and found.frames == samples.FRAMES and "earlier run" in found.notes[-1]
    np.testing.assert_allclose(found.stamps_s, np.arange(samples.FRAMES) / 10, atol=1e-3)


def test_without_a_detector_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DP3D_DETECTOR_PYTHON", raising=False)
    monkeypatch.setattr(video, "PROJECT", tmp_path)
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="run `make detector` in dp3d's folder"):
        readers.read(write(tmp_path / "a.mp4"))
