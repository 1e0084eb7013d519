"""What a training run carries on: averaged weights, and everything a resumed run needs, as one safetensors file.

One file serves all processes of a data-parallel run. Knows no data and no losses.
"""

import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import distributed

from dp3d_core.config import ModelConfig, TrainConfig, from_dict


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


def save_state(path, encoder, ema, optimizer, generator, head):
    """Everything a resumed run needs, as one safetensors file written in one rename.

    All processes call it at the same step and the first writes for all of them: they hold one network, and only their
    generators differ. One file is of one step, so wherever a run is killed, no two processes go on from different ones.
    """
    generators = _gathered(generator.get_state(), next(encoder.parameters()).device)
    if len(generators) > 1 and distributed.get_rank():
        return
    tensors = {f"model.{k}": v for k, v in encoder.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.values.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors |= {_generator_key(rank): state for rank, state in enumerate(generators)}
    temporary = path.with_suffix(".part")
    save_file(
        {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()},
        temporary,
        metadata={"state": json.dumps(head)},
    )
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


def refuse_another_run(head, wanted, path):
    """ValueError where the state at `path`, with this head, is not of the run whose head would be `wanted`."""
    # by way of the configs: an option that is newer than the state has its default
    same_model = from_dict(ModelConfig, head["model"]) == from_dict(ModelConfig, wanted["model"])
    if not same_model or from_dict(TrainConfig, head["train"]) != from_dict(TrainConfig, wanted["train"]):
        raise ValueError(f"--resume: {path} was made with other options; use the same preset and options")
    if head.get("prompt_bank") != wanted["prompt_bank"]:
        made = head.get("prompt_bank") or "none: the prompts are learned"
        raise ValueError(f"--resume: {path} was made with another --prompt-bank ({made}); use the same")
    if head.get("data", wanted["data"]) != wanted["data"]:
        raise ValueError(f"--resume: {path} was made from other data ({head['data']}); use the same files")
    processes = head.get("processes", 1)
    if processes != wanted["processes"]:
        raise ValueError(
            f"--resume: {path} is of {processes} process(es), each of which draws its own data, got "
            f"{wanted['processes']}; start {processes}, or start afresh without --resume"
        )


def restore(tensors, encoder, ema, optimizer, generator, rank=0):
    """Put the tensors of `read_state` back where `save_state` took them, in the process of this rank."""
    part = lambda prefix: {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
    encoder.load_state_dict(part("model."), strict=True)
    ema.values = {name: value.to(ema.values[name].device) for name, value in part("ema.").items()}
    state = {}
    for name, value in part("optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state})
    generator.set_state(tensors[_generator_key(rank)])


def agreed(seconds, device):
    """The first process' clock: whoever went by its own would step with another rate, or stop while others wait."""
    if not distributed.is_initialized():
        return seconds
    clock = torch.tensor([seconds], dtype=torch.float64, device=device)
    distributed.broadcast(clock, 0)
    return float(clock)


def _generator_key(rank):
    return f"generator{rank or ''}"


def _gathered(state, device):
    """Every process' (N,) uint8 state, by rank."""
    if not distributed.is_initialized():
        return [state]
    state = state.to(device)
    states = [torch.empty_like(state) for _ in range(distributed.get_world_size())]
    distributed.all_gather(states, state)
    return states
