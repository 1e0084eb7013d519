"""One person's whole sequence, from keypoints to metres: check, see, encode or denoise piece by piece, place.

Knows networks, but no checkpoint and no stream.
"""
# T frames, K keypoints of the source, J = 17 joints, H hypotheses

import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from dp3d_core.config import LiftConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.geometry.camera_track import checked_pose
from dp3d_core.geometry.gaps import bridge_all
from dp3d_core.geometry.observation import follow_all, observe, up_input
from dp3d_core.geometry.sequence import Sequence, motions, place_sequence
from dp3d_core.live.intake import judge
from dp3d_core.model.diffusion import band_mask, causal_mask, rows_ahead
from dp3d_core.model.encoded import encode as encode_context
from dp3d_core.model.hypotheses import sample
from dp3d_core.model.sampler import hypotheses
from dp3d_core.skeleton import MIRROR, adapt, joint_set, mirror

CHUNK_FRAMES = 512
"""Longer sequences are lifted in overlapping pieces; the mask is quadratic in the length."""


class Observed(NamedTuple):
    """What the camera and the network see of the sequence."""

    stamps_s: np.ndarray
    """(T,)."""
    rays: np.ndarray
    """(T, 17, 2) in the camera, with their confidence, as they were seen."""
    confidence: np.ndarray
    """(T, 17), 0 = missing."""
    network_input: np.ndarray
    """(1, T, 17, 4) float32, short gaps bridged."""
    trust: np.ndarray
    """(T, 17) confidence, short gaps bridged."""
    rotation: np.ndarray
    """(T, 3, 3) from the camera to the virtual camera."""
    rays_virtual: np.ndarray
    """(T, 17, 2) in the virtual camera."""
    up: np.ndarray
    """(1, T, 4) float32 the network's input about gravity, see `observation.up_input`."""
    poses: list[CameraPose | None]
    """T of the camera."""

    @property
    def relative_s(self) -> np.ndarray:
        """(1, T) seconds since the first frame."""
        return (self.stamps_s - self.stamps_s[0])[None]


