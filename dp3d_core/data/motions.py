"""Motion-capture clips in one npz: read strictly, select, write.

Knows nothing of cameras, noise, windows or networks.

# F frames of all clips one after another, C clips, 17 joints in the order of dp3d_core.skeleton

| key | shape | meaning |
|---|---|---|
| pose | (F, 17, 3) float16 or float32 | joints relative to the pelvis, metres, world axes, Z up |
| root | (F, 3) float32 | pelvis in the world, metres |
| offsets | (C+1,) int64 | clip i is frames offsets[i]:offsets[i+1] |
| fps | () | frames per second, one rate for all clips |
| joints, parents | (17,) | names and tree, checked against dp3d_core.skeleton |
| name, action, style, subject, split, source, licence | (C,) str | one value a clip; action is free text |
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp3d_core.skeleton import JOINT_NAMES, PARENTS

# Metadata: key in the file -> field of Motions.
TEXT_KEYS = {
    "name": "names",
    "action": "actions",
    "style": "styles",
    "subject": "subjects",
    "split": "splits",
    "source": "sources",
    "licence": "licences",
}
# Joint 9 is the nose in some sources and the neck in others, so the file names it after both.
FILE_JOINTS = tuple("Neck/Nose" if name == "Nose" else name for name in JOINT_NAMES)
KEYS = ("pose", "root", "offsets", "fps", "joints", "parents", *TEXT_KEYS)
FARTHEST_JOINT_M = 3.0  # nobody's hand is farther from the pelvis: beyond it the unit is wrong (cm, mm) or the file is
RATES_FPS = (5.0, 1000.0)  # no motion capture is slower or faster: beyond it the unit is wrong (a frame time, kHz)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One continuous recording: pose_m (T, 17, 3) relative to the pelvis, root_m (T, 3) of the pelvis, Z up."""

    pose_m: np.ndarray
    root_m: np.ndarray
    fps: float
    name: str
    action: str
    style: str
    subject: str
    split: str
    source: str
    licence: str

    @property
    def joints_m(self) -> np.ndarray:
        """Joints in the world, (T, 17, 3) metres, Z up."""
        return self.pose_m + self.root_m[:, None]

    @property
    def stamps_s(self) -> np.ndarray:
        """Time of every frame from 0, (T,) float64 seconds."""
        return np.arange(len(self.pose_m)) / self.fps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motions:
    """Clips one after another: pose_m (F, 17, 3), root_m (F, 3), offsets (C+1,), and a tuple of C texts each."""

    pose_m: np.ndarray
    root_m: np.ndarray
    offsets: np.ndarray
    fps: float
    names: tuple[str, ...]
    actions: tuple[str, ...]
    styles: tuple[str, ...]
    subjects: tuple[str, ...]
    splits: tuple[str, ...]
    sources: tuple[str, ...]
    licences: tuple[str, ...]

    def __post_init__(self):
        joints = len(JOINT_NAMES)
        if self.pose_m.ndim != 3 or self.pose_m.shape[1:] != (joints, 3) or self.pose_m.dtype != np.float32:
            raise ValueError(f"pose: expected (F, {joints}, 3) float32 metres, got {_form(self.pose_m)}")
        frames = len(self.pose_m)
        if self.root_m.shape != (frames, 3) or self.root_m.dtype != np.float32:
            raise ValueError(
                f"root: expected ({frames}, 3) float32 metres as pose has {frames} frames, got {_form(self.root_m)}"
            )
        if self.offsets.ndim != 1 or len(self.offsets) < 2 or self.offsets.dtype != np.int64:
            raise ValueError(f"offsets: expected (C+1,) int64 with at least one clip, got {_form(self.offsets)}")
        if self.offsets[0] != 0 or self.offsets[-1] != frames:
            raise ValueError(
                f"offsets: expected to run from 0 to the {frames} frames of pose, "
                f"got {self.offsets[0]} to {self.offsets[-1]}"
            )
        backwards = np.flatnonzero(np.diff(self.offsets) <= 0)
        if len(backwards):
            clip = int(backwards[0])
            raise ValueError(
                f"offsets: expected strictly increasing, got {self.offsets[clip]} then "
                f"{self.offsets[clip + 1]} at clip {clip}"
            )
        if not RATES_FPS[0] <= self.fps <= RATES_FPS[1]:  # NaN fails too
            raise ValueError(f"fps: expected {RATES_FPS[0]:g} to {RATES_FPS[1]:g} frames per second, got {self.fps:g}")
        for key, field in TEXT_KEYS.items():
            if len(getattr(self, field)) != len(self):
                raise ValueError(f"{key}: expected {len(self)} texts, one a clip, got {len(getattr(self, field))}")
        for key in ("name", "split"):
            if "" in getattr(self, TEXT_KEYS[key]):
                clip = getattr(self, TEXT_KEYS[key]).index("")
                raise ValueError(f"{key}: expected a text for every clip, got an empty one at clip {clip}")
        for key, array in (("pose", self.pose_m), ("root", self.root_m)):
            bad = np.flatnonzero(~np.isfinite(array.reshape(frames, -1)).all(axis=1))
            if len(bad):
                clip = int(np.searchsorted(self.offsets, bad[0], side="right")) - 1
                raise ValueError(
                    f"{key}: expected finite metres, got NaN or infinity in {len(bad)} frames, "
                    f"first frame {bad[0]} (clip {clip}, {self.names[clip]!r})"
                )
        farthest_m = float(np.abs(self.pose_m).max())
        if farthest_m > FARTHEST_JOINT_M:
            raise ValueError(
                f"pose: expected metres from the pelvis (at most {FARTHEST_JOINT_M}), "
                f"got {farthest_m:.1f}; convert centimetres or millimetres first"
            )
        hip_m = float(np.abs(self.pose_m[:, 0]).max())
        if hip_m > 1e-3:
            raise ValueError(
                f"pose: expected joint 0 ({JOINT_NAMES[0]}) at the origin, got it {hip_m:.3f} m away; "
                "subtract the pelvis and give it as root"
            )

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.offsets) - 1

    @property
    def frames_per_clip(self) -> np.ndarray:
        """Frames of every clip, (C,) int64."""
        return np.diff(self.offsets)

    @property
    def minutes(self) -> float:
        """Length of all clips together."""
        return len(self.pose_m) / self.fps / 60

    def clip(self, index: int) -> Clip:
        """Clip number index, its arrays views into these (negative counts from the end); IndexError outside."""
        index = range(len(self))[index]
        span = slice(self.offsets[index], self.offsets[index + 1])
        texts = {key: getattr(self, field)[index] for key, field in TEXT_KEYS.items()}
        return Clip(pose_m=self.pose_m[span], root_m=self.root_m[span], fps=self.fps, **texts)

    def select(self, clips) -> Motions:
        """The clips with these indices, copied, in the order given; ValueError when there are none."""
        clips = [range(len(self))[int(clip)] for clip in clips]
        if not clips:
            raise ValueError("clips: expected at least one index, got none")
        spans = [np.arange(self.offsets[clip], self.offsets[clip + 1]) for clip in clips]
        rows = np.concatenate(spans)
        texts = {field: tuple(getattr(self, field)[clip] for clip in clips) for field in TEXT_KEYS.values()}
        offsets = np.concatenate([[0], np.cumsum([len(span) for span in spans])]).astype(np.int64)
        return Motions(pose_m=self.pose_m[rows], root_m=self.root_m[rows], offsets=offsets, fps=self.fps, **texts)

    def split(self, name: str) -> Motions:
        """The clips of one split ("train", "dev"); ValueError when it has none."""
        clips = [clip for clip, split in enumerate(self.splits) if split == name]
        if not clips:
            raise ValueError(f"split: expected one of {sorted(set(self.splits))}, got {name!r}, which has no clip")
        return self.select(clips)


