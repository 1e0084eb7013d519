"""A real browser without a window, for tests: Chromium, driven over its debugging pipe; draws 3D in software."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time

import cv2
import numpy as np

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


def program():
    """Path of a Chromium of this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page; commands are those of the Chrome DevTools Protocol."""

    def __init__(self, folder, *, width_px=1000, height_px=800, timeout_s=120.0):
        self._timeout_s = timeout_s
        self._unread, self._asked = b"", 0
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()

        def place_pipes():
            # Chromium reads commands from 3 and answers on 4; far away first, lest one lands on the other
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (commands, answers)]
            for end, place in zip(ends, (3, 4)):
                os.dup2(end, place)

        with open(folder / "browser.log", "w") as log:
            self._process = subprocess.Popen(
                [program(), *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width_px},{height_px}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                close_fds=False,
                preexec_fn=place_pipes,
                start_new_session=True,
            )
        os.close(commands)
        os.close(answers)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, **params):
        """The result of one command; TimeoutError, ConnectionError or RuntimeError where there is none."""
        self._asked += 1
        command = {"id": self._asked, "method": method, "params": params}
        if hasattr(self, "_session"):
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        end_s = time.monotonic() + self._timeout_s
        while True:
            while b"\0" in self._unread:
                line, self._unread = self._unread.split(b"\0", 1)
                answer = json.loads(line)
                if answer.get("id") == self._asked:
                    if "error" in answer:
                        raise RuntimeError(f"{method}: {answer['error']}")
                    return answer["result"]
            if not select.select([self._read], [], [], max(0.0, end_s - time.monotonic()))[0]:
                raise TimeoutError(f"{method}: no answer of the browser in {self._timeout_s:g} s")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise ConnectionError(f"{method}: the browser has ended")
            self._unread += chunk

    def open(self, url):
        """Go to a page; raises RuntimeError where it cannot be reached."""
        problem = self.call("Page.navigate", url=url).get("errorText")
        if problem:
            raise RuntimeError(f"{url}: {problem}")

    def screenshot(self, path):
        """What the page shows, (H, W, 3) uint8 RGB; also kept as a PNG at `path`."""
        end_s = time.monotonic() + self._timeout_s
        while True:
            try:
                picture = self.call("Page.captureScreenshot", format="png")["data"]
                break
            except RuntimeError:  # while one page takes the place of another, there is none to take a picture of
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)
        path.write_bytes(base64.b64decode(picture))
        return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])

    def close(self):
        """End the browser and all its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
