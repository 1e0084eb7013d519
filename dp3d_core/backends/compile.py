"""Build the engines ahead of time, so that a robot's first start is as fast as its second.

python -m dp3d_core.compile --weights small --out DIR [--backend auto] [--people 16] [--lookaheads 0 2 4]
These are engines of the rolling step, for streams. `Lifter.lift` runs in PyTorch and needs none.
"""

import argparse
import logging
import sys
import time


def build(weights, out, *, backend="auto", device="cpu", people=16, lookaheads=(0, 2, 4), precision="float32",
          threads=1, window=False, bar=None):  # fmt: skip
    """Fill the folder `out` with engines; returns the backend. RuntimeError or ValueError if they cannot be built.

    window: also those of whole windows, for the bench and for who calls the `window` of a backend.
    """
    from dp3d_core import checkpoint
    from dp3d_core.backends import make_backend, place

    denoiser = place(checkpoint.load(weights).denoiser, device)
    made = make_backend(backend, denoiser, threads=threads, precision=precision, cache_dir=out)
    jobs = [("rolling", lookahead + 1) for lookahead in lookaheads]
    if window:
        jobs.append(("window", denoiser.config.window_frames))

    def progress(text):
        if bar is not None:
            # the engine before this one is done
            bar.update(bool(bar.desc))
            bar.set_description(text)

    wanted = made.name if backend == "auto" else backend, precision
    if made.name == "eager" or (made.name, made.precision) != wanted:
        raise RuntimeError(f"there is nothing to build: {made.note}")
    for kind, rows in jobs:
        made.prepare(people, rows, kind, progress)
        # what steps in would serve a stream, but is not what was to be built
        if (made.name, made.precision) != wanted:
            raise RuntimeError(made.note)
    if bar is not None:
        bar.update(1)
    if made.counters["cache_not_written"]:
        raise RuntimeError(f"cannot write to {out}; is there room, and may you write there?")
    return made


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dp3d_core.compile", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default="small", help="shipped name or path")
    parser.add_argument("--out", required=True, help="folder for the engines: cache_dir, and the node's engine_cache")
    parser.add_argument("--backend", default="auto", choices=("auto", "cpu", "tensorrt"))
    parser.add_argument("--device", default=None, help="default: cuda for tensorrt, else cpu")
    parser.add_argument("--people", type=int, default=16, help="most people at once")
    parser.add_argument("--lookaheads", type=int, nargs="+", default=[0, 2, 4], choices=(0, 2, 4))
    parser.add_argument("--precision", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of CPU engines")
    parser.add_argument("--window", action="store_true", help="also whole windows: for the bench, not for Lifter.lift")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="compile: %(message)s")
    try:
        from tqdm import tqdm

        from dp3d_core.backends.graphs import BATCHES

        sizes = len([size for size in BATCHES if size < given.people]) + 1
        bar = tqdm(total=sizes * (len(given.lookaheads) + given.window), file=sys.stderr, unit="engine")
    except ImportError:
        bar = None
    started = time.perf_counter()
    try:
        made = build(
            given.weights, given.out, backend=given.backend,
            device=given.device or ("cuda" if given.backend == "tensorrt" else "cpu"), people=given.people,
            lookaheads=given.lookaheads, precision=given.precision, threads=given.threads, window=given.window, bar=bar,
        )  # fmt: skip
    except (ValueError, RuntimeError) as error:
        raise SystemExit(f"compile: {error}") from None
    finally:
        if bar is not None:
            bar.close()
    worst = max(made.parity_mm.values())
    print(
        f"{len(made.parity_mm)} {made.name} engines in {given.out}, {time.perf_counter() - started:.0f} s, at most "
        f"{worst:.2g} mm from eager float32\nuse them: Lifter.load({given.weights!r}, cache_dir={given.out!r}"
        + (f", precision={given.precision!r})" if given.precision != "float32" else ")")
        + f"\nthe node: engine_cache: {given.out}"
    )


if __name__ == "__main__":
    main()
