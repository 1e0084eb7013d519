# P people, K keypoints, C candidates; a box is (x0, y0, x1, y1) in pixels
"""An ONNX pose model that sees everybody in one pass, on a CPU by OpenVINO.

Known by their outputs: YOLO pose of ultralytics (one output, with or without its own suppression of doubles), and RTMO
(boxes and keypoints). Models that need a box for each person beforehand are refused.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dp3d_core.capture.detect import extra
from dp3d_core.capture.detect.people import first_of_overlapping
from dp3d_core.capture.detect.worker import Detected, WorkerConfig
from dp3d_core.live.identify import Identifier, IdentifyConfig
from dp3d_core.skeleton import adapt, joint_set

DEFAULT_SIZE = 640
"""Side of the model's input where the file leaves it open, pixels."""
PADDING = 114
"""Grey around a picture of another shape, as in training."""
SAME_PERSON_IOU = 0.5
USUAL_SETS = {17: "coco17", 26: "halpe26", 133: "wholebody133"}
"""Joint set by the number of keypoints."""


class Candidates(NamedTuple):
    """What a model answers, in pixels of its input, best first or not."""

    boxes: np.ndarray
    """(C, 4)."""
    score: np.ndarray
    """(C,) in [0, 1]."""
    points: np.ndarray
    """(C, K, 3): x, y, confidence."""


class OnnxReader:
    """Keypoints of everybody in one image after the other."""

    def __init__(self, config: WorkerConfig) -> None:
        self._cv2 = extra("cv2")
        self._config = config
        self._run, self._size, shapes = _load(config.model)
        self._form, keypoints = _form(shapes, config.model)
        self.joint_set = config.joint_set or USUAL_SETS.get(keypoints, "")
        if not self.joint_set or len(joint_set(self.joint_set).keypoints) != keypoints:
            raise ValueError(
                f"model {config.model}: has {keypoints} keypoints; name a joint set of as many with model_joint_set, "
                f"got {config.joint_set!r}"
            )
        self._identifier = Identifier(IdentifyConfig())
        self._run(np.zeros((1, 3, self._size[1], self._size[0]), np.float32))  # the first pass is slow

    def read(self, image_bgr: np.ndarray, stamp_s: float) -> Detected:
        """See `Reader.read`."""
        height, width = image_bgr.shape[:2]
        scale = min(self._size[0] / width, self._size[1] / height)
        found = self._form(self._run(self._letterbox(image_bgr, scale)))
        good = np.flatnonzero(found.score >= self._config.min_score)
        good = good[np.argsort(-found.score[good], kind="stable")]
        good = good[_first(found.boxes[good])][: self._config.max_people]
        points = found.points[good].astype(np.float32)
        keypoints_px, confidence = points[..., :2] / np.float32(scale), np.clip(points[..., 2], 0, 1)
        outside = ((keypoints_px < 0) | (keypoints_px > (width - 1, height - 1))).any(-1)
        confidence = np.where(outside, np.float32(0), confidence)
        ids = self._identifier.update(*adapt(keypoints_px, confidence, joint_set(self.joint_set)), stamp_s)
        return Detected(ids[ids >= 0], keypoints_px[ids >= 0], confidence[ids >= 0])

    def _letterbox(self, image_bgr: np.ndarray, scale: float) -> np.ndarray:
        """The model's input (1, 3, height, width): the picture at the top left, grey beside it."""
        size = round(image_bgr.shape[1] * scale), round(image_bgr.shape[0] * scale)
        canvas = np.full((self._size[1], self._size[0], 3), PADDING, np.uint8)
        canvas[: size[1], : size[0]] = self._cv2.resize(image_bgr, size)
        if self._form is _rtmo:
            return canvas.transpose(2, 0, 1)[None].astype(np.float32)
        return canvas[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)


def _load(path: str):
    """run(input) -> list of outputs, the input's (width, height), and the outputs' shapes; errors in one sentence."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"model: no file at {path}")
    try:
        import openvino
    except ImportError as error:
        raise ImportError(f"an ONNX model needs OpenVINO ({error}); pip install openvino") from error
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise ValueError(f"model {path}: OpenVINO cannot read it ({reason})") from error
    shape = model.inputs[0].partial_shape
    if len(model.inputs) != 1 or shape.rank.is_dynamic or len(shape) != 4:
        raise ValueError(f"model {path}: expected one input (1, 3, height, width), got {list(map(str, model.inputs))}")
    height, width = (side.get_length() if side.is_static else DEFAULT_SIZE for side in (shape[2], shape[3]))
    model.reshape([1, 3, height, width])
    compiled = openvino.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    shapes = [tuple(d.get_length() if d.is_static else -1 for d in output.partial_shape) for output in model.outputs]

    def run(image: np.ndarray) -> list[np.ndarray]:
        return [np.array(value) for value in compiled(image).values()]

    return run, (width, height), shapes


def _form(shapes: list[tuple[int, ...]], path: str):
    """What reads the outputs, and the number of keypoints, by the outputs' shapes."""
    ranks = sorted(len(shape) for shape in shapes)
    if ranks == [3]:
        (_, first, last) = shapes[0]
        if first > 5 and (first - 5) % 3 == 0 and (last < 0 or last > first):
            return _yolo, (first - 5) // 3
        if last > 6 and (last - 6) % 3 == 0:
            return _yolo_end_to_end, (last - 6) // 3
    if ranks == [3, 4] and next(shape for shape in shapes if len(shape) == 4)[3] == 3:
        return _rtmo, next(shape for shape in shapes if len(shape) == 4)[2]
    raise ValueError(
        f"model {path}: its outputs {shapes} are neither those of YOLO pose nor of RTMO; export one of these with ONNX"
    )


def _yolo(outputs: list[np.ndarray]) -> Candidates:
    """(1, 5 + 3 K, C): centre, size, score, then x, y, confidence of each keypoint."""
    table = outputs[0][0].T
    centre, half = table[:, :2], table[:, 2:4] / 2
    return Candidates(np.concatenate([centre - half, centre + half], 1), table[:, 4], _triples(table[:, 5:]))


def _yolo_end_to_end(outputs: list[np.ndarray]) -> Candidates:
    """(1, C, 6 + 3 K): corners, score, class, then the keypoints."""
    table = outputs[0][0]
    return Candidates(table[:, :4], table[:, 4], _triples(table[:, 6:]))


def _rtmo(outputs: list[np.ndarray]) -> Candidates:
    """(1, C, 5) corners and score; (1, C, K, 3) keypoints."""
    boxes, points = sorted(outputs, key=np.ndim)
    return Candidates(boxes[0, :, :4], boxes[0, :, 4], points[0])


def _triples(flat: np.ndarray) -> np.ndarray:
    return flat.reshape(len(flat), -1, 3)


def _first(boxes: np.ndarray) -> np.ndarray:
    """Indices of the boxes that overlap no earlier one."""
    kept = first_of_overlapping(boxes, SAME_PERSON_IOU)
    return np.flatnonzero([any(np.array_equal(box, other) for other in kept) for box in boxes])
