"""The same rolling step on a GPU: CUDA events, CUDA graphs, max-autotune and TensorRT beside each other.

Inputs stay on the device: what is timed is the step, not the copies.
"""

import numpy as np
import torch

from dp3d_core.backends.graphs import RollingStep, rolling_example

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


def subjects(denoiser, inputs):
    """(name, function making the timed call) of every way to run; a way that fails here is reported, not hidden."""
    step = RollingStep(denoiser).eval()
    half = lambda m: lambda *x: torch.autocast("cuda", torch.bfloat16)(m)(*x)  # noqa: E731

    def tensorrt():
        from dp3d_core.backends.tensorrt import build

        engine = build(step, inputs)
        return replayed(engine, inputs)

    compiled = lambda **options: torch.compile(step, fullgraph=True, **options)  # noqa: E731
    return [
        ("eager", lambda: lambda: step(*inputs)),
        ("cuda_graph", lambda: replayed(step, inputs)),
        ("cuda_graph_bfloat16", lambda: replayed(half(step), inputs)),
        ("compile", lambda: _bind(compiled(), inputs)),
        ("compile_max_autotune", lambda: _bind(compiled(mode="max-autotune"), inputs)),
        ("tensorrt_cuda_graph", tensorrt),
    ]


def _bind(module, inputs):
    return lambda: module(*inputs)


def measure(networks, presets, people, lookaheads, bar):
    """Rows as in the CPU table, `backend` prefixed with gpu:, and [(what, why not)] of what did not run."""
    rows, refused = [], []
    for preset in presets:
        denoiser = networks.get(preset).to("cuda")
        for count in people:
            for lookahead in lookaheads:
                inputs = [x.cuda() for x in rolling_example(denoiser.cpu(), count, lookahead + 1)]
                denoiser.to("cuda")
                for name, make in subjects(denoiser, inputs):
                    try:
                        with torch.inference_mode():
                            times = event_ms(make())
                    except (RuntimeError, ImportError, ValueError, OSError) as error:
                        refused.append((f"gpu:{name} {preset} people {count}", f"{type(error).__name__}: {error}"))
                    else:
                        rows.append({
                            "backend": f"gpu:{name}", "preset": preset, "people": count, "mode": "rolling",
                            "lookahead": lookahead, "hypotheses": 1, "steps": 1, "threads": 1,
                            "ms_p50": float(np.median(times)), "ms_p99": float(np.quantile(times, 0.99)),
                        })  # fmt: skip
                    bar.update(1)
        denoiser.to("cpu")
    return rows, refused
