"""The test's own end of the wires: publishes keypoints and CameraInfo, hears what a robot would, calls services."""

import os
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from figure import CAMERA, people
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

import dp3d_core
from dp3d_ros.messages.camera_info import info_from_camera
from dp3d_ros.messages.diagnostics import values_of
from dp3d_ros.messages.keypoints import stamp_ns
from dp3d_ros.messages.pointcloud2 import cloud_from_people
from dp3d_ros.node.spin import spin_for

WEIGHTS = Path(dp3d_core.__file__).parent / "weights" / "small.safetensors"
REAL = {"weights": str(WEIGHTS), "backend": "eager"}
"""The real network, without building an engine for minutes on a slow machine."""
LOSSLESS = {
    "qos_overrides./lifter/keypoints.subscription.reliability": "reliable",
    "qos_overrides./lifter/keypoints.subscription.depth": 1000,
}
"""Parameters with which the lifter answers every message, however slow the machine: for tests that count."""
STAND_INS = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "stand_ins"), os.environ["PYTHONPATH"]])}
"""Environment in which a node finds message packages that no registry has, or something like them."""
TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}
REACHES = {"configure": "inactive", "cleanup": "unconfigured", "activate": "active", "deactivate": "inactive"}


class Bench:
    """Everything is kept in lists: skeletons, markers, diagnostics (newest last)."""

    def __init__(self, domain):
        self.domain = domain
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("bench", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.skeletons, self.markers, self.diagnostics, self.told_ns = [], [], {}, {}
        self.arrivals_ns = []
        self._infos, self._clouds = {}, {}
        self.listen("/lifter/")
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._clients = {}

    def listen(self, home):
        """Hear the skeletons and markers below `home`."""
        qos = QoSProfile(depth=1000)
        self.node.create_subscription(PointCloud2, f"{home}skeletons", self._on_skeletons, qos)
        self.node.create_subscription(MarkerArray, f"{home}markers", self.markers.append, qos)

    def _on_skeletons(self, message):
        self.arrivals_ns.append(time.time_ns())
        self.skeletons.append(message)

    def _on_diagnostics(self, message):
        for status in message.status:
            self.diagnostics[status.name] = status
            self.told_ns[status.name] = stamp_ns(message.header.stamp)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    # --- publishing --------------------------------------------------------------------------------------------------

    def cloud_publisher(self, topic="/lifter/keypoints", reliable=True, depth=1000):
        key = (topic, reliable)
        if key not in self._clouds:
            qos = QoSProfile(
                depth=depth, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
            )
            self._clouds[key] = self.node.create_publisher(PointCloud2, topic, qos)
        return self._clouds[key]

    def info_publisher(self, topic="/camera_info"):
        if topic not in self._infos:
            self._infos[topic] = self.node.create_publisher(CameraInfo, topic, 10)
        return self._infos[topic]

    def publish_info(self, info=None, topic="/camera_info", camera=CAMERA):
        self.info_publisher(topic).publish(info if info is not None else info_from_camera(camera, self.header()))

    def header(self, stamp_ns=None):
        header = Header(frame_id="camera_optical_frame")
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        return header

    def publish_people(self, count=1, stamp_ns=None, topic="/lifter/keypoints", header=None):
        """One frame of `count` upright people; returns its header."""
        header = self.header(stamp_ns) if header is None else header
        self.cloud_publisher(topic).publish(cloud_from_people(people(count), header))
        return header

    def clear(self):
        """Forget the skeletons and markers that have come."""
        for kept in (self.skeletons, self.arrivals_ns, self.markers):
            kept.clear()

    # --- waiting -----------------------------------------------------------------------------------------------------

    def spin(self, seconds):
        spin_for(self.executor, seconds)

    def until(self, condition, what, timeout_s=60.0, every=None):
        """Spin until `condition()` is true, calling `every()` about 20 times a second; fails naming `what`."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, f"{what} did not happen within {timeout_s} s; diagnostics: {self.facts()}"
            if every is not None:
                every()
            self.spin(0.05)

    def ready(self, topic="/lifter/keypoints", timeout_s=60.0):
        """The lifter is active, has heard a CameraInfo, and is heard; it may have dropped frames until then."""
        self.clear()
        for publisher in (self.info_publisher(), self.cloud_publisher(topic)):
            self.until(publisher.get_subscription_count, "a subscription", timeout_s)
        self.until(
            lambda: self.skeletons and any(message.markers for message in self.markers),
            "skeletons and markers",
            every=lambda: (self.publish_info(), self.publish_people()),
        )
        self.quiet()

    def flush(self):
        """Until a new frame is answered: by then, where the input is lossless, so is all that was sent before it."""
        stamp = self.publish_people().stamp
        self.until(lambda: any(message.header.stamp == stamp for message in self.skeletons), "an answer")

    def quiet(self, for_s=0.2):
        """Spin until nothing has come for a while."""
        count = -1
        while count != len(self.skeletons):
            count = len(self.skeletons)
            self.spin(for_s)

    def facts(self, name="/lifter"):
        """The newest diagnostics of the lifter as a dict."""
        return values_of(self.diagnostics[name]) if name in self.diagnostics else {}

    def level(self, name="/lifter"):
        """0 OK, 1 warning, 2 error; None while there are no diagnostics."""
        return self.diagnostics[name].level[0] if name in self.diagnostics else None

    def next_facts(self, name="/lifter"):
        """Diagnostics that were made from now on (by the wall clock)."""
        now_ns = time.time_ns()
        self.until(lambda: self.told_ns.get(name, 0) >= now_ns, "diagnostics")
        return self.facts(name)

    def settled(self, before, sent):
        """Diagnostics once `sent` messages since the diagnostics `before` have been read or overwritten."""

        def arrived():
            facts = self.facts()
            return sum(facts.get(key, 0) - before[key] for key in ("messages_in", "missed")) >= sent

        self.until(arrived, f"{sent} messages in the diagnostics")
        return self.facts()

    # --- services ----------------------------------------------------------------------------------------------------

    def call(self, kind, name, request, timeout_s=60.0, again_s=5.0):
        """The answer; DDS may lose it while the two sides find each other, so it is asked for again and again."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.until(client.service_is_ready, f"service {name}", timeout_s)
        futures, asked_s = [], float("-inf")

        def answered():
            nonlocal asked_s
            if time.monotonic() - asked_s > again_s:
                futures.append(client.call_async(request))
                asked_s = time.monotonic()
            return any(future.done() for future in futures)

        self.until(answered, f"an answer of {name}", timeout_s)
        return next(future.result() for future in futures if future.done())

    def transition(self, name, timeout_s=30.0):
        """Whether the lifecycle step was taken; it is asked for once, and judged by the state if no answer comes."""
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[name]
        try:
            return self.call(ChangeState, "/lifter/change_state", request, timeout_s, again_s=600.0).success
        except AssertionError:
            return self.state(timeout_s) == REACHES[name]

    def call_later(self, name):
        """Ask for a transition without waiting for its end."""
        client = self.node.create_client(ChangeState, "/lifter/change_state")
        self.until(client.service_is_ready, "the service")
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[name]
        return client.call_async(request)

    def told(self, text, name="/lifter"):
        """Whether the newest diagnostics say this."""
        return name in self.diagnostics and text in self.diagnostics[name].message

    def state(self, timeout_s=60.0):
        return self.call(GetState, "/lifter/get_state", GetState.Request(), timeout_s).current_state.label

    def set_parameter(self, name, value):
        """Returns (successful, reason)."""
        kinds = {
            bool: ("bool_value", ParameterType.PARAMETER_BOOL),
            int: ("integer_value", ParameterType.PARAMETER_INTEGER),
            float: ("double_value", ParameterType.PARAMETER_DOUBLE),
            str: ("string_value", ParameterType.PARAMETER_STRING),
        }
        field, kind = kinds[type(value)]
        parameter = Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
        request = SetParameters.Request(parameters=[parameter])
        (result,) = self.call(SetParameters, "/lifter/set_parameters", request).results
        return result.successful, result.reason
