"""A backend made of engines for fixed numbers of people: built ahead, checked, padded to, and replaced when they fail.

Whatever goes wrong (an extra that is missing, a graph that does not convert, an engine that is wrong or breaks while
running) is logged, counted, kept in `note`, and served by the next builder; the last is always eager.
"""
# B people, N rows

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp3d_core.backends.cache import EngineCache, code_digest, weights_digest
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.graphs import RollingStep, fitting_batch, rolling_example
from dp3d_core.backends.parity import Parity, ParityError
from dp3d_core.model.denoiser import Denoiser

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an engine is built for."""

    people: int
    rows: int


class Served:
    """See the module's head. `builders`: classes like `cpu.CpuEngines`, best first.

    precision: of the first builder's engines; who steps in for another runs in float32, and `precision` says so.
    `name` is what ran last (first: what is expected to); `note` says why it was chosen or what went wrong; `counters`
    counts by cause: backend_missing, build_failed, parity_refused, engine_failed, unprepared, and the cache's.
    Engines are built by `prepare` only: `step` never makes a live stream wait for a build. A size that was not
    prepared is taken from the disk cache, from a larger engine, or runs eagerly.
    """

    def __init__(
        self, denoiser: Denoiser, builders: Sequence[type], *, threads: int = 1, precision: str = "float32",
        cache_dir: str | Path | None = None, why: str = "",
    ):  # fmt: skip
        self._denoiser, self._eager = denoiser, Eager(denoiser)
        self._threads, self.precision = threads, precision
        self._cache = EngineCache(cache_dir)
        self.counters = self._cache.counters = Counter()
        self._remaining = list(builders)
        self._builder, self._engines, self._absent = None, {}, set()
        self._weights = None
        self.note = why
        self.parity_mm = {}
        """{Shape: millimetres from eager} of the engines that serve."""
        self._next_builder()
        self.name = self._target

    @property
    def _target(self):
        return self._builder.name if self._builder is not None else "eager"

    def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `dp3d_core.backends`."""
        people, rows = arrays[0].shape[:2]
        # looked up once for each number of people: this is done for every frame
        found = self._serving.get((people, rows))
        if found is None:
            found = self._find(people, rows)
            if found[0] is not None:
                self._serving[people, rows] = found
        engine, batch = found
        if engine is None:
            self.name = "eager"
            return self._eager.step(*arrays)
        try:
            if batch != people:
                arrays = [self._widened(index, array, batch) for index, array in enumerate(arrays)]
            outputs = engine(*arrays)
        except Exception as error:  # an engine that breaks must not stop the stream; nothing is hidden
            self._refuse("engine_failed", error, final=True)
            return self.step(*(array[:people] for array in arrays))
        self.name = self._target
        return outputs if batch == people else tuple(output[:people] for output in outputs)

    def prepare(self, people: int, rows: int = 1, progress: Callable[[str], None] = lambda text: None) -> bool:
        """Build or load engines for all sizes up to `people`; True if they will serve, False if eager has to."""
        while self._builder is not None:
            try:
                # all sizes: they are powers of two
                for batch in [1 << power for power in range(fitting_batch(people).bit_length())]:
                    shape = Shape(batch, rows)
                    if shape not in self._engines:
                        progress(f"{self._builder.name}, {batch} people, {rows} rows")
                        self._engines[shape] = self._load(shape) or self._build(shape)
                        self._serving = {}  # a better fit may be here now
            except ParityError as error:
                self._refuse("parity_refused", error)
            except Exception as error:  # a compiler may fail in any way; each is named, and the next builder serves
                self._refuse("build_failed", error)
            else:
                self.name = self._target
                return True
        self.name = "eager"
        return False

    def _widened(self, index, array, batch):
        """Input number `index` with `batch` rows; for the array of the last frame the same object, if it is a view."""
        narrow, wide = self._wide.get(index, (None, None))
        if narrow is array and len(wide) == batch:
            return wide
        wide = widen(array, batch)
        if wide.base is not None and wide.base is array.base:
            self._wide[index] = array, wide
        return wide

    def _find(self, people, rows):
        """The smallest engine that holds this many people and its size; (None, 0) if eager has to."""
        if self._builder is None:
            return None, 0
        fits = fitting_batch(people)
        shape = Shape(fits, rows)
        if shape in self._engines:
            return self._engines[shape], fits
        if shape not in self._absent:
            self._absent.add(shape)
            engine = self._load(shape)
            if engine is not None:
                self._engines[shape] = engine
                return engine, fits
            self._say(f"no {self._builder.name} engine for {fits} people at {rows} rows: warm up to build it")
        larger = [s for s in self._engines if s.rows == rows and s.people > fits]
        if larger:
            shape = min(larger, key=lambda s: s.people)
            return self._engines[shape], shape.people
        self.counters["unprepared"] += 1
        return None, 0

    def _facts(self, shape):
        if self._weights is None:
            self._weights = weights_digest(self._denoiser)
        config = self._denoiser.config
        return (self._weights, config, shape, self.precision, self._threads, self._builder.facts(), code_digest())

    def _load(self, shape):
        """The engine from the disk cache, checked; None if it is not there, does not load or is not right."""
        blob = self._cache.load(self._facts(shape)) if self._builder.storable else None
        if blob is None:
            return None
        try:
            engine = self._builder.load(blob)
            self._check(engine, shape)
        except Exception as error:  # whatever the runtime says of a blob, a fresh build follows
            self._cache.reject(self._facts(shape), f"does not serve ({error})")
            return None
        return engine

    def _build(self, shape):
        module, example = RollingStep(self._denoiser), rolling_example(self._denoiser, shape.people, shape.rows)
        engine, blob = self._builder.build(shape, module.eval(), example)
        self._check(engine, shape)
        if blob is not None:
            self._cache.store(self._facts(shape), blob)
        return engine

    def _check(self, engine, shape):
        if self._parity is None:
            self._parity = Parity(self._eager.step, self._denoiser.config, self.precision)
        self.parity_mm[shape] = self._parity.check(engine, shape.people, shape.rows).joints_mm

    def _next_builder(self):
        """Take the next builder that can run here; none left means eager."""
        self._builder, self._engines, self._absent, self.parity_mm = None, {}, set(), {}
        self._serving, self._wide, self._parity = {}, {}, None
        while self._remaining and self._builder is None:
            kind = self._remaining.pop(0)
            missing = kind.missing(next(self._denoiser.parameters()).device)
            if missing is None:
                self._builder = kind(self._denoiser, threads=self._threads, precision=self.precision)
                continue
            self.counters["backend_missing"] += 1
            self.precision = "float32"
            self._remaining = [other for other in self._remaining if other is not kind]
            self._say(f"{kind.name} cannot run here: {missing}", warn=True)
            self._say(f"going on with {self._remaining[0].name if self._remaining else 'eager'} in float32")

    def _refuse(self, cause, error, final=False):
        """Give up the builder; with `final`, at once to eager: a running stream cannot wait for another build."""
        failed = f"{self._builder.name} in {self.precision}"
        self.counters[cause] += 1
        self.precision = "float32"
        if final:
            self._remaining = []
        self._next_builder()
        text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
        self._say(f"{failed}: {cause.replace('_', ' ')} ({text}); going on with {self._target} in float32", warn=True)

    def _say(self, text, warn=False):
        self.note = text if not self.note or warn else f"{self.note}; {text}"
        (log.warning if warn else log.info)("backend: %s", text)


def widen(array: np.ndarray, rows: int) -> np.ndarray:
    """`array` (B, ...) with `rows` rows; those that are added hold anything finite.

    Where the array is a part of a larger one, as in `Tracks`, that one's next rows are used and nothing is copied.
    """
    base = array.base
    if (
        isinstance(base, np.ndarray) and base.shape[1:] == array.shape[1:] and base.dtype == array.dtype
        and base.flags.c_contiguous and array.flags.c_contiguous
    ):  # fmt: skip
        ahead = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        first = ahead // base.strides[0]
        if len(base) >= first + rows:
            return base[first : first + rows]
    wide = np.zeros((rows, *array.shape[1:]), array.dtype)
    wide[: len(array)] = array
    return wide
