"""Streams as a robot sees them, for the parity check: two stick figures walk and sway before a camera.

Gaussian noise would not do: what a network makes of noise says little about people, and only a stream has a memory of
the network's own making, empty when it begins. The figures need no data file and are the same on every machine.
"""
# P = 2 people, B streams, T frames, N rows, C cached frames, L blocks, G groups, D width, S pooling times, H features

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from dp3d_core.geometry.observation import follow_all, observe
from dp3d_core.model.diffusion import causal_mask, triangular_levels
from dp3d_core.model.prompts import POOL_TIMES_S, pool_step
from dp3d_core.skeleton import JOINT_NAMES, PARENTS

INTERVALS_S = np.array([1 / 30, 1 / 7])
"""Between frames, of each person; seven a second is what a slow detector manages."""
NOISE = 0.05
"""Of keypoints, standard deviation over that of the person's own: 1.5 pixels where a person is 100 pixels tall."""
_STEPS_HZ, _YAWS, _ROOTS_M = (0.9, 1.3), (0.6, -2.2), ((-0.6, 0.1, 4.5), (0.8, -0.1, 3.2))
# bones from the parent, in metres, of a person who stands facing the camera (optical axes: x right, y down), and how
# far each swings about x at the peak of a step, in radians
_BONES_M = np.array(
    [
        (0, 0, 0), (-0.13, 0, 0), (0, 0.44, 0), (0, 0.42, 0), (0.13, 0, 0), (0, 0.44, 0), (0, 0.42, 0), (0, -0.24, 0),
        (0, -0.26, 0), (0, -0.12, -0.03), (0, -0.11, 0), (0.15, 0.02, 0), (0.03, 0.28, 0), (0, 0.25, -0.02),
        (-0.15, 0.02, 0), (-0.03, 0.28, 0), (0, 0.25, -0.02),
    ]
)  # fmt: skip
_SWINGS = np.array([0, 0, 0.5, 0.3, 0, -0.5, -0.3, 0.06, 0.06, 0, 0, 0, 0.4, 0.5, 0, -0.4, -0.5])
_NO_COUNTERPART = [JOINT_NAMES.index("Spine"), JOINT_NAMES.index("Head")]
_LEFT_ARM = [JOINT_NAMES.index("LElbow"), JOINT_NAMES.index("LWrist")]


def _figure(stamps_s, steps_hz, yaw, root_m):
    """Joints (T, 17, 3) in metres in the camera."""
    angle = np.sin(2 * np.pi * steps_hz * stamps_s)[:, None] * _SWINGS
    x, y, z = np.broadcast_to(_BONES_M, (len(angle), 17, 3)).transpose(2, 0, 1)
    joints = np.stack([x, y * np.cos(angle) - z * np.sin(angle), y * np.sin(angle) + z * np.cos(angle)], -1)
    for joint in range(1, 17):
        joints[:, joint] += joints[:, PARENTS[joint]]
    turned = yaw + 0.3 * stamps_s
    x, y, z = joints.transpose(2, 0, 1)
    cos, sin = np.cos(turned)[:, None], np.sin(turned)[:, None]
    joints = np.stack([x * cos - z * sin, y, x * sin + z * cos], -1)
    return joints + root_m + stamps_s[:, None, None] * np.array([0.3, 0, -0.1])


