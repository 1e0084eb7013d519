"""Make perfect 2D keypoints look as if a person detector had found them.

Errors scale with the person's size in the image: a `_frac` is a fraction of the standing height in pixels, so 0.01 is
about 17 mm at the person, near or far. Everything that lasts is a process in seconds (Ornstein-Uhlenbeck or a two-state
Markov chain sampled at the real stamps), so the frame rate changes how often we look and not what happens.
The defaults are measured where they could be: see recipes/detector_noise.md. Knows nothing of cameras or 3D.
"""
# B sequences, T frames, J = 17 joints (Human3.6M order), C on/off chains

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor

from ..skeleton import MIRROR, PARENTS

J = 17
Draw = Callable[..., Tensor]
"""Random numbers of a shape, from the generator of the caller."""
ARMS, LEGS = (11, 12, 13, 14, 15, 16), (1, 2, 3, 4, 5, 6)
SWAPS = (ARMS, LEGS, ARMS + LEGS)
LIMBS = ((2, 3), (5, 6), (12, 13), (15, 16))
HALVES = ((0, 1, 2, 3, 4, 5, 6), (7, 8, 9, 10, *ARMS), (1, 2, 3, 14, 15, 16), (4, 5, 6, 11, 12, 13))
# COCO-like detectors have no Hip, Spine or Thorax: adapters make them from these, so their errors are shared.
CENTRAL = {0: (1, 4), 7: (1, 4, 11, 14), 8: (11, 14)}
# Root of the summed squared 2D bone lengths over stature: mean over mocap seen by random cameras, 7 % spread.
BONES_PER_HEIGHT = 0.566


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorNoise:
    """How a 2D detector errs; `_frac` is a fraction of the person's height in the image, `_share` a share of time."""

    severity_log_std: float = 0.4  # spread of the log-normal factor on errors and shares, one per sequence, median 1
    joint_scale: tuple[float, ...] = (
        0.7, 0.8, 1.0, 1.1, 0.8, 1.0, 1.1, 0.6, 0.7, 1.0, 1.0, 0.95, 1.1, 1.2, 0.95, 1.1, 1.2,
    )  # fmt: skip  # per-joint factor on every error
    bias_frac: float = 0.009  # std per axis of the constant offset: the detector's joint is not the mocap joint centre
    drift_frac: float = 0.0053  # std per axis of the slow error
    drift_tau_s: float = 1.0  # its decorrelation time at rest
    drift_travel_frac: float = 0.08  # and how far a joint moves until its slow error is another one
    white_frac: float = 0.0006  # std per axis of the error that is new in every frame
    motion_white_s: float = 0.003  # times speed: std per axis of white error added to a moving joint (blur)
    motion_along_s: float = 0.009  # times velocity: std of white error along the motion (the joint seen early or late)
    grid_frac: float = 0.0078  # step of the detector's coordinates (heatmap cells) ...
    grid_probability: float = 0.5  # ... in this share of sequences; the others have none
    tail_log_std: float = 0.45  # log-normal spread of the errors' size; adds excess kurtosis 3 (e^{4s²} - 1)
    tail_tau_s: float = 0.3  # decorrelation time of that amplitude
    outlier_share: float = 0.002  # per joint
    outlier_duration_s: float = 0.04
    outlier_frac: float = 0.15  # std per axis of an outlier's offset
    swap_share: float = 0.01  # left/right exchanged, for arms, for legs, and for both
    swap_duration_s: float = 0.3
    limb_occlusion_share: float = 0.03  # per limb (its two outer joints)
    limb_occlusion_duration_s: float = 0.6
    half_occlusion_share: float = 0.01  # each of lower, upper, right and left half
    half_occlusion_duration_s: float = 1.5
    joint_missing_share: float = 0.005  # per joint
    joint_missing_duration_s: float = 0.06
    frame_missing_share: float = 0.01  # nobody detected
    frame_missing_duration_s: float = 0.15
    hallucination_share: float = 0.4  # of occluded or out-of-image joints: guessed instead of missing
    hallucination_duration_s: float = 0.5
    hallucination_frac: float = 0.06  # std per axis of the guess
    hallucination_confidence_logit: float = -1.0  # mean logit of a guess's confidence
    central_from_sides_probability: float = 0.8  # sequences whose Hip, Spine and Thorax are means of hips and shoulders
    confidence_logit: float = 1.5  # logit of the confidence of a good joint
    confidence_sequence_std: float = 0.6  # logits, constant over a sequence
    confidence_std: float = 0.35  # logits, its own slow noise
    confidence_tau_s: float = 0.45
    confidence_per_difficulty: float = 0.2  # logits lost per std of log amplitude
    confidence_per_error: float = 12.0  # logits lost per height of true error
    swap_confidence_logit: float = -0.2  # logits added while swapped
    constant_confidence: bool = False  # report 1 for every joint that is seen

    def __post_init__(self) -> None:
        if len(self.joint_scale) != J or not all(math.isfinite(s) and s >= 0 for s in self.joint_scale):
            raise ValueError(f"joint_scale: expected {J} factors >= 0, got {self.joint_scale}; give one per joint")
        object.__setattr__(self, "joint_scale", tuple(float(s) for s in self.joint_scale))
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in ("joint_scale", "constant_confidence"):
                continue
            if not math.isfinite(value):
                raise ValueError(f"{f.name}: expected a finite number, got {value}; use a large number instead")
            if f.name.endswith("_logit"):
                continue
            if value < 0:
                raise ValueError(f"{f.name}: expected >= 0, got {value}; use 0 to switch it off")
            if f.name.endswith(("_share", "_probability")) and value > 1:
                raise ValueError(f"{f.name}: expected a share in [0, 1], got {value}; give a fraction, not percent")
            if f.name.endswith(("_tau_s", "_duration_s")) and value == 0:
                raise ValueError(f"{f.name}: expected > 0 seconds, got 0; use a small time, e.g. 0.001")

    @classmethod
    def none(cls) -> DetectorNoise:
        """Exact 2D with confidence 1."""
        sizes = ("_frac", "_share", "_std", "_probability", "motion_white_s", "motion_along_s")
        zero = {f.name: 0.0 for f in fields(cls) if f.name.endswith(sizes)}
        return cls(**zero, joint_scale=(1.0,) * J, constant_confidence=True)

    def to_dict(self) -> dict[str, object]:
        """Plain numbers and a list, ready for JSON."""
        return {**asdict(self), "joint_scale": list(self.joint_scale)}


