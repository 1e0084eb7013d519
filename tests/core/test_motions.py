"""Motion files: what is written is read back, and every malformed file is refused by name."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp3d_core.data.motions import KEYS, Motions, clip_weights, join_motions, load_motions, save_motions
from dp3d_core.skeleton import JOINT_NAMES

LENGTHS = (5, 7, 3)
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def small_motions(lengths=LENGTHS, actions=None, splits=None, seed=0, fps=30.0):
    generator = np.random.default_rng(seed)
    clips, frames = len(lengths), sum(lengths)
    pose_m = generator.uniform(-0.9, 0.9, (frames, 17, 3)).astype(np.float32)
    pose_m[:, 0] = 0
    return Motions(
        pose_m=pose_m,
        root_m=generator.normal(size=(frames, 3)).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        fps=fps,
        names=tuple(f"clip/{clip}" for clip in range(clips)),
        actions=actions or ("walk",) * clips,
        styles=("bvh",) * clips,
        subjects=("01",) * clips,
        splits=splits or ("train", "dev", "train")[:clips],
        sources=("here",) * clips,
        licences=("free",) * clips,
    )


@pytest.fixture
def arrays(tmp_path):
    save_motions(tmp_path / "good.npz", small_motions())
    with np.load(tmp_path / "good.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def write(path, arrays):
    np.savez(path, **arrays)
    return path


def assert_same(left, right):
    for field in Motions.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field), err_msg=field)


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 99), fps=st.sampled_from([25, 60])
)
@settings(max_examples=20, deadline=None)
def test_reading_returns_what_was_written(tmp_path_factory, lengths, seed, fps):
    motions = small_motions(lengths, splits=("train",) * len(lengths), seed=seed, fps=float(fps))
    path = tmp_path_factory.mktemp("motions") / "no_suffix"
    save_motions(path, motions)
    assert_same(load_motions(path), motions)


def test_half_precision_keeps_a_millimetre(tmp_path):
    motions = small_motions()
    save_motions(tmp_path / "half.npz", motions, half=True)
    read = load_motions(tmp_path / "half.npz")
    assert read.pose_m.dtype == np.float32
    np.testing.assert_allclose(read.pose_m, motions.pose_m, atol=1e-3)
    np.testing.assert_array_equal(read.root_m, motions.root_m)


def test_clips_partition_the_frames():
    motions = small_motions()
    clips = [motions.clip(index) for index in range(len(motions))]
    assert [len(clip.pose_m) for clip in clips] == list(LENGTHS)
    np.testing.assert_array_equal(np.concatenate([clip.pose_m for clip in clips]), motions.pose_m)
    np.testing.assert_array_equal(clips[1].joints_m, clips[1].pose_m + clips[1].root_m[:, None])
    np.testing.assert_allclose(clips[0].stamps_s, np.arange(5) / 30)
    assert motions.clip(-1).name == "clip/2"
    with pytest.raises(IndexError):
        motions.clip(3)


def test_split_keeps_only_its_clips():
    motions = small_motions()
    train = motions.split("train")
    assert train.names == ("clip/0", "clip/2") and train.offsets.tolist() == [0, 5, 8]
    np.testing.assert_array_equal(train.clip(1).pose_m, motions.clip(2).pose_m)
    with pytest.raises(ValueError, match=r"split: expected one of \['dev', 'train'\], got 'test'"):
        motions.split("test")


def test_joining_the_splits_gives_every_clip():
    motions = small_motions()
    joined = join_motions([motions.split("train"), motions.split("dev")])
    assert_same(joined, motions.select([0, 2, 1]))
    with pytest.raises(
        ValueError, match=r"fps: .* 30\.0 \(4 clips, first 'clip/1'\), 60\.0 \(3 clips, first 'clip/0'\)"
    ):
        join_motions([motions.split("dev"), small_motions(fps=60.0), motions])
    with pytest.raises(ValueError, match="at least one"):
        join_motions([])


def break_array(key, change):
    def apply(arrays):
        arrays[key] = change(arrays[key])

    return apply


def set_value(array, index, value):
    array = array.copy()
    array[index] = value
    return array


BROKEN = {
    "missing key": (lambda arrays: arrays.pop("root"), "keys: .*missing .*'root'"),
    "unknown key": (lambda arrays: arrays.update(extra=np.zeros(1)), "keys: .*unknown .*'extra'"),
    "pose joints": (break_array("pose", lambda a: a[:, :16]), r"pose: expected .*17.*got \(15, 16, 3\)"),
    "pose dtype": (break_array("pose", lambda a: a.astype(np.float64)), "pose: expected float16 or float32.*float64"),
    "pose NaN": (break_array("pose", lambda a: set_value(a, (6, 3, 1), np.nan)), "pose: .*first frame 6 .clip 1"),
    "root infinite": (break_array("root", lambda a: set_value(a, (14, 2), np.inf)), "root: .*first frame 14 .clip 2"),
    "millimetres": (break_array("pose", lambda a: a * 1000), "pose: expected metres"),
    "not root-relative": (break_array("pose", lambda a: a + np.float32(0.5)), "pose: expected joint 0"),
    "root length": (break_array("root", lambda a: a[:-1]), r"root: expected \(15, 3\)"),
    "root dtype": (break_array("root", lambda a: a.astype(np.float64)), "root: .*float64"),
    "offsets backwards": (break_array("offsets", lambda a: a[[0, 2, 1, 3]]), "offsets: expected strictly increasing"),
    "offsets empty clip": (
        break_array("offsets", lambda a: set_value(a, 1, 0)),
        "offsets: expected strictly increasing",
    ),
    "offsets short": (
        break_array("offsets", lambda a: set_value(a, 3, 14)),
        "offsets: expected to run from 0 to the 15",
    ),
    "offsets start": (break_array("offsets", lambda a: set_value(a, 0, 1)), "offsets: expected to run from 0"),
    "offsets dtype": (break_array("offsets", lambda a: a.astype(np.float64)), "offsets: .*float64"),
    "no clip": (break_array("offsets", lambda a: a[:1]), "offsets: expected .C.1"),
    "fps zero": (break_array("fps", lambda a: np.float64(0)), "fps: expected 5 to 1000 frames per second, got 0"),
    "fps NaN": (break_array("fps", lambda a: np.float64(np.nan)), "fps: expected 5 to 1000 .* got nan"),
    "fps a frame time": (break_array("fps", lambda a: np.float64(0.01)), "fps: expected 5 to 1000 .* got 0.01"),
    "fps huge": (break_array("fps", lambda a: np.float64(1e6)), r"fps: expected 5 to 1000 .* got 1e\+06"),
    "fps array": (break_array("fps", lambda a: np.array([30.0])), "fps: expected one number"),
    "joint order": (break_array("joints", lambda a: a[::-1]), "joints: expected Hip, RHip.* in this order"),
    "tree": (break_array("parents", lambda a: np.roll(a, 1)), "parents: expected"),
    "empty split": (break_array("split", lambda a: set_value(a, 1, "")), "split: .*empty one at clip 1"),
    "texts short": (break_array("action", lambda a: a[:2]), "action: expected 3 texts"),
    "texts numbers": (break_array("licence", lambda a: np.arange(3)), "licence: expected .* texts"),
    "object array": (break_array("name", lambda a: a.astype(object)), "name: expected a plain array"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_files_are_refused_naming_file_and_field(tmp_path, arrays, case):
    change, message = BROKEN[case]
    change(arrays)
    with pytest.raises(ValueError, match=message) as caught:
        load_motions(write(tmp_path / "broken.npz", arrays))
    assert "broken.npz" in str(caught.value) and "got" in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        load_motions(tmp_path / "nowhere.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("pose")
    (tmp_path / "empty.npz").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        for key in KEYS:
            archive.writestr(f"{key}.npy", b"no array")
    for name in ("array.npy", "text.npz", "empty.npz", "zip.npz"):
        with pytest.raises(ValueError, match=name):
            load_motions(tmp_path / name)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_never_escape_as_another_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "motions.npz"
    save_motions(path, small_motions())
    pack_again(path, data.draw(st.sampled_from(COMPRESSIONS)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        load_motions(path)
    except ValueError as error:
        assert "motions.npz" in str(error)


def pack_again(path, compression):
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in held.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damaged_compression_and_encryption_are_refused_by_file(tmp_path, compression):
    path = tmp_path / "motions.npz"
    save_motions(path, small_motions())
    pack_again(path, compression)
    content = path.read_bytes()
    assert_same(load_motions(path), small_motions())
    start = content.index(b"pose.npy") + len("pose.npy")
    path.write_bytes(content[: start + 9] + bytes(200) + content[start + 209 :])
    with pytest.raises(ValueError, match=r"motions\.npz: pose: expected a plain array"):
        load_motions(path)
    entry = content.index(b"PK\x01\x02")  # of the archive's directory: its flags say that the member is encrypted
    path.write_bytes(content[: entry + 8] + b"\x01" + content[entry + 9 :])
    with pytest.raises(ValueError, match=r"motions\.npz: .*encrypted"):
        load_motions(path)


def test_weights_follow_length_with_salsa_held_to_its_share():
    motions = small_motions((60, 30, 10), actions=("salsa dance", "walk", "run"))
    weights = clip_weights(motions)
    np.testing.assert_allclose(weights, [0.1, 0.675, 0.225])
    np.testing.assert_allclose(clip_weights(small_motions((6, 3, 1))), [0.6, 0.3, 0.1])
    np.testing.assert_allclose(clip_weights(motions, share=0.9), [0.6, 0.3, 0.1])  # never raised
    only = small_motions((3, 1), actions=("salsa", "Salsa"), splits=("train", "train"))
    np.testing.assert_allclose(clip_weights(only), [0.75, 0.25])


@pytest.mark.skipif("DP3D_DATA" not in os.environ, reason="DP3D_DATA names no data folder")
def test_the_mocap_file_is_read_whole():
    motions = load_motions(Path(os.environ["DP3D_DATA"]) / "motions.npz")
    assert motions.fps == 30 and motions.pose_m.shape[1] == len(JOINT_NAMES)
    train, dev = motions.split("train"), motions.split("dev")
    assert len(train) + len(dev) == len(motions)
    # "expmap" is a source whose subjects are not named: its clips are on both sides, by action.
    assert set(train.subjects) & set(dev.subjects) <= {"expmap"}
    salsa = np.array(["salsa" in action for action in train.actions])
    assert clip_weights(train)[salsa].sum() == pytest.approx(0.1)
