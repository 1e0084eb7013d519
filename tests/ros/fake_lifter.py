"""A lifter without a network, for tests of the node alone: it puts each person 3 m ahead, at the mean pixel's place.

Run as a program, it is the `lifter` executable with this in place of the real `Lifter`. FAKE_DELAY_S slows each push,
FAKE_RAISE_EVERY makes every n-th push raise; the weights "broken" do not load, "slow" take their time.
"""

import os
import time
from collections import Counter

import numpy as np

import dp3d_core
from dp3d_core.skeleton import joint_set
from dp3d_core.types import Skeletons


class FakeStream:
    def __init__(self, camera, **options):
        self.camera, self.options, self.counters, self.held = camera, options, Counter(), []
        self.expected = len(joint_set(options["joint_set"]).keypoints)
        self.pushes = 0

    def set_camera(self, camera):
        self.camera = camera

    def configure(self, **options):
        self.options |= options

    def reset(self, person_id=None):
        self.held.clear()

    def push(self, stamp_s, people):
        self.pushes += 1
        time.sleep(float(os.environ.get("FAKE_DELAY_S", "0")))
        if self.pushes % int(os.environ.get("FAKE_RAISE_EVERY", "1000000000")) == 0:
            raise RuntimeError("the backend broke")
        ids = tuple(people)[: self.options["max_people"]]
        joints = np.zeros((len(ids), 17, 3), np.float32)
        for index, person in enumerate(ids):
            keypoints_px, confidence = people[person]
            assert keypoints_px.shape == (self.expected, 2) and confidence.shape == (self.expected,)
            assert np.isfinite(keypoints_px).all() and np.isfinite(confidence).all()
            seen = confidence > 0
            rays = self.camera.rays(keypoints_px[seen].mean(0)) if seen.any() else np.zeros(2)
            joints[index] = (*(3 * rays), 3)
        sigma = np.full((len(ids), 17), 0.05, np.float32)
        new = Skeletons(
            stamp_s=stamp_s, ids=ids, joints_cam_m=joints, sigma_m=sigma, root_sigma_m=sigma[:, 0],
            predicted=np.zeros(len(ids), bool), actions=(None,) * len(ids), metric=not self.camera.assumed,
        )  # fmt: skip
        self.held.append(new)
        lag = self.options["lookahead"]
        return self.held.pop(0) if len(self.held) > lag else Skeletons.empty(-1.0)


class FakeStreams(dict):
    def push(self, frames):
        return {name: self[name].push(stamp_s, people) for name, (stamp_s, people) in frames.items()}


class FakeLifter:
    weights_name, backend_name, backend_note = "fake", "none", "a test"
    backend_counters = {}  # noqa: RUF012 (nobody writes to it)

    @classmethod
    def load(cls, weights, **options):
        if weights == "broken":
            raise ValueError("weights: expected a checkpoint, got 'broken'; train one or use 'small'")
        if weights == "slow":
            print("loading slowly", flush=True)
            time.sleep(600)
        return cls()

    def streams(self, cameras, **options):
        return FakeStreams({name: FakeStream(camera, **options) for name, camera in cameras.items()})

    def warm_up(self, people, lookahead, cameras):
        pass


if __name__ == "__main__":
    from dp3d_ros.lifter_node import main

    dp3d_core.Lifter = FakeLifter
    main()
