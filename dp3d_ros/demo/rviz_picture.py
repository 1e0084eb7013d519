"""A picture of what RViz shows of the demo, without RViz: reads the same MarkerArray and layout, draws with OpenCV.

python -m dp3d_ros.demo.rviz_picture dp3d_ros/resource/rviz.jpg --second 21    (the picture in dp3d_ros/README.md)

A stand-in: it draws the ground and markers of kind SPHERE_LIST, LINE_LIST, SPHERE and TEXT_VIEW_FACING, as the layout's
orbit view sees them in the fixed frame of demo.launch.py. Light and shadow are not RViz's.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from dp3d_core import Lifter
from dp3d_ros.demo.layout import GRID, demo_layout
from dp3d_ros.messages.markers import markers_from_skeletons
from dp3d_ros.messages.tf import upright
from dp3d_ros.player_node import camera_of, open_recording

SIZE_PX = 1100, 620
HEIGHT_DEG = 45.0
"""Vertical field of view of RViz."""
NEAREST_M = 0.2
SMOOTHER = 2
"""Drawn so many times as large, then made smaller."""


class OrbitView:
    """RViz's orbit view of a layout: projects points of the fixed frame."""

    def __init__(self, view: dict[str, Any], size_px: tuple[int, int]):
        pitch, yaw = view["Pitch"], view["Yaw"]
        back = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
        self.eye_m = np.array([view["Focal Point"][axis] for axis in "XYZ"], float) + view["Distance"] * back
        right = np.cross(-back, (0, 0, 1))
        right /= np.linalg.norm(right)
        self._axes = np.stack([right, np.cross(-back, right), -back])
        self.focal_px = size_px[1] / 2 / np.tan(np.radians(HEIGHT_DEG) / 2)
        self._centre_px = np.array(size_px) / 2

    def see(self, points_m) -> tuple[np.ndarray, np.ndarray]:
        """(..., 3) metres to (..., 2) pixels and (...) depths; pixels are NaN where a point is too near or behind."""
        local = (np.asarray(points_m, float) - self.eye_m) @ self._axes.T
        depth = np.where(local[..., 2] > NEAREST_M, local[..., 2], np.nan)
        return local[..., :2] / depth[..., None] * self.focal_px + self._centre_px, depth


def picture(markers, layout: dict[str, Any], turn: np.ndarray, height_m: float) -> np.ndarray:
    """(H, W, 3) uint8 BGR of a MarkerArray in the optical frame, which `turn` (3, 3) and its height put upright."""
    import cv2

    manager = layout["Visualization Manager"]
    size_px = SIZE_PX[0] * SMOOTHER, SIZE_PX[1] * SMOOTHER
    view = OrbitView(manager["Views"]["Current"], size_px)
    image = np.empty((size_px[1], size_px[0], 3), np.uint8)
    image[:] = _bgr(manager["Global Options"]["Background Color"])
    (grid,) = (item for item in manager["Displays"] if item["Class"] == GRID)
    for ends in ground(grid):
        _line(
            image, view, ends, _mix(_bgr(grid["Color"]), image[0, 0], grid["Alpha"]), grid["Line Style"]["Line Width"]
        )
    for depth, draw in sorted(_pieces(markers, view, turn, height_m), key=lambda piece: -piece[0]):
        draw(image, depth)
    return cv2.resize(image, SIZE_PX, interpolation=cv2.INTER_AREA)


def ground(grid: dict[str, Any]):
    """The lines of a Grid display in its XY plane, in pieces of a cell: pairs of points (2, 3)."""
    cells, size = grid["Plane Cell Count"], grid["Cell Size"]
    offset = np.array([grid["Offset"][axis] for axis in "XYZ"], float)
    steps = (np.arange(cells + 1) - cells / 2) * size
    for at in steps:
        for start, end in pairwise(steps):
            for ends in (((at, start, 0), (at, end, 0)), ((start, at, 0), (end, at, 0))):
                yield np.array(ends) + offset