def person_height_px(keypoints_px: Tensor) -> Tensor:
    """Standing height in pixels, estimated from the 2D bone lengths of each frame: (..., 17, 2) -> (...)."""
    bones = keypoints_px[..., 1:, :] - keypoints_px[..., PARENTS[1:], :]
    return bones.square().sum((-1, -2)).sqrt() / BONES_PER_HEIGHT


def velocity(exact_TBJ2: Tensor, dt_s: Tensor, lost_TBJ: Tensor) -> Tensor:
    """Backward difference over the real stamps in units/s; 0 beside a lost joint or where time stands still."""
    moved = exact_TBJ2.diff(dim=0) / dt_s[1:, :, None, None].clamp(min=1e-3)
    unknown = lost_TBJ[1:] | lost_TBJ[:-1] | (dt_s[1:, :, None] < 1e-3)
    moved = moved.masked_fill(unknown[..., None], 0.0)
    return torch.cat((moved[:1] if len(moved) else torch.zeros_like(exact_TBJ2), moved))


def ornstein_uhlenbeck(elapsed: Tensor, normals_TBX: Tensor) -> Tensor:
    """Unit normals (T, B, ...) made, in place, a stationary unit process of correlation exp(-elapsed).

    `elapsed` broadcasts against them: dt / tau since the frame before. Exact at any stamps.
    """
    keep = torch.exp(-elapsed)
    normals_TBX[1:] *= (1 - keep[1:].square()).sqrt()
    for t in range(1, len(normals_TBX)):
        normals_TBX[t].addcmul_(normals_TBX[t - 1], keep[t])
    return normals_TBX


def on_off_chains(dt_s: Tensor, share_BC: Tensor, duration_s_C: Tensor, uniforms_TBC: Tensor) -> Tensor:
    """Stationary two-state Markov chains on for `share` of the time in bursts of mean `duration_s`: bool (T, B, C).

    Exact at any stamps: within dt the chain keeps its state with probability exp(-dt/r), r = duration (1 - share), or
    else draws it anew, on with probability share.
    """
    renewed = -torch.expm1(-dt_s[..., None] / (duration_s_C * (1 - share_BC)))
    renewed[0] = 1
    on = uniforms_TBC < renewed * share_BC
    kept = uniforms_TBC >= renewed
    for t in range(1, len(on)):
        on[t] |= on[t - 1] & kept[t]
    return on


