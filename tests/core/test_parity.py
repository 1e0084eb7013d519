"""The gate before an engine serves: wrong engines of every kind are refused, and what passes is right on real 2D."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from engines import TINY, echo, network

from dp3d_core import Camera, Lifter, checkpoint
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.parity import LIMIT_MM, Parity, ParityError
from dp3d_core.backends.served import Served, Shape
from dp3d_core.backends.walk import INTERVALS_S, people_seen, streams_under_way
from dp3d_core.capture import recording

FILLED, POOLED, DECAY = 6, 7, 8


@pytest.fixture(scope="module")
def eager():
    return Eager(checkpoint.load("small").denoiser)


@pytest.fixture(scope="module")
def parity(eager):
    return Parity(eager._denoiser, eager, "float32")


def on_input(index, change):
    """An engine that takes its input number `index` to be something else."""
    return lambda step, inputs: step(*inputs[:index], change(inputs[index]), *inputs[index + 1 :])


def on_output(index, change):
    """An engine whose output number `index` is wrong."""

    def answer(step, inputs):
        outputs = list(step(*inputs))
        outputs[index] = change(outputs[index])
        return tuple(outputs)

    return answer


WRONG = {
    "ignores what is filled": on_input(FILLED, np.ones_like),
    "takes everybody's cache to be as full as the first's": on_input(FILLED, lambda x: np.repeat(x[:1], len(x), 0)),
    "forgets what it pooled": on_input(POOLED, np.zeros_like),
    "pools at the first one's pace": on_input(DECAY, lambda x: np.repeat(x[:1], len(x), 0)),
    "poses off by a millimetre": on_output(0, lambda x: x + np.float32(1e-3 / 0.25)),
    "poses of the first for all": on_output(0, lambda x: np.repeat(x[:1], len(x), 0)),
    "constant sigma": on_output(1, lambda x: np.full_like(x, -9)),
    "sigma that is no number": on_output(1, lambda x: np.full_like(x, np.nan)),
    "actions reversed": on_output(2, lambda x: x[..., ::-1].copy()),
    "empty keys": on_output(3, np.zeros_like),
    "values a third too large": on_output(4, lambda x: x * np.float32(1.3)),
    "keys that overflow": on_output(3, lambda x: x * np.float32(np.inf)),
    "an empty pool": on_output(5, np.zeros_like),
}


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_rolling_engine_is_refused(eager, parity, wrong, rows):
    people = 2 if "first" in wrong else 1
    with pytest.raises(ParityError, match=r"got joints .* mm, sigma .* mm, actions .*, memory"):
        parity.rolling(lambda *inputs: WRONG[wrong](eager.step, inputs), people, rows)


@pytest.mark.parametrize(
    "wrong", [name for name in WRONG if any(word in name for word in ("poses", "sigma", "actions"))]
)
def test_a_wrong_window_engine_is_refused(eager, parity, wrong):
    with pytest.raises(ParityError):
        parity.window(lambda *inputs: WRONG[wrong](eager.window, inputs), 2)


def test_a_right_engine_passes_in_any_size(eager, parity):
    for people in (1, 2, 4, 8):
        assert max(parity.rolling(eager.step, people, rows=3)) < 1e-4
    assert max(parity.window(eager.window, 1)) < 1e-4


def test_an_engine_is_never_served_on_a_check_of_another_day(tmp_path):
    """What is cached is the engine, not that it was found right: it is compared again whenever it is loaded."""
    denoiser = network()
    assert Served(denoiser, [echo()], cache_dir=tmp_path).prepare(1)
    later = Served(denoiser, [echo(wrong=0.5)], cache_dir=tmp_path)
    assert later._load(Shape("rolling", 1, 1)) is None and later.counters["cache_corrupt"] == 1


def test_streams_are_at_their_beginning_half_full_and_full(eager):
    asked = []

    def run(*inputs):
        asked.append([array.copy() for array in inputs])
        return eager.step(*inputs)

    streams_under_way(eager._denoiser, frames=3).step(run, rows=5)
    noisy, seen, level, _, keys, _, filled, _, decay = asked[-1]
    cached = keys.shape[3]
    # the newest of five rows only, four rows and three cached frames, and all rows
    assert filled[:, :cached].sum(1).tolist() == [0, 3, cached // 2, cached]
    assert filled[:, cached:].sum(1).tolist() == [1, 4, 5, 5]
    assert (seen[0, :4] == 0).all() and (noisy[:, -1] == 0).all() and (noisy[2:, :-1] != 0).any((2, 3)).all()
    assert (np.diff(level[0]) > 0).all() and level[0, -1] == 1
    np.testing.assert_allclose(decay[:2, 1], np.exp(-INTERVALS_S), rtol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"action_prompts": False}, {"temporal_token": "joint", "joint_layers": 2}])
def test_streams_remember_what_streaming_leaves_behind(changes):
    denoiser = network(replace(TINY, **changes))
    streams, step = streams_under_way(denoiser, frames=3), Eager(denoiser).step
    begun = streams.take([0])
    half, behind = streams.take([2]), streams.frame[2]
    for _ in range(behind):
        begun.step(step, rows=1)
    for name in ("keys", "values"):
        found, expected = (getattr(side, name)[:1, :, :, :behind] for side in (begun, half))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(begun.pooled[:1], half.pooled, atol=1e-5)
    np.testing.assert_allclose(begun.first[:1, :behind], half.first[:, :behind], atol=1e-5)


def test_the_people_are_seen_as_detectors_see_people():
    seen = people_seen(40)
    assert seen.shape == (2, 40, 17, 4) and np.isfinite(seen).all()
    size = seen[0, :, :, :2].std(1)
    assert (size.max(-1) > 0.3).all() and (size < 3).all()
    missing = seen[1, :, :, 2] == 0
    assert missing[-2].all() and 2 <= missing[0].sum() < 8 and (seen[1, :, :, :2][missing] == 0).all()
    np.testing.assert_array_equal(seen, people_seen(40))


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("precision", "lookahead", "frames"), [("float32", 0, 795), ("float32", 4, 100), ("bfloat16", 0, 100)]
)
def test_what_the_gate_passes_is_right_on_the_shipped_recording(tmp_path, precision, lookahead, frames):
    """The CPU engine beside eager on the shipped weights, each with a memory of its own: mean distance in mm."""
    shipped = recording.load(recording.shipped("vtest"))
    width, height = map(int, shipped.image_size_px)
    (fx, _, cx), (_, fy, cy), _ = shipped.K
    options = {
        "camera": Camera(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height), "joint_set": shipped.joint_set,
        "lookahead": lookahead, "max_people": 2,
    }  # fmt: skip
    lifters = Lifter.load(precision=precision, cache_dir=tmp_path), Lifter.load(backend="eager")
    lifters[0].warm_up(people=2, lookahead=lookahead)
    # bfloat16 that is too far from eager is refused, and float32 steps in
    limit_mm = LIMIT_MM[lifters[0]._backend.precision]
    streams, joints_mm, sigma_mm = [lifter.stream(**options) for lifter in lifters], [], []
    for stamp_s, people in list(shipped.frames())[:frames]:
        found, expected = (stream.push(stamp_s, people) for stream in streams)
        assert found.ids == expected.ids
        pose_m, expected_m = (skeletons.joints_cam_m - skeletons.joints_cam_m[:, :1] for skeletons in (found, expected))
        joints_mm.append(1e3 * np.linalg.norm(pose_m - expected_m, axis=-1).ravel())
        sigma_mm.append(1e3 * np.abs(found.sigma_m - expected.sigma_m).ravel())
    assert lifters[0].backend_name == "cpu", lifters[0].backend_note
    assert sum(map(len, joints_mm)) > 17 * frames
    assert np.concatenate(joints_mm).mean() < limit_mm and np.concatenate(sigma_mm).mean() < limit_mm
