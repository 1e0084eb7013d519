# P people, J = 17 joints, K keypoints of the detector, H height, W width
"""Films lifted people: the 2D keypoints beside two 3D views over a ground grid. OpenCV draws, nothing else is needed.

Colours are RGB in this file and BGR in the images, as OpenCV wants them. Knows nothing of networks or ROS.
"""

from colorsys import hsv_to_rgb
from pathlib import Path

import numpy as np

from dp3d_core.drawing.scene import HEIGHT, WIDTH, make_scene
from dp3d_core.skeleton import BONES, LEFT, RIGHT

__all__ = ["colour_of", "make_scene", "render_frame", "write_video"]

_BACKGROUND, _PANEL, _GRID, _TEXT, _DIM = (16, 18, 24), (24, 27, 35), (70, 78, 96), (228, 231, 238), (140, 148, 166)
_LINE_M = 0.07
"""Thickness of a drawn limb."""


def colour_of(person):
    """The RGB colour of a person id, the same in every frame and view; neighbouring ids are far apart in hue."""
    hue = (0.08 + person * 0.6180339887) % 1.0
    return tuple(round(255 * channel) for channel in hsv_to_rgb(hue, 0.62 if person % 2 else 0.48, 0.98))


def render_frame(scene, skeletons, keypoints, *, stamp_s, image=None, trails=None, note=""):
    """One picture of the film: (720, 1600, 3) uint8, BGR.

    skeletons: a `Skeletons`; keypoints: {person: (keypoints_px (K, 2), confidence (K,))} that the detector saw;
    image: the video's frame if there is one; trails: {person: (M, 3) past roots, camera frame}; note: a line of text.
    """
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = _BACKGROUND[::-1]
    _draw_keypoints(scene, picture, keypoints, image)
    people = [
        (person, scene.ground.to_world(joints), np.nan_to_num(sigma), bool(predicted))
        for person, joints, sigma, predicted in zip(
            skeletons.ids, skeletons.joints_cam_m, skeletons.sigma_m, skeletons.predicted
        )
        if np.isfinite(joints).all()
    ]
    paths = {
        person: scene.ground.to_world(path) * (1, 1, 0) for person, path in (trails or {}).items() if len(path) > 1
    }
    for view in scene.views:
        x, y, width, height = view.box_px
        _draw_view(scene, view, picture[y : y + height, x : x + width], people, paths)
    _draw_caption(picture, stamp_s, len(people), note)
    return picture


