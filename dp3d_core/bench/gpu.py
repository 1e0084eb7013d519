"""Ways to run the step on a device, and how long they take there: by CUDA events on a GPU, by the clock on a CPU.

Inputs stay on the device: what is timed is the step, not the copies.
"""

import inspect
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dp3d_core.bench.limits import limit_ms, linear_shapes, multiply_accumulates, products, weight_bytes

WAYS = ("eager", "cuda_graph", "compile", "max_autotune", "tensorrt")


def reason_not() -> str | None:
    """Why nothing can be timed here, in one sentence; None where a GPU is ready."""
    if torch.version.cuda is None:
        return "no GPU part: this PyTorch was built without CUDA"
    if not torch.cuda.is_available():
        return "no GPU part: no CUDA device is visible"
    return None


def times_ms(call: Callable[[], object], device: str, *, calls: int = 200, seconds: float = 1.0) -> np.ndarray:
    """Milliseconds of each of at most `calls` calls, as many as fit in `seconds`, five at least."""
    for _ in range(3):
        call()
    started, found = time.perf_counter(), []
    if not device.startswith("cuda"):
        while len(found) < calls and (len(found) < 5 or time.perf_counter() - started < seconds):
            before = time.perf_counter()
            call()
            found.append((time.perf_counter() - before) * 1e3)
        return np.array(found)
    torch.cuda.synchronize()
    while len(found) < calls and (len(found) < 5 or time.perf_counter() - started < seconds):
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(5)]
        for before, after in pairs:
            before.record()
            call()
            after.record()
        torch.cuda.synchronize()
        found += [before.elapsed_time(after) for before, after in pairs]
    return np.array(found)


def captured(function: Callable, inputs: Sequence[Tensor]) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """`function` of these inputs as a CUDA graph, captured on a stream of its own: what replays it, and its outputs."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = function(*inputs)
    return graph.replay, outputs


class Runner:
    """One way to run a step, on inputs that lie on the device: `run()` once, or `step` with NumPy in and out."""

    def __init__(self, way: str, module: nn.Module, inputs: Sequence[Tensor]):
        self._inputs = [tensor.clone() for tensor in inputs]
        if way == "cuda_graph":
            replay, outputs = captured(module, self._inputs)
            self.run = lambda: (replay(), outputs)[1]
        elif way == "tensorrt":
            from dp3d_core.backends.tensorrt_engine import Engine
            from dp3d_core.backends.typed import serialized_engine

            # PyTorch names an exported program's inputs by those of `forward`
            names = list(inspect.signature(module.forward).parameters)[: len(inputs)]
            outputs = module(*self._inputs)
            count = 1 if isinstance(outputs, Tensor) else len(outputs)
            engine = Engine(serialized_engine(module, self._inputs), inputs[0].device, names, count)
            self._inputs = engine.inputs
            for buffer, tensor in zip(self._inputs, inputs, strict=True):
                buffer.copy_(tensor)
            replay, outputs = captured(lambda *_: engine.run(), ())
            self.run = lambda: (replay(), outputs)[1]
        else:
            mode = "max-autotune" if way == "max_autotune" else None
            function = module if way == "eager" else torch.compile(module, fullgraph=True, mode=mode)
            self.run = lambda: function(*self._inputs)

    def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        for tensor, array in zip(self._inputs, arrays, strict=True):
            tensor.copy_(torch.from_numpy(array))
        return tuple(output.float().cpu().numpy() for output in self.run())


def limits(module: nn.Module, inputs: Sequence[Tensor], dtype: torch.dtype) -> dict[str, float]:
    """Columns gmac, gemm_gflops, gb_s, limit_ms: bare products of the step's own shapes, and its inputs and weights
    read once."""
    device = inputs[0].device
    shapes, mac = linear_shapes(module, inputs), multiply_accumulates(module, inputs)
    size = weight_bytes(module) * dtype.itemsize // 4 + sum(tensor.numel() * 4 for tensor in inputs)
    read = torch.ones(size // 4, device=device)
    best_s = []
    for call in (products(shapes, dtype, device), read.sum):
        run = captured(call, ())[0] if device.type == "cuda" else call
        best_s.append(float(times_ms(run, device.type, seconds=0.2).min()) / 1e3)
    gflops, gb_s = 2 * sum(m * k * n for m, k, n in shapes) / best_s[0] / 1e9, size / best_s[1] / 1e9
    return {"gmac": mac / 1e9, "gemm_gflops": gflops, "gb_s": gb_s, "limit_ms": limit_ms(mac, gflops, size, gb_s)}
