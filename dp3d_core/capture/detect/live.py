# P people, K = 33 MediaPipe landmarks; a box is (x0, y0, x1, y1) in full-image pixels
"""MediaPipe for a live image: who is known is read again near their last place, others are searched for beside that.

The search (OpenCV's HOG people, the foreground of a fixed camera) takes longer than a frame, so it runs in a thread of
its own on the newest image. Somebody close, of whom the search knows nothing, is found by MediaPipe in the whole image.
"""

import threading
import time

import numpy as np

from dp3d_core.capture.detect import extra
from dp3d_core.capture.detect.people import PeopleConfig, PeopleFinder, iou
from dp3d_core.capture.detect.pose import JOINT_SET, PoseConfig, PoseReader, distinct, hide_outside
from dp3d_core.capture.detect.worker import Detected, WorkerConfig
from dp3d_core.live.identify import Identifier, IdentifyConfig
from dp3d_core.skeleton import adapt, joint_set

SEARCH_S = 0.5
"""A search begins at most so often, and so does the look at the whole image while somebody may be close."""
PAUSE = 2.0
"""After a search, so many times its duration passes before the next: it takes a core for half a second."""
KNOWN_IOU = 0.2
"""A box that overlaps a known person's by so much is theirs."""
MOST_NEW = 2
"""Boxes in which nobody is known yet, read in one image."""
MOST_WIDTH = 1280
"""Pixels of the image in which the search looks, at most: an image of twice the width takes four times as long."""
STRAY_SPEED, STRAY = 1.0, 0.8
"""Somebody who was found a while ago has moved by so many heights a second, and at most by so many heights."""
LEARN_S, BACKGROUND_IMAGES = 0.2, 20
"""A fixed camera's background is learnt from an image now and then, and trusted after so many."""
CLOSE = 0.6
"""Share of the image's height: the search finds nobody taller."""