def _pieces(markers, view: OrbitView, turn: np.ndarray, height_m: float):
    """(depth, draw(image, depth)) of every ball, bone and text."""
    from visualization_msgs.msg import Marker

    place = lambda point: turn @ (point.x, point.y, point.z) + (0, 0, height_m)  # noqa: E731
    for marker in markers.markers:
        points = np.array([place(point) for point in marker.points]).reshape(-1, 3)
        colours = [_rgba(colour) for colour in marker.colors] or [_rgba(marker.color)] * max(len(points), 1)
        width_m = marker.scale.x
        if marker.type == Marker.SPHERE_LIST:
            for point, colour in zip(points, colours):
                yield view.see(point)[1], _ball(view, point, width_m / 2, colour)
        elif marker.type == Marker.SPHERE:
            middle = place(marker.pose.position)
            yield view.see(middle)[1], _ball(view, middle, width_m / 2, colours[0])
        elif marker.type == Marker.LINE_LIST:
            for ends, colour in zip(points.reshape(-1, 2, 3), colours[::2]):
                yield view.see(ends.mean(0))[1], _bone(view, ends, width_m, colour)
        elif marker.type == Marker.TEXT_VIEW_FACING:
            middle = place(marker.pose.position)
            yield view.see(middle)[1], _text(view, middle, marker.scale.z, marker.text, colours[0])


def _ball(view, middle_m, radius_m, colour):
    import cv2

    def draw(image, depth):
        at = _pixel(view.see(middle_m)[0])
        if at is not None:
            cv2.circle(
                image, at, max(1, round(radius_m * view.focal_px / depth)), _over(image, at, colour), -1, cv2.LINE_AA
            )

    return draw


def _bone(view, ends_m, width_m, colour):
    def draw(image, depth):
        at = _pixel(view.see(ends_m.mean(0))[0])
        if at is not None:
            _line(image, view, ends_m, _over(image, at, colour), width_m)

    return draw


def _text(view, middle_m, height_m, text, colour):
    import cv2

    def draw(image, depth):
        at = _pixel(view.see(middle_m)[0])
        if at is None:
            return
        scale = height_m * view.focal_px / depth / 22
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        corner = at[0] - width // 2, at[1] + height // 2
        cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour[0], SMOOTHER, cv2.LINE_AA)

    return draw


def _line(image, view, ends_m, colour, width_m):
    import cv2

    pixels, depth = view.see(ends_m)
    first, second = map(_pixel, pixels)
    if first is not None and second is not None:
        cv2.line(image, first, second, colour, max(1, round(width_m * view.focal_px / depth.mean())), cv2.LINE_AA)


def _pixel(point):
    return (
        None
        if not np.isfinite(point).all() or np.abs(point).max() > 1e5
        else tuple(np.rint(point).astype(int).tolist())
    )


def _rgba(colour):
    """BGR 0 to 255, and how opaque."""
    return (255 * colour.b, 255 * colour.g, 255 * colour.r), colour.a


def _over(image, at, colour):
    """The colour above what is there."""
    x, y = np.clip(at, 0, (image.shape[1] - 1, image.shape[0] - 1))
    return _mix(colour[0], image[y, x], colour[1])


def _mix(colour, below, share):
    return tuple(float(share * a + (1 - share) * b) for a, b in zip(colour, below))


def _bgr(text: str):
    return [float(part) for part in reversed(text.split(";"))]


def main(argv: Sequence[str] | None = None) -> None:
    """Lift a recording up to a moment and draw what RViz would show of it."""
    import cv2
    from std_msgs.msg import Header

    parser = argparse.ArgumentParser(prog="python -m dp3d_ros.demo.rviz_picture", description=main.__doc__)
    parser.add_argument("out", help="picture to write (jpg or png)")
    parser.add_argument("--recording", default="vtest", help="shipped recording or path (default: vtest)")
    parser.add_argument("--second", type=float, default=21.0, help="moment of the recording (default: 21)")
    parser.add_argument("--weights", default="small", help="shipped weights or path (default: small)")
    given = parser.parse_args(argv)
    recording = open_recording(given.recording)
    stream = Lifter.load(given.weights).stream(camera=camera_of(recording), joint_set=recording.joint_set)
    skeletons = None
    for stamp_s, people in recording.frames():
        if skeletons is not None and stamp_s > given.second:
            break
        skeletons = stream.push(stamp_s, people)
    markers = markers_from_skeletons(skeletons, Header(frame_id="camera_optical_frame"))
    up = (0.0, -1.0, 0.0) if recording.ground_normal_cam is None else recording.ground_normal_cam
    height_m = 1.5 if recording.ground_distance_m is None else recording.ground_distance_m
    turn = _matrix(upright(up))
    image = picture(markers, demo_layout(), turn, height_m)
    if not cv2.imwrite(given.out, image, [cv2.IMWRITE_JPEG_QUALITY, 85]):
        raise SystemExit(f"cannot write {given.out}; use .jpg or .png in a folder that exists")


def _matrix(quaternion) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(quaternion).as_matrix()


if __name__ == "__main__":
    main()
