"""Player, lifter and recorder as separate processes, with the shipped weights: what `make demo` relies on."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from bench import LOSSLESS, REAL, WEIGHTS

from dp3d_core.capture import recording

pytestmark = pytest.mark.ros
HZ, FRAMES = 30, 60


@pytest.fixture
def recorded(tmp_path):
    """A recording of two people who sway, with a frame of nobody in it."""
    frame = np.repeat(np.delete(np.arange(FRAMES), 20), 2)
    person = np.tile([3, 8], FRAMES - 1)
    standing = np.stack([np.full(17, 320.0), np.linspace(100, 380, 17)], 1)
    standing[1::2, 0] += 25
    sway = np.sin(frame / HZ)[:, None] * 20 + (person[:, None] - 5) * 30
    keypoints_px = np.repeat(standing[None], len(frame), 0)
    keypoints_px[..., 0] += sway
    path = tmp_path / "people.npz"
    recording.save(
        path,
        recording.Recording(
            stamps_s=np.arange(FRAMES) / HZ,
            frame=frame,
            person=person,
            keypoints_px=keypoints_px,
            confidence=np.full((len(frame), 17), 0.9),
            joint_set="coco17",
            image_size_px=[640, 480],
            K=[[600, 0, 320], [0, 600, 240], [0, 0, 1]],
            distortion=np.zeros(0),
            intrinsics="calibrated",
            source="made by a test",
            provenance="none",
        ),
    )
    return path


def remaps():
    return {"skeletons": "lifter/skeletons", "markers": "lifter/markers"}


def test_a_recording_goes_through_the_real_lifter(start, bench, recorded, tmp_path):
    out = tmp_path / "out" / "skeletons.npz"
    lifter = start("lifter", autostart=True, **REAL, **LOSSLESS)
    recorder = start("recorder", output=str(out), idle_stop_s=10.0, remaps=remaps())
    lifter.wait_for("ready after")
    listeners = lambda: bench.node.count_subscribers("/lifter/skeletons")  # noqa: E731
    bench.until(lambda: listeners() == 2, "the recorder beside the bench itself")
    player = start(
        "player",
        recording=str(recorded),
        settle_s=2.0,
        remaps={"keypoints": "lifter/keypoints"},
        **{"qos_overrides./lifter/keypoints.publisher.depth": 1000},
    )
    assert player.process.wait(60) == 0, player.text()
    assert recorder.process.wait(60) == 0, recorder.text()
    summary = json.loads(out.with_suffix(".json").read_text())
    assert summary["messages_in"] == summary["skeleton_messages"] + summary["dropped"] == FRAMES
    assert summary["people"] == 2 and summary["backend"] and "small" in summary["weights"]
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    with np.load(out, allow_pickle=False) as written:
        assert np.isfinite(written["joints_cam_m"]).all() and (written["sigma_m"] >= 0).all()
        assert written["root_sigma_m"].shape == written["person"].shape and (written["root_sigma_m"] > 0).all()
        assert set(written["person"]) == {3, 8} and (written["joints_cam_m"][:, 0, 2] > 1).all()
        assert (np.diff(written["stamps_s"]) > 0).all() and str(written["frame_id"]) == "camera_optical_frame"
    assert lifter.interrupt() == 0


@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_replay_in_simulated_time_slow_or_fast_and_looped(start, bench, recorded, rate):
    start("fake", autostart=True, use_sim_time=True)
    start("player", recording=str(recorded), clock=True, rate=rate, loop=True, remaps={"keypoints": "lifter/keypoints"})
    bench.until(lambda: bench.facts().get("odd.clock_jumped_back", 0) >= 2, "two jumps back", timeout_s=90)
    facts = bench.facts()
    assert "odd.stamp_of_another_clock" not in facts and "stamp_to_publish_p50_ms" in facts
    assert facts["frames_out"] + facts["missed"] > FRAMES
    assert {message.header.stamp.sec for message in bench.skeletons} <= {1000, 1001}


def test_weights_deleted_after_start_change_nothing(start, bench, tmp_path):
    copy = tmp_path / "copy.safetensors"
    shutil.copy(WEIGHTS, copy)
    node = start("lifter", allow_path_changes=True, **REAL | {"weights": str(copy)})
    assert bench.transition("configure")
    copy.unlink()
    assert bench.transition("activate")
    bench.ready()
    assert bench.transition("deactivate") and bench.transition("cleanup")
    assert not bench.transition("configure")
    node.wait_for(str(copy))  # the answer may be here before the log is
    assert "Traceback" not in node.text()
    assert bench.set_parameter("weights", str(WEIGHTS)) == (True, "")
    assert bench.transition("configure") and bench.transition("activate")
    bench.ready()


def test_a_file_that_is_no_checkpoint_is_one_clear_error(start, bench, tmp_path):
    node = start("lifter", allow_path_changes=True)
    for index, content in enumerate([b"", b"no checkpoint", os.urandom(4096)]):
        path = tmp_path / f"bad{index}.safetensors"
        path.write_bytes(content)
        assert bench.set_parameter("weights", str(path)) == (True, "")
        assert not bench.transition("configure") and bench.state() == "unconfigured"
        node.wait_for(str(path))
    assert "Traceback" not in node.text()


@pytest.mark.timeout(900)  # building an engine has taken a minute
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_here_is_one_clear_error_and_engines_come_from_the_cache_asked_for(start, bench, tmp_path):
    pytest.importorskip("openvino")
    node = start("lifter", weights=str(WEIGHTS), device="cuda", max_people=1, engine_cache=str(tmp_path / "engines"))
    assert not bench.transition("configure") and bench.state() == "unconfigured"
    node.wait_for("device: expected one that PyTorch can use here, got 'cuda'")
    assert bench.set_parameter("device", "cpu") == (True, "")
    assert bench.transition("configure", timeout_s=250.0) and any((tmp_path / "engines").iterdir())
    assert "Traceback" not in node.text()


def test_an_engine_that_raises_is_replaced_by_eager_and_the_diagnostics_say_so(start, bench, tmp_path):
    parameters = {"weights": str(WEIGHTS), "max_people": 1, "autostart": True}
    node = start("broken", env={"BREAK_FILE": str(tmp_path / "broken")}, **parameters, **LOSSLESS)
    bench.ready()
    bench.flush()
    before = bench.next_facts()
    assert before["backend"] == "cpu"
    (tmp_path / "broken").touch()
    bench.until(lambda: bench.facts().get("backend") == "eager", "the fallback", every=bench.publish_people)
    bench.flush()
    facts = bench.next_facts()
    came, left = (facts[name] - before[name] for name in ("messages_in", "frames_out"))
    assert came == left > 0 and facts["dropped"] == before["dropped"]
    assert "the engine broke" in facts["backend_note"] and bench.level() == 1
    assert facts["backend.engine_failed"] == 1
    node.wait_for("going on with eager")
    assert "Traceback" not in node.text()


def test_five_hundred_people_are_too_many_and_counted(start, bench):
    start("lifter", autostart=True, max_people=4, **REAL)
    bench.ready()
    bench.flush()
    bench.skeletons.clear()
    bench.until(lambda: bench.skeletons, "an answer", every=lambda: bench.publish_people(500))
    assert bench.skeletons[0].width == 4 * 17
    assert bench.next_facts()["stream.too_many_people"] >= 496


def test_a_player_without_listeners_says_so(start, recorded):
    player = start("player", recording=str(recorded), wait_for_subscribers_s=0.3)
    assert player.process.wait(60) == 1 and "no subscriber on /keypoints" in player.text()


def test_a_missing_recording_is_one_clear_error(start):
    player = start("player", recording="nowhere.npz")
    assert player.process.wait(60) == 1
    assert "no file at nowhere.npz" in player.text() and "Traceback" not in player.text()