def people_seen(frames):
    """What the network sees of both: (P, T, 17, 4) as of `observe`.

    The second is seen as by a COCO detector, without spine and head, loses an arm for eight frames of sixteen, and is
    not seen at all in the last frame but one.
    """
    stamps_s = np.arange(frames) * INTERVALS_S[:, None]
    joints = np.stack([_figure(*of) for of in zip(stamps_s, _STEPS_HZ, _YAWS, _ROOTS_M)])
    confidence = np.full(joints.shape[:-1], 0.9)
    confidence[1][:, _NO_COUNTERPART] = 0
    confidence[1][np.ix_(np.arange(frames) // 8 % 2 == 1, _LEFT_ARM)] = 0
    confidence[1, -2] = 0
    rays = joints[..., :2] / joints[..., 2:]
    size = rays.std((1, 2), keepdims=True).max(-1, keepdims=True)
    rays += NOISE * size * np.random.default_rng(0).normal(size=rays.shape)
    return observe(rays, confidence, follow_all(rays, confidence, stamps_s, np), np)[0].astype(np.float32)


@dataclass(slots=True, kw_only=True)
class Streams:
    """B streams, each at a frame of its own: what arrives, and what a live stream remembers."""

    seen: np.ndarray
    """(B, T, 17, 4) of all frames."""
    interval_s: np.ndarray
    """(B,) between frames."""
    frame: np.ndarray
    """(B,) the frame that comes next; as many are behind it."""
    first: np.ndarray
    """(B, T, 17, 3) zero-lag estimates, network units."""
    keys: np.ndarray
    """(B, L, G, C, D); what no frame has filled yet may hold anything finite, as in a live stream."""
    values: np.ndarray
    """(B, L, G, C, D)."""
    pooled: np.ndarray
    """(B, S, H + 1)."""

    def take(self, streams):
        """Copies of these streams (indices), in this order."""
        return replace(self, **{item.name: getattr(self, item.name).take(streams, 0) for item in fields(self)})

    def step(self, run, rows):
        """Give every stream its next frame with `run`, a rolling step of N = rows; returns its outputs."""
        cached = self.keys.shape[3]
        stream, at = np.arange(len(self.frame)), self.frame[:, None] + np.arange(1 - rows, 1)
        there, at = (at >= 0).astype(np.float32), np.maximum(at, 0)
        levels = np.tile(triangular_levels(rows - 1).numpy(), (len(stream), 1))
        behind = np.arange(cached) < self.frame[:, None]
        inputs = (
            self.first[stream[:, None], at] * (there * (1 - levels))[..., None, None],
            self.seen[stream[:, None], at] * there[..., None, None], levels, at * self.interval_s[:, None], self.keys,
            self.values, np.concatenate([behind, there], 1), self.pooled,
            _decay(self.interval_s),
        )  # fmt: skip
        outputs = run(*(np.asarray(array, np.float32) for array in inputs))
        self.first[stream, self.frame] = outputs[0][:, -1]
        self.keys[stream, :, :, self.frame % cached] = outputs[3]
        self.values[stream, :, :, self.frame % cached] = outputs[4]
        self.pooled = outputs[5]
        self.frame = self.frame + 1
        return outputs


@torch.inference_mode()
def _after_each_frame(denoiser, seen, stamps_s):
    """What a stream remembers of frames (P, T, 17, 4), in one causal pass, since frame by frame takes twenty times as
    long: zero-lag estimates (P, T, 17, 3), keys and values (P, L, G, T, D), and pooled (P, S, H + 1) T + 1 times."""
    device = next(denoiser.parameters()).device
    people, frames = seen.shape[:2]
    seen, level = torch.from_numpy(seen).to(device), torch.ones(people, frames, device=device)
    caught, pooled = [], [denoiser.empty_context(people, device=device).pooled]
    hooks = [block.register_forward_hook(lambda _, __, out: caught.append(out[1:])) for block in denoiser.temporal]
    clean = denoiser(
        torch.zeros_like(seen[..., :3]), seen, level, torch.from_numpy(stamps_s).float().to(device),
        causal_mask(frames, frames, device)[None],
    ).clean  # fmt: skip
    for hook in hooks:
        hook.remove()
    if denoiser.action_encoder is not None:
        features, present = denoiser.action_encoder.features(seen), (seen[..., 2] > 0).any(-1).float()
        decay = torch.from_numpy(_decay(INTERVALS_S)).to(device)
        for frame in range(frames):
            pooled.append(pool_step(features[:, frame], present[:, frame], pooled[-1], decay)[1])
    keys, values = (torch.stack(part, 1).cpu().numpy() for part in zip(*caught))
    return clean.cpu().numpy(), keys, values, [state.cpu().numpy() for state in pooled]


def _decay(interval_s):
    return np.exp(-interval_s[:, None] / POOL_TIMES_S).astype(np.float32)


def streams_under_way(denoiser, frames):
    """Four `Streams` with `frames` frames to come: one begins, the others have three frames, half a cache and a whole
    one behind them."""
    cached = denoiser.config.window_frames - 1
    seen, person = people_seen(cached + frames), np.array([0, 1, 0, 1])
    stamps_s = np.arange(cached) * INTERVALS_S[:, None]
    first, keys, values, pooled = _after_each_frame(denoiser, seen[:, :cached], stamps_s)
    frame = np.array([0, min(3, cached), cached // 2, cached])
    # a network without actions pools nothing
    states = np.stack([pooled[min(at, len(pooled) - 1)][who] for at, who in zip(frame, person)])
    first = np.concatenate([first, np.zeros((len(first), frames, 17, 3), np.float32)], 1)
    return Streams(
        seen=seen[person], interval_s=INTERVALS_S[person], frame=frame, first=first[person], keys=keys[person],
        values=values[person], pooled=states,
    )  # fmt: skip
