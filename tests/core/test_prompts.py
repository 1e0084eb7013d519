"""The prompt bank's sentences: encoded once by a frozen text tower, projected, baked, stored, and still learnable."""
# K sentences, W width of the text tower, P prompt width

import hashlib
import json
import sys

import pytest
import torch
from helpers import random_denoiser, random_encoder, random_seen, some_bank, tiny_config
from safetensors.torch import save_file

from dp3d_core import checkpoint
from dp3d_core.cli import run as dp3d
from dp3d_core.data.actions import ACTIONS
from dp3d_core.model import Denoiser
from dp3d_core.model.diffusion import causal_mask
from dp3d_core.model.prompts import PARTS
from dp3d_core.model.text import (
    NAMES,
    PART_TEXTS,
    SENTENCES,
    TOKEN_STD,
    TextBank,
    bake,
    encode,
    load_bank,
    load_tower,
    projection,
    save_bank,
)


def fresh_denoiser(seed=0, **changes):
    torch.manual_seed(seed)
    return Denoiser(tiny_config(**changes), len(ACTIONS)).eval()


def question(batch=2, rows=4):
    noisy = torch.randn(batch, rows, 17, 3, generator=torch.Generator().manual_seed(1))
    stamps_s = torch.arange(rows).expand(batch, -1) / 30
    return noisy, random_seen(batch, rows), torch.full((batch, rows), 0.5), stamps_s, causal_mask(rows, 4)[None]


def test_every_part_and_action_has_its_own_sentence():
    assert tuple(PART_TEXTS) == PARTS and NAMES == PARTS + ACTIONS
    assert len(set(SENTENCES)) == len(SENTENCES) == len(NAMES) == len(set(NAMES))
    assert SENTENCES[NAMES.index("climb")].startswith("A person climbs")


@pytest.mark.parametrize(("width", "prompt_width"), [(512, 64), (768, 64), (640, 128), (24, 16), (16, 24)])
def test_projection_keeps_norms_on_average(width, prompt_width):
    vectors = torch.randn(2000, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    squared = (vectors @ projection(width, prompt_width)).square().sum(-1)
    assert squared.mean() == pytest.approx(1, abs=0.05)


def test_projection_is_orthogonal_and_its_signs_are_the_same_everywhere():
    matrix = projection(512, 64)
    torch.testing.assert_close(matrix.T @ matrix, 8 * torch.eye(64, dtype=torch.float64))
    assert (matrix.abs() == 1 / 8).all()
    signs = (matrix > 0).to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(signs).hexdigest() == "e60cbad423cd58e4ea2e1dfa97fafceeb64d644fa6d108d7a9b5726ca109f6c4"
    torch.testing.assert_close(projection(64, 64), torch.eye(64, dtype=torch.float64))


def test_bank_file_round_trips(tmp_path):
    bank = some_bank()
    save_bank(tmp_path / "deep" / "bank.safetensors", bank)
    loaded = load_bank(tmp_path / "deep" / "bank.safetensors")
    assert torch.equal(loaded.vectors, bank.vectors)
    assert (loaded.names, loaded.texts, loaded.model, loaded.pretrained) == (NAMES, bank.texts, "m", "p")


@pytest.mark.parametrize("width", [24, 16])
def test_baked_tokens_have_the_modifiers_scale_and_keep_the_sentences_apart(width):
    denoiser = fresh_denoiser()
    modifier = denoiser.prompts.modifier.clone()
    bank = some_bank(width)
    bake(denoiser, bank)
    baked = denoiser.prompts.baked
    assert baked.shape == (len(NAMES), 16) and not baked.requires_grad
    torch.testing.assert_close(baked.square().mean(-1).sqrt(), torch.full((len(NAMES),), TOKEN_STD))
    assert torch.equal(denoiser.prompts.modifier, modifier)
    if width == 16:
        torch.testing.assert_close(torch.nn.functional.normalize(baked, dim=-1), bank.vectors)


def test_rows_are_found_by_name_and_parts_left_out_are_not_needed():
    whole, shuffled = fresh_denoiser(), fresh_denoiser()
    bank = some_bank()
    order = list(range(len(NAMES)))[::-1]
    turned = TextBank(vectors=bank.vectors[order], names=NAMES[::-1], texts=bank.texts[::-1], model="m", pretrained="p")
    bake(whole, bank)
    bake(shuffled, turned)
    assert torch.equal(whole.prompts.baked, shuffled.prompts.baked)
    parts, actions = fresh_denoiser(action_prompts=False), fresh_denoiser(part_prompts=False)
    bake(parts, some_bank(names=PARTS))
    bake(actions, bank)
    assert parts.prompts.baked.shape == (len(PARTS), 16) and parts.prompts.baked.any()
    assert torch.equal(actions.prompts.baked, whole.prompts.baked[len(PARTS) :])


def test_baking_changes_predictions_and_travels_in_the_checkpoint(tmp_path):
    encoder, (_, seen, _, stamps_s, mask, *_) = random_encoder(), question()
    asked = seen, torch.zeros(*stamps_s.shape, 4), stamps_s, mask
    with torch.no_grad():
        before = encoder(*asked).pose
        bake(encoder, some_bank())
        after = encoder(*asked).pose
        assert (after - before).abs().max() > 1e-4
        checkpoint.save(tmp_path / "w.safetensors", encoder, actions=ACTIONS)
        loaded = checkpoint.load(tmp_path / "w.safetensors").encoder
        assert torch.equal(loaded.prompts.baked, encoder.prompts.baked)
        assert torch.equal(loaded(*asked).pose, after)


def test_modifiers_receive_gradients_after_baking():
    denoiser = random_denoiser().train()
    bake(denoiser, some_bank())
    baked = denoiser.prompts.baked.clone()
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-2)
    denoiser(*question()).clean.square().mean().backward()
    gradient = denoiser.prompts.modifier.grad
    assert gradient.shape == (len(NAMES), 16) and (gradient.abs().amax(1) > 0).all()
    before = denoiser.prompts.modifier.detach().clone()
    optimizer.step()
    assert not torch.equal(denoiser.prompts.modifier, before) and torch.equal(denoiser.prompts.baked, baked)


