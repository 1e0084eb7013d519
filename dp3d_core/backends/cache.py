"""Built engines on disk: found again only for the same weights, shapes, code, versions and processor.

A file that is damaged is named, counted and built anew; a folder that cannot be written costs only the next start.
"""

import contextlib
import hashlib
import logging
import os
import platform
import tempfile
from collections import Counter
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MAGIC = b"dp3d-engine-1\n"
log = logging.getLogger(__name__)


def default_folder():
    """$XDG_CACHE_HOME/dp3d, or ~/.cache/dp3d."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dp3d"


def weights_digest(module):
    """Hex digest of all parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@lru_cache
def code_digest():
    """Hex digest of the source that defines the graphs: an engine of older code is another engine."""
    here = Path(__file__).parent
    sources = [*sorted((here.parent / "model").glob("*.py")), *sorted(here.glob("*.py")), here.parent / "skeleton.py"]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache
def machine():
    """What a CPU engine is made for: architecture, model name and instruction sets."""
    facts = [platform.machine()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith(("model name", "flags", "Features")):
                facts.append(line.strip())
            if not line.strip() and len(facts) > 1:
                break
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def versions(*packages):
    """Installed versions as one string."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)


class EngineCache:
    """Blobs in a folder. `counters`: cache_hit, cache_miss, cache_corrupt, cache_unreadable, cache_not_written."""

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder is not None else default_folder()
        self.counters = Counter()
        self._complained = False

    def _path(self, facts):
        key = hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()
        return self.folder / f"{key[:32]}.engine"

    def load(self, facts):
        """The blob stored under these facts (an iterable of strings), or None."""
        path = self._path(facts)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            self.counters["cache_miss"] += 1
            return None
        except OSError as error:
            self.counters["cache_unreadable"] += 1
            log.warning("engine cache: cannot read %s (%s); building again", path, error)
            return None
        head = len(MAGIC) + 32
        blob = data[head:]
        if not data.startswith(MAGIC) or hashlib.sha256(blob).digest() != data[len(MAGIC) : head]:
            self.reject(facts, "is damaged")
            return None
        self.counters["cache_hit"] += 1
        return blob

    def reject(self, facts, why):
        """Count and remove a blob that did not serve."""
        path = self._path(facts)
        self.counters["cache_corrupt"] += 1
        log.warning("engine cache: %s %s; building again", path, why)
        with contextlib.suppress(OSError):
            path.unlink()

    def store(self, facts, blob):
        """Keep a blob; the file appears whole or not at all. Failing to is counted and said once, never raised."""
        path, temporary = self._path(facts), None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
                temporary = file.name
                file.write(MAGIC + hashlib.sha256(blob).digest() + blob)
            os.replace(temporary, path)
        except OSError as error:
            self.counters["cache_not_written"] += 1
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            if not self._complained:
                self._complained = True
                log.warning("engine cache: cannot write to %s (%s); the next start builds again", self.folder, error)