def check(
    keypoints_px, confidence, stamps_s, name: str, size_px: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, K, 2), (T, K) in [0, 1] with missing ones at 0, (T,); ValueError says what does not fit.

    name: of the joint set; size_px: width and height of the picture.
    """
    size = len(joint_set(name).keypoints)
    keypoints_px, confidence = np.asarray(keypoints_px, np.float32), np.array(confidence, np.float32)
    stamps_s = np.asarray(stamps_s, np.float64)
    if keypoints_px.ndim != 3 or keypoints_px.shape[1:] != (size, 2):
        hint = "; pass confidence separately" if keypoints_px.shape[-1:] == (3,) else ""
        raise ValueError(f"keypoints_px: expected (T, {size}, 2) pixels, got {keypoints_px.shape}{hint}")
    frames = len(keypoints_px)
    if confidence.shape != (frames, size):
        raise ValueError(f"confidence: expected ({frames}, {size}), got {confidence.shape}")
    if stamps_s.shape != (frames,) or not np.isfinite(stamps_s).all() or (np.diff(stamps_s) <= 0).any():
        raise ValueError(f"stamps_s: expected ({frames},) finite ascending seconds, got {stamps_s.shape}")
    if frames == 0:
        raise ValueError("keypoints_px: expected at least one frame, got none")
    mended: Counter[str] = Counter()
    keypoints_px, confidence = judge(
        keypoints_px, confidence, size_px, lambda cause, number: mended.update({cause: number})
    )
    if mended["normalised_pixel"] and not (confidence > 0).any():
        raise ValueError(
            "keypoints_px: expected pixels, got coordinates within 2 of the corner; are they shares of the picture? "
            "multiply by its width and height"
        )
    return keypoints_px, confidence, stamps_s


def see(keypoints_px, confidence, stamps_s, *, camera: Camera, config: LiftConfig, pose=None) -> Observed:
    """The sequence as `Observed`; ValueError where the arrays do not fit or nothing is visible."""
    keypoints_px, confidence, stamps_s = check(keypoints_px, confidence, stamps_s, config.joint_set, camera.size_px)
    pixels, confidence = adapt(keypoints_px, confidence, joint_set(config.joint_set))
    confidence[confidence < config.min_confidence] = 0
    rays, confidence = camera.see(pixels, confidence)
    if not (confidence > 0).any():
        raise ValueError("confidence: expected at least one visible joint in the sequence, got none")
    bridged, trust = bridge_all(rays, confidence, stamps_s)
    relative_s = (stamps_s - stamps_s[0])[None].astype(np.float32)
    poses = poses_of(pose, len(stamps_s))
    turns = [None if motion is None else motion[0][None].astype(np.float32) for motion in motions(poses, stamps_s)]
    state = follow_all(bridged[None], trust[None], relative_s, np, turns)
    up = np.array([[np.zeros(3) if one is None else one.up_cam for one in poses]], np.float32)
    sigma_rad = np.array([[0.0 if one is None else one.up_sigma_rad for one in poses]], np.float32)
    network_input, rotation, rays_virtual = observe(bridged[None], trust[None], state, np, up)
    return Observed(
        stamps_s=stamps_s,
        rays=rays,
        confidence=confidence,
        network_input=network_input.astype(np.float32),
        trust=trust,
        rotation=rotation[0],
        rays_virtual=rays_virtual[0],
        up=up_input(up, sigma_rad, rotation, np).astype(np.float32),
        poses=poses,
    )


class Answer(NamedTuple):
    """What the encoder says of the sequence, in network units."""

    pose: np.ndarray
    """(T, 17, 3)."""
    variance: np.ndarray
    """(T, 17, 2) per axis across the ray, and along it."""
    contact: np.ndarray
    """(T, 2) probability that the right and the left foot stands."""
    action_probability: np.ndarray
    """(T, A)."""


@torch.inference_mode()
def encode(encoder, observed: np.ndarray, up: np.ndarray, relative_s: np.ndarray, config: LiftConfig, oracle=None):
    """The encoder's `Answer` to a sequence, piece by piece.

    observed (1, T, 17, 4) float32, up (1, T, 4) as of `observation.up_input`, relative_s (1, T); oracle (A,) replaces
    the action probabilities.
    """
    device, window = next(encoder.parameters()).device, encoder.config.window_frames
    tensor = lambda array: torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)  # noqa: E731
    oracle = None if oracle is None else tensor(oracle)[None]
    parts = []
    for first, start, stop, last in pieces(observed.shape[1], window):
        seen, gravity = tensor(observed[:, first:last]), tensor(up[:, first:last])
        stamps_s = tensor(relative_s[:, first:last] - relative_s[:, first : first + 1])
        mask = (causal_mask if config.causal else band_mask)(last - first, window, device)[None]
        pool = None if config.causal else rows_ahead(last - first, window, device)
        answer = encoder(seen, gravity, stamps_s, mask, pool, oracle)
        if config.flip:
            turned = gravity * torch.tensor([-1.0, 1.0, 1.0, 1.0], device=device)
            answer = _both(answer, encoder(mirror(seen), turned, stamps_s, mask, pool, oracle))
        keep = slice(start - first, stop - first)
        parts.append(
            [
                answer.pose[0, keep],
                answer.log_variance[0, keep].exp(),
                torch.sigmoid(answer.contacts[0, keep]),
                torch.softmax(answer.action_logits[0, keep], -1),
            ]
        )
    return Answer(*(torch.cat(part).cpu().numpy() for part in zip(*parts)))


def _both(answer, of_mirrored):
    """The mean of an answer and of the mirrored person's answer, mirrored back."""
    other = of_mirrored.log_variance[..., list(MIRROR), :]
    return answer._replace(
        pose=(answer.pose + mirror(of_mirrored.pose)) / 2,
        log_variance=torch.logaddexp(answer.log_variance, other) - math.log(2),
        contacts=(answer.contacts + of_mirrored.contacts.flip(-1)) / 2,
        action_logits=(answer.action_logits + of_mirrored.action_logits) / 2,
    )


@torch.inference_mode()
def denoise(denoiser, observed: np.ndarray, relative_s: np.ndarray, config: LiftConfig, action_probability=None):
    """Poses (H, T, 17, 3) of a denoiser of version 0.1, piece by piece.

    observed (1, T, 17, 4) float32, relative_s (1, T).
    """
    frames = observed.shape[1]
    device = next(denoiser.parameters()).device
    noise = torch.zeros(config.samples, 1, frames, 17, 3)
    if config.samples > 1:
        noise.normal_(generator=torch.Generator().manual_seed(config.seed))
    oracle = None
    if action_probability is not None:
        oracle = torch.as_tensor(action_probability, dtype=torch.float32, device=device)[None]
    poses = []
    for first, start, stop, last in pieces(frames, denoiser.config.window_frames):
        stamps_s = torch.from_numpy(relative_s[:, first:last] - relative_s[:, first : first + 1]).float()
        ask = _asker(
            denoiser, torch.from_numpy(observed[:, first:last]).to(device), stamps_s.to(device), config.causal, oracle
        )
        # a piece's own part of one noise: a sample goes on over the seams
        clean = _sample(ask, noise[:, :, first:last].to(device), config)
        poses.append(clean[:, 0, start - first : stop - first].cpu().numpy())
    return np.concatenate(poses, 1)


