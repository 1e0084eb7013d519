"""One camera of the lifter node: keypoints and CameraInfo in, skeletons out.

A callback converts and adds the frame to the next pass; what comes back is published.
"""

import time
from dataclasses import replace

from dp3d_core import Camera
from dp3d_core.config import to_dict
from dp3d_core.skeleton import joint_set
from dp3d_ros.lifter.inputs import DEFAULT_TOPICS, SOURCES, Subscriptions
from dp3d_ros.lifter.outputs import Outputs
from dp3d_ros.lifter.shared_pass import Frame
from dp3d_ros.lifter.statistics import Statistics
from dp3d_ros.lifter.timeline import Timeline
from dp3d_ros.messages.camera_info import camera_from_info, signature
from dp3d_ros.messages.keypoints import BadMessage, stamp_ns

BELIEVABLE_AGE_S = 60.0
"""Stamps further than this from the node's clock say that they belong to another clock, not that something is slow."""


class CameraChannel:
    """Everything that belongs to one camera; several of them in a node share the network's passes.

    node gives clock, logger and `warn(cause, text)`; name is "" for the only camera of a node; stream is this camera's
    of those that `passes` (a `SharedPass`) pushes, stream_config what it was made with; hri: see `Outputs`.
    """

    def __init__(self, node, name, stream, passes, hri, config, stream_config):
        self.name = name
        self.statistics = Statistics()
        self.told = {"dropped": 0, "missed": 0}
        """Losses that the diagnostics have spoken of already."""
        self._node = node
        self._config = config
        self._stream_config = stream_config
        self._keypoint_count = len(joint_set(stream_config.joint_set).keypoints)
        self._camera = None
        self._camera_signature = None
        self._camera_problem = BadMessage("no_camera_info", "no CameraInfo has come yet; is its topic remapped?")
        self._camera_frame_id = ""
        self._stream, self._passes = stream, passes
        self._timeline = Timeline(remember=stream_config.lookahead + 1)
        self._subscriptions = Subscriptions(node, self._incompatible, self._odd, self._count_missed)
        self._source = None
        self._outputs = Outputs(node, name, config, hri)

    # --- lifecycle -----------------------------------------------------------------------------------------------

    def activate(self):
        """Subscribe, with nothing left of what was seen before."""
        from sensor_msgs.msg import CameraInfo

        self.reset()
        self._subscriptions.add(CameraInfo, self._info_topic(), self._on_camera_info)
        self._source = SOURCES[self._config.input](self._subscriptions, self._keypoint_topic(), self.receive)

    def deactivate(self):
        """Stop listening; the camera is asked for again when activated."""
        self._passes.forget(self)
        self._subscriptions.close()
        self._outputs.deactivate()
        self._source = self._camera = self._camera_signature = None
        self.statistics.people = 0

    def close(self):
        """Take all publishers and subscriptions back."""
        self.deactivate()
        self._outputs.close()

    def reset(self):
        """Forget all people and stamps, also a frame that waits for its pass."""
        self._passes.forget(self)
        self._stream.reset()
        self._timeline.restart()

    def configure(self, config, stream_config):
        """Take over changed `live` parameters; people are kept."""
        self._config = config
        self._outputs.config = config
        old, new = to_dict(self._stream_config), to_dict(stream_config)
        changed = {name: value for name, value in new.items() if value != old[name] and name != "joint_set"}
        self._stream.configure(**changed)
        self._stream_config = replace(self._stream_config, **changed)

    # --- callbacks -----------------------------------------------------------------------------------------------

    def receive(self, header, read_people):
        """One frame of keypoints: convert it and add it to the next pass; what is wrong with it is counted and said."""
        started_s = time.perf_counter()
        if self._passes.waits(self):
            self._passes.run()
        statistics = self.statistics
        statistics.messages_in += 1
        statistics.input_rate.tick(started_s)
        try:
            camera = self._known_camera()
            header = self._complete(header)
            people = read_people(self._keypoint_count, camera)
            statistics.oddities.update(people.oddities)
            frame = Frame(header, self._admit(header), people, camera, started_s)
        except BadMessage as problem:
            self._drop(problem)
        except Exception as error:  # the node outlives whatever a frame does; nothing is hidden
            self.fail(error)
        else:
            self._passes.add(self, frame)

    def answer(self, frame, skeletons, took_s, cameras):
        """Publish what a pass over frames of so many `cameras`, took_s seconds long, made of this one's."""
        self.statistics.compute.add(took_s)
        self.statistics.shared_passes += cameras > 1
        try:
            self._publish(skeletons, frame.started_s)
            self._outputs.publish_keypoints(frame.header, frame.people.keypoints, frame.camera)
        except BadMessage as problem:
            self._drop(problem)
        except Exception as error:  # as in `receive`
            self.fail(error)

    def fail(self, error):
        """A frame or the pass that it went through raised: forget all people, go on with the next."""
        self.reset()
        self._drop(BadMessage("lift_failed", f"{type(error).__name__}: {error}"))

    def _on_camera_info(self, info):
        found = signature(info)
        if found == self._camera_signature:
            return
        self._camera_signature = found
        self._camera_frame_id = info.header.frame_id
        try:
            camera = camera_from_info(info)
        except BadMessage as problem:
            self._camera, self._camera_problem = None, problem
            self._odd(problem.cause, str(problem))
            return
        if self._camera is not None and not self._camera.assumed:
            self._odd("camera_changed", "CameraInfo changed; using the new one")
        self._camera = camera
        self._stream.set_camera(camera)

    # --- the parts of a frame --------------------------------------------------------------------------------------

    def _known_camera(self):
        if self._camera is None:
            if not self._config.assumed_hfov_deg:
                raise self._camera_problem
            self._camera = self._assumed_camera()
            self._stream.set_camera(self._camera)
        if self._camera.assumed:
            self._odd(
                "assumed_camera",
                f"no calibrated CameraInfo: a field of view of {self._config.assumed_hfov_deg:g} degrees is assumed, "
                "only root-relative positions mean anything",
            )
        return self._camera

    def _assumed_camera(self):
        width, height = self._config.assumed_width_px, self._config.assumed_height_px
        if self._camera_signature is not None and self._camera_signature[0] and self._camera_signature[1]:
            width, height = self._camera_signature[:2]  # uncalibrated, but the image size is known
        return Camera.from_fov(width=width, height=height, horizontal_fov_deg=self._config.assumed_hfov_deg)

    def _complete(self, header):
        """The header with a stamp and a frame: the clock's and the camera's where the input has none."""
        stamp, frame_id = header.stamp, header.frame_id
        if stamp_ns(stamp) == 0:
            self._odd("zero_stamp", "header.stamp is zero; using the time of arrival")
            stamp = self._node.get_clock().now().to_msg()
        if not frame_id:
            self._odd("no_frame_id", "header.frame_id is empty; using that of CameraInfo")
            frame_id = self._camera_frame_id
        if stamp is header.stamp and frame_id == header.frame_id:
            return header
        return type(header)(stamp=stamp, frame_id=frame_id)

    def _admit(self, header):
        """The frame's time in seconds; starts afresh where the stamps have jumped back."""
        time_ns = stamp_ns(header.stamp)
        if self._timeline.jumped_back(time_ns):
            self.reset()
            self._outputs.clock_jumped_back()
            self._odd("clock_jumped_back", "stamps jumped back; starting afresh")
        return self._timeline.admit(time_ns, header)

    def _publish(self, skeletons, started_s):
        header = self._timeline.header(skeletons.stamp_s) if skeletons.ids else self._timeline.oldest()
        if header is None:
            return  # a lookahead has not filled yet
        names = self._source.names() if self._source is not None else {}
        self._outputs.publish(skeletons, header, names)
        now_s = time.perf_counter()
        statistics = self.statistics
        statistics.frames_out += 1
        statistics.skeletons_out += len(skeletons.ids)
        statistics.people = len(skeletons.ids)
        statistics.output_rate.tick(now_s)
        statistics.callback_to_publish.add(now_s - started_s)
        clock_ns = self._node.get_clock().now().nanoseconds
        age_s = (clock_ns - stamp_ns(header.stamp)) * 1e-9
        if not clock_ns:
            return  # with use_sim_time, before the first /clock
        if abs(age_s) < BELIEVABLE_AGE_S:
            statistics.stamp_to_publish.add(age_s)
        else:
            self._odd(
                "stamp_of_another_clock",
                f"stamps are {age_s:.0f} s away from the node's clock; replaying a bag? set use_sim_time",
            )

    # --- counting --------------------------------------------------------------------------------------------------

    def _count_missed(self, number):
        if number is None:
            self.statistics.missed_unknown += 1
        else:
            self.statistics.missed += number

    def _drop(self, problem):
        self.statistics.drops[problem.cause] += 1
        self.statistics.last_error = str(problem)
        self._node.warn(self._tag(problem.cause), self._say(str(problem)))

    def _odd(self, cause, text):
        self.statistics.oddities[cause] += 1
        self._node.warn(self._tag(cause), self._say(text))

    def _incompatible(self, topic, event):
        self._odd(
            "incompatible_qos",
            f"a publisher on {topic} offers a QoS that does not fit ({event.last_policy_kind}); no messages will come "
            "from it: change its QoS, or the qos_overrides parameters of this node",
        )

    # --- small things ----------------------------------------------------------------------------------------------

    def _keypoint_topic(self):
        topic = DEFAULT_TOPICS[self._config.input]
        if not self.name:
            return topic
        return f"~/{self.name}/keypoints" if topic.startswith("~/") else f"/{self.name}{topic}"

    def _info_topic(self):
        return f"{self.name}/camera_info" if self.name else "camera_info"

    def _tag(self, cause):
        return f"{self.name}/{cause}"

    def _say(self, text):
        return f"{self.name}: {text}" if self.name else text

    @property
    def facts(self):
        """What the diagnostics say of this camera beyond the statistics."""
        return {
            "publishers": self._subscriptions.publishers(),
            "camera": "none" if self._camera is None else "assumed" if self._camera.assumed else "calibrated",
            "joint_set": self._stream_config.joint_set,
        } | {f"stream.{cause}": count for cause, count in sorted(self._stream.counters.items())}


def stream_options(config, stream_config):
    """`stream_config` as the input of `config` needs it; ImportError names a message package that is missing."""
    source = SOURCES[config.input]
    source.messages()  # what is missing shall be missed now, not when activated
    return stream_config if source.joint_set is None else replace(stream_config, joint_set=source.joint_set)


def placeholder_camera(config):
    """Stands in until the first frame, which is not lifted before a camera is known."""
    return Camera.from_fov(width=config.assumed_width_px, height=config.assumed_height_px)
