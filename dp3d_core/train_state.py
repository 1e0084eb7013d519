"""What a training run carries on: averaged weights, and everything a resumed run needs, as one safetensors file.

Knows no data and no losses.
"""

import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


class Ema:
    """Exponential moving average of a module's parameters, warm-started so that it does not stick at the init."""

    def __init__(self, module, decay):
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            self.values[name].lerp_(value, 1 - decay)


def save_state(path, denoiser, ema, optimizer, generator, head):
    """Everything a resumed run needs, as one safetensors file written in one rename."""
    tensors = {f"model.{k}": v for k, v in denoiser.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.values.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["generator"] = generator.get_state()
    temporary = path.with_suffix(".part")
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, temporary,
              metadata={"state": json.dumps(head)})  # fmt: skip
    temporary.replace(path)


def read_state(path):
    """The head and tensors that `save_state` wrote; ValueError where there are none."""
    if not path.is_file():
        raise ValueError(f"--resume: expected {path} of an earlier run; start without --resume")
    try:
        with safe_open(path, framework="pt") as archive:
            return json.loads(archive.metadata()["state"]), {k: archive.get_tensor(k) for k in archive.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"--resume: {path} is not a training state ({error}); start without --resume") from None


def restore(tensors, denoiser, ema, optimizer, generator):
    """Put the tensors of `read_state` back where `save_state` took them."""
    part = lambda prefix: {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
    denoiser.load_state_dict(part("model."), strict=True)
    ema.values = {name: value.to(ema.values[name].device) for name, value in part("ema.").items()}
    state = {}
    for name, value in part("optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
