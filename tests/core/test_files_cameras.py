"""Camera files of ROS, OpenCV and Pose2Sim; what we write, others read."""

import files_samples as samples
import numpy as np
import pytest
import yaml

from dp3d_core import cli
from dp3d_core.capture import recording as recordings
from dp3d_core.files.cameras import read_camera, read_ground, write_ros_yaml
from dp3d_core.files.prepare import PrepareOptions, prepare
from dp3d_core.files.readers import read
from dp3d_core.geometry.camera import Camera

CAMERA = Camera(fx=700.0, fy=705.5, cx=380.0, cy=290.0, width=768, height=576, distortion=(0.1, -0.2, 0.001, 0, 0.01))
POSE2SIM = """
[cam_01]
name = "left"
size = [ 768.0, 576.0]
matrix = [ [ 700.0, 0.0, 380.0], [ 0.0, 705.5, 290.0], [ 0.0, 0.0, 1.0]]
distortions = [ 0.1, -0.2, 0.001, 0.0]
rotation = [ 0.1, 0.2, 0.3]
translation = [ 0.0, 0.0, 1.0]
fisheye = false

[cam_02]
name = "right"
size = [ 768.0, 576.0]
matrix = [ [ 500.0, 0.0, 384.0], [ 0.0, 500.0, 288.0], [ 0.0, 0.0, 1.0]]
distortions = [ 0.0, 0.0, 0.0, 0.0]
fisheye = false

[metadata]
adjusted = false
"""


def test_ros_yaml_goes_round(tmp_path):
    path = tmp_path / "ほ.yaml"
    write_ros_yaml(path, CAMERA, name="front", comments=("height 1.5 +- 0.1 m",))
    assert read_camera(path) == CAMERA
    held = yaml.safe_load(path.read_text())
    assert held["camera_name"] == "front" and held["distortion_model"] == "plumb_bob"
    assert len(held["projection_matrix"]["data"]) == 12


@pytest.mark.parametrize("ending", ["yml", "xml", "json"])
def test_opencv_storage_is_read(ending, tmp_path):
    import cv2

    storage = cv2.FileStorage(str(tmp_path / f"c.{ending}"), cv2.FILE_STORAGE_WRITE)
    storage.write("camera_matrix", CAMERA.matrix)
    storage.write("dist_coeffs", np.array([CAMERA.distortion]))
    storage.release()
    assert read_camera(tmp_path / f"c.{ending}", size_px=(768, 576)) == CAMERA
    with pytest.raises(ValueError, match="give --image-size"):
        read_camera(tmp_path / f"c.{ending}")


def test_pose2sim_toml_is_read_by_name(tmp_path):
    path = tmp_path / "Calib.toml"
    path.write_text(POSE2SIM)
    left = read_camera(path, "left")
    assert (left.fx, left.cy, left.distortion) == (700.0, 290.0, (0.1, -0.2, 0.001, 0.0))
    assert read_camera(path, "cam_02").fx == 500.0
    with pytest.raises(ValueError, match="--camera-name to be one of cam_01, cam_02"):
        read_camera(path, "front")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "image_width: 3", "ROS camera file"),
        ("a.yaml", "a: [", "could not read it"),
        ("a.toml", "a = ", "Pose2Sim"),
        ("a.toml", "[metadata]\nx = 1\n", "cameras with a matrix"),
        ("a.txt", "hello", "camera file"),
    ],
)
def test_other_files_are_said_in_one_sentence(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as caught:
        read_camera(tmp_path / name)
    assert words in str(caught.value) and str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_camera_of_another_picture_size_is_refused(tmp_path):
    path = samples.mediapipe_npz(tmp_path / "clip.npz")
    small = Camera(fx=300.0, fy=300.0, cx=160.0, cy=120.0, width=320, height=240)
    write_ros_yaml(tmp_path / "c.yaml", small, name="small")
    with pytest.raises(ValueError, match="expected a camera of 768 x 576 pixels"):
        prepare(read(path)[0], PrepareOptions(camera=tmp_path / "c.yaml"))
    write_ros_yaml(tmp_path / "c.yaml", CAMERA, name="right")
    assert prepare(read(path)[0], PrepareOptions(camera=tmp_path / "c.yaml")).camera == CAMERA


def test_calibrate_takes_keypoints_of_other_tools_and_writes_a_camera_that_lift_reads(tmp_path, monkeypatch, capsys):
    frames = list(recordings.load(recordings.shipped()).frames())[:50]
    monkeypatch.setattr(samples, "clip", lambda: frames)
    path = samples.openpose(tmp_path / "walk")
    arguments = ["--image-size", "768", "576", "--fps", "7", "--resamples", "2", "--yaml", str(tmp_path / "c.yaml")]
    cli.main(["calibrate", str(path), *arguments])
    assert "focal_px" in capsys.readouterr().out
    camera, (normal, distance_m) = read_camera(tmp_path / "c.yaml"), read_ground(tmp_path / "c.yaml")
    assert (camera.width, camera.height) == (768, 576) and 600 < camera.fx < 3000
    assert normal[1] < -0.8 and 3 < distance_m < 12
    assert "+-" in (tmp_path / "c.yaml").read_text().splitlines()[1]
    clip = prepare(read(path)[0], PrepareOptions(camera=tmp_path / "c.yaml", image_size_px=(768, 576)))
    assert clip.camera == camera and clip.pose.height_m == distance_m
    with pytest.raises(SystemExit):
        cli.main(["calibrate", str(path), "--write"])
    assert "--write: expected a dp3d recording" in capsys.readouterr().err
