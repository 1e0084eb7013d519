"""Read the npz files of VideoPose3D and P-STMO, which hold pickled dicts of arrays, without unpickling anything.

Those files are `np.savez(file, positions_3d=some_dict)`: NumPy stores a dict as an object array, which is a pickle, and
a pickle can call any function it names. np.load(allow_pickle=True) would run whatever a downloaded file asks for. Here

1. every name a pickle may call (find_class) is looked up in ALLOWED, five names of NumPy, and anything else is refused;
2. those names do not lead to NumPy's functions either but to inert stand-ins of this file, which check the state they
   are given (element type, shape, number of bytes) and hold it; they have no attribute a pickle could overwrite;
3. arrays are made from them only at the end, with np.frombuffer and only of numbers, booleans or text;
4. the pure-Python unpickler is used, for the C one can be made to reserve gigabytes by a few bytes;
5. nesting and number of items are bounded, so a file that refers to itself ends in an error.

What comes out is dict, list, tuple, str, bytes, int, float, bool, None and numeric arrays (read-only); whatever goes
wrong is a ValueError naming file and key. Not bounded: how much a zip member expands.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from math import prod
from pathlib import Path

import numpy as np

ALLOWED = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    **{
        (module, name): name
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    },
}
ELEMENTS = re.compile(r"[fiu][1248]|b1|U\d{1,4}|O8?|\|?O")
DEEPEST = 8
MOST_ITEMS = 1_000_000


def read_vp3d(path: str | Path, *, keys: tuple[str, ...]) -> dict[str, object]:
    """The values stored under these keys, as plain Python containers of arrays; ValueError for any other content."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an npz file, got no such file")
    values = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for key in keys:
                if f"{key}.npy" not in archive.namelist():
                    held = [name.removesuffix(".npy") for name in archive.namelist()]
                    raise ValueError(f"expected key {key!r}, got {held}")
                values[key] = _value(archive.read(f"{key}.npy"), key)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # damaged bytes can fail anywhere in the archive's reader and its decompressors
        raise ValueError(f"{path}: expected an npz file, got one that cannot be read ({error!r})") from error
    return values


def _value(content: bytes, key: str):
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        dtype = read_header[version](file)[2]
        if not dtype.hasobject:
            return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        return _plain(_Reader(file).load(), DEEPEST, [MOST_ITEMS])
    except Exception as error:  # hostile bytes can fail anywhere in the reader; all of it means the same to the caller
        raise ValueError(f"{key}: expected a dict of arrays, got content that is refused ({error!r})") from error


class _Reader(pickle._Unpickler):
    """An unpickler whose every name is a stand-in of this file."""

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not among the names such a file needs")
        return _Name(ALLOWED[module, name])


class _Name:
    """What a pickle gets for an allowed name: callable, and nothing else."""

    __slots__ = ("_kind",)

    def __init__(self, kind):
        self._kind = kind

    def __setstate__(self, state):
        raise pickle.UnpicklingError(f"{self._kind} takes no state")

    def __call__(self, *arguments):
        if self._kind == "dtype":
            return _Element(*arguments)
        if self._kind == "_reconstruct":
            return _Array()
        if self._kind == "scalar":
            return _Scalar(*arguments)
        raise pickle.UnpicklingError(f"{self._kind} is not to be called")


class _Element:
    """Stand-in of a dtype: an element code of ELEMENTS and a byte order."""

    __slots__ = ("_code", "_order")

    def __init__(self, code, *_flags):
        if not isinstance(code, str) or not ELEMENTS.fullmatch(code):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not read")
        self._code, self._order = code.lstrip("|"), "|"

    def __setstate__(self, state):
        if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("structured arrays are not read")
        self._order = state[1]

    @property
    def is_object(self):
        return self._code.startswith("O")

    def numpy(self):
        return np.dtype(self._order + self._code)


class _Array:
    """Stand-in of an array: shape, element type, memory order and the bytes (or the list of objects)."""

    __slots__ = ("_content", "_element", "_fortran", "_shape")

    def __init__(self):
        self._content = None

    def __setstate__(self, state):
        shape, element, fortran, content = state[-4:]
        if not isinstance(element, _Element) or not isinstance(shape, tuple) or len(shape) > 8:
            raise pickle.UnpicklingError("an array has no proper shape or element type")
        if not all(type(size) is int and 0 <= size < 2**40 for size in shape):
            raise pickle.UnpicklingError(f"an array has the shape {shape!r}")
        if type(content) is not (list if element.is_object else bytes):
            raise pickle.UnpicklingError("an array has no proper content")
        size = 1 if element.is_object else element.numpy().itemsize
        if prod(shape) * size != len(content):
            raise pickle.UnpicklingError(f"an array of shape {shape} has content of length {len(content)}")
        self._shape, self._element, self._fortran, self._content = shape, element, bool(fortran), content

    def plain(self, depth, budget):
        if self._content is None:
            raise pickle.UnpicklingError("an array has no content")
        if not self._element.is_object:
            flat = np.frombuffer(bytes(self._content), dtype=self._element.numpy())
            return flat.reshape(self._shape, order="F" if self._fortran else "C")
        if len(self._shape) > 1:
            raise pickle.UnpicklingError(f"an object array has the shape {self._shape}; at most one axis is read")
        items = [_plain(item, depth - 1, budget) for item in self._content]
        return items if self._shape else items[0]


class _Scalar:
    """Stand-in of a NumPy number: element type and its bytes."""

    __slots__ = ("_content", "_element")

    def __init__(self, element, content):
        if not isinstance(element, _Element) or element.is_object or type(content) is not bytes:
            raise pickle.UnpicklingError("a number has no proper type or content")
        self._element, self._content = element, content

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a number takes no state")

    def plain(self, _depth, _budget):
        (value,) = np.frombuffer(bytes(self._content), dtype=self._element.numpy())
        return value.item()


def _plain(value, depth: int, budget: list[int]):
    """The value with every stand-in replaced by what it holds."""
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        raise pickle.UnpicklingError("nested too deep or too large, or referring to itself")
    if isinstance(value, (_Array, _Scalar)):
        return value.plain(depth, budget)
    if type(value) is dict:
        if not all(type(key) in (str, int) for key in value):
            raise pickle.UnpicklingError("a dict has keys that are neither text nor whole numbers")
        return {key: _plain(item, depth - 1, budget) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item, depth - 1, budget) for item in value)
    if value is None or type(value) in (str, bytes, int, float, bool):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__} has no place in such a file")
