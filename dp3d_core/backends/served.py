"""A backend made of engines for fixed numbers of people: built ahead, checked, and replaced when they fail.

Whatever goes wrong (an extra that is missing, a graph that does not convert, an engine that is wrong or breaks while
running) is logged, counted, kept in `note`, and served by the next builder; the last is always eager.
"""
# B people, N rows

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dp3d_core.backends.cache import EngineCache, code_digest
from dp3d_core.backends.exported import Exported
from dp3d_core.backends.parity import Parity, ParityError
from dp3d_core.backends.pieces import Pieces
from dp3d_core.backends.shape import Shape, powers_of_two
from dp3d_core.checkpoint import NO_TORCH, Checkpoint, WeightsError
from dp3d_core.config import ModelConfig
from dp3d_core.live.tracks import HostMemory

MOST_REBUILDS = 3
log = logging.getLogger(__name__)


class Served:
    """See the module's head. `builders`: classes like `cpu.CpuEngines`, best first.

    precision: of the first builder's engines; who steps in for another runs in float32, and `precision` says so.
    `name` is what ran last (first: what is expected to); `note` says why it was chosen or what went wrong; `counters`
    counts by cause: backend_missing, build_failed, parity_refused, engine_failed, unprepared, and the cache's.
    Engines are built by `prepare` only, which may run in a thread of its own: `step` never makes a live stream wait for
    a build. People for whom no engine of their number is ready are taken in pieces, or by engines from the disk cache;
    where there is none at all, eagerly.
    """

    _builder: Any
    """Of the class in `builders` that serves; None: eager does."""

    def __init__(
        self,
        network: Checkpoint,
        builders: Sequence[type],
        *,
        threads: int = 1,
        precision: str = "float32",
        cache_dir: str | Path | None = None,
        why: str = "",
    ):
        self._network, self._threads, self.precision = network, threads, precision
        self._cache = EngineCache(cache_dir)
        self.counters = self._cache.counters = Counter()
        self._exported = Exported(network, self._cache)
        self._remaining, self._rebuilds = list(builders), 0
        self._eager_engines: dict[tuple[int, int], Any] = {}
        self.note = why
        self.parity_mm: dict[Shape, float] = {}
        """Millimetres from eager of the engines that serve."""
        self._next_builder()
        self.name = self._target

    @property
    def _target(self):
        return self._builder.name if self._builder is not None else "eager"

    @cached_property
    def _eager(self):
        if find_spec("torch") is None:
            raise ImportError(f"no engine serves ({self.note}), and {NO_TORCH}")
        from dp3d_core.backends.eager import Eager

        return Eager(self._network.encoder)

    def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        people, rows = arrays[0].shape[:2]
        # looked up once for each number of people: this is done for every frame
        pieces = self._serving.get((people, rows)) or self._find(people, rows)
        if pieces is None:
            self.name = "eager"
            return self._eager.step(*arrays)
        try:
            outputs = pieces(arrays)
        except Exception as error:  # an engine that breaks must not stop the stream; nothing is hidden
            self._replace(error, rows)
            return self.step(*arrays)
        self.name = self._target
        return outputs

    def prepare(self, people: int, rows: int = 1, progress: Callable[[str], Any] = lambda text: None) -> bool:
        """Build or load engines to serve up to `people`, small ones first; True if they will, False if eager has to.

        progress: told what is done next. WeightsError where the weights do not fit their own description.
        """
        while self._builder is not None:
            try:
                for size in self._builder.sizes(people):
                    shape = Shape(size, rows)
                    if shape not in self._engines:
                        progress(f"{self._builder.name} engine for {size} people, lookahead {rows - 1}")
                        self._engines[shape] = self._load(shape) or self._build(shape)
                        self._serving = {}  # a better fit may be here now
            except WeightsError:
                raise
            except Exception as error:  # a compiler may fail in any way; each is named, and the next builder serves
                self._refuse("parity_refused" if isinstance(error, ParityError) else "build_failed", error)
            else:
                self.name = self._target
                self._prepared.add(rows)
                return True
        self.name = self._eager.name
        return False

    def memory(self, config: ModelConfig, most_people: int) -> Any:
        """What a stream's network remembers: beside the network where that is on a GPU, else in this process."""
        if self._network.device == "cpu":
            return HostMemory(config, most_people)
        from dp3d_core.backends.resident import ResidentMemory

        return ResidentMemory(config, most_people, self._network.device)

    def device_engine(self, people: int, rows: int) -> Any:
        """The `DeviceEngine` that takes so many people or, where no engine of that size is ready, as many as it can."""
        engines = self._ready(people, rows)
        if engines:
            self.name = self._target
            fitting = [size for size in engines if size >= people]
            return engines[min(fitting) if fitting else max(engines)]
        self.name = "eager"
        size = powers_of_two(people)[-1]
        if (size, rows) not in self._eager_engines:
            from dp3d_core.backends.device_engine import DeviceEngine
            from dp3d_core.backends.graphs import RollingStep

            network = self._network
            step = RollingStep(network.encoder.eval())
            self._eager_engines[size, rows] = DeviceEngine(step, network.config, size, rows, network.device)
        return self._eager_engines[size, rows]

    def device_failed(self, error: Exception, rows: int) -> None:
        """Go on with eager after a `DeviceEngine` broke; raises the error where that was eager already."""
        self._eager_engines.clear()
        if self._builder is None:
            raise error
        self._replace(error, rows)

    def _find(self, people, rows):
        """`Pieces` for this many people; None if eager has to."""
        engines = self._ready(people, rows)
        if not engines:
            return None
        self._serving[people, rows] = Pieces(engines, people)
        return self._serving[people, rows]

    def _ready(self, people, rows):
        """{number of people: engine} that are ready for these rows; none of them: eager has to."""
        if self._builder is None:
            return {}
        sizes = [shape.people for shape in list(self._engines) if shape.rows == rows]  # another thread may add some
        fits = self._builder.sizes(people)[-1]
        if fits not in sizes and rows not in self._prepared and (fits, rows) not in self._absent:
            # a stream that was not warmed up still finds what an earlier one built
            self._absent.add((fits, rows))
            try:
                engine = self._load(Shape(fits, rows))
            except Exception as error:  # whatever it is, the stream goes on
                self._refuse("build_failed", error)
                return self._ready(people, rows)
            if engine is not None:
                self._engines[Shape(fits, rows)] = engine
                sizes.append(fits)
            elif not sizes:
                self._say(f"no {self._builder.name} engine for {fits} people at {rows} rows: warm up to build it")
        if not sizes:
            self.counters["unprepared"] += 1
        return {size: self._engines[Shape(size, rows)] for size in sizes}

    def _facts(self, shape):
        network = self._network
        return (
            network.digest, network.config, shape, self.precision, self._threads, self._builder.facts(), code_digest(),
        )  # fmt: skip

    def _load(self, shape):
        """The engine from the disk cache, checked; None if it is not there, does not load or is not right."""
        blob = self._cache.load("engine", self._facts(shape)) if self._builder.storable else None
        if blob is None:
            return None
        try:
            engine = self._builder.load(blob)
            self._check(engine, shape)
        except ImportError:
            raise  # a library that cannot be loaded says nothing of the engine: keep it
        except Exception as error:  # whatever the runtime says of a blob, a fresh build follows
            self._cache.reject("engine", self._facts(shape), f"does not serve ({error})")
            return None
        return engine

    def _build(self, shape):
        engine, blob = self._builder.build(shape)
        self._check(engine, shape)
        if blob is not None:
            self._cache.store("engine", self._facts(shape), blob)
        return engine

    def _check(self, engine, shape):
        parity = Parity(self._exported.answers, self._network.config, self.precision)
        self.parity_mm[shape] = parity.check(engine, shape.people, shape.rows).joints_mm

    def _next_builder(self):
        """Take the next builder that can run here; none left means eager."""
        self._builder, self._engines, self._absent, self.parity_mm = None, {}, set(), {}
        self._serving: dict[tuple[int, int], Pieces] = {}
        self._prepared: set[int] = set()
        while self._remaining and self._builder is None:
            kind = self._remaining.pop(0)
            missing = kind.missing(self._network.device)
            if missing is None:
                self._builder = kind(self._network, self._exported, threads=self._threads, precision=self.precision)
                continue
            self.counters["backend_missing"] += 1
            self.precision = "float32"
            self._remaining = [other for other in self._remaining if other is not kind]
            self._say(f"{kind.name} cannot run here: {missing}", warn=True)
            self._say(f"going on with {self._remaining[0].name if self._remaining else 'eager'} in float32")

    def _replace(self, error, rows):
        """Go on after an engine broke while a stream runs: in PyTorch or, where that is missing, with engines anew."""
        if find_spec("torch") is not None:
            # at once to eager: the stream cannot wait for another build
            self._remaining = []
            self._refuse("engine_failed", error)
            return
        self.counters["engine_failed"] += 1
        self._rebuilds += 1
        if self._rebuilds > MOST_REBUILDS:
            raise RuntimeError(f"the engines broke {self._rebuilds} times, last: {_in_one_line(error)}; {NO_TORCH}")
        for shape in [shape for shape in self._engines if shape.rows == rows]:
            self._cache.reject("engine", self._facts(shape), f"broke while running ({error})")
            del self._engines[shape]
        self._serving = {}
        self._say(f"an engine broke ({_in_one_line(error)}): built again from the graph", warn=True)
        self._engines[Shape(1, rows)] = self._build(Shape(1, rows))

    def _refuse(self, cause, error):
        """Give up the builder."""
        failed = f"{self._builder.name} in {self.precision}"
        self.counters[cause] += 1
        self.precision = "float32"
        self._next_builder()
        self._say(
            f"{failed}: {cause.replace('_', ' ')} ({_in_one_line(error)}); going on with {self._target} in float32",
            warn=True,
        )

    def _say(self, text, warn=False):
        self.note = text if not self.note or warn else f"{self.note}; {text}"
        (log.warning if warn else log.info)("backend: %s", text)


def _in_one_line(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300] or 'no message'}"
