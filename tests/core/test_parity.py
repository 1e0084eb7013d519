"""The gate before an engine serves: wrong engines of every kind are refused, and what passes is right on real 2D."""

from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import pytest
from engines import echo, loaded, network
from helpers import by_joint_config, tiny_config

from dp3d_core import Camera, Lifter
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.parity import LIMIT_MM, Parity, ParityError
from dp3d_core.backends.served import Served
from dp3d_core.backends.shape import Shape
from dp3d_core.backends.signature import INPUTS, OUTPUTS
from dp3d_core.backends.walk import INTERVALS_S, people_seen, stream_answers
from dp3d_core.capture import recording


@pytest.fixture(scope="module")
def eager():
    return Eager(network())


@pytest.fixture(scope="module")
def parity(eager):
    answers = lru_cache(lambda rows: stream_answers(eager.step, tiny_config(), rows))
    return Parity(answers, tiny_config(), "float32")


def on_input(name, change):
    """An engine that takes one of its inputs to be something else."""
    index = INPUTS.index(name)
    return lambda step, inputs: step(*inputs[:index], change(inputs[index]), *inputs[index + 1 :])


def on_output(name, change):
    """An engine one of whose outputs is wrong."""

    def answer(step, inputs):
        outputs = dict(zip(OUTPUTS, step(*inputs)))
        return tuple((outputs | {name: change(outputs[name])}).values())

    return answer


WRONG = {
    "ignores what is filled": on_input("filled", np.ones_like),
    "takes everybody's cache to be as full as the first's": on_input("filled", lambda x: np.repeat(x[:1], len(x), 0)),
    "forgets what it pooled": on_input("pooled", np.zeros_like),
    "pools at the first one's pace": on_input("decay", lambda x: np.repeat(x[:1], len(x), 0)),
    "poses off by a millimetre": on_output("pose", lambda x: x + np.float32(1e-3 / 0.25)),
    "poses of the first for all": on_output("pose", lambda x: np.repeat(x[:1], len(x), 0)),
    "constant sigma": on_output("log_variance", lambda x: np.full_like(x, -9)),
    "sigma that is no number": on_output("log_variance", lambda x: np.full_like(x, np.nan)),
    "actions reversed": on_output("action_logits", lambda x: x[..., ::-1].copy()),
    "empty keys": on_output("keys", np.zeros_like),
    "values a third too large": on_output("values", lambda x: x * np.float32(1.3)),
    "keys that overflow": on_output("keys", lambda x: x * np.float32(np.inf)),
    "an empty pool": on_output("pooled", np.zeros_like),
}


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_rolling_engine_is_refused(eager, parity, wrong, rows):
    with pytest.raises(ParityError, match=r"got joints .* mm, sigma .* mm, actions .*, memory"):
        parity.check(lambda *inputs: WRONG[wrong](eager.step, inputs), 4, rows)


def test_a_right_engine_passes_in_any_size(eager, parity):
    for people in (1, 2, 4, 8):
        assert max(parity.check(eager.step, people, rows=3)) < 1e-3


def test_an_engine_is_never_served_on_a_check_of_another_day(tmp_path):
    """What is cached is the engine, not that it was found right: it is compared again whenever it is loaded."""
    encoder = network()
    assert Served(loaded(encoder), [echo()], cache_dir=tmp_path).prepare(1)
    later = Served(loaded(encoder), [echo(wrong=0.5)], cache_dir=tmp_path)
    assert later._load(Shape(1, 1)) is None and later.counters["cache_corrupt"] == 1


@pytest.mark.parametrize("config", [tiny_config(window_frames=16), by_joint_config()])
def test_streams_are_at_their_beginning_half_full_and_full(config):
    asked, step = [], Eager(network(config)).step

    def run(*inputs):
        asked.append({name: array.copy() for name, array in zip(INPUTS, inputs)})
        return step(*inputs)

    answers = stream_answers(run, config, rows=5)
    assert {len(array) for array in answers} == {4} and {array.shape[1] for array in answers} == {3}
    at, cached = asked[-3], config.window_frames - 1
    assert at["filled"][:, :cached].sum(1).tolist() == [0, min(3, cached), cached // 2, cached]
    # the newest of five rows only, four rows, and all rows
    assert at["filled"][:, cached:].sum(1).tolist() == [1, 4, 5, 5]
    # what counts in the cache is there
    used = np.abs(at["keys"]).sum((1, 2, 4)) > 0
    assert used[at["filled"][:, :cached] > 0].all() and not used[0].any()
    assert (at["seen"][0, :4] == 0).all() and (at["pooled"][0] == 0).all()
    assert (at["up"][2] != 0).any(-1).all() and not at["up"][3].any()
    np.testing.assert_allclose(at["decay"][:2, 1], np.exp(-INTERVALS_S), rtol=1e-6)
    # each stream goes on with its own memory
    assert (np.abs(asked[-1]["pooled"] - at["pooled"]).sum((1, 2)) > 0).all()


def test_the_people_are_seen_as_detectors_see_people():
    seen, up = people_seen(40)
    assert up.shape == (2, 40, 4) and (up[0, :, 1] < -0.9).all() and not up[1].any()
    assert seen.shape == (2, 40, 17, 4) and np.isfinite(seen).all()
    size = seen[0, :, :, :2].std(1)
    assert (size.max(-1) > 0.3).all() and (size < 3).all()
    missing = seen[1, :, :, 2] == 0
    assert missing[-2].all() and 2 <= missing[0].sum() < 8 and (seen[1, :, :, :2][missing] == 0).all()
    np.testing.assert_array_equal(seen, people_seen(40)[0])


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("precision", "lookahead", "frames"), [("float32", 0, 150), ("float32", 4, 50), ("bfloat16", 0, 50)]
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
