"""The detector's worker process as the node sees it: started, asked, started again after a while when it ended."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import dp3d_core
from dp3d_core.capture.detect.worker import (
    Detected,
    WorkerConfig,
    WorkerFailed,
    detected,
    receive_answer,
    send_frame,
)

ROOT = Path(dp3d_core.__file__).resolve().parent.parent
ENVIRONMENT = ".venv-detector"
RESTART_S = 5.0
"""Between attempts to start the worker."""
START_S, ANSWER_S = 120.0, 30.0
"""Longest wait for the worker's start and for an answer."""


def find_python(given: str) -> Path:
    """The Python of the detector's environment; FileNotFoundError says how to make one.

    given: a path, or empty: the environment variable DP3D_DETECTOR_PYTHON, then `.venv-detector` in the working folder
    and beside the package.
    """
    given = given or os.environ.get("DP3D_DETECTOR_PYTHON", "")
    places = [Path(given)] if given else [folder / ENVIRONMENT / "bin" / "python" for folder in (Path.cwd(), ROOT)]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"detector: its environment is missing, no {' and no '.join(map(str, places))}; make it with `make detector` "
        "in the folder of dp3d and name its python (detector_python), or name an ONNX model (model)"
    )


class WorkerProcess:
    """Answers pictures with people; `joint_set` is known once the worker has started."""

    def __init__(self, config: WorkerConfig, python: str, log: Path | None = None) -> None:
        self.joint_set = ""
        self.starts = 0
        self._config, self._python, self._log = config, python, log
        self._process: subprocess.Popen | None = None
        self._tried_s = -np.inf
        self._folder: tempfile.TemporaryDirectory | None = None

    def ready(self) -> bool:
        """Start the worker if it does not run; False while it waits for its next start. WorkerFailed, OSError: why."""
        if self._process is None:
            if time.monotonic() - self._tried_s < RESTART_S:
                return False
            self._tried_s = time.monotonic()
            self._start()
        return True

    def detect(self, image_bgr: np.ndarray, stamp_s: float) -> Detected:
        """The people of a picture, of a worker that is ready. WorkerFailed says why there is no answer."""
        try:
            send_frame(self._pipes()[0], image_bgr, stamp_s)
            return detected(self._answer(ANSWER_S))
        except (WorkerFailed, BrokenPipeError, ValueError) as error:
            self.close()
            raise WorkerFailed(f"detector: {error}; it is started again") from error

    def close(self) -> None:
        """End the worker."""
        process, self._process = self._process, None
        if process is None:
            return
        frames, answers = process.stdin, process.stdout
        assert frames is not None and answers is not None
        with contextlib.suppress(BrokenPipeError):
            frames.close()
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        answers.close()

    def _only_dp3d(self) -> str:
        """A folder with dp3d_core and nothing else: where dp3d is installed, its own folder has all other packages of
        this environment, which must not be found before those of the detector's."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="dp3d_")
            (Path(self._folder.name) / "dp3d_core").symlink_to(ROOT / "dp3d_core")
        return self._folder.name

    def _answer(self, timeout_s: float) -> dict:
        """The worker's next answer; WorkerFailed where it is an error or does not come."""
        _, answers = self._pipes()
        if not select.select([answers], [], [], timeout_s)[0]:
            raise WorkerFailed(f"no answer of its process in {timeout_s:g} s")
        return receive_answer(answers)

    def _pipes(self) -> tuple[Any, Any]:
        """To and from the worker, which runs."""
        assert self._process is not None
        return self._process.stdin, self._process.stdout

    def _start(self) -> None:
        # an ONNX model runs where this node does; MediaPipe has an environment of its own
        python = sys.executable if self._config.model else str(find_python(self._python))
        env = {key: value for key, value in os.environ.items() if key != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
        if self._config.model:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), env.get("PYTHONPATH"))))
        else:
            env["PYTHONPATH"] = self._only_dp3d()
        command = [python, "-m", "dp3d_core.capture.detect.worker", json.dumps(asdict(self._config))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            start_new_session=True,
            stderr=subprocess.DEVNULL if self._log is None else open(self._log, "ab"),  # noqa: SIM115
        )
        self.starts += 1
        try:
            self.joint_set = self._answer(START_S)["joint_set"]
        except WorkerFailed as error:
            self.close()
            raise WorkerFailed(f"detector: {error}") from error
