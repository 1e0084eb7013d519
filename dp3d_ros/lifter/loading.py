"""Loads the weights and builds the engines in a thread, so that the node answers meanwhile."""

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
    """One attempt; `done()` is called in its thread at the end, `result()` is then the lifter or raises."""

    def __init__(self, config: NodeConfig, stream_config: StreamConfig, done: Callable[[], None] = lambda: None):
        self.config = config
        self.options = stream_options(config, stream_config)
        self.doing = "reading the weights"
        """What it does now."""
        self._started_s = time.perf_counter()
        self._lifter: Any = None
        self._error: BaseException | None = None
        self._done = done
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self._thread.start()

    @property
    def took_s(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._started_s

    def result(self) -> Any:
        """The lifter, with its engines built; waits for it, and raises what went wrong."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._lifter

    def _run(self) -> None:
        try:
            self._lifter = self._load()
        except Exception as error:  # whatever it is, it is raised again where the result is asked for
            self._error = error
        self._done()

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
        lifter.warm_up(
            self.options.max_people, self.options.lookahead, cameras=len(config.cameras), progress=self._progress
        )
        return lifter

    def _progress(self, text: str) -> None:
        self.doing = text