def load_motions(path: str | Path) -> Motions:
    """Read a motion file (table above), never unpickling; ValueError names file, field, expected and got."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a motion file (.npz), got no such file")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("expected an npz archive, got a file of another kind")
        with np.load(path, allow_pickle=False) as archive:
            missing, unknown = set(KEYS) - set(archive.files), set(archive.files) - set(KEYS)
            if missing or unknown:
                raise ValueError(
                    f"keys: expected {', '.join(KEYS)}; got missing {sorted(missing)}, unknown {sorted(unknown)}"
                )
            arrays = {key: _read(archive, key) for key in KEYS}
        return _motions_from(arrays)
    except Exception as error:  # damaged bytes can fail anywhere in the archive's reader and its decompressors
        raise ValueError(f"{path}: {error}") from error


def save_motions(path: str | Path, motions: Motions, *, half: bool = False) -> None:
    """Write a motion file that load_motions reads back exactly; half stores pose as float16 (0.5 mm)."""
    texts = {key: np.array(getattr(motions, field), dtype=np.str_) for key, field in TEXT_KEYS.items()}
    pose_m = motions.pose_m.astype(np.float16) if half else motions.pose_m
    with open(path, "wb") as file:  # a handle: given a name, numpy would append ".npz" to it
        arrays = {"pose": pose_m, "root": motions.root_m, "offsets": motions.offsets, "fps": np.float64(motions.fps)}
        arrays |= {"joints": np.array(FILE_JOINTS), "parents": np.array(PARENTS, dtype=np.int64)}
        np.savez_compressed(file, allow_pickle=False, **arrays, **texts)


def join_motions(parts) -> Motions:
    """All clips of several Motions of one frame rate, in order; ValueError names a clip of each rate if they differ."""
    parts = list(parts)
    if not parts:
        raise ValueError("parts: expected at least one Motions to join, got none")
    names = {}
    for part in parts:
        names.setdefault(part.fps, []).extend(part.names)
    if len(names) != 1:
        rates = ", ".join(f"{fps} ({len(clips)} clips, first {clips[0]!r})" for fps, clips in sorted(names.items()))
        raise ValueError(f"fps: expected parts of one frame rate, got {rates}; resample first")
    texts = {field: sum((getattr(part, field) for part in parts), ()) for field in TEXT_KEYS.values()}
    lengths = np.concatenate([part.frames_per_clip for part in parts])
    return Motions(
        pose_m=np.concatenate([part.pose_m for part in parts]),
        root_m=np.concatenate([part.root_m for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        fps=parts[0].fps,
        **texts,
    )


LIVELY_M_S = 0.4  # mean speed of a clip's joints from which on it counts in full
LEAST_VARIETY = 0.6  # what a clip counts in which nothing moves
KEYFRAMED_VARIETY = 0.4  # drawn motion: its timing is a game's
SAMENESS = 0.4  # a person's share of the sampling grows with the minutes of their motion to the power of one minus this


def variety(motions: Motions) -> np.ndarray:
    """How much a minute of each clip has to teach, (C,): idles and keyframes count less, and long-filmed people do."""
    worth = np.ones(len(motions))
    people = [f"{source}/{subject}" for source, subject in zip(motions.sources, motions.subjects)]
    frames = {person: 0 for person in people}
    for person, length in zip(people, motions.frames_per_clip):
        frames[person] += int(length)
    for index, person in enumerate(people):
        clip = motions.clip(index)
        if len(clip.pose_m) > 1:
            moved_m = np.linalg.norm(np.diff(clip.joints_m, axis=0), axis=-1).mean()
            worth[index] = np.clip(moved_m * motions.fps / LIVELY_M_S, LEAST_VARIETY, 1)
        if clip.style == "keyframed":
            worth[index] *= KEYFRAMED_VARIETY
        worth[index] *= frames[person] ** -SAMENESS
    return worth


def clip_weights(
    motions: Motions, *, keyword: str = "salsa", share: float = 0.1, variety: np.ndarray | float = 1.0
) -> np.ndarray:
    """Probability of sampling each clip, (C,) float64 summing to 1: by length times `variety` (C,), one
    over-represented kind held down.

    The clips whose action contains keyword get at most this share of the total (the free CMU minutes are a third
    salsa, which would otherwise set the style of every prediction); among themselves they keep their proportions.
    Weights are never raised: a kind below its share stays there, and a set of nothing else is left as it is.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: expected a fraction between 0 and 1, got {share}")
    weights = variety * motions.frames_per_clip
    weights = weights / weights.sum()
    kind = np.array([keyword.lower() in action.lower() for action in motions.actions])
    total = weights[kind].sum()
    if share < total and not kind.all():
        weights[kind] *= share / total
        weights[~kind] *= (1 - share) / (1 - total)
    return weights / weights.sum()