def _members(groups: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    table = torch.zeros(len(groups), J, device=device)
    for row, joints in enumerate(groups):
        table[row, list(joints)] = 1
    return table


def apply(
    keypoints_px: Tensor,
    stamps_s: Tensor,
    *,
    noise: DetectorNoise,
    generator: torch.Generator | None,
    in_image: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Corrupt exact keypoints (B, T, 17, 2) at stamps (B, T) seconds into noisy pixels and confidence (B, T, 17).

    `in_image` (B, T, 17) is False for joints outside the picture: they are treated as occluded. Joints that are not
    finite are always missing. Missing joints have confidence 0 and lie at pixel 0, 0.
    """
    dt_s = _checked_intervals_s(keypoints_px, stamps_s, in_image)
    device = keypoints_px.device

    def normals(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=generator)

    def uniforms(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, generator=generator)

    # T leads from here on: the recursions through time then touch contiguous memory.
    exact = keypoints_px.transpose(0, 1)
    B = exact.shape[1]
    unknown = ~exact.isfinite().all(-1)
    exact = exact.masked_fill(unknown[..., None], 0.0)
    height = person_height_px(exact).float()[..., None]  # (T, B, 1)
    speed = velocity(exact.float(), dt_s, unknown) / height[..., None].clamp(min=1e-6)  # heights per second
    speed.clamp_(-3, 3)

    severity = torch.exp(noise.severity_log_std * normals(B, 1))
    swap, limb, half, frame, missing, outlier, guess = _states(noise, dt_s, severity, uniforms)
    occluded = (limb.float() @ _members(LIMBS, device) + half.float() @ _members(HALVES, device)) > 0
    if in_image is not None:
        occluded |= ~in_image.transpose(0, 1)
    guess = guess & occluded
    lost = unknown | frame | missing | (occluded & ~guess)
    swapped = (swap.float() @ _members(SWAPS, device)).remainder(2) > 0.5  # arms within a whole swap swap back

    error, difficulty = _errors(noise, dt_s, speed, severity, guess, outlier, normals)
    bias = noise.bias_frac * severity[..., None] * normals(B, J, 2)
    confidence = _confidence(noise, dt_s, difficulty, error, swapped, guess, normals)
    _center_from_sides(noise, error, confidence, lost, unknown, uniforms(B, 1))

    seen_at = torch.where(swapped[..., None], exact[..., MIRROR, :], exact)
    noisy = seen_at + (error + bias) * height[..., None]
    if noise.grid_frac and noise.grid_probability:
        on_grid = uniforms(B, 1, 1) < noise.grid_probability
        step = (noise.grid_frac * height.mean(0))[..., None].clamp(min=1e-6)
        noisy = torch.where(on_grid, (noisy / step).round() * step, noisy)
    noisy = noisy.masked_fill(lost[..., None], 0.0)
    confidence = confidence.masked_fill(lost, 0.0)
    return noisy.transpose(0, 1).to(keypoints_px.dtype), confidence.transpose(0, 1).to(keypoints_px.dtype)


def _checked_intervals_s(keypoints_px: Tensor, stamps_s: Tensor, in_image: Tensor | None) -> Tensor:
    """Seconds (T, B) since the frame before, 0 for the first; ValueError for wrong shapes or stamps."""
    if keypoints_px.dim() != 4 or keypoints_px.shape[2:] != (J, 2):
        raise ValueError(f"keypoints_px: expected (B, T, {J}, 2), got {tuple(keypoints_px.shape)}; adapt first")
    B, T = keypoints_px.shape[:2]
    if stamps_s.shape != (B, T):
        raise ValueError(f"stamps_s: expected {(B, T)} seconds, got {tuple(stamps_s.shape)}; one stamp per frame")
    if in_image is not None and (in_image.shape != (B, T, J) or in_image.dtype != torch.bool):
        raise ValueError(f"in_image: expected bool {(B, T, J)}, got {in_image.dtype} {tuple(in_image.shape)}")
    dt_s = stamps_s.diff(dim=1, prepend=stamps_s[:, :1]).T.float()
    # on a GPU nobody waits to look
    if dt_s.device.type == "cpu" and not bool((dt_s >= 0).all()):
        raise ValueError("stamps_s: expected finite seconds that never decrease; sort the frames by stamp")
    return dt_s


def _states(noise: DetectorNoise, dt_s: Tensor, severity: Tensor, uniforms: Draw) -> tuple[Tensor, ...]:
    """What is on in each frame, bool (T, B, n) each: swaps, limbs, halves, frame; missing, outlier, guessed joints."""
    counts = (len(SWAPS), len(LIMBS), len(HALVES), 1, J, J, J)
    names = ("swap", "limb_occlusion", "half_occlusion", "frame_missing", "joint_missing", "outlier", "hallucination")
    of_each = [name for name, count in zip(names, counts) for _ in range(count)]
    share = torch.tensor([getattr(noise, f"{name}_share") for name in of_each], device=dt_s.device)
    duration_s = torch.tensor([getattr(noise, f"{name}_duration_s") for name in of_each], device=dt_s.device)
    scaled = (share * severity).clamp(max=0.9)
    scaled[:, -J:] = share[-J:].clamp(max=0.999)  # a worse sequence is occluded more, not guessed at more
    return on_off_chains(dt_s, scaled, duration_s, uniforms(*dt_s.shape, len(share))).split(counts, dim=-1)


def _errors(
    noise: DetectorNoise, dt_s: Tensor, speed: Tensor, severity: Tensor, guess: Tensor, outlier: Tensor, normals: Draw
) -> tuple[Tensor, Tensor]:
    """Errors (T, B, 17, 2) in heights of the person, and the difficulty (T, B, 17) that also lowers the confidence.

    The amplitude wanders log-normally with unit mean square.
    """
    T, B = dt_s.shape
    difficulty = ornstein_uhlenbeck(dt_s[..., None] / noise.tail_tau_s, normals(T, B, J))
    pace = speed.square().sum(-1).sqrt()  # (T, B, J)
    elapsed = dt_s[..., None] * (1 / noise.drift_tau_s + pace / max(noise.drift_travel_frac, 1e-6))
    drift = ornstein_uhlenbeck(elapsed[..., None], normals(T, B, J, 2))
    # An occluded joint is guessed from the body: one slow error, much larger than that of a joint that is seen.
    size = torch.where(guess, noise.hallucination_frac, noise.drift_frac)
    amplitude = torch.exp(noise.tail_log_std * difficulty - noise.tail_log_std**2)
    error = drift.mul_((size * amplitude)[..., None])
    white = normals(T, B, J, 2)
    fresh = (noise.white_frac + noise.motion_white_s * pace) * amplitude
    error.addcmul_(white, (fresh + noise.outlier_frac * outlier)[..., None])
    error.addcmul_(speed, noise.motion_along_s * normals(T, B, J, 1))
    error *= severity[..., None] * torch.tensor(noise.joint_scale, device=dt_s.device)[:, None]
    return error, difficulty


def _confidence(
    noise: DetectorNoise,
    dt_s: Tensor,
    difficulty: Tensor,
    error: Tensor,
    swapped: Tensor,
    guess: Tensor,
    normals: Draw,
) -> Tensor:
    """The confidence (T, B, 17) of each joint, in 0 to 1; lower where the error is large."""
    T, B = dt_s.shape
    logit = (
        noise.confidence_logit
        + noise.confidence_sequence_std * normals(B, 1)
        + noise.confidence_std * ornstein_uhlenbeck(dt_s[..., None] / noise.confidence_tau_s, normals(T, B, J))
        - noise.confidence_per_difficulty * difficulty
        - noise.confidence_per_error * error.square().sum(-1).sqrt()
        + noise.swap_confidence_logit * swapped
    )
    logit = torch.where(guess, logit - noise.confidence_logit + noise.hallucination_confidence_logit, logit)
    return torch.ones_like(logit) if noise.constant_confidence else logit.sigmoid()


def _center_from_sides(
    noise: DetectorNoise, error: Tensor, confidence: Tensor, lost: Tensor, unknown: Tensor, uniform: Tensor
) -> None:
    """In some sequences, make each central joint of its two sides, in place, as adapters of joint sets do."""
    central = uniform < noise.central_from_sides_probability
    for joint, sources in CENTRAL.items():
        mean = error[..., sources, :].mean(-2)
        error[..., joint, :] = torch.where(central, mean, error[..., joint, :])
        worst = confidence[..., sources].amin(-1)
        confidence[..., joint] = torch.where(central[:, 0], worst, confidence[..., joint])
        any_lost = lost[..., sources].any(-1) | unknown[..., joint]
        lost[..., joint] = torch.where(central[:, 0], any_lost, lost[..., joint])
