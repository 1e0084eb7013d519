"""Write beside, then rename: a reader never sees half a file, and a failed write leaves the old one whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """A path to write a file or folder to, with the ending of `path`, which takes its place when all went well.

    OSError names the file, for instance where the folder is not writable or the disk is full.
    """
    path = Path(path)
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        if unfinished.is_dir() and path.exists():
            shutil.rmtree(path)
        os.replace(unfinished, path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)
