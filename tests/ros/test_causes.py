"""Every cause that the code counts is explained, and every explained one is counted."""

import re
from pathlib import Path

import dp3d_core
import dp3d_ros
from dp3d_ros.lifter.camera import LEFT_OUT
from dp3d_ros.lifter.causes import BACKEND, COUNTED_ELSEWHERE, DROPS, ODDITIES, STREAM

ROS, CORE = (Path(package.__file__).parent for package in (dp3d_ros, dp3d_core))


def found(pattern, *paths):
    return {cause for path in paths for cause in re.findall(pattern, path.read_text())}


def test_every_drop_is_explained():
    # refused by those who read skeletons or pictures, not by the lifter
    read_back = {"unknown_joint", "bad_image", "other_frame", "no_camera"}
    left_out = {cause for cause, _ in LEFT_OUT.values()}
    assert found(r'BadMessage\(\s*"(\w+)"', *ROS.rglob("*.py")) - read_back | left_out == set(DROPS)


def test_every_oddity_is_explained():
    named = found(r'\.odd\(\s*"(\w+)"|oddities\["(\w+)"(?: if [^"]*"(\w+)")?\]', *ROS.rglob("*.py"))
    assert {name for names in named for name in names if name} | {"uncalibrated_camera", "bad_camera_info"} == set(
        ODDITIES
    )


def test_every_counter_of_the_stream_is_explained():
    assert found(r'(?:count\(|yield )"(\w+)"', *(CORE / "live").glob("*.py"), CORE / "geometry/camera_track.py") == set(
        STREAM
    ) | set(COUNTED_ELSEWHERE)


def test_what_is_counted_elsewhere_is_explained_there():
    explained = {f"{group}.{cause}" for group, causes in (("drop", DROPS), ("odd", ODDITIES)) for cause in causes}
    assert set(COUNTED_ELSEWHERE.values()) <= explained and not set(COUNTED_ELSEWHERE) & set(STREAM)


def test_every_counter_of_the_backends_is_explained():
    backends = [*(CORE / "backends").glob("*.py")]
    assert found(r'(?:counters\[|_refuse\()"(\w+)"', *backends) == set(BACKEND)
