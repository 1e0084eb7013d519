"""Encodes the prompt bank's sentences with a frozen open_clip text tower and bakes them into a denoiser.

Offline only: `dp3d prompts --out bank.safetensors` writes what the tower says once, training bakes it
into `PromptBank.baked` (dp3d_core/model/prompts.py), and from there it travels in the checkpoint; neither training nor
inference needs open_clip. Nothing here unpickles: weights and banks are safetensors. Without a bank `baked` stays zero
and the modifiers alone are learned.
"""
# K sentences (parts, then actions), W width of the text tower, P prompt width of the denoiser

import contextlib
import hashlib
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dp3d_core.data.actions import ACTION_TEXTS, ACTIONS
from dp3d_core.model.prompts import PARTS

PART_TEXTS: dict[str, str] = {
    "person": "A single person with a head, a body, two arms and two legs, seen by a camera.",
    "speed": "How fast a person moves: standing still, moving slowly, at a normal pace or very fast.",
    "head": "The head of a person, upright on the neck, looking ahead, turning, nodding or tilting.",
    "body": "The body of a person from hips to shoulders, upright, leaning, bending or twisting.",
    "arms": "The arms of a person, from shoulder over elbow to hand, hanging, swinging, reaching or raised.",
    "legs": "The legs of a person, from hip over knee to foot, standing, stepping, bending or kicking.",
}
"""FinePOSE's fine-grained prompts, in the order of PARTS; its seventh, the action, is ACTION_TEXTS."""
NAMES: tuple[str, ...] = PARTS + ACTIONS
SENTENCES: tuple[str, ...] = tuple(PART_TEXTS[part] for part in PARTS) + ACTION_TEXTS

TOKEN_STD = 0.02
"""Standard deviation of a baked token's components: that of the fresh modifiers, N(0, 0.02) as in FinePOSE, so that
sentence and modifier start with equal shares and the sum is far above the epsilon of the LayerNorm they pass."""
PROJECTION_SEED = 77
FORMAT, VERSION = "dp3d-prompts", 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextBank:
    """What open_clip's `model` with weights `pretrained` (a name) says of each text; ValueError where fields misfit."""

    vectors: torch.Tensor
    """(K, W) float32 of norm 1."""
    names: tuple[str, ...]
    """(K,) what each sentence is about: a part or an action."""
    texts: tuple[str, ...]
    model: str
    pretrained: str

    def __post_init__(self):
        shape = tuple(self.vectors.shape)
        if len(shape) != 2 or not shape[0] == len(self.names) == len(self.texts):
            raise ValueError(f"vectors: expected a row for each of {len(self.names)} names and texts, got {shape}")
        if not torch.isfinite(self.vectors).all() or not self.vectors.any(-1).all():
            raise ValueError("vectors: expected finite rows that are not zero; encode the sentences again")

    @property
    def origin(self):
        """Where the tokens come from, for provenance: tower, weights and a digest of names, texts and vectors."""
        digest = hashlib.sha256(json.dumps([self.names, self.texts]).encode())
        digest.update(self.vectors.float().contiguous().numpy().tobytes())
        return {"model": self.model, "pretrained": self.pretrained, "sha256": digest.hexdigest()}


def load_tower(model: str, pretrained: str | Path) -> tuple[Any, Any]:
    """The text tower's model, frozen and in float32 on the CPU, and its tokenizer.

    `model` is a name such as "ViT-B-32", `pretrained` its weights' name such as "laion2b_s34b_b79k" or a .safetensors
    file in open_clip's layout. ImportError without open_clip; ValueError where weights are missing, pickled or unfit.
    """
    try:
        import open_clip
    except (ImportError, RuntimeError) as error:  # torchvision of another build than torch's: RuntimeError
        raise ImportError(
            f"open_clip cannot be imported ({error}); pip install '.[prompts]' in the folder of dp3d, with torchvision "
            "of the same build as torch, or train without a bank: the prompts are then learned"
        ) from error
    model = model.replace("/", "-")
    if model not in open_clip.list_models():
        raise ValueError(f"model: expected a name of open_clip.list_models() such as 'ViT-B-32', got {model!r}")
    path, quick_gelu = _weights_file(open_clip.pretrained, model, str(pretrained))
    try:
        # a file named .safetensors takes open_clip's safetensors branch, never torch.load
        tower = open_clip.create_model(model, pretrained=str(path), precision="fp32", force_quick_gelu=quick_gelu)
    except (RuntimeError, KeyError, ValueError, AttributeError, AssertionError, StopIteration) as error:
        raise ValueError(f"pretrained: {path} does not fit {model}: {error!r:.300}") from None
    return tower.eval().requires_grad_(False), open_clip.get_tokenizer(model)