class MediaPipeReader:
    """Keypoints of everybody in one image after the other."""

    joint_set = JOINT_SET

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._pose = PoseReader(PoseConfig())
        self._search = Search(fixed_camera=config.fixed_camera)
        self._identifier = Identifier(IdentifyConfig())
        self._boxes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """Of each known person: the box of the whole body, also where that is hidden, and the box of the joints."""
        self._looked_s = -np.inf
        self._turn = 0

    def read(self, image_bgr: np.ndarray, stamp_s: float) -> Detected:
        """See `Reader.read`."""
        height, width = image_bgr.shape[:2]
        boxes = self._predicted(stamp_s)
        boxes = np.concatenate([boxes, self._unknown(boxes, self._search.boxes(image_bgr, stamp_s))])
        boxes = boxes[: self._config.max_people]
        found = [self._pose.landmarks(image_bgr, box) for box in boxes]
        found = [landmarks for landmarks in found if landmarks is not None]
        if stamp_s - self._looked_s >= SEARCH_S and not any(np.ptp(one[:, 1]) > CLOSE * height for one in found):
            self._looked_s = stamp_s
            whole = self._pose.whole(image_bgr)
            found += [] if whole is None else [whole]
        shown = [hide_outside(one[:, :2], one[:, 2], width, height) for one in found]
        there = [index for index, (_, confidence) in enumerate(shown) if confidence.any()]
        points, trust = [shown[index][0] for index in there], [shown[index][1] for index in there]
        kept = distinct(points, trust, PoseConfig().same_body_distance)
        keypoints_px = np.array([points[index] for index in kept], np.float32).reshape(-1, 33, 2)
        confidence = np.array([trust[index] for index in kept], np.float32).reshape(-1, 33)
        ids = self._identifier.update(*adapt(keypoints_px, confidence, joint_set(JOINT_SET)), stamp_s)
        self._remember(ids, [found[there[index]] for index in kept], stamp_s)
        named = ids >= 0
        return Detected(ids[named], keypoints_px[named], confidence[named])

    def close(self) -> None:
        """End the search."""
        self._search.close()
        self._pose.close()

    def _remember(self, ids: np.ndarray, bodies: list[np.ndarray], stamp_s: float) -> None:
        """Keep the boxes of those seen now, and forget whom the identifier has forgotten."""
        joints = dict(zip(*self._identifier.predicted_boxes(stamp_s), strict=True))
        self._boxes = {number: boxes for number, boxes in self._boxes.items() if number in joints}
        for number, body in zip(ids, bodies, strict=True):
            if number >= 0:
                points_px = body[:, :2]
                self._boxes[number] = np.concatenate([points_px.min(0), points_px.max(0)]), joints[number]

    def _unknown(self, known: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Of the boxes found (N, 4), a few in turn that are not of known people (M, 4): each costs as a person does."""
        new = found[(iou(found, known) < KNOWN_IOU).all(1)]
        self._turn += 1
        return np.roll(new, self._turn, axis=0)[:MOST_NEW]

    def _predicted(self, stamp_s: float) -> np.ndarray:
        """Boxes (M, 4) where the known people's bodies should be: moved as their joints are predicted to move."""
        boxes = [
            self._boxes[number][0] + np.tile(_centre(joints) - _centre(self._boxes[number][1]), 2)
            for number, joints in zip(*self._identifier.predicted_boxes(stamp_s), strict=True)
        ]
        return np.array(boxes).reshape(-1, 4)


class Search:
    """Looks for people in a thread of its own, in the newest image whenever it is done with the last."""

    def __init__(self, *, fixed_camera: bool) -> None:
        self._cv2 = extra("cv2")
        self._cv2.setNumThreads(1)  # the search must leave the other cores to the reading of poses
        self._finder: PeopleFinder | None = None
        self._background = self._cv2.createBackgroundSubtractorMOG2(detectShadows=False) if fixed_camera else None
        self._foreground: PeopleFinder | None = None
        """Knows the background of a fixed camera, once it is learnt."""
        self._learnt_s, self._images = -np.inf, 0
        self._began_s, self._took_s = -np.inf, 0.0
        self._found = np.zeros((0, 4))
        self._thread: threading.Thread | None = None

    def boxes(self, image_bgr: np.ndarray, stamp_s: float) -> np.ndarray:
        """Boxes (N, 4): the foreground's in this image, and once what the last search found, wider the older it is."""
        blobs = self._blobs(image_bgr, stamp_s)
        if self._thread is not None and self._thread.is_alive():
            return blobs
        found, self._found = self._found, np.zeros((0, 4))
        wider = min(STRAY_SPEED * (stamp_s - self._began_s), STRAY) / 2 * (found[:, 3] - found[:, 1])
        found = found + np.stack([-wider, 0 * wider, wider, 0 * wider], 1)
        if stamp_s - self._began_s >= max(SEARCH_S, (1 + PAUSE) * self._took_s):
            self._began_s = stamp_s
            self._thread = threading.Thread(target=self._look, args=(image_bgr,), daemon=True)
            self._thread.start()
        return np.concatenate([blobs, found])

    def close(self) -> None:
        """Wait for the end of a search."""
        if self._thread is not None:
            self._thread.join()

    def _look(self, image_bgr: np.ndarray) -> None:
        started_s = time.perf_counter()
        if self._finder is None:
            enlarge = min(PeopleConfig().enlarge, MOST_WIDTH / image_bgr.shape[1])
            self._finder = PeopleFinder(PeopleConfig(enlarge=enlarge))
        self._found = self._finder.propose(image_bgr, np.zeros((0, 4)))
        self._took_s = time.perf_counter() - started_s

    def _blobs(self, image_bgr: np.ndarray, stamp_s: float) -> np.ndarray:
        """Boxes (N, 4) of a fixed camera's foreground; none before its background is learnt."""
        if self._background is None:
            return np.zeros((0, 4))
        if stamp_s - self._learnt_s >= LEARN_S:
            self._learnt_s, self._images = stamp_s, self._images + 1
            self._background.apply(image_bgr)
            if self._images >= BACKGROUND_IMAGES:
                self._foreground = self._foreground or PeopleFinder(PeopleConfig())
                self._foreground.background_bgr = self._background.getBackgroundImage()
        return np.zeros((0, 4)) if self._foreground is None else self._foreground.in_foreground(image_bgr)


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2
