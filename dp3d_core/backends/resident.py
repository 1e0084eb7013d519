"""The network's memory on its own device: keys and values of past frames never leave it.

Only keypoints go there and poses come back, each in one copy through pinned memory. Gathering the people's memory, the
step and writing what it remembers are one CUDA graph for each number of people; on a CPU, where this is rehearsed, the
same work is done op by op.
"""
# M most people, B people of an engine, N rows, C cached frames, L blocks, G groups, D width

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dp3d_core.backends.device_engine import DeviceEngine
from dp3d_core.backends.signature import INPUTS, OUTPUTS, input_shapes
from dp3d_core.config import ModelConfig
from dp3d_core.live.tracks import LARGEST_ANSWER, Rows

MEMORY = ("keys", "values", "pooled")
SENT = tuple(name for name in INPUTS if name not in MEMORY)
"""What is sent to the device for every frame."""
ANSWERED = tuple(name for name in OUTPUTS if name not in MEMORY)
"""What comes back."""


class ResidentMemory:
    """`live.tracks.HostMemory` on a device. The backend that steps has `device_engine` and `device_failed`."""

    def __init__(self, config: ModelConfig, most_people: int, device: str | torch.device):
        device = torch.device(device)
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        shapes = input_shapes(config, most_people + 1, 1)
        # one row more: what fills an engine up reads and writes there
        self.keys, self.values, self.pooled = (torch.zeros(shapes[name], device=device) for name in MEMORY)
        self.spare = most_people
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(device))
        self._passes: dict[tuple[int, int], tuple[DeviceEngine, Pass]] = {}

    def _on_stream(self):
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    @torch.inference_mode()
    def clear(self, row: int) -> None:
        """Forget one person."""
        with self._on_stream():
            for tensor in (self.keys, self.values, self.pooled):
                tensor[row] = 0

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """Copy row `source` over row `target`."""
        with self._on_stream():
            for tensor in (self.keys, self.values, self.pooled):
                tensor[target] = tensor[source]

    def step(
        self, backend: Any, rows: Rows, slots: Sequence[tuple[slice, int]], *sent: np.ndarray
    ) -> tuple[tuple[np.ndarray, ...], list[int]]:
        """See `HostMemory.step`; sent are the arrays named SENT."""
        index = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        slot = np.empty(len(index), np.int64)
        for people, at in slots:
            slot[people] = at
        parts, start = [], 0
        while start < len(index):
            engine = backend.device_engine(len(index) - start, sent[0].shape[1])
            part = slice(start, start + engine.people)
            try:
                parts.append(self._pass(engine)(index[part], slot[part], [array[part] for array in sent]))
            except Exception as error:  # an engine that breaks must not stop the stream; the backend says so
                self._passes.clear()
                backend.device_failed(error, sent[0].shape[1])
                continue
            start = part.stop
        answer = parts[0] if len(parts) == 1 else [np.concatenate(arrays) for arrays in zip(*parts)]
        *answer, whole = answer
        broken = np.flatnonzero(whole < 0.5).tolist()
        for array in answer:
            array[broken] = 0
        return tuple(answer), broken

    def _pass(self, engine):
        key = engine.people, engine.inputs[0].shape[1]
        known, made = self._passes.get(key, (None, None))
        if made is None or known is not engine:
            made = Pass(self, engine, self.stream)
            self._passes[key] = engine, made
        return made


class Pass:
    """One engine on a `ResidentMemory`: fixed buffers, on a GPU captured once as a CUDA graph."""

    def __init__(self, memory: ResidentMemory, engine: DeviceEngine, stream: Any):
        self._memory, self._engine, self._stream = memory, engine, stream
        device, pinned = engine.inputs[0].device, stream is not None
        by_name = dict(zip(INPUTS, engine.inputs, strict=True))
        self._inputs = [by_name[name] for name in SENT]
        self._sizes = [buffer.numel() for buffer in self._inputs]
        self._host_in = torch.zeros(sum(self._sizes), pin_memory=pinned)
        self._host_where = torch.full((2, engine.people), memory.spare, pin_memory=pinned)
        self._device_in, self._where = self._host_in.to(device), self._host_where.to(device)
        self._views = [
            part.view(buffer.shape).numpy()
            for part, buffer in zip(self._host_in.split(self._sizes), self._inputs, strict=True)
        ]
        with torch.inference_mode(), nullcontext() if stream is None else torch.cuda.stream(stream):
            self._where[1] = 0
            outputs = self._work()
            self._shapes = [output.shape for output in outputs]
            self._host_out = torch.zeros(sum(shape.numel() for shape in self._shapes), pin_memory=pinned)
            self._device_out = self._host_out.to(device)
            self._graph = None
            if stream is not None:
                self._write(self._work())
                stream.synchronize()
                self._graph = torch.cuda.CUDAGraph()
                # other threads may use the GPU meanwhile, as a detector does
                with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                    self._write(self._work())

    def _work(self) -> list[Tensor]:
        """Gather, step, remember; the answers, and last whether each person's is whole (1) or broken (0)."""
        memory, (rows, slots) = self._memory, self._where
        for buffer, part in zip(self._inputs, self._device_in.split(self._sizes), strict=True):
            buffer.copy_(part.view(buffer.shape))
        for name, buffer in zip(INPUTS, self._engine.inputs, strict=True):
            if name in MEMORY:
                torch.index_select(getattr(memory, name), 0, rows, out=buffer)
        outputs = dict(zip(OUTPUTS, self._engine.run(), strict=True))
        whole = torch.stack([(output.flatten(1).abs() < LARGEST_ANSWER).all(1) for output in outputs.values()]).all(0)
        for name in ("keys", "values"):
            kept = torch.where(whole[:, None, None, None], outputs[name], 0.0)
            getattr(memory, name)[rows, :, :, slots] = kept
        memory.pooled[rows] = torch.where(whole[:, None, None], outputs["pooled"], 0.0)
        return [*(outputs[name].float() for name in ANSWERED), whole.float()]

    def _write(self, outputs):
        torch.cat([output.reshape(-1) for output in outputs], out=self._device_out)

    @torch.inference_mode()
    def replay(self) -> None:
        """The work on what lies in the device's buffers, without copies from or to the host; for timing."""
        if self._graph is not None:
            self._graph.replay()
        else:
            self._write(self._work())

    @torch.inference_mode()
    def __call__(self, rows: np.ndarray, slots: np.ndarray, sent: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Answers of the people in `rows`, at most as many as the engine takes: arrays of their own."""
        people = len(rows)
        for view, array in zip(self._views, sent, strict=True):
            view[:people] = array
        self._host_where[0] = self._memory.spare
        self._host_where[0, :people] = torch.from_numpy(np.ascontiguousarray(rows, np.int64))
        self._host_where[1, :people] = torch.from_numpy(slots)
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            self._device_in.copy_(self._host_in, non_blocking=True)
            self._where.copy_(self._host_where, non_blocking=True)
            self.replay()
            self._host_out.copy_(self._device_out, non_blocking=True)
            if self._stream is not None:
                self._stream.synchronize()
        sizes = [shape.numel() for shape in self._shapes]
        parts = zip(self._host_out.split(sizes), self._shapes, strict=True)
        return [part.view(shape)[:people].numpy().copy() for part, shape in parts]
