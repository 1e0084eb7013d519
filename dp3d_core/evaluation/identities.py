"""`dp3d ids`: do ids last? Counts ids and swaps on the shipped recording.

The truth is `recordings/vtest_people.csv`: who each row of the recording shows, told apart by eye in the video. Rows
that show two people mixed, or one of them a second time, are in no line of it and count for nothing.
"""
# R rows of the recording, one person in one frame each

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dp3d_core.capture.recording import Recording, load, shipped
from dp3d_core.config import StreamConfig
from dp3d_core.live.identify import Identifier, IdentifyConfig
from dp3d_core.skeleton import adapt, joint_set

NOBODY = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well ids follow people who are told apart by eye."""

    ids: int
    """Different ids, also on rows that show nobody clearly."""
    changes: int
    """Times that a person comes to another id within a stay."""
    swaps: int
    """Times that an id passes from one person to another."""
    unnamed: int
    """Rows that show somebody clearly and got no id."""


def truth(recording: Recording, path: str | Path) -> np.ndarray:
    """Who is in each row: (R,) text, empty where it is not clear. ValueError where a line names no row."""
    who = np.full(len(recording.frame), NOBODY, object)
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            first, last = int(line["first_frame"]), int(line["last_frame"])
            rows = (recording.person == int(line["track"])) & (recording.frame >= first) & (recording.frame <= last)
            if not rows.any():
                raise ValueError(f"{path}: no row of the recording for {line}")
            who[rows] = line["person"]
    return who


def stays(recording: Recording, who: np.ndarray, max_gap_s: float) -> Iterator[tuple[str, np.ndarray]]:
    """Each person's stays as (person, rows): from entering to leaving, unseen in between for at most `max_gap_s`."""
    for person in sorted(set(who) - {NOBODY}):
        rows = np.flatnonzero(who == person)
        past_s = np.diff(recording.stamps_s[recording.frame[rows]])
        for stay in np.split(rows, np.flatnonzero(past_s > max_gap_s + 1e-6) + 1):
            yield person, stay


def identify(recording: Recording, max_gap_s: float) -> np.ndarray:
    """The ids (R,) that a live stream gives to the recording's bodies; -1 for none."""
    joints_px, confidence = adapt(recording.keypoints_px, recording.confidence, joint_set(recording.joint_set))
    ids, identifier = np.full(len(recording.frame), -1), Identifier(IdentifyConfig(max_gap_s=max_gap_s))
    for frame, stamp_s in enumerate(recording.stamps_s):
        rows = recording.frame == frame
        ids[rows] = identifier.update(joints_px[rows], confidence[rows], stamp_s)
    return ids


def score(recording: Recording, who: np.ndarray, ids: np.ndarray, max_gap_s: float) -> Score:
    """Compare ids (R,) with the truth (R,)."""
    named, clear = ids >= 0, who != NOBODY
    changes = sum(int((np.diff(ids[stay[named[stay]]]) != 0).sum()) for _, stay in stays(recording, who, max_gap_s))
    swaps = 0
    for number in np.unique(ids[named]):
        people = who[clear & (ids == number)]
        swaps += int((people[1:] != people[:-1]).sum())
    return Score(ids=len(np.unique(ids[named])), changes=changes, swaps=swaps, unnamed=int((clear & ~named).sum()))


def cut(recording: Recording, who: np.ndarray) -> tuple[Recording, np.ndarray]:
    """The recording up to the last frame that was looked at, and the truth of its rows."""
    frames = int(recording.frame[who != NOBODY].max()) + 1
    rows = recording.frame < frames
    kept = {name: getattr(recording, name)[rows] for name in ("frame", "person", "keypoints_px", "confidence")}
    return replace(recording, stamps_s=recording.stamps_s[:frames], **kept), who[rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdsOptions:
    """Count the ids that a stream gives to the people of the shipped recording, and how often they swap."""

    max_gap_s: float = StreamConfig().reset_after_s
    """A person may be unseen for so long and keep the id, as with `reset_after_s` of a stream, seconds."""


def command(options: IdsOptions) -> None:
    """Print the table."""
    path = shipped("vtest")
    recording = load(path)
    recording, who = cut(recording, truth(recording, path.with_name("vtest_people.csv")))
    count = len(list(stays(recording, who, options.max_gap_s)))
    people = len(set(who) - {NOBODY})
    print(f"vtest, {len(recording.stamps_s)} frames: {people} people, {count} stays, {len(who)} rows")
    print(f"{'ids given by':26}{'ids':>6}{'changes':>9}{'swaps':>7}{'rows without':>14}")
    streamed = identify(recording, options.max_gap_s)
    for name, ids in (("the recording", recording.person), ("a stream, without its ids", streamed)):
        found = score(recording, who, ids, options.max_gap_s)
        print(f"{name:26}{found.ids:6}{found.changes:9}{found.swaps:7}{found.unnamed:14}")
