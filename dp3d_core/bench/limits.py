"""How fast this machine could be at best: measured products at the network's own shapes, and memory bandwidth."""

import time

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dp3d_core.backends.folded import Product


def multiply_accumulates(module, inputs):
    """MACs of one call, counted by torch (matrix products only; the rest is not what the limit is made of)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(*inputs)
    return counter.get_total_flops() / 2


def linear_shapes(module, inputs):
    """[(rows, in, out)] of every linear layer that one call runs, in order."""
    shapes = []

    def note(layer, given, _):
        wide, deep = layer.weight.shape
        shapes.append((given[0].numel() // deep, deep, wide))

    layers = [layer for layer in module.modules() if isinstance(layer, (nn.Linear, Product))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.inference_mode():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    return shapes


def fastest_s(call, seconds=0.15, least=3):
    """The fastest of many calls: a limit is what the machine can do, not what it did while disturbed."""
    best, started, calls = float("inf"), time.perf_counter(), 0
    while calls < least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
        calls += 1
        if best > 1:
            break
    return best


def gemm_gflops(shapes, dtype=torch.float32, device="cpu", seconds=0.15):
    """GFLOP/s of bare matrix products of these shapes, one after the other, each with weights of its own.

    Weights of their own: like the network, the products then read them from wherever they fit (L2, L3 or memory).
    """
    with torch.inference_mode():
        operands = [
            (torch.randn(m, k, device=device, dtype=dtype), torch.randn(k, n, device=device, dtype=dtype),
             torch.empty(m, n, device=device, dtype=dtype))
            for m, k, n in shapes
        ]  # fmt: skip

        # weights of a linear layer lie the other way round; a library may like either better
        turned = [(left, right.T.contiguous().T, out) for left, right, out in operands]

        def run(chosen):
            for left, right, out in chosen:
                torch.mm(left, right, out=out)

        best_s = min(fastest_s(lambda c=chosen: run(c), seconds) for chosen in (operands, turned))
        return 2 * sum(m * k * n for m, k, n in shapes) / best_s / 1e9


def bandwidth_gb_s(size_bytes, seconds=0.2):
    """GB/s at which one thread reads an array of this size over and over: of the caches where it fits there."""
    array = np.ones(max(int(size_bytes) // 4, 1024), np.float32)
    tensor = torch.from_numpy(array)
    with torch.inference_mode():
        return tensor.numel() * 4 / fastest_s(lambda: tensor.sum(), seconds) / 1e9


def limit_ms(mac, gflops, weight_bytes, gb_s):
    """The larger of doing the products and reading the weights once."""
    return max(2 * mac / gflops / 1e6, weight_bytes / gb_s / 1e6)
