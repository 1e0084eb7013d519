"""The lifecycle node: 2D keypoints in, 3D skeletons out.

configure loads the weights and builds engines (in a thread: the node answers meanwhile), activate subscribes,
deactivate stops listening, cleanup frees everything.
"""

import gc
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType  # pyright: ignore[reportPrivateImportUsage] (Humble has it here only)
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.task import Future
from std_msgs.msg import Header

from dp3d_core.config import StreamConfig, to_dict
from dp3d_ros.lifter.loading import Loading
from dp3d_ros.lifter.statistics import Throttle
from dp3d_ros.messages import diagnostics
from dp3d_ros.node import parameters
from dp3d_ros.node.compat import after_parameters_change
from dp3d_ros.node.parameters import NodeConfig
from dp3d_ros.node.spin import run

DIAGNOSTICS_PERIOD_S = 1.0
CONFIGURE = {Transition.TRANSITION_CONFIGURE: "configure"}


class LifterNode(LifecycleNode):
    """Holds parameters, lifecycle and diagnostics; each camera's work is in its `CameraChannel`."""

    def __init__(self, **options):
        super().__init__("lifter", **options)
        self._config, self._stream_config = parameters.setup(self, NodeConfig, StreamConfig)
        self._lifter: Any = None
        self._hri: Any = None
        self._loading: Loading | None = None
        self._later: Loading | None = None
        """What builds the engines that were not waited for."""
        self._loaded: Future | None = None
        self._told = ""
        self._channels = []
        self._active = False
        self._last_error = ""
        self._backend_name = self._backend_note = ""
        self._throttle = Throttle(self._config.warn_every_s)
        after_parameters_change(self, self._check_parameters, self._take_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # keeps its pace whatever simulated time does
        self._timer = self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        self._autostart_timer = self.create_timer(0.0, self._autostart, clock=steady)
        self._answer_change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change_state
        # a request that waits for the engines must not keep others waiting
        self._service_change_state.callback_group = ReentrantCallbackGroup()

    # --- loading -------------------------------------------------------------------------------------------------

    async def _change_state(self, request, response):
        """The service: configure loads first, in a thread, while the node is still unconfigured."""
        if "configure" in (request.transition.label, CONFIGURE.get(request.transition.id)):
            await self._load()
            if self._lifter is not None and self._loading is None:  # another request was first
                response.success = True
                return response
        return self._answer_change_state(request, response)

    def _load(self) -> Future:
        """Begin to load where it does not go on already; the future is done when that has ended."""
        if self._loaded is not None and not self._loaded.done():
            return self._loaded
        self._loaded = Future(executor=self.executor)
        if self._lifter is not None:
            self._loaded.set_result(None)
            return self._loaded
        self._last_error = ""
        try:
            self._begin_loading(lambda future=self._loaded: future.set_result(None))
        except Exception as error:  # said by on_configure, which tries again
            self.get_logger().debug(f"loading could not begin: {error}")
            self._loaded.set_result(None)
        return self._loaded

    def _begin_loading(self, done=lambda: None) -> None:
        self._config = parameters.read(self, NodeConfig)
        self._stream_config = parameters.read(self, StreamConfig)
        self._loading = Loading(self._config, self._stream_config, done)

    def _autostart(self):
        self.destroy_timer(self._autostart_timer)
        if self._config.autostart:
            self._load().add_done_callback(self._start)

    def _start(self, loaded):
        if self._lifter is None and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # --- lifecycle -----------------------------------------------------------------------------------------------

    def on_configure(self, state):
        try:
            if self._loading is None:
                self._begin_loading()
            self._build(self._loading)
            return super().on_configure(state)
        except Exception as error:  # whatever it is, the node stays clean and can be configured again
            self._release()
            expected = isinstance(error, ValueError | OSError | ImportError)
            self._last_error = f"configure: {error if expected else repr(error)}"
            self.get_logger().error(self._last_error)
            return TransitionCallbackReturn.FAILURE

    def on_activate(self, state):
        try:
            result = super().on_activate(state)
            for channel in self._channels:
                channel.activate()
        except Exception as error:
            for channel in self._channels:
                channel.deactivate()
            super().on_deactivate(state)
            self._last_error = f"activate: {error}"
            self.get_logger().error(self._last_error)
            return TransitionCallbackReturn.FAILURE
        self._active = True
        return result

    def on_deactivate(self, state):
        self._active = False
        for channel in self._channels:
            channel.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state):
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state):
        self._release()
        return super().on_error(state)

    def close(self):
        """Before the process ends."""
        self._release()
        self.destroy_node()

    def _build(self, loading):
        """The channels of all cameras around what was loaded."""
        from dp3d_ros.lifter.camera import CameraChannel
        from dp3d_ros.lifter.camera_model import placeholder_camera
        from dp3d_ros.lifter.hri_output import HriOutput
        from dp3d_ros.lifter.shared_pass import SharedPass

        self._lifter, self._loading, self._later = loading.result(), None, loading
        options, names = loading.options, self._config.cameras
        streams = self._lifter.streams(dict.fromkeys(names, placeholder_camera(self._config)), **to_dict(options))
        passes = SharedPass(self, streams)
        if self._config.publish_hri:
            self._hri = HriOutput(self, options.joint_set)
        for name in names:
            self._channels.append(CameraChannel(self, name, streams[name], passes, self._hri, self._config, options))
        self._backend_name, self._backend_note = self._lifter.backend_name, self._lifter.backend_note
        gc.collect()
        gc.freeze()  # what is here now stays: no need for the collector to visit it between frames
        self._last_error = ""
        self.get_logger().info(
            f"weights {self._lifter.weights_name} on {self._backend_name} ({self._backend_note}), ready after "
            f"{loading.ready_s:.1f} s"
        )

    def _release(self):
        self._active = False
        for channel in self._channels:
            channel.close()
        if self._hri is not None:
            self._hri.close()
        self._channels = []
        self._lifter = self._hri = self._loading = self._later = None
        gc.unfreeze()

    # --- parameters ------------------------------------------------------------------------------------------------

    def _check_parameters(self, changed):
        changes = {item.name: item.value for item in changed}
        running = self._lifter is not None or self._loading is not None
        reason = parameters.refusal(changes, (self._config, self._stream_config), running)
        if not reason and not self._config.allow_path_changes:
            reason = parameters.path_refusal(changes, self._config)
        return SetParametersResult(successful=not reason, reason=reason)

    def _take_parameters(self, changed):
        self._config = parameters.read(self, NodeConfig)
        self._stream_config = parameters.read(self, StreamConfig)
        self._throttle.every_s = self._config.warn_every_s
        for channel in self._channels:
            channel.configure(self._config, self._stream_config)

    # --- diagnostics -----------------------------------------------------------------------------------------------

    def warn(self, cause, text):
        """A warning, at most every `warn_every_s` for each cause."""
        if self._throttle.ready(cause, time.monotonic()):
            self.get_logger().warning(text)

    def _progress(self):
        """What loading does now, also said in the log where it is new."""
        if self._later is not None:
            self._follow_later(self._later)
        if self._loading is None:
            return ""
        if self._loading.doing != self._told:
            self._told = self._loading.doing
            self.get_logger().info(f"configuring: {self._told}")
        return f"configuring since {self._loading.took_s:.0f} s: {self._told}"

    def _follow_later(self, later):
        """Say what becomes of the engines that were not waited for."""
        if later.finished:
            self._later = None
            if later.late_error:
                self.get_logger().error(f"engines: {later.late_error}; going on with those that are there")
            elif later.took_s - later.ready_s > DIAGNOSTICS_PERIOD_S:
                self.get_logger().info("all engines are built")
        elif later.doing != self._told:
            self._told = later.doing
            self.get_logger().info(f"serving, and building meanwhile: {self._told}")

    def _publish_diagnostics(self):
        now_s = time.perf_counter()
        statuses = []
        name = self.get_fully_qualified_name()
        progress = self._progress()
        if not self._channels:
            level = diagnostics.ERROR if self._last_error else diagnostics.OK
            text = self._last_error or progress or "unconfigured"
            statuses.append(diagnostics.status(name, "", level, text, {"last_error": self._last_error}))
        if self._lifter is not None and self._lifter.backend_note != self._backend_note:
            self._backend_note = self._lifter.backend_note
            self.get_logger().error(f"backend: {self._backend_note}")
        for channel in self._channels:
            assert self._lifter is not None
            counters = {f"backend.{cause}": number for cause, number in sorted(self._lifter.backend_counters.items())}
            values = diagnostics.facts(
                channel.statistics,
                now_s,
                **channel.facts,
                state="active" if self._active else "inactive",
                backend=self._lifter.backend_name,
                backend_note=self._lifter.backend_note,
                weights=self._lifter.weights_name,
                **counters,
            )
            level, text = channel.judge(values, self._backend_name, now_s)
            title = f"{name}: {channel.name}" if channel.name else name
            statuses.append(diagnostics.status(title, values["camera"], level, text, values))
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=statuses))


def main(args=None):
    """Entry point of the `lifter` executable."""
    sys.exit(run(LifterNode, args))


if __name__ == "__main__":
    main()
