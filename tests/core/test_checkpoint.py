"""Weights come back as they were written, and every other file is refused in one clear sentence."""

import json
import pickle

import numpy as np
import pytest
import torch
from helpers import CAMERA, by_joint_config, random_denoiser, random_encoder, random_seen, seen, tiny_config, walk
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dp3d_core import checkpoint
from dp3d_core.checkpoint import USES
from dp3d_core.config import DenoiserConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.lift import Lifter
from dp3d_core.model.motion_denoiser import MotionDenoiser

HOT = dict.fromkeys(USES, 1.3)


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "folder" / "good.safetensors"
    checkpoint.save(path, random_encoder(), actions=ACTIONS, temperatures=HOT, provenance={"steps": 7, "note": "é"})
    return path


def parts(path):
    with safe_open(path, framework="pt") as archive:
        return load_file(path), json.loads(archive.metadata()["dp3d"])


def rewrite(path, state=None, **changes):
    """The same file with other tensors or another head."""
    tensors, head = parts(path)
    save_file(tensors if state is None else state, path, metadata={"dp3d": json.dumps(head | changes)})
    return path


def refuses(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.load(path)
    text = str(caught.value)
    assert text.startswith("weights: ") and "\n" not in text and len(text) < 700 and path.name in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("config", [tiny_config(), by_joint_config(), tiny_config(action_prompts=False)])
def test_what_is_written_is_read_back(tmp_path, config):
    encoder = random_encoder(config)
    checkpoint.save(
        tmp_path / "a.safetensors",
        encoder,
        actions=ACTIONS,
        temperatures=HOT | {"offline": 0.7},
        provenance={"a": [1, None]},
    )
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert loaded.encoder.config == config and loaded.actions == tuple(ACTIONS)
    assert loaded.temperatures == HOT | {"offline": 0.7} and loaded.provenance == {"a": [1, None]}
    assert not loaded.encoder.training and not any(p.requires_grad for p in loaded.encoder.parameters())
    state = loaded.encoder.state_dict()
    assert all(torch.equal(state[name], value) for name, value in encoder.state_dict().items())
    arguments = random_seen(1, 3), torch.ones(1, 3, 4), torch.arange(3.0)[None], torch.ones(1, 3, 3, dtype=torch.bool)
    torch.testing.assert_close(loaded.encoder(*arguments).pose, encoder(*arguments).pose, rtol=0, atol=0)


def motions(width):
    torch.manual_seed(0)
    return MotionDenoiser(DenoiserConfig(width=16, layers=1, heads=2, feature_width=width, actions=len(ACTIONS)))


def test_what_draws_motions_stands_beside_the_encoder(tmp_path):
    encoder, path = random_encoder(), tmp_path / "both.safetensors"
    denoiser = motions(encoder.config.frame_width)
    checkpoint.save(path, encoder, actions=ACTIONS, motion_denoiser=denoiser)
    found = checkpoint.load(path)
    for network, saved in ((found.encoder, encoder), (found.motion_denoiser, denoiser)):
        assert network.config == saved.config and not network.training
        for name, value in saved.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, atol=0, rtol=0)
    drawn = Lifter.load(path, backend="eager").sample(
        *seen(walk(np.arange(12) / 30)), np.arange(12) / 30, camera=CAMERA, joint_set="h36m17", samples=3
    )[0]
    assert drawn.shape == (3, 12, 17, 3) and np.isfinite(drawn).all()


def test_without_it_there_is_none_and_one_of_another_encoder_is_refused(tmp_path, good):
    assert checkpoint.load(good).motion_denoiser is None
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, random_encoder(), actions=ACTIONS, motion_denoiser=motions(7))
    with pytest.raises(ValueError, match="reads 7 features"):
        _ = checkpoint.load(path).motion_denoiser


def test_half_precision_halves_the_file_and_moves_little(tmp_path):
    encoder = random_encoder()
    sizes = []
    for half in (False, True):
        checkpoint.save(tmp_path / f"{half}.safetensors", encoder, actions=ACTIONS, half=half)
        sizes.append((tmp_path / f"{half}.safetensors").stat().st_size)
    assert sizes[1] < 0.75 * sizes[0]
    state = checkpoint.load(tmp_path / "True.safetensors").encoder.state_dict()
    for name, value in encoder.state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], value, rtol=1e-3, atol=1e-6)


def test_another_version_and_format(good):
    refuses(rewrite(good, version=99), "version 99, this dp3d reads .* version 2; install the dp3d that wrote it")
    refuses(rewrite(good, version=1, format="other"), "is other version 1")


