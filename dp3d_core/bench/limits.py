"""How fast this machine could be at best: measured products at the network's own shapes, and memory bandwidth."""

import time
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dp3d_core.backends.cpu import quiet_openvino


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

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.inference_mode():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    return shapes


def weight_bytes(module):
    """Bytes of the float32 weights of a module's linear layers."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return 4 * sum(layer.weight.numel() for layer in layers)


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


def products(shapes, dtype=torch.float32, device: str | torch.device = "cpu", turned=False):
    """A function that does bare matrix products of these shapes [(rows, in, out)] in PyTorch, one after the other.

    Each has weights of its own: like the network, the products then read them from wherever they fit (L2, L3 or
    memory). turned: weights lie as those of a linear layer do, the other way round.
    """
    operands = []
    for m, k, n in shapes:
        right = torch.randn(k, n, device=device, dtype=dtype)
        operands.append(
            (
                torch.randn(m, k, device=device, dtype=dtype),
                right.T.contiguous().T if turned else right,
                torch.empty(m, n, device=device, dtype=dtype),
            )
        )

    def multiply():
        for left, right, out in operands:
            torch.mm(left, right, out=out)

    return multiply


def openvino_products(shapes):
    """The same in float32 by OpenVINO, as one model; None where it is not installed."""
    if find_spec("openvino") is None:
        return None
    openvino = quiet_openvino()
    from openvino import opset13 as ops

    random = np.random.default_rng(0)
    given, results = [], []
    for m, k, n in shapes:
        # inputs of their own: products that share one could be merged into a larger
        given.append(ops.parameter([m, k], np.float32))
        weight = ops.constant(random.standard_normal((n, k), np.float32))
        results.append(ops.result(ops.matmul(given[-1], weight, False, True)))
    options: Any = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(openvino.Model(results, given), "CPU", options).create_infer_request()
    for index, (m, k, _) in enumerate(shapes):
        request.set_input_tensor(index, openvino.Tensor(random.standard_normal((m, k), np.float32)))
    return lambda: request.infer(share_outputs=True)


def gemm_gflops(shapes, seconds=0.15):
    """GFLOP/s of bare float32 products of these shapes by the fastest library here: PyTorch's, with weights either
    way round, or OpenVINO's MatMul.

    A rate that was measured, no law: a network whose products have few rows may still come out a little below the
    limit made of it, since the libraries' time for calling each product is in the rate.
    """
    ways = [products(shapes), products(shapes, turned=True), openvino_products(shapes)]
    with torch.inference_mode():
        best_s = min(fastest_s(way, seconds) for way in ways if way is not None)
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