def test_denoisers_without_prompts_and_banks_without_a_sentence_are_refused():
    with pytest.raises(ValueError, match="no prompts"):
        bake(fresh_denoiser(action_prompts=False, part_prompts=False), some_bank())
    with pytest.raises(ValueError, match="missing \\['other'\\]"):
        bake(fresh_denoiser(), some_bank(names=NAMES[:-1]))
    with pytest.raises(ValueError, match="expected 20 sentences"):
        bake(fresh_denoiser(), some_bank(), actions=ACTIONS[:3])


def head(**changes):
    values = {"format": "dp3d-prompts", "version": 1, "model": "m", "pretrained": "p", "width": 4, "names": ["head"],
              "texts": ["A head."]}  # fmt: skip
    return {"dp3d": json.dumps(values | changes)}


@pytest.mark.parametrize(
    ("vectors", "metadata", "said"),
    [
        (torch.ones(1, 4), None, "expected format dp3d-prompts"),
        (torch.ones(1, 4), head(version=2), "expected format dp3d-prompts version 1"),
        (torch.ones(1, 4), {"dp3d": "[1]"}, "cannot be used"),
        (torch.ones(1, 4), {"dp3d": "{"}, "cannot be used"),
        (torch.ones(2, 4), head(), r"got \(2, 4\)"),
        (torch.ones(4), head(), r"got \(4,\)"),
        (torch.full((1, 4), torch.nan), head(), "finite"),
        (torch.zeros(1, 4), head(), "not zero"),
    ],
)
def test_banks_of_other_kinds_are_refused(tmp_path, vectors, metadata, said):
    path = tmp_path / "bank.safetensors"
    save_file({"vectors": vectors}, path, metadata=metadata)
    with pytest.raises(ValueError, match=said) as caught:
        load_bank(path)
    assert "bank.safetensors" in str(caught.value)


