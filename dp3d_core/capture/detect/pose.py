# N people, K = 33 MediaPipe landmarks; a box is (x0, y0, x1, y1) in full-image pixels
"""Which pose does the person in this box hold? MediaPipe Pose on an enlarged square crop, in full-image pixels.

Refuses only gross failures (a body that is not the one in the box, the same body twice); everything else stays raw.
"""

import math
from dataclasses import dataclass

import numpy as np

from dp3d_core.capture.detect import extra

JOINT_SET = "mediapipe33"
# Shoulders, elbows, hips, knees, ankles: face, hands and feet would count one error many times.
BODY = (11, 12, 13, 14, 23, 24, 25, 26, 27, 28)
TORSO = (11, 12, 23, 24)
MIN_BODY_WIDTH = 0.55  # of the height: a blob or a leg-to-leg box seen from the side is narrower than a stride


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseConfig:
    """Crop and refusal settings; crop_scale and min_confidence were the best of the grid measured on vtest.avi.

    There, of 133 HOG boxes, 81 % gave the box's own body at scale 1.5 and confidence 0.2; 79 % at confidence 0.5;
    74 % at scale 1.2; 76 % at 2.0; 69 % at 2.5. crop_px between 256 and 512 made no difference beyond noise.
    """

    crop_scale: float = 1.5  # side of the square crop over the height of the box
    crop_px: int = 384
    min_confidence: float = 0.2
    same_body_distance: float = 0.12  # median distance of two bodies' joints over their height

    def __post_init__(self) -> None:
        if self.crop_scale < 1 or self.crop_px < 64:
            raise ValueError(f"pose: expected crop_scale >= 1 and crop_px >= 64, got {self.crop_scale}, {self.crop_px}")
        if not (0 < self.min_confidence < 1 and self.same_body_distance >= 0):
            raise ValueError(f"pose: expected min_confidence in (0, 1) and same_body_distance >= 0, got {self}")