def _weights_file(known, model, pretrained):
    """Local path of the weights and whether they need QuickGELU; `known` is open_clip's module of weights' names."""
    path, quick_gelu = Path(pretrained), False
    if not path.is_file():
        entry = known.get_pretrained_cfg(model, pretrained)
        if not entry:
            tags = known.list_pretrained_tags_by_model(model)
            raise ValueError(f"pretrained: expected a .safetensors file or one of {tags}, got {pretrained!r}")
        quick_gelu = bool(entry.get("quick_gelu"))
        repository, _, name = entry.get("hf_hub", "").rpartition("/")
        # asked for by its full name: given a .bin, or none, open_clip falls back to the pickle without a word
        name = Path(name).with_suffix(".safetensors").name if name else "open_clip_model.safetensors"
        try:
            if not repository:
                raise FileNotFoundError("published as a pickle only")
            path = Path(known.download_pretrained_from_hf(repository, filename=name))
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"pretrained: no safetensors weights of {model} {pretrained} can be had ({error}); pass a local "
                ".safetensors file, or train without a bank: the prompts are then learned"
            ) from None
    with contextlib.suppress(SafetensorError, OSError), safe_open(path, framework="pt"):
        if path.suffix == ".safetensors":
            return path, quick_gelu
    raise ValueError(f"pretrained: {path} is not a .safetensors file; pickles are not read, convert it first")


@torch.no_grad()
def encode(model, pretrained):
    """Encode SENTENCES once with the tower of `load_tower`; a `TextBank`."""
    tower, tokenize = load_tower(model, pretrained)
    vectors = tower.encode_text(tokenize(list(SENTENCES)), normalize=True).float()
    source = Path(pretrained).name if Path(pretrained).is_file() else str(pretrained)
    return TextBank(vectors=vectors, names=NAMES, texts=SENTENCES, model=model, pretrained=source)


def save_bank(path, bank):
    """Write `bank` to one safetensors file; parents are made."""
    head = {"format": FORMAT, "version": VERSION, "model": bank.model, "pretrained": bank.pretrained,
            "width": bank.vectors.shape[1], "names": bank.names, "texts": bank.texts}  # fmt: skip
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": bank.vectors.contiguous()}, path, metadata={"dp3d": json.dumps(head)})


def load_bank(path):
    """Read what `save_bank` wrote into a `TextBank`; ValueError says what is wrong with other files."""
    try:
        with safe_open(path, framework="pt") as archive:
            head = json.loads((archive.metadata() or {}).get("dp3d", "{}"))
            if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
                raise ValueError(f"expected format {FORMAT} version {VERSION}, got {head.get('format')}")
            vectors = archive.get_tensor("vectors").float()
        return TextBank(
            vectors=vectors,
            names=tuple(head["names"]),
            texts=tuple(head["texts"]),
            model=head["model"],
            pretrained=head["pretrained"],
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"prompt bank: {path} cannot be used ({error}); write it with dp3d_core.model.text") from None


def projection(width, prompt_width):
    """The fixed map (W, P) from a tower's width to the denoiser's: x padded with zeros, rotated, P coordinates kept.

    The rotation is a Hadamard matrix with random signs (Ailon & Chazelle, 2006), scaled so that a vector's squared
    norm is kept in expectation. Signs and choice come from Python's Mersenne Twister, whose sequence is guaranteed, and
    every entry is +-1 / sqrt(P): the same map on every machine, to the bit. Equal widths are left as they are.
    """
    if width == prompt_width:
        return torch.eye(width, dtype=torch.float64)
    draw, hadamard = random.Random(PROJECTION_SEED), torch.ones(1, 1, dtype=torch.float64)
    while len(hadamard) < max(width, prompt_width):
        hadamard = torch.cat([torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)])
    signs = torch.tensor([[1.0 if draw.random() < 0.5 else -1.0] for _ in range(width)], dtype=torch.float64)
    kept = sorted(range(len(hadamard)), key=lambda _: draw.random())[:prompt_width]
    return signs * hadamard[:width, kept] / math.sqrt(prompt_width)


@torch.no_grad()
def bake(denoiser, bank, actions=ACTIONS):
    """Write `bank` into `denoiser`'s prompt bank, in place: projected, each row scaled to TOKEN_STD.

    The modifiers stay and go on learning. `actions` is the denoiser's vocabulary. ValueError where the denoiser has no
    prompts or the bank lacks one of its sentences.
    """
    prompts = denoiser.prompts
    if prompts is None:
        raise ValueError("prompt bank: this denoiser has no prompts; enable part_prompts or action_prompts")
    wanted = PARTS[: prompts.parts] + (tuple(actions) if prompts.actions else ())
    missing = [name for name in wanted if name not in bank.names]
    if missing or len(wanted) != len(prompts.baked):
        raise ValueError(f"prompt bank: expected {len(prompts.baked)} sentences, missing {missing}; encode them again")
    vectors = bank.vectors[[bank.names.index(name) for name in wanted]].double()
    vectors = vectors @ projection(vectors.shape[1], prompts.baked.shape[1])
    prompts.baked.copy_(TOKEN_STD * vectors / vectors.square().mean(-1, keepdim=True).sqrt())


@dataclass(frozen=True, kw_only=True)
class PromptsOptions:
    """Encode the sentences of the prompts with open_clip, for `dp3d train --prompt-bank FILE`."""

    out: Path
    """Bank to write."""
    model: str = "ViT-B-32"
    """Architecture in open_clip."""
    pretrained: str = "laion2b_s34b_b79k"
    """Weights in open_clip, or a .safetensors file."""


def command(options: PromptsOptions) -> None:
    """Encode and write the bank."""
    bank = encode(options.model, options.pretrained)
    save_bank(options.out, bank)
    print(f"{options.out}: (sentences, width) {tuple(bank.vectors.shape)}, from {bank.model} {bank.pretrained}")
