"""Joints that a detector loses for a moment go on as they were moving, with fading confidence.

Detectors flicker: a joint is gone for a frame or two while the others are there. The network was trained on gaps that
last, and single ones shake it (recipes/experiments.md, 12). Knows no network, camera or pixel.
"""
# P people, J = 17 joints

import numpy as np

BRIDGE_S = 0.3
"""Longer gaps are real: something hides the joint, and the network knows better what that means."""
SPEED_TIME_S = 0.1
"""Time constant with which a lost joint slows down: its speed is the difference of two noisy detections."""
CONFIDENCE_TIME_S = 0.3
LEAST_INTERVAL_S = 1 / 60
"""Frames nearer to each other than this would make a speed out of noise."""
WIDTH = 6
# the columns of a joint's memory: ray when last seen, rays a second, confidence then, seconds since
_RAY, _SPEED, _TRUST, _AGE = slice(0, 2), slice(2, 4), 4, 5


def forgotten(people):
    """Memory (P, 17, WIDTH) of people never seen."""
    memory = np.zeros((people, 17, WIDTH), np.float32)
    memory[..., _AGE] = np.inf
    return memory


def last_rays(memory):
    """The ray (P, 17, 2) along which each joint was last seen, and whether it ever was (P, 17)."""
    return memory[..., _RAY], np.isfinite(memory[..., _AGE])


def bridge(memory, rays, confidence, dt_s):
    """Fill what was seen a moment ago; memory (P, 17, WIDTH) is changed in place.

    rays (P, 17, 2), confidence (P, 17) with 0 = missing, dt_s P seconds since each one's last frame. Returns both, new
    where something was filled. Who shows no joint at all stays unseen: nothing is made up for them.
    """
    age = memory[..., _AGE]
    age += np.array(dt_s, np.float32)[:, None]
    seen = confidence > 0
    recent = age <= BRIDGE_S
    speed = rays - memory[..., _RAY]
    speed *= (recent / np.maximum(age, LEAST_INTERVAL_S))[..., None]
    if seen.all():
        memory[..., _RAY], memory[..., _SPEED], memory[..., _TRUST], memory[..., _AGE] = rays, speed, confidence, 0
        return rays, confidence
    filled = recent & ~seen & seen.any(1)[:, None]
    past_s = np.where(filled, age, 0)
    glided_s = SPEED_TIME_S * (1 - np.exp(past_s * (-1 / SPEED_TIME_S)))
    gone_on = memory[..., _RAY] + memory[..., _SPEED] * glided_s[..., None]
    kept = memory[..., _TRUST] * np.exp(past_s * (-1 / CONFIDENCE_TIME_S))
    now = np.concatenate([rays, speed, confidence[..., None], np.zeros_like(confidence)[..., None]], -1)
    np.copyto(memory, now, where=seen[..., None])
    return np.where(filled[..., None], gone_on, rays), np.where(filled, kept, confidence)


def bridge_all(rays, confidence, stamps_s):
    """The same for one person's whole sequence. rays (T, 17, 2), confidence (T, 17), stamps_s (T,)."""
    memory, before_s, bridged = forgotten(1), stamps_s[0], []
    for ray, trust, stamp_s in zip(rays, confidence, stamps_s):
        bridged.append(bridge(memory, ray[None], trust[None], [stamp_s - before_s]))
        before_s = stamp_s
    return tuple(np.concatenate(part).astype(np.float32) for part in zip(*bridged))
