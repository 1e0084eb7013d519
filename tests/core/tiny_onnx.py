"""A tiny YOLO-pose model as an ONNX file, written byte by byte: no package for ONNX is needed.

The picture's mean brightness times `slope` plus `offset` is the answer: output = slope * mean(images) + offset.
"""

import numpy as np

FLOAT, INT64 = 1, 7


def _varint(value):
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, value):
    value = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _tensor(name, array):
    kind = FLOAT if array.dtype == np.float32 else INT64
    dims = b"".join(_number(1, size) for size in array.shape)
    return dims + _number(2, kind) + _bytes(8, name) + _bytes(9, array.tobytes())


def _value(name, shape):
    dims = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, dims)))


def _node(kind, inputs, output):
    return b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output) + _bytes(4, kind)


def write(path, slope, offset, side=64):
    """Write the model; slope and offset have the shape of the output, as (1, 56, C)."""
    slope, offset = np.asarray(slope, np.float32), np.asarray(offset, np.float32)
    graph = b"".join(
        _bytes(1, node)
        for node in (
            _node("ReduceMean", ["images"], "mean"),
            _node("Reshape", ["mean", "one"], "flat"),
            _node("Mul", ["slope", "flat"], "scaled"),
            _node("Add", ["scaled", "offset"], "output0"),
        )
    )
    graph += _bytes(2, "tiny")
    for name, array in (("slope", slope), ("offset", offset), ("one", np.ones(3, np.int64))):
        graph += _bytes(5, _tensor(name, array))
    graph += _bytes(11, _value("images", (1, 3, side, side))) + _bytes(12, _value("output0", offset.shape))
    model = _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))
    path.write_bytes(model)
    return path


def yolo(path, people, side=64):
    """A YOLO-pose model that sees `people` [(box centre x, y, width, height, score, points (17, 3))] in any picture.

    Scores are multiplied by the picture's mean brightness: in a black one it sees nobody.
    """
    offset = np.zeros((1, 56, 60), np.float32)
    slope = np.zeros_like(offset)
    for column, (*box, score, points) in enumerate(people):
        offset[0, :4, column], slope[0, 4, column] = box, score
        offset[0, 5:, column] = np.asarray(points, np.float32).reshape(-1)
    return write(path, slope, offset, side)
