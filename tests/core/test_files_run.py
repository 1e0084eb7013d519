"""From inputs to outputs: names, resuming, broken inputs beside whole ones, disks that fail, and the command itself."""

import errno
import json

import files_samples as samples
import numpy as np
import pytest

from dp3d_core import cli
from dp3d_core.files.beside import beside
from dp3d_core.files.many import run_all, table, unique_names
from dp3d_core.files.prepare import PrepareOptions
from dp3d_core.files.run import RunOptions, lift_input

OPTIONS = {"prepare": PrepareOptions(hfov_deg=40)}


def test_a_run_writes_quality_and_the_second_one_has_nothing_to_do(tmp_path):
    path = samples.mmpose(tmp_path / "walk.json")
    options = RunOptions(out=tmp_path / "out", to=("npz", "bvh"), **OPTIONS)
    first = lift_input(str(path), "walk", options)
    assert first.ok and not first.resumed, first.text
    files = {file.name for file in (tmp_path / "out").iterdir() if not file.name.startswith(".")}
    assert files == {"walk.npz", "walk.person0.bvh", "walk.person1.bvh", "walk.quality.json"}
    facts = json.loads((tmp_path / "out" / "walk.quality.json").read_text())
    assert facts["people"] == 2 and facts["seen_joints"] > 0.5 and "bvh_fit_mm" in facts
    assert lift_input(str(path), "walk", options).resumed
    (tmp_path / "out" / "walk.person1.bvh").unlink()
    assert not lift_input(str(path), "walk", options).resumed
    other = RunOptions(out=tmp_path / "out", to=("npz",), **OPTIONS)
    assert not lift_input(str(path), "walk", other).resumed


def test_one_broken_input_does_not_stop_the_others(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    inputs = [broken, samples.openpose(tmp_path / "ok"), tmp_path / "absent.mp4"]
    told = []
    outcomes = run_all(inputs, RunOptions(out=tmp_path / "out", **OPTIONS), progress=told.append)
    assert [one.ok for one in outcomes] == [False, True, False] and len(told) == 3
    text = table(outcomes)
    assert "ok" in text and text.count("failed: ") == 2 and str(broken) in text


def test_processes_give_what_one_gives(tmp_path):
    (tmp_path / "b.json").write_text("{")
    inputs = [samples.mmpose(tmp_path / "a.json"), tmp_path / "b.json"]
    for workers, out in ((1, "one"), (2, "two")):
        outcomes = run_all(inputs, RunOptions(out=tmp_path / out, **OPTIONS), workers=workers)
        assert [one.ok for one in outcomes] == [True, False], [one.text for one in outcomes]
    with np.load(tmp_path / "one" / "a.npz") as first, np.load(tmp_path / "two" / "a.npz") as second:
        np.testing.assert_allclose(first["joints_cam_m"], second["joints_cam_m"], atol=1e-3)


def test_inputs_of_one_name_get_different_outputs(tmp_path):
    paths = [tmp_path / "left" / "a.json", tmp_path / "right" / "a.json", tmp_path / "b.json"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("[]")
    assert unique_names(paths) == ["left_a", "right_a", "b"]
    assert len(set(unique_names([paths[0], paths[0]]))) == 2


def test_a_known_height_puts_the_floor_there(tmp_path):
    path = samples.mmpose(tmp_path / "walk.json")
    known = PrepareOptions(hfov_deg=40, image_size_px=samples.SIZE, up_cam=(0.0, -2.0, -0.8), height_m=7.0)
    outcome = lift_input(str(path), "walk", RunOptions(out=tmp_path / "out", prepare=known))
    assert outcome.ok and outcome.clips[0]["ground"] == "given", outcome.text
    with np.load(tmp_path / "out" / "walk.npz") as held:
        assert held["ground_distance_m"] == 7.0
        lower_m = held["joints_world_m"][:, [3, 6], 2].min(1)
        assert np.abs(np.median(lower_m)) < 0.4, "feet are near the floor that was given"


def test_film_plot_and_report_open(tmp_path):
    import cv2

    video = tmp_path / "läuft.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 7, samples.SIZE)
    for index in range(samples.FRAMES):
        writer.write(np.full((samples.SIZE[1], samples.SIZE[0], 3), (0, 160, 10 * index % 255), np.uint8))
    writer.release()
    path = samples.recording(tmp_path / "walk.npz")
    options = RunOptions(out=tmp_path / "out", to=(), film=True, plot=True, report=True, video=video)
    outcome = lift_input(str(path), "walk", options)
    assert outcome.ok, outcome.text
    film = cv2.VideoCapture(str(tmp_path / "out" / "walk.film.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == samples.FRAMES
    panel = film.read()[1][20:400, 20:780]
    assert panel[..., 1].mean() > 60, "the video's own green frames are on the left"
    plot = cv2.imread(str(tmp_path / "out" / "walk.person0.png"))
    assert plot is not None and plot.std() > 10
    page = (tmp_path / "out" / "walk.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 1 and "http" not in page and "reprojection px median" in page


def test_a_failed_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match=r"a\.txt: cannot be written \(No space left"), beside(path) as unfinished:
        unfinished.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_the_folder_of_the_input_is_no_output_folder(tmp_path):
    path = samples.mmpose(tmp_path / "walk.json")
    text = path.read_text()
    outcome = lift_input(str(path), "walk", RunOptions(out=tmp_path, to=("json",), **OPTIONS))
    assert not outcome.ok and "not the folder of the input" in outcome.text and path.read_text() == text


def test_an_output_folder_that_is_a_file_is_said(tmp_path):
    path = samples.mmpose(tmp_path / "walk.json")
    (tmp_path / "out").write_text("a file")
    outcome = lift_input(str(path), "walk", RunOptions(out=tmp_path / "out", **OPTIONS))
    assert not outcome.ok and str(tmp_path / "out") in outcome.text


def test_the_command_says_format_camera_and_quality(tmp_path, capsys):
    path = samples.openpose(tmp_path / "walk")
    arguments = ["lift", str(path), str(tmp_path / "no.npz"), "--out", str(tmp_path / "out"), "--to", "trc"]
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments, "--hfov", "40"])
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    for words in ("OpenPose JSON (openpose25)", "camera: --hfov 40", "reprojection", "walk.person0.trc",
                  "failed: ", "no such file", "hours a core-hour"):  # fmt: skip
        assert words in printed.out, printed.out
    assert "1 of 2 inputs failed" in printed.err and "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x.json", "--out", "o", "--height", "2"], "lift: --height: expected --up with it"),
        (["x.json", "--out", "o", "--to", "fbx"], "lift: --to: expected some of npz"),
        (["x.json", "--out", "o", "--camera", "no.yaml"], "lift: --camera: no file at no.yaml"),
        (["x.json", "--out", "o", "--fps", "0"], "lift: --fps: expected frames a second"),
        (["x.json", "--out", "o", "--workers", "0"], "lift: --workers: expected at least 1"),
        (["x.json", "--out", f"{__file__}/o"], "lift: --out: expected a folder that can be written"),
        (["x.json", "y.json", "--out", "o", "--video", __file__], "lift: --video: expected one INPUT, got 2"),
    ],
)
def test_mistakes_in_options_are_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["lift", *arguments])
    printed = capsys.readouterr().err
    assert stopped.value.code == 2 and printed.startswith(sentence) and printed.count("\n") == 1
