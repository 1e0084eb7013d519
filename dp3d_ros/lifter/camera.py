"""One camera of the lifter node: a callback converts and adds its frame to the next pass; the answer is published."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dp3d_core.config import StreamConfig, to_dict
from dp3d_core.live.stream import Stream
from dp3d_core.skeleton import joint_set
from dp3d_core.types import LATE, REPEATED, RESTARTED, Frame, Skeletons
from dp3d_ros.lifter.advice import Look
from dp3d_ros.lifter.camera_model import CameraModel
from dp3d_ros.lifter.camera_world import CameraWorld
from dp3d_ros.lifter.health import Health
from dp3d_ros.lifter.hri_output import HriOutput
from dp3d_ros.lifter.inputs import DEFAULT_TOPICS, SOURCES, Subscriptions
from dp3d_ros.lifter.outputs import Outputs
from dp3d_ros.lifter.shared_pass import SharedPass
from dp3d_ros.messages.keypoints import BadMessage
from dp3d_ros.node.parameters import NodeConfig

BELIEVABLE_AGE_S = 60.0
"""Stamps further than this from the node's clock say that they belong to another clock, not that something is slow."""
LEFT_OUT = {
    REPEATED: ("repeated_stamp", "header.stamp: {ns} ns came twice; stamp each frame once"),
    LATE: ("late_stamp", "header.stamp: {ns} ns is older than the newest frame; frames must come in order"),
}
"""Cause and text of a frame that the stream left out."""


