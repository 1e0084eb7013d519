"""sensor_msgs/CameraInfo to and from `dp3d_core.Camera`. Knows nothing of rclpy."""

from dp3d_core.geometry.camera import Camera
from dp3d_ros.messages.keypoints import BadMessage


def signature(info):
    """What makes two CameraInfo the same camera: cheap to compare for each message."""
    roi = info.roi
    return (
        info.width, info.height, info.distortion_model, tuple(info.k), tuple(info.d), info.binning_x, info.binning_y,
        roi.x_offset, roi.y_offset, roi.width, roi.height,
    )  # fmt: skip


def camera_from_info(info):
    """The camera of the raw (distorted) image; binning and region of interest are taken into account.

    BadMessage `uncalibrated_camera` where k[0] == 0, `bad_camera_info` where the values make no camera.
    """
    k = [float(value) for value in info.k]
    if k[0] == 0:
        raise BadMessage(
            "uncalibrated_camera",
            "CameraInfo.k[0] is 0, the camera is not calibrated: calibrate it, or set the parameter assumed_hfov_deg",
        )
    bin_x, bin_y = max(info.binning_x, 1), max(info.binning_y, 1)
    left, top = info.roi.x_offset, info.roi.y_offset
    try:
        return Camera(
            fx=k[0] / bin_x, fy=k[4] / bin_y, cx=(k[2] - left) / bin_x, cy=(k[5] - top) / bin_y,
            width=(info.roi.width or info.width) // bin_x, height=(info.roi.height or info.height) // bin_y,
            distortion=tuple(float(value) for value in info.d), model=info.distortion_model or "plumb_bob",
        )  # fmt: skip
    except ValueError as error:
        raise BadMessage("bad_camera_info", f"CameraInfo: {error}") from error


def info_from_camera(camera, header):
    """A CameraInfo of `camera`, unrectified."""
    from sensor_msgs.msg import CameraInfo

    k = camera.matrix.reshape(-1).tolist()
    return CameraInfo(
        header=header, width=camera.width, height=camera.height, distortion_model=camera.model,
        d=list(camera.distortion), k=k, r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[k[0], 0.0, k[2], 0.0, 0.0, k[4], k[5], 0.0, 0.0, 0.0, 1.0, 0.0],
    )  # fmt: skip
