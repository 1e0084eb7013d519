"""The rerun viewer in each of its ways: a file, a page in a real browser, a window; and what it says when it cannot."""

import colorsys
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import browser
import numpy as np
import pytest
from figure import standing

from dp3d_core.types import Skeletons
from dp3d_ros.messages.markers import person_colour
from dp3d_ros.messages.pointcloud2 import cloud_from_skeletons

pytestmark = [
    pytest.mark.ros,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("rerun") is None, reason="needs rerun-sdk (the extra `viewer`)"),
]
LEFT_PERSON, RIGHT_PERSON = 1, 2
"""People on the left and right of the picture; their colours are far apart, and unlike rerun's own."""


@pytest.fixture
def ports():
    """Two TCP ports that nobody uses."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def publisher(bench):
    """publish(ids): one frame of skeletons, as the lifter sends it, of people who stand facing the camera."""
    from sensor_msgs.msg import PointCloud2

    made = bench.node.create_publisher(PointCloud2, "/lifter/skeletons", 10)

    def publish(ids):
        count = len(ids)
        joints_m = np.zeros((count, 17, 3), np.float32)
        for index, person in enumerate(ids):
            joints_m[index] = standing() + (0.7 if person == RIGHT_PERSON else -0.7, 0, 0)
        sigma_m = np.full((count, 17), 0.05, np.float32)
        skeletons = Skeletons(
            stamp_s=0.0,
            ids=tuple(ids),
            joints_cam_m=joints_m,
            sigma_m=sigma_m,
            root_sigma_m=sigma_m[:, 0],
            sigma_lateral_m=np.zeros((count, 17), np.float32),
            sigma_depth_m=np.zeros((count, 17), np.float32),
            stature_m=np.full(count, 1.7, np.float32),
            contact=np.zeros((count, 2), np.float32),
            predicted=np.zeros(count, bool),
            actions=(None,) * count,
            metric=True,
        )
        made.publish(cloud_from_skeletons(skeletons, bench.header()))

    bench.until(made.get_subscription_count, "the viewer")
    return publish


@pytest.fixture
def viewer(start):
    """viewer(show, text, **parameters) -> LiveNode that has said `text`."""

    def begin(show, text, env=None, **parameters):
        node = start("viewer", show=show, remaps={"skeletons": "lifter/skeletons"}, env=env, **parameters)
        node.wait_for(text)
        return node

    return begin


def rerun_program(*arguments, **options):
    """Start rerun's own command line."""
    return subprocess.Popen(
        [sys.executable, "-m", "rerun_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def entities(path):
    """The names of everything in a recording, also one that is being written, as rerun's command line tells them."""
    if not path.exists():
        return set()
    text, _ = rerun_program("rrd", "print", str(path)).communicate(timeout=120)
    return set(re.findall(r"/(?:people|sigma_m)(?:/\w+)*", text))


def all_of(person):
    return {f"/people/body_{person}/{part}" for part in ("joints", "bones", "label")} | {f"/sigma_m/body_{person}"}


def test_a_file_has_everybody_who_was_seen(viewer, request, tmp_path):
    path = tmp_path / "new" / "people.rrd"
    mine = tmp_path / "settings of the user"
    node = viewer("file", "writing", file=str(path), env={"XDG_CONFIG_HOME": str(mine)})
    publish, bench = (request.getfixturevalue(name) for name in ("publisher", "bench"))
    for ids in ([LEFT_PERSON], [LEFT_PERSON, RIGHT_PERSON]):
        bench.until(
            lambda ids=ids: entities(path) >= set().union(*map(all_of, ids)),
            f"{ids} in the file",
            every=lambda ids=ids: publish(ids),
        )
    cleared = {f"/people/body_{person}" for person in (LEFT_PERSON, RIGHT_PERSON)}
    bench.until(lambda: entities(path) >= cleared, "that they left", every=lambda: publish([]))
    assert node.interrupt() == 0, node.text()
    assert not mine.exists(), "rerun's settings are the user's own affair"
    assert entities(path) == all_of(LEFT_PERSON) | all_of(RIGHT_PERSON) | cleared | {"/people"}


def test_the_page_is_served_and_its_data_reach_a_client(viewer, request, ports, tmp_path):
    web_port, data_port = ports
    node = viewer("web", "open http", web_port=web_port, data_port=data_port)
    publish, bench = (request.getfixturevalue(name) for name in ("publisher", "bench"))
    for page, kind in (("", "text/html"), ("re_viewer_bg.wasm", "application/wasm"), ("re_viewer.js", "javascript")):
        with urllib.request.urlopen(f"http://localhost:{web_port}/{page}", timeout=60) as answer:
            assert answer.status == 200 and kind in answer.headers["Content-Type"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://localhost:{web_port}/nothing/here", timeout=60)
    assert listening(node.process.pid) == {f"127.0.0.1:{port}" for port in ports}, "nothing else, and for no one else"
    path = tmp_path / "received.rrd"
    client = rerun_program(f"rerun+http://127.0.0.1:{data_port}/proxy", "--save", str(path))
    try:
        bench.until(
            lambda: entities(path) >= all_of(LEFT_PERSON) | all_of(RIGHT_PERSON),
            "people at the client",
            every=lambda: publish([LEFT_PERSON, RIGHT_PERSON]),
        )
    finally:
        os.killpg(client.pid, signal.SIGINT)
        client.wait(60)
    assert node.interrupt() == 0 and "Traceback" not in node.text(), node.text()


def listening(pid):
    """Addresses on which the children of a process listen for TCP."""
    children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    sockets = {
        os.readlink(link)
        for child in children
        for link in Path(f"/proc/{child}/fd").iterdir()
        if link.exists() or link.is_symlink()
    }
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                host, port = local.split(":")
                found.add(f"{'.'.join(str(byte) for byte in bytes.fromhex(host)[::-1])}:{int(port, 16)}")
    return found


def test_the_people_tell_which_way_is_up():
    from dp3d_ros.viewer_node import z_is_up

    optical_m = standing()
    leaning_m = optical_m @ np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]).T  # before a camera that looks down
    upright_m = optical_m @ np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]).T  # x forward, y left, z up
    for joints_m, answer in ((optical_m, False), (leaning_m, False), (upright_m, True)):
        assert z_is_up({1: (joints_m, None, None)}) == answer


