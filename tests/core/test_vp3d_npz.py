"""Pickled npz files: dicts of arrays come through, anything else is refused and nothing of it runs."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from dp3d_core.data.vp3d_npz import read_vp3d


def as_npy(content):
    """An .npy file that says it holds one object, followed by these bytes as its pickle."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + content


def write_npz(path, content, key="data"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{key}.npy", as_npy(content))
    return path


def same(left, right):
    if isinstance(right, np.ndarray):
        return isinstance(left, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(right, dict):
        return set(left) == set(right) and all(same(left[key], right[key]) for key in right)
    if isinstance(right, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return left == right


ARRAYS = st_numpy.arrays(
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_, ">f4", "<U3"]),
    shape=st_numpy.array_shapes(min_dims=0, max_dims=3, max_side=4),
).filter(lambda array: array.dtype.kind != "f" or np.isfinite(array).all())
VALUES = st.recursive(
    ARRAYS | st.integers(-9, 9) | st.text(max_size=4) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(value=st.dictionaries(st.text(max_size=3), VALUES, max_size=4), protocol=st.sampled_from([2, 3, 4]))
@settings(max_examples=60, deadline=None)
def test_containers_of_arrays_come_through(tmp_path_factory, value, protocol):
    holder = np.empty((), dtype=object)
    holder[()] = value
    path = tmp_path_factory.mktemp("npz") / "data.npz"
    if protocol > 2:  # protocol 2 has no bytes and spells them by a call of a codec
        write_npz(path, pickle.dumps(holder, protocol=protocol))
    else:
        np.savez(path, data=holder)
    assert same(read_vp3d(path, keys=("data",))["data"], value)


def test_memory_order_and_numbers_of_numpy_are_kept(tmp_path):
    value = {"columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "fps": np.float64(25), "frames": np.int32(3)}
    np.savez_compressed(tmp_path / "file.npz", data=value, plain=np.arange(3))
    read = read_vp3d(tmp_path / "file.npz", keys=("data", "plain"))
    assert same(read["data"]["columns"], value["columns"]) and read["plain"].tolist() == [0, 1, 2]
    assert read["data"]["fps"] == 25 and type(read["data"]["frames"]) is int


def test_lists_stored_as_object_arrays_come_through(tmp_path):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((2, 3)), np.ones((1, 3))]
    np.savez(tmp_path / "file.npz", data={"views": ragged})
    assert same(
        read_vp3d(tmp_path / "file.npz", keys=("data",))["data"], {"views": [np.zeros((2, 3)), np.ones((1, 3))]}
    )


class Calls:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


DOUBLINGS = b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(40))
HOSTILE = {
    "command": pickle.dumps(Calls(__import__("os").system, "touch RAN")),
    "eval": pickle.dumps(Calls(eval, "open('RAN', 'w')")),
    "import": pickle.dumps({"S9": Calls(__import__, "antigravity")}),
    "file": pickle.dumps([Calls(open, "RAN", "w")]),
    "numpy function": pickle.dumps(Calls(np.save, "RAN", [1])),
    "numpy load": pickle.dumps(Calls(np.load, "RAN")),
    "nested pickle": pickle.dumps(Calls(pickle.loads, b"N.")),
    "getattr": pickle.dumps(Calls(getattr, "x", "upper")),
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
    "module by name": b"cnumpy\nos\n.",
    "ndarray called": b"cnumpy\nndarray\n(I3\ntR.",
    "state on a name": b"cnumpy\nndarray\n}(X\x05\x00\x00\x00_kindX\x05\x00\x00\x00dtypeub.",
    "name as a value": b"cnumpy\nndarray\n.",
    "class of a name": b"cnumpy\nndarray\n)\x81.",
    "extension": b"\x82\x01.",
    "persistent": b"Pname\n.",
    "itself": b"]q\x00h\x00a.",
    "cyclic dict": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "doubling": b"]q\x00" + DOUBLINGS + b".",
    "huge text": b"X\xff\xff\xff\x7f.",
    "set": pickle.dumps({1, 2}),
    "complex": pickle.dumps(np.zeros(2, complex)),
    "structured": pickle.dumps(np.zeros(2, [("a", "f4")])),
    "datetime": pickle.dumps(np.zeros(2, "M8[s]")),
    "tuple keys": pickle.dumps({(1, 2): 3}),
    "nothing": b"",
    "stop": b".",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_anything_else_is_refused_and_nothing_runs(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"file\.npz: data: expected a dict of arrays, got content that is refused"):
        read_vp3d(write_npz(tmp_path / "file.npz", HOSTILE[case]), keys=("data",))
    assert not (tmp_path / "RAN").exists()


def test_a_huge_memo_index_reserves_nothing(tmp_path):
    assert read_vp3d(write_npz(tmp_path / "file.npz", b"Nr\xff\xff\xff\xff."), keys=("data",)) == {"data": None}


def altered_array(**changes):
    """A pickle of one array of six floats with its declared parts changed."""
    state = {"shape": (2, 3), "dtype": np.dtype("f4"), "fortran": False, "content": bytes(24)} | changes
    parts = (1, state["shape"], state["dtype"], state["fortran"], state["content"])

    class Altered:
        def __reduce__(self):
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), parts

    return pickle.dumps(Altered())


@pytest.mark.parametrize("changes", [
    {"content": bytes(23)}, {"content": bytes(2400)}, {"shape": (2, -3)}, {"shape": (2, 3.0)}, {"shape": (2**62, 4)},
    {"shape": [2, 3]}, {"shape": (True, 6)}, {"dtype": np.dtype("O")}, {"content": [0.0] * 6}, {"dtype": "f4"},
    {"content": "a" * 24}, {"dtype": np.dtype("O"), "content": [0.0] * 6},
])  # fmt: skip
def test_arrays_with_a_false_state_are_refused(tmp_path, changes):
    write_npz(tmp_path / "good.npz", altered_array())
    assert same(read_vp3d(tmp_path / "good.npz", keys=("data",))["data"], np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="refused"):
        read_vp3d(write_npz(tmp_path / "file.npz", altered_array(**changes)), keys=("data",))


GOOD = pickle.dumps(
    {"S9": {"Walking 1": np.zeros((2, 17, 3), np.float32), "views": [np.ones(2)]}, "fps": np.float64(1)}
)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_damaged_or_random_pickles_end_in_a_value_error_or_plain_data(tmp_path_factory, data):
    content = bytearray(GOOD)
    if data.draw(st.booleans()):
        content = bytearray(data.draw(st.binary(max_size=60)))
    for _ in range(data.draw(st.integers(0, 6)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = write_npz(tmp_path_factory.mktemp("fuzz") / "file.npz", bytes(content))
    try:
        value = read_vp3d(path, keys=("data",))["data"]
    except ValueError:
        return
    assert_plain(value)


def assert_plain(value):
    assert value is None or type(value) in (dict, list, tuple, str, bytes, int, float, bool, np.ndarray)
    if type(value) is np.ndarray:
        assert value.dtype.kind in "fiubU"
    elif type(value) is dict:
        for item in value.values():
            assert_plain(item)
    elif type(value) in (list, tuple):
        for item in value:
            assert_plain(item)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_archives_end_in_a_value_error_that_names_the_file(tmp_path_factory, compression, data):
    path = tmp_path_factory.mktemp("archive") / "file.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("data.npy", as_npy(GOOD))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read_vp3d(path, keys=("data",))
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_vp3d(tmp_path / "nowhere.npz", keys=("data",))
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match=r"text\.npz: expected an npz file"):
        read_vp3d(tmp_path / "text.npz", keys=("data",))
    np.savez(tmp_path / "other.npz", positions=np.zeros(1))
    with pytest.raises(ValueError, match=r"other\.npz: expected key 'data', got \['positions'\]"):
        read_vp3d(tmp_path / "other.npz", keys=("data",))
