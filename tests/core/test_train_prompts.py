"""A training run carries the prompt bank that it was started with: into its weights, its provenance, its resumption."""

import pytest
import torch
from helpers import some_bank, walking_motions
from test_train import SHORT, TINY, command, rows, run

from dp3d_core import checkpoint
from dp3d_core.cli import run as dp3d
from dp3d_core.config import ModelConfig, TrainConfig
from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.motions import save_motions
from dp3d_core.model import text as prompts
from dp3d_core.model.encoder import Encoder
from dp3d_core.training import run as train


@pytest.fixture
def motions(tmp_path):
    path = tmp_path / "motions.npz"
    save_motions(path, walking_motions())
    return path


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "bank.safetensors"
    prompts.save_bank(path, some_bank())
    return path


def baked(bank):
    """The tokens that `bank` leaves in a fresh network."""
    encoder = Encoder(ModelConfig(**TINY), len(ACTIONS))
    prompts.bake(encoder, prompts.load_bank(bank))
    return encoder.prompts.baked


def go(out, motions, bank, **options):
    """As `test_train.run`, with a prompt bank."""
    return train.run(
        model=ModelConfig(**TINY),
        train=TrainConfig(**SHORT),
        motions_path=motions,
        out=out,
        log_every=1,
        prompt_bank=bank,
        **options,
    )


def test_the_bank_is_in_the_weights_untouched_and_its_modifiers_learn(tmp_path, motions, bank):
    loaded = checkpoint.load(go(tmp_path / "out", motions, bank))
    assert torch.equal(loaded.encoder.prompts.baked, baked(bank)) and baked(bank).any()
    assert loaded.provenance["prompt_bank"] == some_bank().origin
    torch.manual_seed(0)
    fresh = Encoder(ModelConfig(**TINY), len(ACTIONS)).prompts.modifier
    assert not torch.equal(loaded.encoder.prompts.modifier, fresh)


def test_without_a_bank_the_prompts_are_learned_and_the_run_is_another(tmp_path, motions, bank):
    learned = checkpoint.load(run(tmp_path / "learned", motions))
    assert not learned.encoder.prompts.baked.any() and learned.provenance["prompt_bank"] is None
    go(tmp_path / "baked", motions, bank)
    assert rows(tmp_path / "learned") != rows(tmp_path / "baked")


def test_a_resumed_run_keeps_its_bank(tmp_path, motions, bank, monkeypatch):
    whole = checkpoint.load(go(tmp_path / "whole", motions, bank))
    with monkeypatch.context() as patch:
        patch.setattr(train.torch.nn.utils, "clip_grad_norm_", stop_at(3))
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "cut", motions, bank, save_every_s=0)
    resumed = checkpoint.load(go(tmp_path / "cut", motions, bank, resume=True))
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert resumed.provenance["prompt_bank"] == whole.provenance["prompt_bank"]
    left, right = resumed.encoder.state_dict(), whole.encoder.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


def stop_at(calls):
    """clip_grad_norm_, until it has been called so often."""
    clip, left = torch.nn.utils.clip_grad_norm_, iter(range(calls))

    def clipping(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return clip(*arguments)

    return clipping


def test_resuming_with_another_bank_or_none_is_refused(tmp_path, motions, bank):
    go(tmp_path / "baked", motions, bank)
    run(tmp_path / "learned", motions)
    prompts.save_bank(tmp_path / "other.safetensors", some_bank(seed=1))
    for out, other in (("baked", tmp_path / "other.safetensors"), ("baked", None), ("learned", bank)):
        with pytest.raises(ValueError, match=r"--resume: .*was made with another --prompt-bank \("):
            go(tmp_path / out, motions, other, resume=True)


def test_command_line_bakes_and_refuses_in_one_line(tmp_path, motions, bank):
    dp3d("train", command(tmp_path / "out", motions, f"--prompt-bank={bank}")[2:])
    loaded = checkpoint.load(tmp_path / "out" / "weights.safetensors")
    assert torch.equal(loaded.encoder.prompts.baked, baked(bank))
    for more, message in (
        (["--prompt-bank=absent.safetensors"], "train: prompt bank: absent.safetensors cannot be used"),
        ([f"--prompt-bank={bank}", "--action-prompts=no", "--part-prompts=no"], "train: prompt bank: .*no prompts"),
    ):
        with pytest.raises(SystemExit, match=message):
            dp3d("train", command(tmp_path / "refused", motions, *more)[2:])


def test_a_text_towers_bank_goes_from_sentences_to_weights(tower, tmp_path, motions):
    """Every step of a user's path, with a tower of random weights: encode, bake, train, load."""
    path = tmp_path / "bank.safetensors"
    dp3d("prompts", ["--model", "tiny", "--pretrained", str(tower), "--out", str(path)])
    loaded = checkpoint.load(go(tmp_path / "out", motions, path))
    assert torch.equal(loaded.encoder.prompts.baked, baked(path))
    assert loaded.provenance["prompt_bank"] | {"sha256": ""} == {
        "model": "tiny", "pretrained": "tiny.safetensors", "sha256": "",
    }  # fmt: skip
