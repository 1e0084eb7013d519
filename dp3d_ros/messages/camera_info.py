"""sensor_msgs/CameraInfo to and from `dp3d_core.Camera`. Knows nothing of rclpy."""

from dp3d_core.geometry.camera import Camera
from dp3d_ros.messages.keypoints import BadMessage

FOCAL_WIDTHS = (0.05, 200.0)
"""Focal lengths below or above these multiples of the picture's width are of no camera: 168 degrees, or a telescope."""
CENTRE_WIDTHS = (-2.0, 3.0)
"""Nor is the principal point farther outside the picture than this."""


def signature(info) -> tuple:
    """What makes two CameraInfo the same camera: cheap to compare for each message."""
    roi = info.roi
    return (
        info.width, info.height, info.distortion_model, tuple(info.k), tuple(info.p), tuple(info.d), info.binning_x,
        info.binning_y, roi.x_offset, roi.y_offset, roi.width, roi.height,
    )  # fmt: skip


def camera_from_info(info, rectified: bool = False) -> Camera:
    """The camera of the raw (distorted) image, or of the rectified one; binning and region of interest count.

    BadMessage `uncalibrated_camera` where the focal length is 0 or absurd, `bad_camera_info` where the values make no
    camera.
    """
    matrix = [float(value) for value in (info.p if rectified else info.k)]
    fx, fy, cx, cy = (matrix[i] for i in ((0, 5, 2, 6) if rectified else (0, 4, 2, 5)))
    name = "p" if rectified else "k"
    if fx == 0:
        raise BadMessage(
            "uncalibrated_camera",
            f"CameraInfo.{name}[0] is 0, the camera is not calibrated: calibrate it, or set the parameter "
            "assumed_hfov_deg",
        )
    bin_x, bin_y = max(info.binning_x, 1), max(info.binning_y, 1)
    left, top = info.roi.x_offset, info.roi.y_offset
    try:
        camera = Camera(
            fx=fx / bin_x,
            fy=fy / bin_y,
            cx=(cx - left) / bin_x,
            cy=(cy - top) / bin_y,
            width=(info.roi.width or info.width) // bin_x,
            height=(info.roi.height or info.height) // bin_y,
            distortion=() if rectified else tuple(float(value) for value in info.d),
            model="plumb_bob" if rectified else info.distortion_model or "plumb_bob",
        )
    except ValueError as error:
        raise BadMessage("bad_camera_info", f"CameraInfo: {error}") from error
    _check_sizes((fx, fy), (cx, cy), (info.width, info.height), name)
    return camera


def _check_sizes(focal_px, centre_px, size_px, name: str) -> None:
    """BadMessage where the numbers are finite and still no camera's."""
    low, high = FOCAL_WIDTHS
    if not all(low * size_px[0] <= focal <= high * size_px[0] for focal in focal_px):
        raise BadMessage(
            "uncalibrated_camera",
            f"CameraInfo.{name}: focal lengths {focal_px[0]:g} and {focal_px[1]:g} px fit no lens of a picture "
            f"{size_px[0]} px wide: calibrate the camera, or set the parameter assumed_hfov_deg",
        )
    low, high = CENTRE_WIDTHS
    if not all(low * size <= centre <= high * size for centre, size in zip(centre_px, size_px)):
        raise BadMessage(
            "uncalibrated_camera",
            f"CameraInfo.{name}: the principal point ({centre_px[0]:g}, {centre_px[1]:g}) is far outside the picture "
            f"of {size_px[0]} x {size_px[1]}: calibrate the camera, or set the parameter assumed_hfov_deg",
        )


def info_from_camera(camera, header):
    """A CameraInfo of `camera`, unrectified."""
    from sensor_msgs.msg import CameraInfo

    k = camera.matrix.reshape(-1).tolist()
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.model,
        d=list(camera.distortion),
        k=k,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[k[0], 0.0, k[2], 0.0, 0.0, k[4], k[5], 0.0, 0.0, 0.0, 1.0, 0.0],
    )
