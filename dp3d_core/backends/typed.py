"""The step as TensorRT takes it: strongly typed, exported with fixed shapes, and built into one engine.

Norms, softmax, residuals and output heads stay in float32; with precision float16 or bfloat16 the products inside are
cast. Attention is written out in the model, so no fused attention and no default causal bias is involved.
"""

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from dp3d_core.backends.graphs import RollingStep
from dp3d_core.model.encoder import Encoder

FLOAT32_LAYERS = (
    "head", "pose_head", "variance_head", "joint_head", "contact_head", "logits", "embed", "up_to_joint",
    "up_to_condition",
)  # fmt: skip
"""Layers whose name ends or begins so keep float32: heads, and what takes in rays and the up vector."""


class CastLinear(nn.Module):
    """A linear layer whose product alone is in reduced precision; in and out are float32."""

    def __init__(self, linear, dtype):
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().to(dtype), requires_grad=False)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x):
        """(..., in) to (..., out)."""
        product = nn.functional.linear(x.to(self.weight.dtype), self.weight).float()
        return product if self.bias is None else product + self.bias


Network = TypeVar("Network", bound=nn.Module)


def reduce_precision(network: Network, precision: str) -> Network:
    """A copy of an encoder or denoiser with its inner products in `precision`; the original for float32."""
    dtype = getattr(torch, precision)
    if dtype == torch.float32:
        return network
    reduced = copy.deepcopy(network)
    for name, layer in list(reduced.named_modules()):
        parts = name.split(".")
        if isinstance(layer, nn.Linear) and parts[0] not in FLOAT32_LAYERS and parts[-1] not in FLOAT32_LAYERS:
            setattr(reduced.get_submodule(".".join(parts[:-1])), parts[-1], CastLinear(layer, dtype))
    return reduced


def typed_graph(encoder: Encoder, precision: str) -> RollingStep:
    """The graph that becomes the engine, its products in `precision`."""
    return RollingStep(reduce_precision(encoder, precision)).eval()


def export(module: nn.Module, example: Sequence[torch.Tensor]) -> torch.export.ExportedProgram:
    """The exported program of fixed shapes."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of exporters, about themselves
        return torch.export.export(module, tuple(example))


def serialized_engine(module: nn.Module, example: Sequence[torch.Tensor]) -> bytes:
    """TensorRT's bytes of the whole graph; raises if any operator has no converter."""
    import torch_tensorrt

    build = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    options = {"require_full_compilation": True, "min_block_size": 1, "disable_tf32": True}
    # where it is no parameter of its own, as from 2.13 on, every engine is strongly typed
    if "use_explicit_typing" in inspect.signature(build).parameters:
        options["use_explicit_typing"] = True
    return bytes(build(export(module, example), arg_inputs=tuple(example), **options))
