"""Every cause that the code counts is explained, and every explained one is counted."""

import re
from pathlib import Path

import dp3d_core
import dp3d_ros
from dp3d_ros.lifter.causes import BACKEND, DROPS, ODDITIES, STREAM

ROS, CORE = (Path(package.__file__).parent for package in (dp3d_ros, dp3d_core))


def found(pattern, *paths):
    return {cause for path in paths for cause in re.findall(pattern, path.read_text())}


def test_every_drop_is_explained():
    read_back = {"unknown_joint"}  # refused by those who read skeletons, not by the lifter
    assert found(r'BadMessage\(\s*"(\w+)"', *ROS.rglob("*.py")) - read_back == set(DROPS)


def test_every_oddity_is_explained():
    named = found(r'(?:_odd|\.odd)\(\s*"(\w+)"|oddities\["(\w+)"\]', *ROS.rglob("*.py"))
    assert {first or second for first, second in named} | {"uncalibrated_camera", "bad_camera_info"} == set(ODDITIES)


def test_every_counter_of_the_stream_is_explained():
    assert found(r'count\("(\w+)"', *(CORE / "live").glob("*.py")) == set(STREAM)


def test_every_counter_of_the_backends_is_explained():
    backends = [*(CORE / "backends").glob("*.py")]
    assert found(r'(?:counters\[|_refuse\()"(\w+)"', *backends) == set(BACKEND)