def test_banks_that_are_no_safetensors_are_refused(tmp_path):
    (tmp_path / "bank.safetensors").write_bytes(b"\x80\x04 a pickle")
    for path in (tmp_path / "bank.safetensors", tmp_path / "absent.safetensors"):
        with pytest.raises(ValueError, match=f"prompt bank: .*{path.name} cannot be used"):
            load_bank(path)


def test_without_open_clip_one_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[prompts\]'"):
        encode("ViT-B-32", "laion2b_s34b_b79k")
    with pytest.raises(SystemExit, match=r"^prompts: .*pip install '\.\[prompts\]'.*prompts are then learned"):
        dp3d("prompts", ["--out", str(tmp_path / "bank.safetensors")])
    assert not list(tmp_path.iterdir())


def test_tower_encodes_every_sentence_and_is_deterministic(tower):
    bank, again = encode("tiny", tower), encode("tiny", str(tower))
    assert bank.vectors.shape == (len(SENTENCES), 24) and bank.vectors.dtype == torch.float32
    assert torch.equal(bank.vectors, again.vectors) and not bank.vectors.requires_grad
    torch.testing.assert_close(bank.vectors.norm(dim=-1), torch.ones(len(SENTENCES)))
    assert len({tuple(row) for row in bank.vectors.tolist()}) == len(SENTENCES)
    assert (bank.names, bank.texts, bank.model, bank.pretrained) == (NAMES, SENTENCES, "tiny", "tiny.safetensors")


def test_tower_is_frozen_and_no_sentence_is_cut_short(tower):
    frozen, tokenize = load_tower("tiny", tower)
    assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    tokens = tokenize(list(SENTENCES))
    assert tokens.shape == (len(SENTENCES), 77) and (tokens[:, -1] == 0).all()


def test_command_line_writes_a_bank_that_bakes(tower, tmp_path, capsys):
    out = tmp_path / "bank.safetensors"
    dp3d("prompts", ["--model", "tiny", "--pretrained", str(tower), "--out", str(out)])
    assert "(20, 24), from tiny tiny.safetensors" in capsys.readouterr().out
    denoiser = fresh_denoiser()
    bake(denoiser, load_bank(out))
    assert (denoiser.prompts.baked.norm(dim=-1) > 0).all()


def test_pickles_are_refused_by_name_and_by_content(tower, tmp_path):
    for name in ("tower.bin", "tower.pt", "tower.safetensors"):
        torch.save({"a": torch.ones(1)}, tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} is not a .safetensors file"):
            load_tower("tiny", tmp_path / name)


def test_weights_of_another_tower_and_unknown_names_are_refused(open_clip, tower, tmp_path):
    for tensors in ({"text_projection": torch.ones(2, 2)}, {"positional_embedding": torch.ones(77, 9)}, {}):
        save_file(tensors, tmp_path / "other.safetensors")
        with pytest.raises(ValueError, match=r"other\.safetensors does not fit tiny"):
            load_tower("tiny", tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"model: .*ViT-B-32.*got 'hf-hub:someone-something'"):
        load_tower("hf-hub:someone/something", tower)
    with pytest.raises(ValueError, match=r"expected a \.safetensors file or one of .*laion2b_s34b_b79k.*got 'laion3'"):
        load_tower("ViT-B/32", "laion3")


@pytest.mark.parametrize("pretrained", ["laion2b_s34b_b79k", "openai", "laion2b_e16", "metaclip_400m", "laion400m_e32"])
def test_published_weights_are_asked_for_as_safetensors_only(open_clip, monkeypatch, pretrained):
    asked = []

    def offline(repository, filename=None, **_):
        asked.append(filename)
        raise FileNotFoundError("no network")

    monkeypatch.setattr(open_clip.pretrained, "download_pretrained_from_hf", offline)
    with pytest.raises(ValueError, match=f"no safetensors weights of ViT-B-32 {pretrained} .*prompts are then learned"):
        load_tower("ViT-B-32", pretrained)
    assert all(name.endswith(".safetensors") for name in asked) and len(asked) <= 1
