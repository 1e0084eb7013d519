"""The video's own frames with people and floor drawn over them, beside the 3D view; an mp4."""
# R rows of a result, J = 17 joints

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dp3d_core.drawing.render import colour_of, make_scene, render_frame, write_video
from dp3d_core.files.beside import beside
from dp3d_core.files.lifting import PER_ROW
from dp3d_core.files.results import Result
from dp3d_core.skeleton import BONES, joint_set
from dp3d_core.types import Skeletons

TRAIL_S = 3.0
FLOOR_MARGIN_M, FLOOR_MOST_M, NEAR_M = 2.0, 40.0, 0.3


def write_film(result: Result, path: Path, *, progress: Callable[[int], None] | None = None) -> Path:
    """The film of a whole clip; progress is called with 1 after each frame."""
    with beside(path) as unfinished:
        write_video(unfinished, pictures(result), frame_rate(result), progress=progress)
    return path


def frame_rate(result: Result) -> float:
    """Frames a second of a film of this clip."""
    return 1 / float(np.median(np.diff(result.stamps_s))) if len(result.stamps_s) > 1 else 10.0


def pictures(result: Result, wanted: set[int] | None = None) -> Iterator[np.ndarray]:
    """(720, 1600, 3) BGR of every frame, or of the wanted ones."""
    scene = make_scene(
        result.joints_cam_m,
        limbs=joint_set(result.joint_set).limbs,
        ground=result.ground,
        image_size_px=(result.camera.width, result.camera.height),
    )
    bounds = np.searchsorted(result.frame, np.arange(len(result.stamps_s) + 1))
    images = video_images(result.video)
    for index, stamp_s in enumerate(result.stamps_s):
        image = next(images)
        if wanted is not None and index not in wanted:
            continue
        rows = np.arange(bounds[index], bounds[index + 1])
        keypoints = {
            int(result.person[row]): (result.keypoints_px[row], result.keypoint_confidence[row]) for row in rows
        }
        if image is not None:
            image = over(image, result, rows)
        yield render_frame(
            scene,
            _skeletons(result, rows, float(stamp_s)),
            keypoints,
            stamp_s=float(stamp_s),
            image=image,
            trails=_trails(result, index, bounds),
            note=_note(result, rows),
        )


def over(image: np.ndarray, result: Result, rows: np.ndarray) -> np.ndarray:
    """The picture with the floor's grid, the lifted skeletons and each person's distance drawn over it."""
    import cv2

    image = image.copy()
    size = np.array((result.camera.width, result.camera.height))
    scale = np.array((image.shape[1], image.shape[0])) / size
    thick = max(1, round(image.shape[0] / 600))
    _draw_floor(cv2, image, result, rows, scale)
    for row in rows:
        pixels = result.camera.project(result.joints_cam_m[row]) * scale
        if not _drawable(pixels).all():
            continue
        colour = colour_of(int(result.person[row]))[::-1]
        for a, b in BONES:
            start, end = (tuple(map(round, pixels[joint].tolist())) for joint in (a, b))
            cv2.line(image, start, end, colour, thick, cv2.LINE_AA)
        if result.metric:
            label = f"{np.linalg.norm(result.joints_cam_m[row, 0]):.1f} m"
            at = tuple(map(round, (pixels[:, 0].mean() - 18 * thick, pixels[:, 1].max() + 14 * thick)))
            cv2.putText(image, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * thick, colour, thick, cv2.LINE_AA)
    return image


def _draw_floor(cv2, image: np.ndarray, result: Result, rows: np.ndarray, scale: np.ndarray) -> None:
    """Lines of the ground, a metre apart, around the people of this frame."""
    if not len(rows):
        return
    ground = result.ground
    roots = ground.to_world(result.joints_cam_m[rows, 0])[:, :2]
    low, high = np.floor(roots.min(0) - FLOOR_MARGIN_M), np.ceil(roots.max(0) + FLOOR_MARGIN_M)
    if (high - low > FLOOR_MOST_M).any():
        return
    for axis in (0, 1):
        along = np.arange(low[1 - axis], high[1 - axis] + 0.01, 0.25)
        for line in np.arange(low[axis], high[axis] + 0.5):
            points = np.zeros((len(along), 3))
            points[:, axis], points[:, 1 - axis] = line, along
            cam = (points - (0, 0, ground.distance_m)) @ ground.world_from_cam
            pixels = result.camera.project(cam[cam[:, 2] > NEAR_M]) * scale
            path = np.round(pixels[_drawable(pixels)]).astype(np.int32)
            if len(path) > 1:
                cv2.polylines(image, [path], False, (150, 150, 150), 1, cv2.LINE_AA)


def _drawable(pixels: np.ndarray) -> np.ndarray:
    """Which of the pixels (N, 2) OpenCV can draw."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(pixels).all(-1) & (np.abs(pixels) < 30000).all(-1))


def video_images(video: Path | None) -> Iterator[np.ndarray | None]:
    """The video's frames, then None for ever."""
    if video is not None:
        import cv2

        capture = cv2.VideoCapture(str(video))
        if not capture.isOpened():
            raise ValueError(f"{video}: expected the video of the keypoints, OpenCV cannot read it")
        while (read := capture.read())[0]:
            yield read[1]
        capture.release()
    while True:
        yield None


def _skeletons(result: Result, rows: np.ndarray, stamp_s: float) -> Skeletons:
    if not len(rows):
        return Skeletons.empty(stamp_s)
    chosen = {name: getattr(result, name)[rows] for name in (*PER_ROW, "stature_m")}
    return Skeletons(
        **chosen,
        stamp_s=stamp_s,
        ids=tuple(int(person) for person in result.person[rows]),
        predicted=np.zeros(len(rows), bool),
        actions=(None,) * len(rows),
        metric=result.metric,
    )


def _trails(result: Result, index: int, bounds: np.ndarray) -> dict[int, np.ndarray]:
    start = int(np.searchsorted(result.stamps_s, result.stamps_s[index] - TRAIL_S))
    rows = slice(bounds[start], bounds[index + 1])
    person, roots = result.person[rows], result.joints_cam_m[rows, 0]
    return {int(one): roots[person == one] for one in np.unique(person)}


def _note(result: Result, rows: np.ndarray) -> str:
    if not result.metric:
        return "the camera is assumed: no metres"
    near = np.linalg.norm(result.joints_cam_m[rows, 0], axis=-1)
    nearest = f"nearest {near.min():.1f} m; " if len(near) else ""
    return f"{nearest}camera {result.ground.distance_m:.2f} m above the floor"
