from types import SimpleNamespace

import numpy as np

from dp3d_ros.demo.film import TRAIL_JUMP_M, TRAIL_S, TRAIL_SIGMA, Lifted, _trails

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
