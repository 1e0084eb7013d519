"""Loads the weights and builds the engines in a thread, so that the node answers meanwhile.

On a CPU the node serves with the first engine, that for one person, while the thread builds the other.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from dp3d_core.config import StreamConfig, to_dict
from dp3d_ros.lifter.inputs import stream_options
from dp3d_ros.node.parameters import NodeConfig

THREAD = "dp3d loading"
"""Name of the thread; a process that ends does not wait for it (`dp3d_ros.node.spin`)."""


class Loading:
    """One attempt; `done()` is called in its thread once `result()` is there: the lifter, or what it raises."""

    def __init__(self, config: NodeConfig, stream_config: StreamConfig, done: Callable[[], None] = lambda: None):
        self.config = config
        self.options = stream_options(config, stream_config)
        self.doing = "reading the weights"
        """What it does now."""
        self._started_s = time.perf_counter()
        self._lifter: Any = None
        self._error: BaseException | None = None
        self._done, self._there = done, threading.Event()
        self.ready_s = 0.0
        """Seconds until there was a result."""
        self.late_error = ""
        """Why engines that were to come later did not."""
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self._thread.start()

    @property
    def took_s(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._started_s

    @property
    def finished(self) -> bool:
        """Whether all engines are built, or nothing more will come."""
        return not self._thread.is_alive()

    def result(self) -> Any:
        """The lifter, with an engine that serves everybody; waits for it, and raises what went wrong."""
        self._there.wait()
        if self._error is not None:
            raise self._error
        return self._lifter

    def _run(self) -> None:
        try:
            self._lifter = self._load()
        except Exception as error:  # whatever it is, it is raised again where the result is asked for
            self._error = error
        self.ready_s = self.took_s
        self._there.set()
        self._done()
        if self._lifter is None:
            return
        try:
            self._lifter.prepare(*self._sizes, progress=self._progress)
        except Exception as error:  # the node goes on with the engines that it has
            self.late_error = repr(error)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """People, lookahead and cameras to build engines for."""
        return self.options.max_people, self.options.lookahead, len(self.config.cameras)

    def _load(self) -> Any:
        from dp3d_core import Camera, Lifter

        config = self.config
        lifter = Lifter.load(
            config.weights,
            device=config.device,
            backend=config.backend,
            precision=config.precision,
            cache_dir=config.engine_cache or None,
        )
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # more threads only fight each other in a live node
        # made once here for its errors: a joint set or a lookahead that does not fit is said before engines are built
        lifter.streams({"": Camera.from_fov(width=640, height=480)}, **to_dict(self.options))
        people, lookahead, cameras = self._sizes
        if lifter.backend_name == "cpu":  # its engines are built beside streams that run; others want the device alone
            lifter.warm_up(1, lookahead, progress=self._progress)
        else:
            lifter.warm_up(people, lookahead, cameras, progress=self._progress)
        return lifter

    def _progress(self, text: str) -> None:
        self.doing = text