class PoseReader:
    """MediaPipe's landmark model on still crops: no memory between frames, so its jitter is the detector's own."""

    def __init__(self, config: PoseConfig) -> None:
        self._cv2 = extra("cv2")
        self._config = config
        self._pose = extra("mediapipe").solutions.pose.Pose(
            static_image_mode=True, model_complexity=1, min_detection_confidence=config.min_confidence
        )

    def read(self, image_bgr: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Keypoints (K, 2) px and confidence (K,) of the person in `box`, or None if none of it was recognised."""
        landmarks = self.landmarks(image_bgr, box)
        if landmarks is None:
            return None
        return hide_outside(landmarks[:, :2], landmarks[:, 2], image_bgr.shape[1], image_bgr.shape[0])

    def landmarks(self, image_bgr: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """Landmarks (K, 3) of the person in `box`, also outside the image: px and visibility; None as in `read`.

        MediaPipe answers with one person a crop. Where that is the neighbour, the neighbours are painted over.
        """
        crop = crop_matrix(box, self._config.crop_scale, self._config.crop_px)
        patch_bgr = self._cv2.warpAffine(
            image_bgr,
            crop,
            (self._config.crop_px, self._config.crop_px),
            flags=self._cv2.INTER_CUBIC,
            borderMode=self._cv2.BORDER_REPLICATE,
        )
        for patch in (patch_bgr, alone(patch_bgr, box, crop)):
            landmarks = self.whole(patch)
            if landmarks is None:
                continue
            landmarks[:, :2] = to_image(landmarks[:, :2], crop)
            if belongs_to(landmarks[:, :2], box):
                return landmarks
        return None

    def whole(self, image_bgr: np.ndarray) -> np.ndarray | None:
        """Landmarks (K, 3) of the person whom MediaPipe chooses in an image, px of that image; None: nobody."""
        found = self._pose.process(self._cv2.cvtColor(image_bgr, self._cv2.COLOR_BGR2RGB)).pose_landmarks
        if found is None:
            return None
        landmarks = np.array([(mark.x, mark.y, mark.visibility) for mark in found.landmark], np.float64)
        landmarks[:, :2] *= image_bgr.shape[1], image_bgr.shape[0]
        return landmarks

    def close(self) -> None:
        """Release MediaPipe's graph."""
        self._pose.close()


def crop_matrix(box: np.ndarray, scale: float, crop_px: int) -> np.ndarray:
    """Affine map (2, 3) from image pixels to a crop_px square centred on the box, `scale` box heights on a side."""
    x0, y0, x1, y1 = (float(value) for value in box)
    if not y1 > y0:
        raise ValueError(f"box: expected (x0, y0, x1, y1) with y1 > y0, got {tuple(box)}")
    zoom = crop_px / (scale * (y1 - y0))
    return np.array(
        [[zoom, 0, crop_px / 2 - zoom * (x0 + x1) / 2], [0, zoom, crop_px / 2 - zoom * (y0 + y1) / 2]], np.float64
    )


def to_image(points_crop: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Points (K, 2) of a crop back in image pixels: the inverse of `crop_matrix`'s map."""
    return (np.asarray(points_crop, np.float64) - crop[:, 2]) / np.diag(crop[:, :2])


def alone(patch_bgr: np.ndarray, box: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """The crop with everything left and right of the box painted grey; the box keeps room for a stride."""
    x0, y0, x1, y1 = box
    half_width = max(x1 - x0, MIN_BODY_WIDTH * (y1 - y0)) / 2
    left, right = (round(crop[0, 0] * ((x0 + x1) / 2 + offset) + crop[0, 2]) for offset in (-half_width, half_width))
    painted = np.full_like(patch_bgr, 128)
    painted[:, max(0, left) : max(0, right)] = patch_bgr[:, max(0, left) : max(0, right)]
    return painted


def belongs_to(keypoints_px: np.ndarray, box: np.ndarray) -> bool:
    """True if the body's torso is centred within the box and its height is 0.4 to 1.6 of the box's."""
    x0, y0, x1, y1 = box
    torso_x, torso_y = keypoints_px[list(TORSO)].mean(axis=0)
    height = y1 - y0
    half_width = max(x1 - x0, 0.35 * height) / 2
    inside = abs(torso_x - (x0 + x1) / 2) < half_width and y0 < torso_y < y1
    return bool(inside and 0.4 < np.ptp(keypoints_px[:, 1]) / height < 1.6)


def hide_outside(
    keypoints_px: np.ndarray, confidence: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same keypoints with those outside the image missing: confidence 0 at pixel (0, 0), as OpenPose writes it."""
    seen = np.all((keypoints_px >= 0) & (keypoints_px <= (width - 1, height - 1)), axis=1)
    return np.where(seen[:, None], keypoints_px, 0.0), np.where(seen, np.clip(confidence, 0, 1), 0.0)


def distinct(bodies_px: list[np.ndarray], confidences: list[np.ndarray], same_body_distance: float) -> list[int]:
    """Indices of different bodies, the most visible of each group of doubles; lists of (K, 2) and (K,)."""
    joints = list(BODY)
    kept: list[int] = []
    for index in sorted(range(len(bodies_px)), key=lambda i: -confidences[i][joints].mean()):
        if not any(_distance(bodies_px[index], bodies_px[other]) < same_body_distance for other in kept):
            kept.append(index)
    return sorted(kept)


def _distance(body_a_px: np.ndarray, body_b_px: np.ndarray) -> float:
    """Median distance of corresponding joints over the smaller body's height; infinite for a body without extent."""
    joints = list(BODY)
    height = min(np.ptp(body_a_px[joints, 1]), np.ptp(body_b_px[joints, 1]))
    distance_px = float(np.median(np.linalg.norm(body_a_px[joints] - body_b_px[joints], axis=1)))
    return distance_px / height if height > 0 else math.inf