def pixels_of(image, person):
    """Columns and rows (N, 2) of the pixels whose hue is that of a person."""
    rgb = image.astype(np.float32) / 255
    high, low = rgb.max(-1), rgb.min(-1)
    saturated = (high - low > 0.2) & (high > 0.25)
    hue = colorsys.rgb_to_hsv(*person_colour(person))[0]
    rows, columns = np.nonzero(saturated)
    hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in rgb[rows, columns].tolist()])
    near = np.abs((hues - hue + 0.5) % 1 - 0.5) < 0.04 if len(hues) else np.zeros(0, bool)
    return np.stack([columns[near], rows[near]], 1)


@pytest.mark.browser
@pytest.mark.skipif(browser.program() is None, reason="needs Chromium")
def test_a_browser_shows_two_people_side_by_side_and_who_leaves_vanishes(viewer, request, ports, tmp_path):
    node = viewer("web", "open http", web_port=ports[0], data_port=ports[1])
    publish, bench = (request.getfixturevalue(name) for name in ("publisher", "bench"))
    (address,) = re.findall(r"open (http\S+)", node.text())
    page = browser.Browser(tmp_path)

    def shown(ids):
        """The pixels of each person once exactly `ids` are seen in the 3D view, the upper part of the window."""
        found, picture = {}, tmp_path / f"page_of_{len(ids)}.png"

        def seen():
            for _ in range(5):
                publish(ids)
                bench.spin(0.05)
            view = page.screenshot(picture)[90:580]
            found.update({person: pixels_of(view, person) for person in (LEFT_PERSON, RIGHT_PERSON)})
            return {person for person, pixels in found.items() if len(pixels) > 100} == set(ids)

        bench.until(seen, f"people {ids} on the page (see {picture})", timeout_s=240.0)
        return found

    try:
        page.open(address)
        found = shown([LEFT_PERSON, RIGHT_PERSON])
        for pixels in found.values():
            width_px, height_px = np.percentile(pixels, 95, axis=0) - np.percentile(pixels, 5, axis=0)
            assert height_px > 1.5 * width_px, "people stand upright"
        left, right = (np.median(found[person], axis=0) for person in (LEFT_PERSON, RIGHT_PERSON))
        assert left[0] < right[0], "the view is not mirrored"
        shown([RIGHT_PERSON])
        shown([])
    finally:
        page.close()
    assert node.interrupt() == 0, node.text()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_window_opens_and_the_node_outlives_it(viewer, request, ports, monkeypatch):
    monkeypatch.delenv("CI", raising=False)  # with it rerun is quiet by itself, and what we do would not be seen
    read, write = os.pipe()
    screen = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1000x800x24"], pass_fds=[write])
    os.close(write)
    with os.fdopen(read) as told:
        display = f":{told.readline().strip()}"
    try:
        # No window manager is at hand that could close the window: its process is ended instead
        env = {"DISPLAY": display, "RUST_LOG": "warn,re_analytics=debug", "FORCE_RERUN_ANALYTICS": "1"}
        node = viewer("native", "in a window", env=env, data_port=ports[1])
        node.wait_for("Analytics disabled by configuration")
        publish, bench = (request.getfixturevalue(name) for name in ("publisher", "bench"))
        (window,) = processes_with(f"--port={ports[1]}", "rerun")
        publish([LEFT_PERSON])
        os.kill(window, signal.SIGKILL)
        bench.until(lambda: not processes_with(f"--port={ports[1]}", "rerun"), "the end of the window")
        publish([LEFT_PERSON])
        assert node.process.poll() is None
        assert node.interrupt() == 0 and "Traceback" not in node.text(), node.text()
    finally:
        screen.terminate()
        screen.wait()


