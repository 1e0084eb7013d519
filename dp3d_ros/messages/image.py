"""sensor_msgs/Image as an array in OpenCV's order, and back. Knows nothing of rclpy; OpenCV only for YUV."""

import numpy as np

from dp3d_ros.messages.keypoints import BadMessage

_CHANNELS = {
    "bgr8": (0, 1, 2), "8UC3": (0, 1, 2), "rgb8": (2, 1, 0), "bgra8": (0, 1, 2), "8UC4": (0, 1, 2),
    "rgba8": (2, 1, 0), "mono8": (0, 0, 0), "8UC1": (0, 0, 0),
}  # fmt: skip
_WIDTHS = {"bgra8": 4, "8UC4": 4, "rgba8": 4, "mono8": 1, "8UC1": 1}
_YUV = {"yuv422_yuy2": "COLOR_YUV2BGR_YUY2", "yuyv": "COLOR_YUV2BGR_YUY2", "yuv422": "COLOR_YUV2BGR_UYVY",
        "uyvy": "COLOR_YUV2BGR_UYVY"}  # fmt: skip


def image_bgr(image) -> np.ndarray:
    """(height, width, 3) uint8 BGR; BadMessage `bad_image` where sizes do not fit or the encoding is unknown."""
    encoding = image.encoding
    if encoding not in _CHANNELS and encoding not in _YUV:
        known = ", ".join([*_CHANNELS, *_YUV])
        raise BadMessage("bad_image", f"Image.encoding: expected one of {known}, got {encoding[:40]!r}")
    channels = 2 if encoding in _YUV else _WIDTHS.get(encoding, 3)
    row_bytes = image.width * channels
    step = image.step or row_bytes
    if not image.width or not image.height or step < row_bytes or len(image.data) < step * image.height:
        raise BadMessage(
            "bad_image",
            f"Image: {image.width} x {image.height} pixels of {encoding} need {row_bytes} bytes a row, got a step of "
            f"{image.step} and {len(image.data)} bytes",
        )
    rows = np.frombuffer(image.data, np.uint8, count=step * image.height).reshape(image.height, step)[:, :row_bytes]
    pixels = rows.reshape(image.height, image.width, channels)
    if encoding in _YUV:
        import cv2

        return cv2.cvtColor(np.ascontiguousarray(pixels), getattr(cv2, _YUV[encoding]))
    return np.ascontiguousarray(pixels[..., list(_CHANNELS[encoding])])


def image_message(picture_bgr: np.ndarray, header):
    """A sensor_msgs/Image, bgr8, of (height, width, 3) uint8."""
    from sensor_msgs.msg import Image

    height, width, _ = picture_bgr.shape
    image = Image(header=header, height=height, width=width, encoding="bgr8", step=3 * width)
    # the setter would check a bytes object byte by byte; an array("B") it takes as it is
    image.data.frombytes(np.ascontiguousarray(picture_bgr).tobytes())
    return image