def _draw_keypoints(scene, picture, keypoints, image):
    """The left panel: the camera's picture, or darkness, with what the detector saw."""
    import cv2

    width, height = scene.image_size_px
    scale = min((WIDTH // 2 - 12) / width, (HEIGHT - 128) / height)
    size = (round(width * scale), round(height * scale))
    x, y = 8 + (WIDTH // 2 - 12 - size[0]) // 2, 8
    panel = picture[y : y + size[1], x : x + size[0]]
    panel[:] = _PANEL[::-1] if image is None else (cv2.resize(image, size, interpolation=cv2.INTER_AREA) * 0.6)
    for person, (points_px, confidence) in keypoints.items():
        points = np.asarray(points_px, np.float64) * scale
        seen = (np.asarray(confidence) > 0.05) & np.isfinite(points).all(-1)
        colour = colour_of(person)
        for a, b in scene.limbs:
            if seen[a] and seen[b]:
                _line(panel, points[a], points[b], _mix(colour, _PANEL, 0.9), 2)
        for point, sure in zip(points[seen], np.asarray(confidence, np.float64)[seen]):
            _disc(panel, point, 2.2, _mix((255, 255, 255), colour, 0.7 * sure))
        if seen.any():
            top = points[seen].min(0)
            _text(panel, str(person), (points[seen, 0].mean() - 5, top[1] - 7), colour, 0.42)
    _text(panel, "2D keypoints, the camera's picture", (10, 20), _DIM, 0.45)


def _draw_view(scene, view, panel, people, paths):
    """One 3D panel: ground, shadows, doubt, then everything solid from far to near."""
    import cv2

    shade = np.linspace(1.25, 0.85, len(panel))[:, None, None]
    panel[:] = np.clip(np.array(_PANEL[::-1]) * shade, 0, 255)
    _draw_grid(scene, view, panel)

    for person, path in paths.items():
        pixels, _ = view.project(path)
        for index in range(1, len(path)):
            age = index / len(path)
            _line(panel, pixels[index - 1], pixels[index], _mix(colour_of(person), _PANEL, 0.15 + 0.45 * age), 1.5)

    veil = panel.copy()
    for _, joints, _, _ in people:  # a shadow right below each limb shows where the feet are
        flat, depth = view.project(joints * (1, 1, 0))
        for a, b in BONES:
            _line(veil, flat[a], flat[b], (4, 5, 8), max(2, 1.3 * _LINE_M * view.focal_px / depth[a]))
    cv2.addWeighted(veil, 0.55, panel, 0.45, 0, panel)

    veil = panel.copy()
    for person, joints, sigma, _ in people:
        pixels, depth = view.project(joints)
        for joint in np.argsort(-depth):
            radius = float(np.clip(sigma[joint] * view.focal_px / depth[joint], 0, 120))
            _disc(veil, pixels[joint], radius, _mix(colour_of(person), (255, 255, 255), 0.75))
    cv2.addWeighted(veil, 0.22, panel, 0.78, 0, panel)

    limbs = []
    for person, joints, _, predicted in people:
        pixels, depth = view.project(joints)
        colour = _mix(colour_of(person), _PANEL, 0.45) if predicted else colour_of(person)
        light, dark = _mix(colour, (255, 255, 255), 0.72), _mix(colour, (0, 0, 0), 0.62)
        for a, b in BONES:
            side = light if b in LEFT else dark if b in RIGHT else colour
            far = depth[[a, b]].mean()
            limbs.append((far, pixels[a], pixels[b], side, _LINE_M * view.focal_px / far))
        limbs.append((depth[10] - 0.01, pixels[9:11].mean(0), None, colour, 0.115 * view.focal_px / depth[10]))
    for _, start, end, colour, size in sorted(limbs, key=lambda limb: -limb[0]):
        if end is None:
            _disc(panel, start, max(size, 2.5) + 1, _mix(colour, _PANEL, 0.25))
            _disc(panel, start, max(size, 2.5), colour)
        else:
            _line(panel, start, end, _mix(colour, _PANEL, 0.25), max(size, 2) + 1.6)
            _line(panel, start, end, colour, max(size, 2))
    for person, joints, _, _ in people:
        top, depth = view.project(joints[10] + (0, 0, 0.30))
        if depth > 0.5:
            _text(panel, str(person), top - (5, 0), colour_of(person), 0.42)
    _text(panel, view.name, (12, 22), _DIM, 0.45)


def _draw_grid(scene, view, panel):
    """Lines of the ground, one a metre (a fainter shade) and five metres, and one metre along each axis."""
    low, high = np.floor(scene.low_m / 5 - 0.6) * 5, np.ceil(scene.high_m / 5 + 0.6) * 5
    for axis in (0, 1):
        for at in np.arange(low[axis], high[axis] + 0.5):
            ends = np.zeros((2, 3))
            ends[:, axis] = at
            ends[:, 1 - axis] = low[1 - axis], high[1 - axis]
            local = (ends - view.eye_m) @ view.rotation.T
            if local[:, 2].max() < 0.5:
                continue
            near = int(local[1, 2] < local[0, 2])
            if local[near, 2] < 0.5:  # cut what lies behind the eye
                share = (0.5 - local[near, 2]) / (local[1 - near, 2] - local[near, 2])
                ends[near] += share * (ends[1 - near] - ends[near])
            pixels, _ = view.project(ends)
            _line(panel, pixels[0], pixels[1], _mix(_GRID, _PANEL, 0.75 if at % 5 == 0 else 0.3), 1)
    corner_px = np.array([100.0, len(panel) - 28.0])
    ray = np.append((corner_px - view.centre_px) / view.focal_px, 1.0) @ view.rotation
    corner = view.eye_m - ray * view.eye_m[2] / ray[2]
    axes = ("right", (235, 96, 96)), ("away", (110, 205, 120)), ("up, 1 m", (104, 150, 250))
    for axis, (name, colour) in zip(np.eye(3), axes):
        pixels, _ = view.project(np.stack([corner, corner + axis]))
        _line(panel, pixels[0], pixels[1], colour, 2)
        step = pixels[1] - pixels[0]
        _text(panel, name, pixels[1] + (4 if step[0] > -5 else -34, 3 if axis[2] == 0 else -3), colour, 0.38)


def _draw_caption(picture, stamp_s, people, note):
    """Time, head count and legend below the left panel."""
    y = HEIGHT - 88
    _text(picture, f"{stamp_s:6.2f} s", (16, y + 8), _TEXT, 0.8, 2)
    _text(picture, f"{people} {'person' if people == 1 else 'people'} in 3D", (170, y + 6), _TEXT, 0.55)
    _text(picture, note, (16, y + 36), _DIM, 0.45)
    legend = "light limbs: left  |  dark limbs: right  |  haze: 1 sigma  |  faded: not seen now  |  grid: 1 m and 5 m"
    _text(picture, legend, (16, y + 62), _DIM, 0.42)


def _mix(colour, other, share):
    return tuple(round(share * a + (1 - share) * b) for a, b in zip(colour, other))


def _fixed(point):
    """Sixteenths of a pixel, OpenCV's fixed point, kept within what it can draw."""
    return tuple(int(value) for value in np.clip(np.nan_to_num(point) * 16, -(2**18), 2**18))


def _line(image, start, end, colour, thickness):
    import cv2

    cv2.line(image, _fixed(start), _fixed(end), colour[::-1], max(1, round(thickness)), cv2.LINE_AA, 4)


def _disc(image, centre, radius, colour):
    import cv2

    cv2.circle(image, _fixed(centre), max(1, round(radius * 16)), colour[::-1], -1, cv2.LINE_AA, 4)


def _text(image, text, at, colour, size, thickness=1):
    import cv2

    at = tuple(int(value) for value in np.clip(at, -4000, 4000))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour[::-1], thickness, cv2.LINE_AA)


def write_video(path, frames, fps, *, progress=None):
    """Write (H, W, 3) uint8 BGR frames as an mp4 and return how many; OSError when it does not open again.

    frames: any iterable; progress: called with 1 after each frame.
    """
    import cv2

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer, count = None, 0
    try:
        for frame in frames:
            if writer is None:
                size = frame.shape[1], frame.shape[0]
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), float(fps), size)
                if not writer.isOpened():
                    raise OSError(f"video {path}: OpenCV could not open it for writing; is the folder writable?")
            writer.write(frame)
            count += 1
            if progress is not None:
                progress(1)
    finally:
        if writer is not None:
            writer.release()
    if not count:
        raise ValueError("frames: expected at least one picture, got none; nothing was recorded")
    check = cv2.VideoCapture(str(path))
    opened = check.isOpened() and check.read()[0]
    check.release()
    if not opened:
        raise OSError(f"video {path}: written, but it does not open again; is the disk full?")
    return count
