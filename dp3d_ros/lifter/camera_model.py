"""Which camera this is: what CameraInfo says, or what is assumed while there is none."""

from collections.abc import Callable

from dp3d_core import Camera
from dp3d_ros.lifter.health import Health
from dp3d_ros.messages.camera_info import camera_from_info, signature
from dp3d_ros.messages.keypoints import BadMessage
from dp3d_ros.node.parameters import NodeConfig


class CameraModel:
    """The intrinsics of one camera; `use(camera)` is called after each change."""

    def __init__(self, config: NodeConfig, health: Health, use: Callable[[Camera], None]):
        self.camera: Camera | None = None
        self.frame_id = ""
        """That of CameraInfo."""
        self._config, self._health, self._use = config, health, use
        self._signature: tuple | None = None
        self._problem = BadMessage("no_camera_info", "no CameraInfo has come yet; is its topic remapped?")

    @property
    def kind(self) -> str:
        """none, assumed or calibrated."""
        return "none" if self.camera is None else "assumed" if self.camera.assumed else "calibrated"

    def forget(self) -> None:
        """Ask for the camera again."""
        self.camera = self._signature = None

    def on_camera_info(self, info) -> None:
        """Take over a CameraInfo that says something new."""
        found = signature(info)
        if found == self._signature:
            return
        self._signature = found
        self.frame_id = info.header.frame_id
        try:
            camera = camera_from_info(info, rectified=self._config.rectified)
        except BadMessage as problem:
            self.camera, self._problem = None, problem
            self._health.odd(problem.cause, str(problem))
            return
        width, height = self._config.image_width_px, self._config.image_height_px
        if width and height:
            camera = camera.resized(width, height)
        if self.camera is not None and not self.camera.assumed:
            self._health.odd("camera_changed", "CameraInfo changed; using the new one")
        self.camera = camera
        self._use(camera)

    def assumed(self) -> Camera:
        """The camera where none is calibrated: of `assumed_hfov_deg`, else BadMessage says what is missing."""
        hfov_deg = self._config.assumed_hfov_deg
        if self.camera is None:
            if not hfov_deg:
                raise self._problem
            width, height = self._config.assumed_width_px, self._config.assumed_height_px
            if self._signature is not None and self._signature[0] and self._signature[1]:
                width, height = self._signature[:2]  # uncalibrated, but the image size is known
            self.camera = Camera.from_fov(width=width, height=height, horizontal_fov_deg=hfov_deg)
            self._use(self.camera)
        self._health.odd(
            "assumed_camera",
            f"no calibrated CameraInfo: a field of view of {hfov_deg:g} degrees is assumed, only root-relative "
            "positions mean anything",
        )
        return self.camera


def placeholder_camera(config: NodeConfig) -> Camera:
    """Stands in until the first frame, which is not lifted before a camera is known."""
    return Camera.from_fov(width=config.assumed_width_px, height=config.assumed_height_px)
