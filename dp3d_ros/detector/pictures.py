"""Where the detector's pictures come from: a topic, a camera device, or a video file at its own pace.

All have `take(timeout_s)`: the newest picture that was not taken yet. Only the newest counts, so a slow detector drops
pictures instead of lagging. Knows nothing of the network.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RETRY_S = 2.0
"""Between attempts to open a device that is not there."""


class Picture(NamedTuple):
    """One image and when it was taken."""

    image: Any
    """(height, width, 3) uint8 BGR, or a message that `read` turns into one."""
    stamp_ns: int
    frame_id: str


class Newest:
    """Holds the newest picture until it is taken; counts those that came."""

    def __init__(self) -> None:
        self.received = 0
        self._picture: Picture | None = None
        self._came = threading.Condition()

    @property
    def waiting(self) -> bool:
        """Whether a picture waits to be taken."""
        return self._picture is not None

    def put(self, picture: Picture) -> None:
        """A picture came; one that still waits is dropped."""
        with self._came:
            self.received += 1
            self._picture = picture
            self._came.notify()

    def take(self, timeout_s: float) -> Picture | None:
        """The newest picture, or None if none comes in time."""
        with self._came:
            if self._picture is None:
                self._came.wait(timeout_s)
            picture, self._picture = self._picture, None
            return picture


class Capture:
    """Reads a device or a video file in a thread of its own.

    source: path of a video, or of a device as /dev/video0, or the device's number. A device that cannot be opened, or
    that is unplugged, is tried again; `problem` says so. A file is played at its own rate and then `ended`.
    """

    def __init__(self, source: str, newest: Newest, *, frame_id: str, loop: bool, now_ns: Callable[[], int]) -> None:
        self.newest = newest
        self.problem = ""
        self.ended = False
        self.size_px = (0, 0)
        """Width and height of the pictures, once there is one."""
        self._source, self._frame_id, self._loop, self._now_ns = source, frame_id, loop, now_ns
        self._is_file = not source.isdecimal() and not source.startswith("/dev/")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            capture = self._open()
            if capture is not None:
                self._read(capture)
                capture.release()
                if self._is_file and not self._loop:
                    self.ended = True
                    return
            if not self._is_file or capture is None:
                self._stop.wait(RETRY_S)

    def _open(self):
        """An open capture, or None with the reason in `problem`."""
        import cv2

        if self._is_file and not Path(self._source).is_file():
            self.problem = f"video: no file at {self._source}"
            return None
        if self._source.startswith("/dev/") and not Path(self._source).exists():
            self.problem = f"video: there is no device {self._source}; is the camera plugged in?"
            return None
        capture = cv2.VideoCapture(int(self._source) if self._source.isdecimal() else self._source)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # a phone writes its pictures lying and says so in the file
        if not capture.isOpened():
            what = "convert it to mp4 or avi" if self._is_file else "is another program using the camera?"
            self.problem = f"video {self._source}: OpenCV cannot read it; {what}"
            return None
        return capture

    def _read(self, capture) -> None:
        """Pictures until the end, or until the device fails."""
        import cv2

        rate = capture.get(cv2.CAP_PROP_FPS)
        period_s = 1 / rate if self._is_file and np.isfinite(rate) and 0 < rate <= 1000 else 0.0
        started_s, started_ns, count = time.monotonic(), self._now_ns(), 0
        while not self._stop.is_set():
            there, image = capture.read()
            if not there:
                if not count or not self._is_file:
                    self.problem = f"video {self._source}: no picture comes from it; is the camera unplugged?"
                return
            self.problem = ""
            self.size_px = image.shape[1], image.shape[0]
            stamp_ns = self._now_ns()
            if self._is_file:
                period_s = period_s or 1 / 30
                stamp_ns = started_ns + round(count * period_s * 1e9)
                self._stop.wait(max(0.0, started_s + count * period_s - time.monotonic()))
            count += 1
            self.newest.put(Picture(image, stamp_ns, self._frame_id))
