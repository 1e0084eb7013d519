"""A tiny open_clip text tower with random weights, for the tests of prompt banks."""

import json

import pytest
import torch
from safetensors.torch import save_file

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def open_clip():
    """open_clip, also beside a CPU-only torch, whose missing torchvision operators are declared (never called)."""
    try:
        import open_clip
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import open_clip
    except ImportError:
        pytest.skip("open_clip is not installed: pip install '.[prompts]'")
    return open_clip


@pytest.fixture(scope="module")
def tower(open_clip, tmp_path_factory):
    """A tiny text tower's architecture, known to open_clip as "tiny", and a file of its random weights."""
    folder = tmp_path_factory.mktemp("tower")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(3)
    weights = {name: value.contiguous() for name, value in open_clip.create_model("tiny").state_dict().items()}
    save_file(weights, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"
