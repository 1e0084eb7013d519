# F frames of the keypoint recording, P people, J = 17 joints
"""Puts what the recorder wrote beside what the player played, frame by frame, and films it. Knows nothing of ROS."""

from dataclasses import dataclass, field

import numpy as np

from dp3d_core.drawing.ground import ANKLE_HEIGHT_M, Ground, estimate_ground
from dp3d_core.drawing.render import make_scene, render_frame, write_video
from dp3d_core.skeleton import joint_set
from dp3d_core.types import Skeletons

TRAIL_S = 3.0
TRAIL_SIGMA = 0.3
TRAIL_JUMP_M = 3.0
"""A trail shows where somebody was: no first guesses (root sigma over distance), no leaps of an id to somebody else."""
_HIP, _ANKLES = 0, (3, 6)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lifted:
    """The recorded skeletons by frame of the recording: {frame: {person: (joints_cam_m (17, 3), sigma_m (17,),
    root_sigma_m)}}."""

    frames: dict[int, dict[int, tuple[np.ndarray, np.ndarray, float]]] = field(default_factory=dict)

    @property
    def joints_cam_m(self):
        """(N, 17, 3) all skeletons of all frames."""
        people = [joints for frame in self.frames.values() for joints, *_ in frame.values()]
        return np.array(people, np.float32).reshape(-1, 17, 3)


def load_lifted(path, played):
    """What the recorder wrote, matched to the frames of the recording that the player played.

    The player shifts all stamps by one unknown start. Where the first messages were lost, that shift is the one under
    which the skeletons' hips, projected, lie nearest to the detector's.
    """
    with np.load(path, allow_pickle=False) as archive:
        stamps_s, frame, person = archive["stamps_s"], archive["frame"], archive["person"]
        joints, sigma, root_sigma = (archive[name] for name in ("joints_cam_m", "sigma_m", "root_sigma_m"))
    if not len(person):
        raise ValueError(f"{path}: no skeleton in {len(stamps_s)} messages; the lifter saw nobody")
    shifts = []
    for first in range(min(50, len(played.stamps_s))):
        wanted = stamps_s - stamps_s[0] + played.stamps_s[first]
        index = np.abs(played.stamps_s[None] - wanted[:, None]).argmin(1)
        if np.abs(played.stamps_s[index] - wanted).max() < 2e-3:
            shifts.append(index)
    if not shifts:
        raise ValueError(f"{path}: its stamps are not those of the recording; was something else playing?")
    index = min(shifts, key=lambda index: _distance_px(played, index[frame], person, joints))
    lifted = Lifted()
    for message in index:
        lifted.frames.setdefault(int(message), {})
    for row, message in enumerate(index[frame]):
        lifted.frames[int(message)][int(person[row])] = joints[row], sigma[row], root_sigma[row]
    return lifted


def _distance_px(played, frame, person, joints):
    """Median distance of the projected hips from the middle of the same person's keypoints in the same frame."""
    seen = played.confidence > 0
    middle = (played.keypoints_px * seen[..., None]).sum(1) / np.maximum(seen.sum(1), 1)[:, None]
    rows = {key: row for row, key in enumerate(zip(played.frame.tolist(), played.person.tolist()))}
    hip = joints[:, _HIP] @ played.K.T
    distance = [
        np.linalg.norm(hip[skeleton, :2] / hip[skeleton, 2] - middle[rows[key]])
        for skeleton, key in enumerate(zip(frame.tolist(), person.tolist()))
        if key in rows and np.isfinite(hip[skeleton]).all()
    ]
    return np.median(distance) if distance else np.inf


def find_ground(lifted, played):
    """The ground to draw: its tilt from the recording if that knows it, its distance from the lifted feet.

    Heights of people are never known exactly, and an error in them moves the feet and the ground alike.
    """
    if played.ground_normal_cam is None:
        return estimate_ground(lifted.joints_cam_m)
    ground = Ground(normal_cam=played.ground_normal_cam, distance_m=0.0)
    lower = ground.to_world(lifted.joints_cam_m[:, _ANKLES])[..., 2].min(1)
    return Ground(normal_cam=ground.normal_cam, distance_m=ANKLE_HEIGHT_M - np.nanmedian(lower))