@torch.inference_mode()
def sample_motions(
    encoder, denoiser, observed: np.ndarray, up: np.ndarray, relative_s: np.ndarray, config: LiftConfig, oracle=None
) -> np.ndarray:
    """Motions (H, T, 17, 3) of a `MotionDenoiser` beside the encoder, piece by piece; arguments as of `encode`.

    It reads the encoder's estimate that looks back only, and looks both ways itself. Several samples take two steps or
    more: one step has one answer.
    """
    device, window = next(encoder.parameters()).device, encoder.config.window_frames
    tensor = lambda array: torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)  # noqa: E731
    frames, steps = observed.shape[1], max(config.steps, 2) if config.samples > 1 else config.steps
    oracle = None if oracle is None else tensor(oracle)[None]
    white = torch.randn(config.samples, 1, frames, 17, 3, generator=torch.Generator().manual_seed(config.seed))
    noise, motions = torch.zeros(config.samples, 0, 17, 3), []
    for first, start, stop, last in pieces(frames, window):
        rows, drawn = slice(first, last), noise.shape[1]
        stamps_s = tensor(relative_s[:, rows] - relative_s[:, first : first + 1])
        # one noise for the whole sequence: a motion goes on over the seams
        fresh = white[:, 0, drawn:last].to(device)
        more = denoiser.continued_noise(noise[:, first:].to(device), fresh, stamps_s.expand(config.samples, -1))
        noise = torch.cat([noise, more.cpu()], 1)
        mask = causal_mask(last - first, window, device)[None]
        parts = []
        for mirrored in (False, True) if config.flip else (False,):
            seen, gravity, begun = tensor(observed[:, rows]), tensor(up[:, rows]), noise[:, None, rows].to(device)
            if mirrored:
                seen, begun = mirror(seen), mirror(begun)
                gravity = gravity * torch.tensor([-1.0, 1.0, 1.0, 1.0], device=device)
            context = encode_context(encoder, seen, gravity, stamps_s, mask, oracle=oracle)
            motion = sample(denoiser, context, noise=begun, steps=steps)
            parts.append(mirror(motion) if mirrored else motion)
        motions.append(torch.stack(parts).mean(0)[:, 0, start - first : stop - first].cpu().numpy())
    return np.concatenate(motions, 1)


def pieces(frames: int, overlap: int):
    """(first, start, stop, last) of each piece: frames first to last are denoised, of which start to stop are kept.

    Every piece looks one window beyond what it keeps, so that the seams have context on both sides.
    """
    start = 0
    while True:
        first = max(0, start - overlap)
        stop = min(frames, start + CHUNK_FRAMES)
        last = frames if frames - stop <= overlap else min(frames, stop + overlap)
        stop = frames if last == frames else stop
        yield first, start, stop, last
        if stop == frames:
            return
        start = stop


def _asker(denoiser, observed, stamps_s, causal: bool, oracle) -> Callable:
    """ask(noisy, level, mirrored) gives the denoiser's `Prediction` for one piece (1, T, 17, 4)."""
    length, window, device = observed.shape[1], denoiser.config.window_frames, observed.device
    mask = (causal_mask if causal else band_mask)(length, window, device)[None]
    pool = None if causal else rows_ahead(length, window, device)

    def ask(noisy, level, mirrored=False):
        seen = mirror(observed) if mirrored else observed
        return denoiser(mirror(noisy) if mirrored else noisy, seen, level, stamps_s, mask, pool, oracle)

    return ask


def _sample(ask: Callable, noise: torch.Tensor, config: LiftConfig):
    """Hypotheses (H, 1, T, 17, 3)."""

    def clean(noisy, level):
        answer = ask(noisy, level).clean
        return (answer + mirror(ask(noisy, level, mirrored=True).clean)) / 2 if config.flip else answer

    return hypotheses(clean, noise, config.steps)


def place(poses_m: np.ndarray, sigma_m: np.ndarray, seen: Observed, person_height_m: float) -> Sequence:
    """Hypotheses (H, T, 17, 3) about their roots, in metres in the camera."""
    return place_sequence(
        poses_m, sigma_m, seen.rotation, seen.rays_virtual, seen.trust, seen.stamps_s, seen.poses, person_height_m
    )


def poses_of(pose, frames: int) -> list[CameraPose | None]:
    """One pose a frame: `pose` for all of them, or already one a frame; ValueError where neither fits."""
    if pose is None or isinstance(pose, CameraPose):
        return [pose] * frames
    try:
        poses = [checked_pose(one) for one in pose]
    except TypeError:
        raise ValueError(
            f"pose: expected a CameraPose, or one a frame, got {type(pose).__name__}; CameraPose.from_up makes one"
        ) from None
    if len(poses) != frames:
        raise ValueError(f"pose: expected one CameraPose, or {frames}, one a frame, got {len(poses)}")
    return poses
