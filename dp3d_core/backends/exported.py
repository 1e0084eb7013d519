"""What PyTorch makes of the weights once: the graph for OpenVINO, and eager's answers, which engines are held to.

Both lie beside the shipped weights (`shipped`), those of others in the cache beside the engines, and a process that
finds them there needs no PyTorch. Where they are missing, this process makes them if it has loaded PyTorch anyway. Else
another process does: a node stays small and goes on.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save, save_file

from dp3d_core import checkpoint
from dp3d_core.backends import shipped
from dp3d_core.backends.cache import EngineCache, code_digest
from dp3d_core.backends.signature import OUTPUTS
from dp3d_core.backends.walk import stream_answers
from dp3d_core.checkpoint import NO_TORCH, Checkpoint, WeightsError


class Exported:
    """The graph and the answers of one network, for each number N of rows. Not for several threads at once."""

    def __init__(self, network: Checkpoint, cache: EngineCache):
        self._network, self._cache = network, cache
        self._answers: dict[int, list[np.ndarray]] = {}

    def answers(self, rows: int) -> list[np.ndarray]:
        """`walk.stream_answers` of eager PyTorch in float32."""
        if rows not in self._answers:
            found = self._get("answers", rows)
            self._answers[rows] = [found[name] for name in OUTPUTS]
        return self._answers[rows]

    def graph(self, rows: int) -> tuple[bytes, bytes]:
        """OpenVINO's description of the step for any number of people, and its weights."""
        found = self._get("graph", rows)
        return found["description"].tobytes(), found["weights"].tobytes()

    def _facts(self, rows):
        return self._network.digest, self._network.config, rows, code_digest()

    def _get(self, kind, rows):
        blob = self._cache.load(kind, self._facts(rows))
        if blob is not None:
            return load(bytes(blob))
        found = shipped.read(self._network, kind, rows)
        if found is not None:
            return found
        if sys.modules.get("torch") is not None or self._network.path is None:
            made = {kind: save(MAKERS[kind](self._network, rows))}
        elif find_spec("torch") is not None:
            made = self._by_another_process(rows)
        else:
            raise RuntimeError(
                f"{self._cache.folder} has no {kind} of these weights for lookahead {rows - 1}, and {NO_TORCH}, or "
                "build it on a machine that has PyTorch (dp3d compile --out DIR) and copy DIR"
            )
        for name, content in made.items():
            self._cache.store(name, self._facts(rows), content)
        return load(made[kind])

    def _by_another_process(self, rows):
        root = str(Path(__file__).parents[2])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", f"from {__name__} import main; main()"]
            command += ["--weights", str(self._network.path), "--rows", str(rows)]
            command += ["--digest", self._network.digest, "--out", folder]
            # it ends when its input does, which stays open as long as this process lives
            process = subprocess.Popen(
                command,
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            assert process.stderr is not None
            try:
                errors = process.stderr.read()
                status = process.wait()
            finally:
                process.kill()
            if status != 0:
                said = (errors.strip() or f"it ended with status {status}").splitlines()[-1]
                raise (WeightsError if status == 2 else RuntimeError)(said)
            return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _make_answers(network, rows):
    from dp3d_core.backends.eager import Eager

    answers = stream_answers(Eager(network.encoder).step, network.config, rows)
    return {name: np.ascontiguousarray(answer) for name, answer in zip(OUTPUTS, answers, strict=True)}


def _make_graph(network, rows):
    from dp3d_core.backends.cpu import converted
    from dp3d_core.backends.graphs import RollingStep, rolling_example

    encoder = network.encoder
    parts = converted(RollingStep(encoder).eval(), rolling_example(encoder, 2, rows))
    return {name: np.frombuffer(part, np.uint8) for name, part in zip(("description", "weights"), parts)}


MAKERS = {"answers": _make_answers, "graph": _make_graph}


def main(argv: Sequence[str] | None = None) -> None:
    """The other process: writes the graph and the answers into a folder. Exit status 2: the weights are wrong."""
    parser = argparse.ArgumentParser(prog=__name__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    try:
        network = checkpoint.load(given.weights)
        if network.digest != given.digest:
            raise ValueError(f"weights: {given.weights} changed since it was read; start again")
    except ValueError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    for kind, make in MAKERS.items():
        if kind != "graph" or find_spec("openvino") is not None:
            save_file(make(network, given.rows), given.out / kind)


def _end_with_parent():
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
