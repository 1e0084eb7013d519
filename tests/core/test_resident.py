"""The network's memory on its device: streams answer as with the memory in this process, and keys never come back.

On a CPU the same work is done op by op; what needs a card is marked `gpu`.
"""

import numpy as np
import pytest
import torch
from engines import loaded, network

from dp3d_core.backends import make_backend
from dp3d_core.backends.resident import SENT, ResidentMemory
from dp3d_core.geometry.camera import Camera
from dp3d_core.lift import Lifter

CAMERAS = {"left": Camera.from_fov(width=640, height=480), "right": Camera.from_fov(width=640, height=480)}


def lifter(resident, device="cpu"):
    """A tiny network, eager, with its memory on the device or in this process."""
    backend = make_backend("eager", loaded(network().to(device)))
    if resident:
        backend.memory = lambda config, most: ResidentMemory(config, most, device)
    return Lifter(loaded(network().to(device)), backend=backend)


def walked(streams, frames=40):
    """Joints of everybody in each frame: people come, go and pause, and cameras take turns."""
    generator = np.random.default_rng(3)
    shape = generator.uniform(-1, 1, (5, 17, 2)) * (40, 90) + (320, 240)
    found = []
    for frame in range(frames):
        there = [person for person in range(5) if (frame // 6 + person) % 4]
        people = {person: ((shape[person] + frame).astype(np.float32), np.full(17, 0.9)) for person in there}
        cameras = {"left": people, "right": dict(list(people.items())[:2])} if frame % 3 else {"right": people}
        answers = streams.push({name: (frame / 30, seen) for name, seen in cameras.items()})
        found += [answers[name].joints_cam_m for name in cameras]
    return found


def test_streams_answer_as_with_the_memory_in_this_process():
    options = {"joint_set": "h36m17", "reset_after_s": 0.3}
    here = walked(lifter(resident=False).streams(CAMERAS, **options))
    there = walked(lifter(resident=True).streams(CAMERAS, **options))
    assert max(map(len, here)) > 2
    for expected, answer in zip(here, there, strict=True):
        np.testing.assert_allclose(answer, expected, atol=2e-5)


def test_what_crosses_the_bus_is_small_beside_what_is_remembered(monkeypatch):
    """Every array that a frame takes in or gives back is counted, on its way between NumPy and the device."""
    memory, backend = ResidentMemory(network().config, 4, "cpu"), make_backend("eager", loaded(network()))
    done = memory._pass(backend.device_engine(2, 1))
    crossing = []
    copy = torch.Tensor.copy_

    def counted(target, source, non_blocking=False):
        if non_blocking:  # as only copies between the host and the device are
            crossing.append(source.numel())
        return copy(target, source, non_blocking)

    monkeypatch.setattr(torch.Tensor, "copy_", counted)
    sent = [np.ones(buffer.shape, np.float32) for buffer in done._inputs]
    answer, _ = memory.step(backend, slice(0, 2), [(slice(0, 2), 0)], *sent)
    people, where = 2, 2 * 2
    assert sorted(crossing) == sorted([sum(array.size for array in sent), where, sum(a.size for a in answer) + people])
    assert memory.keys[:2].any()


def test_a_broken_answer_is_zeros_is_counted_and_is_not_remembered():
    backend = make_backend("eager", loaded(network()))
    memory = ResidentMemory(network().config, 4, "cpu")
    shapes = [memory._pass(backend.device_engine(2, 1))._inputs[index].shape for index in range(len(SENT))]
    sent = [np.ones(shape, np.float32) for shape in shapes]
    sent[0][1] = np.nan
    answer, broken = memory.step(backend, slice(0, 2), [(slice(0, 2), 3)], *sent)
    assert broken == [1] and not answer[0][1].any() and answer[0][0].any()
    assert memory.keys[0, :, :, 3].any() and not memory.keys[1].any() and torch.isfinite(memory.pooled).all()


def test_an_engine_that_breaks_is_replaced_by_eager_in_the_same_frame():
    memory, backend = ResidentMemory(network().config, 4, "cpu"), make_backend("eager", loaded(network()))
    good = backend.device_engine(1, 1)

    class Broken(type(good)):
        def run(self):
            raise RuntimeError("out of memory")

    broken = Broken(None, network().config, 1, 1, "cpu")
    said = []

    class Backend:
        def device_engine(self, people, rows):
            return good if said else broken

        def device_failed(self, error, rows):
            said.append(str(error))

    sent = [np.ones(buffer.shape, np.float32) for buffer in memory._pass(good)._inputs]
    answer, _ = memory.step(Backend(), slice(0, 1), [(slice(0, 1), 0)], *sent)
    assert said == ["out of memory"] and np.isfinite(answer[0]).all()
    with pytest.raises(RuntimeError, match="out of memory"):
        backend.device_failed(RuntimeError("out of memory"), 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_card_streams_answer_as_on_the_cpu():
    options = {"joint_set": "h36m17", "reset_after_s": 0.3}
    here = walked(lifter(resident=False).streams(CAMERAS, **options))
    there = walked(lifter(resident=True, device="cuda").streams(CAMERAS, **options))
    for expected, answer in zip(here, there, strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-3)
