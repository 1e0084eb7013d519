"""Engines and what they are made from, on disk: found again only for the same weights, shapes and code.

A file that is damaged is named, counted and built anew; a folder that cannot be written costs only the next start. What
has not been used for longest is removed when the folder grows beyond `MOST_BYTES`.
"""

import contextlib
import hashlib
import logging
import mmap
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MAGIC = b"dp3d-engine-2".ljust(32)
HEAD_BYTES = 64
"""Magic and checksum: what follows is aligned for those who read it where it lies."""
MOST_BYTES = 2 << 30
log = logging.getLogger(__name__)


def default_folder() -> Path:
    """$XDG_CACHE_HOME/dp3d, or ~/.cache/dp3d."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dp3d"


@lru_cache
def code_digest() -> str:
    """Hex digest of the source that defines the graphs: an engine of older code is another engine."""
    here = Path(__file__).parent
    sources = [*sorted((here.parent / "model").glob("*.py")), *sorted(here.glob("*.py")), here.parent / "skeleton.py"]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache
def machine() -> str:
    """What a CPU engine is made for: architecture, model name and instruction sets."""
    facts = [platform.machine()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith(("model name", "flags", "Features")):
                facts.append(line.strip())
            if not line.strip() and len(facts) > 1:
                break
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def versions(*packages: str) -> str:
    """Installed versions as one string."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)


class EngineCache:
    """Blobs in a folder, by kind ("engine", or what engines are made from) and by facts: anything that prints.

    `counters`: cache_hit and cache_miss of engines; cache_corrupt, cache_unreadable, cache_not_written of all.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = Path(folder) if folder is not None else default_folder()
        self.counters = Counter()
        self._complained = False

    def _path(self, kind, facts):
        key = hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()
        return self.folder / f"{key[:32]}.{kind}"

    def load(self, kind: str, facts: Iterable) -> memoryview | None:
        """The blob stored under these facts, mapped from its file, or None."""
        path, counted = self._path(kind, facts), kind == "engine"
        try:
            with open(path, "rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        except FileNotFoundError:
            if counted:
                self.counters["cache_miss"] += 1
            return None
        except OSError as error:
            self.counters["cache_unreadable"] += 1
            log.warning("engine cache: cannot read %s (%s); building again", path, error)
            return None
        except ValueError:  # an empty file cannot be mapped
            data = memoryview(b"")
        blob = data[HEAD_BYTES:]
        if data[:HEAD_BYTES] != MAGIC + hashlib.sha256(blob).digest():
            self.reject(kind, facts, "is damaged")
            return None
        if counted:
            self.counters["cache_hit"] += 1
        with contextlib.suppress(OSError):
            os.utime(path)
        return blob

    def reject(self, kind: str, facts: Iterable, why: str) -> None:
        """Count and remove a blob that did not serve."""
        path = self._path(kind, facts)
        self.counters["cache_corrupt"] += 1
        log.warning("engine cache: %s %s; building again", path, why)
        with contextlib.suppress(OSError):
            path.unlink()

    def store(self, kind: str, facts: Iterable, blob: bytes) -> None:
        """Keep a blob; the file appears whole or not at all. Failing to is counted and said once, never raised."""
        path, temporary = self._path(kind, facts), None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
                temporary = file.name
                file.write(MAGIC + hashlib.sha256(blob).digest() + blob)
            os.replace(temporary, path)
            self._prune(path)
        except OSError as error:
            self.counters["cache_not_written"] += 1
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            if not self._complained:
                self._complained = True
                log.warning("engine cache: cannot write to %s (%s); the next start builds again", self.folder, error)

    def _prune(self, newest):
        """Remove what was used longest ago while all files together are too large; other processes may do the same."""
        files = []
        for path in self.folder.glob("*.*"):
            with contextlib.suppress(OSError):
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= MOST_BYTES:
                break
            if path != newest:
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size
