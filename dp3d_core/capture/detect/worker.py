"""A detector as a process of its own, in whichever environment has what it needs: images in, people out, by pipes.

`python -m dp3d_core.capture.detect.worker` reads frames from stdin and answers each on stdout; what libraries print
goes to stderr. Both ends of the pipes are in this file. Knows nothing of ROS.
"""
# P people, K keypoints

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

_HEADER = struct.Struct("<4sIIId")  # magic, bytes that follow, height, width, stamp in seconds
_FRAME, _ANSWER = b"dp3f", b"dp3a"
MOST_BYTES = 1 << 28


class Detected(NamedTuple):
    """The people of one image."""

    ids: np.ndarray
    """(P,) int32."""
    keypoints_px: np.ndarray
    """(P, K, 2) float32."""
    confidence: np.ndarray
    """(P, K) float32 in [0, 1], 0 = missing."""


class Reader(Protocol):
    """Finds everybody in one image after the other."""

    joint_set: str

    def read(self, image_bgr: np.ndarray, stamp_s: float) -> Detected:
        """The people of an image (height, width, 3) uint8; stamps increase."""
        ...


class WorkerFailed(RuntimeError):
    """The worker has ended, or answers what is no answer; the text says why in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What the worker runs."""

    model: str = ""
    """Path of an ONNX pose model; empty: MediaPipe."""
    joint_set: str = ""
    """Of the model's keypoints; empty: the usual one of that many."""
    max_people: int = 8
    min_score: float = 0.3
    """Of a person, for ONNX models."""
    fixed_camera: bool = False
    """Learn the background, which finds more people: for MediaPipe with a camera that stands still."""


def send_frame(pipe: BinaryIO, image_bgr: np.ndarray, stamp_s: float) -> None:
    """Write one image (height, width, 3) uint8."""
    height, width, _ = image_bgr.shape
    pipe.write(_HEADER.pack(_FRAME, image_bgr.nbytes, height, width, stamp_s))
    pipe.write(np.ascontiguousarray(image_bgr).data.cast("B"))
    pipe.flush()


def receive_frame(pipe: BinaryIO) -> tuple[np.ndarray, float] | None:
    """The next image and its stamp; None at the end of the pipe."""
    header = _exactly(pipe, _HEADER.size)
    if header is None:
        return None
    magic, size, height, width, stamp_s = _HEADER.unpack(header)
    if magic != _FRAME or size != height * width * 3 or size > MOST_BYTES:
        raise WorkerFailed("expected a frame on the pipe, got something else")
    data = _exactly(pipe, size)
    return None if data is None else (np.frombuffer(data, np.uint8).reshape(height, width, 3), stamp_s)


def send_answer(pipe: BinaryIO, **answer: object) -> None:
    """Write one answer, plain values only."""
    data = json.dumps(answer).encode()
    pipe.write(_HEADER.pack(_ANSWER, len(data), 0, 0, 0.0))
    pipe.write(data)
    pipe.flush()


def receive_answer(pipe: BinaryIO) -> dict:
    """The next answer; WorkerFailed where the pipe ends or the answer is an error."""
    header = _exactly(pipe, _HEADER.size)
    magic, size, *_ = _HEADER.unpack(header) if header else (b"", 0)
    data = _exactly(pipe, size) if magic == _ANSWER and size <= MOST_BYTES else None
    if data is None:
        raise WorkerFailed("the detector's process has ended")
    answer = json.loads(data)
    if "error" in answer:
        raise WorkerFailed(answer["error"])
    return answer


def detected(answer: dict) -> Detected:
    """The people of an answer to a frame."""
    count = len(answer["ids"])
    points = np.array(answer["points"], np.float32).reshape(count, -1 if count else 0, 3)
    return Detected(np.array(answer["ids"], np.int32), points[..., :2], points[..., 2])


def _exactly(pipe: BinaryIO, size: int) -> bytes | None:
    """So many bytes, or None where the pipe ends before."""
    data = pipe.read(size)
    return data if data is not None and len(data) == size else None


def serve(make_reader: Callable[[], Reader], frames: BinaryIO, answers: BinaryIO) -> int:
    """Answer frames until their pipe ends; the first answer tells the joint set. Exit status, 1 after an error."""
    try:
        reader = make_reader()
        send_answer(answers, joint_set=reader.joint_set)
        while (frame := receive_frame(frames)) is not None:
            found = reader.read(*frame)
            points = np.concatenate([found.keypoints_px, found.confidence[..., None]], -1).round(4)
            send_answer(answers, ids=found.ids.tolist(), points=points.tolist())
    except BrokenPipeError:
        return 0
    except Exception as error:  # the other end reports it
        expected = isinstance(error, ValueError | OSError | ImportError | WorkerFailed)
        send_answer(answers, error=str(error) if expected else repr(error))
        return 1
    return 0


def make_reader(config: WorkerConfig) -> Reader:
    """The reader of a configuration; ImportError or ValueError say what is missing."""
    if config.model:
        from dp3d_core.capture.detect.onnx import OnnxReader

        return OnnxReader(config)
    from dp3d_core.capture.detect.live import MediaPipeReader

    return MediaPipeReader(config)


def main() -> int:
    """Serve what the first argument, a `WorkerConfig` as JSON, asks for."""
    config = WorkerConfig(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    return serve(lambda: make_reader(config), sys.stdin.buffer, answers)


if __name__ == "__main__":
    raise SystemExit(main())
