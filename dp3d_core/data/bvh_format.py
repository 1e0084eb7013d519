"""The BVH file format: parse strictly, and put the joints into the world by forward kinematics.

Knows nothing of people: names, units and axes are the file's own.

# T frames, N nodes (joints and end sites, parents before children), C channels
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

AXES = {"x": 0, "y": 1, "z": 2}
DEEPEST = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bvh:
    """A parsed file: names (N,), parents (N,) with -1 for a root, offsets (N, 3), values (T, C), frame_time_s.

    channels[n] are node n's channels in the file's order, each ("position" | "rotation", axis 0..2), none for an end
    site, whose name is its parent's with "_end". Node n's values are the next len(channels[n]) columns.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[tuple[str, int], ...], ...]
    values: np.ndarray
    frame_time_s: float

    def positions(self) -> np.ndarray:
        """World position of every node, (T, N, 3) in the file's unit and axes.

        Rotations apply in the order of the channels, about axes that move along: the matrix is the product from the
        first to the last. A position channel takes the place of that axis' OFFSET, as in files that write all six
        channels for every joint.
        """
        frames = len(self.values)
        placed, turned = [], []
        column = 0
        for node, parent in enumerate(self.parents):
            shift = np.repeat(self.offsets[node][None], frames, axis=0)
            turn = np.broadcast_to(np.eye(3), (frames, 3, 3))
            for kind, axis in self.channels[node]:
                if kind == "position":
                    shift[:, axis] = self.values[:, column]
                else:
                    turn = turn @ _about(axis, np.radians(self.values[:, column]))
                column += 1
            if parent < 0:
                placed.append(shift)
                turned.append(turn)
            else:
                placed.append(placed[parent] + np.einsum("tij,tj->ti", turned[parent], shift))
                turned.append(turned[parent] @ turn)
        return np.stack(placed, axis=1)


def read_bvh(path: str | Path) -> Bvh:
    """Parse one file; ValueError names file and line of the first thing that is not as BVH has it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a BVH file, got no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text, got bytes that are none ({error})") from error
    return _Parser(path, text).parse()


class _Parser:
    def __init__(self, path, text):
        # One item a line, braces on lines of their own, each with the number of the line it came from.
        self.lines = [
            (number, part.strip())
            for number, line in enumerate(text.splitlines(), start=1)
            for part in (
                line.replace("{", "\n{\n").replace("}", "\n}\n").split("\n") if "}" in line or "{" in line else (line,)
            )
            if part.strip()
        ]
        self.path, self.at = path, 0
        self.names, self.parents, self.offsets, self.channels = [], [], [], []

    def fail(self, expected):
        last = self.at >= len(self.lines)
        where = (
            f"after line {self.lines[-1][0]}"
            if last and self.lines
            else f"line {self.lines[self.at][0]}"
            if (self.lines)
            else "line 1"
        )
        got = "the end of the file" if last else repr(self.lines[self.at][1][:60])
        raise ValueError(f"{self.path}: {where}: expected {expected}, got {got}")

    def words(self, expected):
        if self.at >= len(self.lines):
            self.fail(expected)
        return self.lines[self.at][1].split()

    def take(self, *expected):
        """Step over a line that consists of exactly these words, case aside."""
        if [word.lower() for word in self.words(expected[0])] != [word.lower() for word in expected]:
            self.fail(" ".join(expected))
        self.at += 1

    def numbers(self, words, expected):
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            self.fail(expected)
        if not np.isfinite(values).all():
            self.fail(expected)
        return values

    def parse(self) -> Bvh:
        self.take("HIERARCHY")
        while self.words("ROOT or MOTION")[0].upper() == "ROOT":
            self.node(-1, 0)
        if not self.names:
            self.fail("ROOT and a name")
        self.take("MOTION")
        frames, frame_time_s = self.header()
        width = sum(map(len, self.channels))
        rows = np.empty((frames, width))
        for row in range(frames):
            words = self.words(f"frame {row + 1} of {frames}")
            if len(words) != width:
                self.fail(f"{width} numbers of frame {row + 1} (there are {len(words)})")
            rows[row] = self.numbers(words, f"{width} finite numbers of frame {row + 1}")
            self.at += 1
        if self.at < len(self.lines):
            self.fail(f"the end of the file after the {frames} frames announced")
        return Bvh(
            names=tuple(self.names),
            parents=tuple(self.parents),
            offsets=np.array(self.offsets),
            values=rows,
            channels=tuple(self.channels),
            frame_time_s=frame_time_s,
        )

    def header(self):
        words = self.words("Frames: and a number")
        if len(words) != 2 or words[0].lower() != "frames:" or not words[1].isdecimal() or int(words[1]) < 1:
            self.fail("Frames: and a positive number")
        frames = int(words[1])
        if frames > len(self.lines):
            self.fail(f"no more frames than the file has lines ({len(self.lines)})")
        self.at += 1
        words = self.words("Frame Time: and seconds")
        if len(words) != 3 or [word.lower() for word in words[:2]] != ["frame", "time:"]:
            self.fail("Frame Time: and seconds")
        (frame_time_s,) = self.numbers(words[2:], "Frame Time: and seconds")
        if not 1e-4 <= frame_time_s <= 10:
            self.fail("Frame Time: and seconds between 0.0001 and 10")
        self.at += 1
        return frames, float(frame_time_s)

    def node(self, parent, depth):
        if depth > DEEPEST:
            self.fail(f"joints nested at most {DEEPEST} deep")
        words = self.words("JOINT")
        is_end = [word.lower() for word in words[:2]] == ["end", "site"]
        name = f"{self.names[parent]}_end" if is_end else " ".join(words[1:])
        if not name:
            self.fail("a name")
        if name in self.names and not is_end:
            self.fail("a name that no other joint has")
        self.at += 1
        self.take("{")
        words = self.words("OFFSET and three numbers")
        if len(words) != 4 or words[0].upper() != "OFFSET":
            self.fail("OFFSET and three numbers")
        self.offsets.append(self.numbers(words[1:], "OFFSET and three finite numbers"))
        self.names.append(name)
        self.parents.append(parent)
        self.at += 1
        this = len(self.names) - 1
        self.channels.append(() if is_end else self.channel_list())
        while self.words("JOINT, End Site or }")[0] != "}":
            first = self.words("JOINT")[0].upper()
            if is_end or first not in ("JOINT", "END"):
                self.fail("}" if is_end else "JOINT, End Site or }")
            if first == "END" and [word.lower() for word in self.words("End Site")[:2]] != ["end", "site"]:
                self.fail("End Site")
            self.node(this, depth + 1)
        self.take("}")

    def channel_list(self):
        words = self.words("CHANNELS")
        if len(words) < 2 or words[0].upper() != "CHANNELS" or words[1] != str(len(words) - 2):
            self.fail("CHANNELS, their number and that many names")
        channels = []
        for word in words[2:]:
            axis, kind = AXES.get(word[0].lower()), word[1:].lower()
            if axis is None or kind not in ("position", "rotation") or (kind, axis) in channels:
                self.fail("channels Xposition … Zrotation, each at most once")
            channels.append((kind, axis))
        self.at += 1
        return tuple(channels)


def _about(axis, angle_rad) -> np.ndarray:
    """Rotation about one coordinate axis, (T,) radians to (T, 3, 3)."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.zeros((len(angle_rad), 3, 3))
    turn[:, axis, axis] = 1
    turn[:, first, first] = turn[:, second, second] = np.cos(angle_rad)
    turn[:, second, first] = np.sin(angle_rad)
    turn[:, first, second] = -np.sin(angle_rad)
    return turn