def test_a_file_that_is_no_checkpoint(tmp_path):
    for index, content in enumerate(
        (b"", b"hello", b"\x00" * 100, b"\xff" * 8 + b"{}", np.random.default_rng(0).bytes(5000))
    ):
        path = tmp_path / f"{index}.safetensors"
        path.write_bytes(content)
        refuses(path, "is not a safetensors file")


def test_a_truncated_file(good):
    whole = good.read_bytes()
    for size in (4, 100, len(whole) // 2, len(whole) - 1):
        good.write_bytes(whole[:size])
        refuses(good, "is not a safetensors file")


class Bomb:
    """Unpickling it fails the test."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_pickles_are_refused_unopened(tmp_path):
    torch.save({"state": torch.zeros(3)}, tmp_path / "torch.pt")
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), tmp_path / "bomb.safetensors")
    for path in tmp_path.iterdir():
        refuses(path, "is not a safetensors file")


def test_someone_elses_safetensors(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    refuses(path, "not one of dp3d's")
    save_file({"weight": torch.zeros(3)}, path, metadata={"dp3d": "no json"})
    refuses(path, "unreadable dp3d metadata")
    for head in ("[]", "7", "{}", "null"):
        save_file({"weight": torch.zeros(3)}, path, metadata={"dp3d": head})
        refuses(path, "unreadable dp3d metadata")


def test_unknown_and_impossible_model_options(good):
    model = parts(good)[1]["model"]
    refuses(rewrite(good, model=model | {"wings": 2}), "unknown option 'wings'")
    refuses(rewrite(good, model=model | {"heads": 5}), "ModelConfig.heads")
    refuses(rewrite(good, model=model | {"heads": "8"}), "ModelConfig.heads: expected int")
    refuses(rewrite(good, model=[1, 2]), "does not fit its own description")


def test_tensors_that_do_not_fit(good):
    state, _ = parts(good)
    name = "embed.weight"
    refuses(rewrite(good, {k: v for k, v in state.items() if k != name}), "does not fit its own description.*embed")
    refuses(rewrite(good, state | {"extra": torch.zeros(1)}), "does not fit its own description.*extra")
    refuses(rewrite(good, state | {name: torch.zeros(2, 2)}), "does not fit its own description.*embed")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(good, value):
    state, _ = parts(good)
    state["pose_head.bias"][3] = value
    refuses(rewrite(good, state), "values that are not finite")


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), 0.0, -1.0, "hot", None])
def test_a_temperature_that_is_none(good, temperature):
    refuses(rewrite(good, temperatures=HOT | {"offline": temperature}), "temperature|does not fit")
    refuses(rewrite(good, temperatures=temperature), "does not fit")


@pytest.mark.parametrize("missing", ["model", "actions", "temperatures"])
def test_an_incomplete_head(good, missing):
    tensors, head = parts(good)
    del head[missing]
    save_file(tensors, good, metadata={"dp3d": json.dumps(head)})
    refuses(good, f"does not fit its own description.*{missing}")


def test_no_such_file_names_the_shipped_ones(tmp_path):
    for weights in ("huge", tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(ValueError, match=r"weights: expected a file or one of the shipped \["):
            checkpoint.load(weights)


def test_a_loaded_lifter_lifts_as_the_saved_one(good):
    pixels, confidence = seen(walk(np.arange(8) / 30))
    loaded = Lifter.load(good, backend="eager")
    direct = Lifter(
        checkpoint.Checkpoint(encoder=random_encoder(), actions=tuple(ACTIONS), temperatures=HOT, provenance={}),
        backend="eager",
    )
    options = {"camera": CAMERA, "joint_set": "h36m17"}
    outs = [lifter.lift(pixels, confidence, np.arange(8) / 30, **options) for lifter in (loaded, direct)]
    np.testing.assert_array_equal(outs[0].joints_cam_m, outs[1].joints_cam_m)
    np.testing.assert_array_equal(outs[0].sigma_m, outs[1].sigma_m)
    assert loaded.weights_name == str(good) and loaded.provenance["steps"] == 7 and loaded.backend_name == "eager"


def test_the_denoiser_of_version_1_stands_beside_the_encoder(tmp_path):
    older = random_denoiser()
    checkpoint.save(tmp_path / "both.safetensors", random_encoder(), actions=ACTIONS, denoiser=older)
    loaded = checkpoint.load(tmp_path / "both.safetensors")
    state = loaded.denoiser.state_dict()
    assert all(torch.equal(state[name], value) for name, value in older.state_dict().items())
    checkpoint.save(tmp_path / "alone.safetensors", random_encoder(), actions=ACTIONS)
    assert checkpoint.load(tmp_path / "alone.safetensors").denoiser is None