def processes_with(*words):
    """Ids of the living processes whose command lines have all the words."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if all(word in line for word in words):
            found.append(int(name))
    return found


@pytest.mark.parametrize("name", ["web_port", "data_port"])
def test_a_port_in_use_is_one_clear_error(start, ports, name):
    taken, free = ports
    with socket.socket() as listener:
        listener.bind(("", taken))
        listener.listen()
        node = start("viewer", show="web", **{"web_port": free, "data_port": free, name: taken})
        assert node.process.wait(60) == 1
    assert f"error: {name}: port {taken} cannot be used (Address already in use)" in node.text()
    assert "Traceback" not in node.text()


def test_no_display_is_one_clear_error(start):
    node = start("viewer", show="native", env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert node.process.wait(60) == 1
    assert "error: show: native needs a display" in node.text() and "Traceback" not in node.text()


def test_what_rerun_refuses_is_one_clear_error(start, ports):
    node = start("viewer", show="web", web_port=ports[0], data_port=ports[1], memory_limit="lots")
    assert node.process.wait(60) == 1
    assert "error: show: web: " in node.text() and "Traceback" not in node.text()


def test_without_rerun_the_error_names_what_to_install(start, tmp_path):
    (tmp_path / "rerun.py").write_text("raise ModuleNotFoundError('no rerun here')")
    search = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    node = start("viewer", show="web", env={"PYTHONPATH": search})
    assert node.process.wait(60) == 1
    assert "error: viewer: needs rerun-sdk; pip install" in node.text() and "Traceback" not in node.text()
