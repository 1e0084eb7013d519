"""How one camera fares: counts what goes wrong by cause, warns (throttled by the node), and judges for diagnostics."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dp3d_ros.lifter.advice import Advisor, Look
from dp3d_ros.lifter.causes import COUNTED_ELSEWHERE
from dp3d_ros.lifter.statistics import Statistics
from dp3d_ros.messages import diagnostics
from dp3d_ros.messages.keypoints import BadMessage


class Health:
    """Of one camera; node gives `warn(cause, text)`, `options()` the values that advice names."""

    def __init__(self, node, camera: str, options: Callable[[], Mapping[str, Any]]):
        self.statistics = Statistics()
        self.advisor = Advisor(options)
        self._node, self._camera = node, camera
        self._reported = {"dropped": 0, "missed": 0}
        """Losses that the diagnostics have spoken of already."""

    def drop(self, problem: BadMessage) -> None:
        """A message gave no frame."""
        self.statistics.drops[problem.cause] += 1
        self.statistics.last_error = str(problem)
        self._warn(problem.cause, str(problem))

    def odd(self, cause: str, text: str) -> None:
        """Something was odd about a message that is used all the same."""
        self.statistics.oddities[cause] += 1
        self._warn(cause, text)

    def incompatible_with(self, topic: str):
        """The callback for a publisher on `topic` whose QoS does not fit."""
        return partial(self._incompatible, topic)

    def stream_counters(self, counters: Mapping[str, int]) -> dict[str, int]:
        """The stream's counters as the diagnostics name them, without those that drops and oddities count."""
        return {f"stream.{cause}": counters[cause] for cause in sorted(counters) if cause not in COUNTED_ELSEWHERE}

    def judge(self, values: Mapping[str, Any], backend: str, look: Look) -> tuple[int, str]:
        """Level and text of the diagnostics, from the `values` of this camera; backend: the one that was built.

        What an integrator should know is warned about, too.
        """
        new = {name: values[name] - before for name, before in self._reported.items()}
        self._reported = {name: values[name] for name in new}
        if values["state"] != "active":
            return diagnostics.OK, "inactive"
        findings = self.advisor.findings(look)
        for cause, text in findings:
            self._warn(cause, text)
        texts = [text for _, text in findings]
        people = f"{diagnostics.people(values['people'])} at {values['output_hz']:.1f} Hz"
        if any(new.values()):
            reason = values["last_error"] if new["dropped"] else "newer ones had come"
            texts.insert(0, f"{sum(new.values())} messages dropped in the last second: {reason}")
        if not values["input_hz"] and not texts:
            texts.append("no keypoints are coming in")
        if values["backend"] != backend:
            texts.append(f"backend {backend} gave up: {values['backend_note']}")
        if values["camera"] == "assumed":
            texts.append(f"{people}; the camera is assumed: positions are root-relative only")
        if texts:
            return diagnostics.WARN, "; ".join(texts)
        return diagnostics.OK, people

    def _incompatible(self, topic: str, event) -> None:
        self.odd(
            "incompatible_qos",
            f"a publisher on {topic} offers a QoS that does not fit ({event.last_policy_kind}); no messages will come "
            "from it: change its QoS, or the qos_overrides parameters of this node",
        )

    def _warn(self, cause: str, text: str) -> None:
        self._node.warn(f"{self._camera}/{cause}", f"{self._camera}: {text}" if self._camera else text)