def _form(array: np.ndarray) -> str:
    return f"{array.shape} {array.dtype}"


def _read(archive, key: str) -> np.ndarray:
    try:
        array = archive[key]
    except Exception as error:
        raise ValueError(f"{key}: expected a plain array, got one that cannot be read ({error})") from error
    if isinstance(array, bytes):  # so numpy hands over members that hold no array
        raise ValueError(f"{key}: expected a plain array, got {len(array)} bytes that are none")
    return array


def _motions_from(arrays: dict[str, np.ndarray]) -> Motions:
    joints = len(JOINT_NAMES)
    names = arrays["joints"]
    if names.dtype.kind != "U" or names.shape != (joints,) or tuple(names.tolist()) != FILE_JOINTS:
        raise ValueError(f"joints: expected {', '.join(FILE_JOINTS)} in this order, got {names.tolist()}")
    parents = arrays["parents"]
    if parents.dtype.kind != "i" or parents.shape != (joints,) or tuple(parents.tolist()) != tuple(PARENTS):
        raise ValueError(f"parents: expected {tuple(PARENTS)}, got {parents.tolist()}")
    if arrays["pose"].dtype not in (np.float16, np.float32):
        raise ValueError(f"pose: expected float16 or float32, got {_form(arrays['pose'])}")
    fps = arrays["fps"]
    if fps.shape != () or fps.dtype.kind not in "if":
        raise ValueError(f"fps: expected one number, got {_form(fps)}")
    texts = {}
    for key, field in TEXT_KEYS.items():
        if arrays[key].dtype.kind != "U" or arrays[key].ndim != 1:
            raise ValueError(f"{key}: expected (C,) texts, got {_form(arrays[key])}")
        texts[field] = tuple(arrays[key].tolist())
    return Motions(
        pose_m=arrays["pose"].astype(np.float32),
        root_m=arrays["root"],
        offsets=arrays["offsets"],
        fps=float(fps),
        **texts,
    )