def film(lifted, played, out, *, video=None, note="", progress=None):
    """Write skeletons.mp4 and skeletons.png (the moment with most people) into `out`; returns facts about the scene.

    video: path of the recording's own video, drawn below the keypoints; progress: called with 1 after each frame.
    """
    ground = find_ground(lifted, played)
    scene = make_scene(
        lifted.joints_cam_m, limbs=joint_set(played.joint_set).limbs, image_size_px=played.image_size_px, ground=ground
    )
    first, last = min(lifted.frames), max(lifted.frames)
    seen = {index: keypoints for index, (_, keypoints) in enumerate(played.frames()) if first <= index <= last}
    best = max(lifted.frames, key=lambda index: len(set(lifted.frames[index]) & set(seen[index])))

    def pictures():
        import cv2

        images = _images(video)
        for index in range(last + 1):
            image = next(images)
            if index < first:
                continue
            stamp_s = float(played.stamps_s[index])
            picture = render_frame(
                scene,
                _skeletons(lifted, index, stamp_s, seen[index]),
                seen[index],
                stamp_s=stamp_s,
                image=image,
                trails=_trails(lifted, played, index),
                note=note,
            )
            if index == best:
                cv2.imwrite(str(out / "skeletons.png"), picture)
            yield picture

    period_s = float(np.median(np.diff(played.stamps_s))) if len(played.stamps_s) > 1 else 0.1
    count = write_video(out / "skeletons.mp4", pictures(), 1 / period_s, progress=progress)
    lower = ground.to_world(lifted.joints_cam_m[:, _ANKLES])[..., 2].min(1)
    off_m = np.abs(lower - ANKLE_HEIGHT_M)
    return {
        "film_frames": count,
        "camera_above_ground_m": round(ground.distance_m, 3),
        "camera_above_ground_m_in_recording": played.ground_distance_m,
        "lower_ankle_off_ground_m": {name: round(float(np.nanpercentile(off_m, at)), 3) for name, at in _SHARES},
    }


_SHARES = (("p50", 50), ("p95", 95))


def _skeletons(lifted, index, stamp_s, keypoints):
    people = lifted.frames.get(index, {})
    if not people:
        return Skeletons.empty(stamp_s)
    joints_cam_m, sigma_m, root_sigma_m = (np.stack(part) for part in zip(*people.values()))
    return Skeletons(
        stamp_s=stamp_s,
        ids=tuple(people),
        joints_cam_m=joints_cam_m,
        sigma_m=sigma_m,
        root_sigma_m=root_sigma_m,
        sigma_lateral_m=np.zeros((len(people), 17), np.float32),
        sigma_depth_m=np.zeros((len(people), 17), np.float32),
        stature_m=np.full(len(people), 1.7, np.float32),
        contact=np.zeros((len(people), 2), np.float32),
        predicted=np.array([person not in keypoints for person in people]),
        actions=(None,) * len(people),
        metric=True,
    )


def _trails(lifted, played, index):
    start = int(np.searchsorted(played.stamps_s, played.stamps_s[index] - TRAIL_S))
    trails = {}
    for past in range(start, index + 1):
        for person, (joints, _, root_sigma) in lifted.frames.get(past, {}).items():
            if root_sigma < TRAIL_SIGMA * np.linalg.norm(joints[_HIP]):
                path = trails.setdefault(person, [])
                if path and np.linalg.norm(joints[_HIP] - path[-1]) > TRAIL_JUMP_M:
                    path.clear()
                path.append(joints[_HIP])
    return {person: np.array(path) for person, path in trails.items()}


def _images(video):
    """The video's frames, then None for ever."""
    if video is not None:
        import cv2

        capture = cv2.VideoCapture(str(video))
        if not capture.isOpened():
            raise ValueError(f"--video: OpenCV cannot open {video}; give the video that the recording was made of")
        while (read := capture.read())[0]:
            yield read[1]
    while True:
        yield None
