"""What the encoder says of a sequence, as the `Context` that the denoiser reads."""
# B batch, N frames

import torch

from dp3d_core.model.motion_denoiser import Context

SIGMA_TIME_S = 0.2
"""The predicted sigma is smoothed over time with a Gaussian of this width: where it flickers, samples would, too."""
POSE_TIME_S = 0.07
"""The same for the pose, so that what it gets wrong is smooth; the denoiser gets the unsmoothed one, too."""


def encode(encoder, seen, up, stamps_s, mask, pool_row=None, oracle=None):
    """One pass of an `Encoder` as a `Context`; arguments as of `Encoder.forward`.

    oracle (B, A) replaces the action probabilities (for evaluation only).
    """
    answer = encoder(seen, up, stamps_s, mask, pool_row, oracle)
    log_sigma = smoothed(0.5 * answer.log_variance.float(), stamps_s, SIGMA_TIME_S)
    across, along = torch.exp(log_sigma).unbind(-1)
    estimate, action = answer.pose.float(), torch.softmax(answer.action_logits.float(), -1)
    if oracle is not None:
        action = oracle[:, None].expand_as(action)
    return Context(
        stamps_s,
        smoothed(estimate, stamps_s, POSE_TIME_S),
        estimate,
        torch.stack([across, across, along], -1),
        seen,
        answer.features.float(),
        action,
    )


def smoothed(values, stamps_s, width_s):
    """(B, N, ...) smoothed over time by local lines with Gaussian weights: no lag at the window's ends."""
    away = stamps_s[:, None, :] - stamps_s[:, :, None]
    weight = torch.exp(-0.5 * (away / width_s).square())
    total, first, second = weight.sum(-1, True), (weight * away).sum(-1, True), (weight * away.square()).sum(-1, True)
    second = second + (0.3 * width_s) ** 2  # a frame without neighbours keeps its value
    weight = weight * (second - first * away) / (total * second - first.square())
    return (weight @ values.flatten(2)).unflatten(-1, values.shape[2:])