class CameraChannel:
    """Everything that belongs to one camera; several of them in a node share the network's passes.

    node gives clock, logger and `warn(cause, text)`; name is "" for the only camera of a node; stream is this camera's
    of those that `passes` pushes, stream_config what it was made with; hri: see `Outputs`.
    """

    def __init__(
        self,
        node,
        name: str,
        stream: Stream,
        passes: SharedPass,
        hri: HriOutput | None,
        config: NodeConfig,
        stream_config: StreamConfig,
    ):
        self.name = name
        self.health = Health(node, name, lambda: to_dict(self._stream_config))
        self.statistics = self.health.statistics
        self._node, self._stream, self._passes = node, stream, passes
        self._config, self._stream_config = config, stream_config
        self._keypoint_count = len(joint_set(stream_config.joint_set).keypoints)
        self._model = CameraModel(config, self.health, stream.set_camera)
        self._subscriptions = Subscriptions(node, self.health)
        self._source: Any = None
        self._world = CameraWorld(node, config, self.health)
        self._floor: Any = None
        self._outputs = Outputs(node, name, config, hri)
        self._epoch_ns: int | None = None

    # --- lifecycle -----------------------------------------------------------------------------------------------

    def activate(self) -> None:
        """Subscribe, with nothing left of what was seen before."""
        from sensor_msgs.msg import CameraInfo

        self._reset()
        self.health.advisor.forget()
        info_topic = f"{self.name}/camera_info" if self.name else "camera_info"
        self._subscriptions.add(CameraInfo, info_topic, self._model.on_camera_info)
        self._world.subscribe(self._subscriptions)
        self._source = SOURCES[self._config.input](self._subscriptions, self._keypoint_topic(), self.receive)

    def deactivate(self) -> None:
        """Stop listening; the next activation reads the camera's calibration again."""
        self._passes.forget(self)
        self._world.forget()
        self._subscriptions.close()
        self._outputs.deactivate()
        self._model.forget()
        self._source = None
        self.statistics.people = 0

    def close(self) -> None:
        """Take all publishers and subscriptions back."""
        self.deactivate()
        self._world.close()
        self._outputs.close()

    def configure(self, config: NodeConfig, stream_config: StreamConfig) -> None:
        """Take over changed `live` parameters; people are kept."""
        self._config = config
        self._outputs.config = config
        old, new = to_dict(self._stream_config), to_dict(stream_config)
        changed = {name: value for name, value in new.items() if value != old[name] and name != "joint_set"}
        self._stream.configure(**changed)
        self._stream_config = replace(self._stream_config, **changed)

    # --- a frame -----------------------------------------------------------------------------------------------------

    def receive(self, header, convert: Callable) -> None:
        """One frame of keypoints: convert it and add it to the next pass.

        convert(keypoint_count, camera) gives the `Converted` message or raises BadMessage, which is counted and said.
        """
        started_s = time.perf_counter()
        if self._world.held is not None:
            self._world.flush()
        self._passes.finish(self)
        self.statistics.arrived(started_s)
        try:
            camera = self._model.camera
            if camera is None or camera.assumed:
                camera = self._model.assumed()
            header, stamp_ns = self._complete(header)
            keypoints, oddities = convert(self._keypoint_count, camera)
            self.statistics.oddities += oddities
            self.statistics.taken(len(keypoints.confidence), stamp_ns)
        except BadMessage as problem:
            self.health.drop(problem)
        except Exception as error:  # the node outlives whatever a frame does; nothing is hidden
            self.fail(error)
        else:
            if self._epoch_ns is None:
                self._epoch_ns = stamp_ns  # small numbers keep the nanoseconds that floats of epoch time lose
            frame = Frame((stamp_ns - self._epoch_ns) * 1e-9, keypoints, header)
            if self._world.in_use:
                frame = self._world.posed(frame, lambda late: self._passes.add(self, late, started_s))
            if frame is not None:  # else it waits for TF
                self._passes.add(self, frame, started_s)

    def answer(self, frame: Frame, skeletons: Skeletons, started_s: float, took_s: float, cameras: int) -> None:
        """Publish this camera's skeletons.

        frame is the one that was pushed, its callback began at started_s; took_s is the time of the pass, `cameras` the
        number of cameras in it.
        """
        stamp = frame.tag.stamp
        if skeletons.outcome in LEFT_OUT:
            cause, text = LEFT_OUT[skeletons.outcome]
            self.health.drop(BadMessage(cause, text.format(ns=stamp.sec * 1_000_000_000 + stamp.nanosec)))
            return
        self.statistics.compute.add(took_s)
        self.statistics.shared_passes += cameras > 1
        try:
            if skeletons.outcome == RESTARTED:
                self._outputs.clock_jumped_back()
                self._world.clock_jumped_back()
                self.health.odd("clock_jumped_back", "stamps jumped back; starting afresh")
            if skeletons.tag is not None:  # else a lookahead has not filled yet
                self._publish(skeletons, started_s)
            if self._config.publish_hri:
                self._outputs.publish_keypoints(frame.tag, self._stream.keypoints, self._stream.camera)
        except BadMessage as problem:
            self.health.drop(problem)
        except Exception as error:  # as in `receive`
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """A frame or the pass that it went through raised: forget all people, go on with the next."""
        self._reset()
        self.health.drop(BadMessage("lift_failed", f"{type(error).__name__}: {error}"))

    def _complete(self, header):
        """The header with a stamp and a frame, the clock's and the camera's where the input has none; nanoseconds."""
        stamp, frame_id = header.stamp, header.frame_id
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        if stamp_ns and frame_id:
            return header, stamp_ns
        if not stamp_ns:
            self.health.odd("zero_stamp", "header.stamp is zero; using the time of arrival")
            now = self._node.get_clock().now()
            stamp, stamp_ns = now.to_msg(), now.nanoseconds
        if not frame_id:
            self.health.odd("no_frame_id", "header.frame_id is empty; using that of CameraInfo")
            frame_id = self._model.frame_id
        return type(header)(stamp=stamp, frame_id=frame_id), stamp_ns

    def _publish(self, skeletons: Skeletons, started_s: float) -> None:
        header, self._floor = skeletons.tag, skeletons.floor
        names = self._source.names() if self._source is not None else {}
        self._outputs.publish(skeletons, header, names)
        self.statistics.left(len(skeletons.ids), started_s, time.perf_counter())
        clock_ns = self._node.get_clock().now().nanoseconds
        if not clock_ns:
            return  # with use_sim_time, before the first /clock
        age_s = (clock_ns - header.stamp.sec * 1_000_000_000 - header.stamp.nanosec) * 1e-9
        if abs(age_s) < BELIEVABLE_AGE_S:
            self.statistics.stamp_to_publish.add(age_s)
        else:
            self.health.odd(
                "stamp_of_another_clock",
                f"stamps are {age_s:.0f} s away from the node's clock; replaying a bag? set use_sim_time",
            )

    def _reset(self) -> None:
        """Forget all people and stamps, also a frame that waits for its pass."""
        self._passes.forget(self)
        self._world.forget()
        self._stream.reset()
        self._floor = None
        self._epoch_ns = None

    # --- what is said of it ------------------------------------------------------------------------------------------

    def _keypoint_topic(self) -> str:
        topic = DEFAULT_TOPICS[self._config.input]
        if not self.name:
            return topic
        return f"~/{self.name}/keypoints" if topic.startswith("~/") else f"/{self.name}{topic}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the diagnostics say of this camera beyond the statistics."""
        return {
            "publishers": self._subscriptions.publishers(),
            "camera": self._model.kind,
            "joint_set": self._stream_config.joint_set,
            "floor_below_camera_m": "unknown" if self._floor is None else f"{self._floor.height_m:.2f}",
            "floor_sigma_m": "unknown" if self._floor is None else f"{self._floor.sigma_m:.2f}",
        } | self.health.stream_counters(self._stream.counters)

    def judge(self, values: dict[str, Any], backend: str, steady_s: float) -> tuple[int, str]:
        """Level and text of the diagnostics that have these values; backend: the one that was built."""
        stamp_ns = self.statistics.newest_stamp_ns
        look = Look(
            clock_s=self._node.get_clock().now().nanoseconds * 1e-9,
            steady_s=steady_s,
            values=values,
            stamp_s=None if stamp_ns is None else stamp_ns * 1e-9,
            unheard=self._subscriptions.unheard(),
        )
        return self.health.judge(values, backend, look)
