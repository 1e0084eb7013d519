from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from figure import standing
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from dp3d_core.types import Skeletons
from dp3d_ros.demo import rviz_picture
from dp3d_ros.demo.film import TRAIL_JUMP_M, TRAIL_S, TRAIL_SIGMA, Lifted, _trails
from dp3d_ros.demo.layout import PEOPLE_AT_M, demo_layout
from dp3d_ros.messages.markers import markers_from_skeletons
from dp3d_ros.messages.tf import upright

PLAYED = SimpleNamespace(stamps_s=np.arange(100) / 10)


def walk(depths_m, root_sigmas_m):
    """One person, on the camera's axis, in frames 0, 1, 2 ..."""
    frames = {}
    for index, (depth_m, root_sigma_m) in enumerate(zip(depths_m, root_sigmas_m, strict=True)):
        joints = np.tile(np.float32([0, 0, depth_m]), (17, 1))
        frames[index] = {7: (joints, np.zeros(17), root_sigma_m)}
    return Lifted(frames=frames)


def test_a_trail_is_where_somebody_was_lately():
    depths_m = 5 + 0.1 * np.arange(60)
    trail = _trails(walk(depths_m, np.full(60, 0.3)), PLAYED, 59)[7]
    lately = PLAYED.stamps_s[:60] >= PLAYED.stamps_s[59] - TRAIL_S
    assert 25 < lately.sum() < 35
    np.testing.assert_allclose(trail[:, 2], depths_m[lately], rtol=1e-6)


def test_a_first_guess_is_left_out():
    depths_m, sigmas_m = [50.0, 20.0, 20.1], [1.01 * TRAIL_SIGMA * 50, 1.0, 1.0]
    np.testing.assert_allclose(_trails(walk(depths_m, sigmas_m), PLAYED, 2)[7][:, 2], [20.0, 20.1], rtol=1e-6)
    assert _trails(walk(depths_m[:1], sigmas_m[:1]), PLAYED, 0) == {}


def test_a_leap_starts_the_trail_afresh():
    depths_m = [10.0, 10.1, 10.2 + TRAIL_JUMP_M, 10.3 + TRAIL_JUMP_M]
    np.testing.assert_allclose(_trails(walk(depths_m, [0.5] * 4), PLAYED, 3)[7][:, 2], depths_m[2:], rtol=1e-6)


def test_the_stand_in_for_rviz_draws_the_markers_where_its_view_sees_them():
    pytest.importorskip("cv2")
    people = replace(
        Skeletons.empty(0.0),
        ids=(4,),
        joints_cam_m=(standing() + (0, 0, PEOPLE_AT_M - 3))[None].astype(np.float32),
        predicted=np.zeros(1, bool),
        actions=(None,),
    )
    markers = markers_from_skeletons(people, Header())
    layout, turn, height_m = demo_layout(), Rotation.from_quat(upright((0, -1, 0))).as_matrix(), 1.0
    image, empty = (rviz_picture.picture(these, layout, turn, height_m) for these in (markers, MarkerArray()))
    drawn = np.argwhere((image != empty).any(-1))
    assert len(drawn) > 50
    view = rviz_picture.OrbitView(layout["Visualization Manager"]["Views"]["Current"], rviz_picture.SIZE_PX)
    pixels, _ = view.see(people.joints_cam_m[0] @ turn.T + (0, 0, height_m))
    low, high = pixels.min(0)[::-1], pixels.max(0)[::-1]
    assert (drawn.min(0) > low - 40).all() and (drawn.max(0) < high + 10).all(), "the label stands above the head"
    assert (drawn > 0).all() and (low > 0).all() and (high < rviz_picture.SIZE_PX[::-1]).all()
