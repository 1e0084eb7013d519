# N boxes; a box is (x0, y0, x1, y1) in full-image pixels, tight around a body from head to feet
"""Where might people be in this image? Boxes from OpenCV's HOG people detector and from a fixed camera's foreground.

Knows nothing of poses or of time: a box here is a proposal that the pose reader may refuse.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dp3d_core.capture.detect import extra

# OpenCV's detector was trained on 64x128 windows with a 16-pixel border around a 96-pixel person.
HOG_BODY_HEIGHT = 96 / 128
HOG_BODY_WIDTH = 36 / 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleConfig:
    """Proposal thresholds, chosen on a 768x576 surveillance view with people 50 to 150 px tall."""

    enlarge: float = 2.0  # HOG sees nobody smaller than 96 px; enlarging the image finds people of 96 / enlarge
    hog_min_score: float = 0.2
    min_height_px: float = 40.0
    max_height_share: float = 0.6  # of the image height; taller HOG boxes were groups of people
    foreground_threshold: int = 30  # grey levels of the most different colour channel
    min_foreground_share: float = 0.2  # of a box, with a fixed camera; refuses vans and lamp posts
    same_box_iou: float = 0.5

    def __post_init__(self) -> None:
        if self.enlarge <= 0 or self.min_height_px <= 0 or not 0 < self.foreground_threshold < 255:
            raise ValueError(f"people: expected positive sizes and a threshold within 1..254, got {self}")
        if not (0 <= self.min_foreground_share <= 1 and 0 < self.same_box_iou <= 1 and 0 < self.max_height_share <= 1):
            raise ValueError(f"people: expected shares in [0, 1], got {self}")


class PeopleFinder:
    """Proposes boxes for each image; with a background image (fixed camera) also blobs, and checks every proposal."""

    def __init__(self, config: PeopleConfig, *, background_bgr: np.ndarray | None = None) -> None:
        self._cv2 = extra("cv2")
        self._config = config
        self.background_bgr = background_bgr
        """May be exchanged between images."""
        if not hasattr(self._cv2, "HOGDescriptor"):
            raise ImportError(
                f"dp3d_core.capture.detect needs OpenCV 4 for its people detector, got {self._cv2.__version__}; "
                "install the detector's extra in its own environment: pip install '.[detector]' in the folder of dp3d"
            )
        self._hog = self._cv2.HOGDescriptor()
        self._hog.setSVMDetector(self._cv2.HOGDescriptor_getDefaultPeopleDetector())

    def propose(self, image_bgr: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Boxes (N, 4), the most trusted first: HOG, then foreground blobs, then `predicted` (M, 4) track boxes."""
        boxes = [self._hog_boxes(image_bgr)]
        foreground = None
        if self.background_bgr is not None:
            foreground = self.foreground(image_bgr)
            boxes.append(self._blobs(foreground))
        boxes.append(np.asarray(predicted, np.float64).reshape(-1, 4))
        return self._fitting(np.concatenate(boxes), foreground, image_bgr.shape[0])

    def in_foreground(self, image_bgr: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) of upright foreground blobs alone: no search, so it takes milliseconds; needs a background."""
        foreground = self.foreground(image_bgr)
        return self._fitting(self._blobs(foreground), foreground, image_bgr.shape[0])

    def _fitting(self, boxes: np.ndarray, foreground: np.ndarray | None, image_height: int) -> np.ndarray:
        """The boxes that are as tall as people may be and, with a fixed camera, in the foreground; each place once."""
        config = self._config
        heights = boxes[:, 3] - boxes[:, 1]
        fits = (heights >= config.min_height_px) & (heights <= config.max_height_share * image_height)
        if foreground is not None:
            fits &= np.array([_share(foreground, box) >= config.min_foreground_share for box in boxes], bool)
        return first_of_overlapping(boxes[fits], config.same_box_iou)

    def foreground(self, image_bgr: np.ndarray) -> np.ndarray:
        """Mask (height, width) uint8, 1 where the image differs from the background."""
        difference = self._cv2.absdiff(image_bgr, self.background_bgr).max(axis=2)
        return (difference > self._config.foreground_threshold).astype(np.uint8)

    def _hog_boxes(self, image_bgr: np.ndarray) -> np.ndarray:
        enlarge = self._config.enlarge
        image = self._cv2.resize(image_bgr, None, fx=enlarge, fy=enlarge)
        windows, scores = self._hog.detectMultiScale(
            image, hitThreshold=self._config.hog_min_score, winStride=(8, 8), padding=(16, 16), scale=1.05
        )
        windows = np.asarray(windows, np.float64).reshape(-1, 4)[np.argsort(-np.ravel(scores))] / enlarge
        centre = windows[:, :2] + windows[:, 2:] / 2
        half = windows[:, 2:] * (HOG_BODY_WIDTH, HOG_BODY_HEIGHT) / 2
        return np.concatenate([centre - half, centre + half], axis=1)

    def _blobs(self, foreground: np.ndarray) -> np.ndarray:
        """Upright connected patches of foreground, closed so that a head keeps its body; one row a box."""
        cv2 = self._cv2
        opened = cv2.morphologyEx(foreground, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((11, 5), np.uint8))
        stats = cv2.connectedComponentsWithStats(closed)[2][1:].astype(np.float64)
        left, top, width, height = stats[:, :4].T
        upright = height > 1.3 * width
        return np.stack([left, top, left + width, top + height], axis=1)[upright]


def median_background(images_bgr: Iterable[np.ndarray]) -> np.ndarray:
    """Per-pixel median of images spread over a fixed camera's video: the scene without those who walk through it."""
    stack = np.stack(list(images_bgr))
    return np.median(stack, axis=0).astype(np.uint8)


def iou(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Intersection over union (A, B) of two box lists (A, 4) and (B, 4); empty boxes overlap nothing."""
    a, b = np.asarray(boxes_a, np.float64)[:, None], np.asarray(boxes_b, np.float64)[None]
    shared = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    total = (a[..., 2:] - a[..., :2]).clip(0).prod(-1) + (b[..., 2:] - b[..., :2]).clip(0).prod(-1) - shared
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)


def first_of_overlapping(boxes: np.ndarray, same_box_iou: float) -> np.ndarray:
    """Keep each box that overlaps no earlier kept box by `same_box_iou` or more: order is priority."""
    kept: list[int] = []
    overlap = iou(boxes, boxes)
    for index in range(len(boxes)):
        if not kept or overlap[index, kept].max() < same_box_iou:
            kept.append(index)
    return boxes[kept]


def _share(foreground: np.ndarray, box: np.ndarray) -> float:
    x0, y0, x1, y1 = np.round(box).astype(int).clip(0)
    patch = foreground[y0:y1, x0:x1]
    return float(patch.mean()) if patch.size else 0.0
