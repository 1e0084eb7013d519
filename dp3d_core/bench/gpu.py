"""The same rolling step on a GPU: CUDA events, CUDA graphs, max-autotune and TensorRT beside each other.

Inputs stay on the device: what is timed is the step, not the copies.
"""

from itertools import product

import numpy as np
import torch

from dp3d_core.backends.graphs import RollingStep, rolling_example
from dp3d_core.backends.shape import Shape
from dp3d_core.backends.tensorrt import TensorRTEngines
from dp3d_core.bench.limits import limit_ms, linear_shapes, multiply_accumulates, products, weight_bytes
from dp3d_core.checkpoint import Checkpoint

CALLS = 200


def reason_not():
    """Why nothing can be timed here, in one sentence; None where a GPU is ready."""
    if torch.version.cuda is None:
        return "no GPU part: this PyTorch was built without CUDA"
    if not torch.cuda.is_available():
        return "no GPU part: no CUDA device is visible"
    return None


def event_ms(call, calls=CALLS):
    """Milliseconds of each of `calls` calls, between CUDA events on the current stream."""
    for _ in range(20):
        call()
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
    for before, after in pairs:
        before.record()
        call()
        after.record()
    torch.cuda.synchronize()
    return np.array([before.elapsed_time(after) for before, after in pairs])


def replayed(module, inputs):
    """`module` captured in a CUDA graph on a stream of its own; a function that replays it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            module(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        module(*inputs)
    return captured.replay


def subjects(encoder, shape, inputs):
    """(name, type of its products, function making the timed call) of every way to run; inputs on the device."""
    step = RollingStep(encoder).eval()

    def half(*given):
        with torch.autocast(given[0].device.type, torch.bfloat16):
            return step(*given)

    def compiled(**options):
        function = torch.compile(step, fullgraph=True, **options)
        return lambda: function(*inputs)

    def tensorrt(precision):
        network = Checkpoint(encoder=encoder, actions=())
        return TensorRTEngines(network, None, precision=precision).build(shape)[0].replay

    return [
        ("eager", torch.float32, lambda: lambda: step(*inputs)),
        ("cuda_graph", torch.float32, lambda: replayed(step, inputs)),
        ("cuda_graph_bfloat16", torch.bfloat16, lambda: replayed(half, inputs)),
        ("compile", torch.float32, compiled),
        ("compile_max_autotune", torch.float32, lambda: compiled(mode="max-autotune")),
        ("tensorrt_cuda_graph", torch.float32, lambda: tensorrt("float32")),
        ("tensorrt_cuda_graph_bfloat16", torch.bfloat16, lambda: tensorrt("bfloat16")),
    ]


def limits(encoder, inputs):
    """{type: columns gmac, gemm_gflops, gb_s, limit_ms} as of the CPU's rows: bare products of the step's own shapes,
    replayed from a CUDA graph, and its weights read once."""
    step, found = RollingStep(encoder), {}
    shapes, mac = linear_shapes(step, inputs), multiply_accumulates(step, inputs)
    for dtype in (torch.float32, torch.bfloat16):
        size = weight_bytes(step) * dtype.itemsize // 4
        read = torch.ones(size // 4, device=inputs[0].device)
        multiply = products(shapes, dtype, inputs[0].device)
        best_s = [float(event_ms(replayed(call, ())).min()) / 1e3 for call in (multiply, read.sum)]
        gflops, gb_s = 2 * sum(m * k * n for m, k, n in shapes) / best_s[0] / 1e9, size / best_s[1] / 1e9
        found[dtype] = {
            "gmac": mac / 1e9, "gemm_gflops": gflops, "gb_s": gb_s, "limit_ms": limit_ms(mac, gflops, size, gb_s),
        }  # fmt: skip
    return found


def measure(networks, presets, people, lookaheads, say, device="cuda"):
    """Rows as in the CPU table, `backend` prefixed with gpu:, and [(what, why not)] of what did not run."""
    rows, refused = [], []
    for preset in presets:
        encoder = networks.get(preset).to(device)
        for count, lookahead in product(people, lookaheads):
            inputs = [tensor.to(device) for tensor in rolling_example(encoder, count, lookahead + 1)]
            with torch.inference_mode():
                bounds = limits(encoder, inputs)
            for name, dtype, make in subjects(encoder, Shape(count, lookahead + 1), inputs):
                say(f"gpu:{name} {preset} people {count} lookahead {lookahead}")
                try:
                    with torch.inference_mode():
                        times = event_ms(make())
                except Exception as error:  # a compiler may fail in any way; it is reported, and the next is timed
                    refused.append((f"gpu:{name} {preset} people {count}", f"{type(error).__name__}: {error}"))
                    continue
                middle, bound = float(np.median(times)), bounds[dtype]
                rows.append({
                    "backend": f"gpu:{name}", "preset": preset, "people": count, "mode": "rolling",
                    "lookahead": lookahead, "threads": 1, "ms_p50": middle, "ms_p99": float(np.quantile(times, 0.99)),
                    "gmac": bound["gmac"], "gemm_gflops": bound["gemm_gflops"],
                    "times_limit": middle / bound["limit_ms"], "ms_min": float(times.min()), "gb_s": bound["gb_s"],
                    "limit_ms": bound["limit_ms"],
                })  # fmt: skip
        encoder.to("cpu")
    return rows, refused
