"""The semantic prompt-driven denoiser (SPD): noisy 3D and seen 2D in, clean 3D out, with its own uncertainty.

Knows no noise schedule, camera or stream: rows, masks, noise levels and caches come in as tensors, so that the same
graph trains, lifts offline, streams, and is exported.
"""
# B batch, N rows, L temporal blocks, G token groups (1, or 17), J = 17 joints, D width, A actions

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dp3d_core.model.trunk import SEEN_CHANNELS, Trunk


class Prediction(NamedTuple):
    """What the denoiser says of each row."""

    clean: Tensor
    """(B, N, 17, 3) estimate of the clean root-relative pose, network units."""
    log_variance: Tensor
    """(B, N, 17) natural log of the variance per axis, network units squared."""
    action_logits: Tensor
    """(B, N, A)."""


class Denoiser(Trunk):
    """See the module's head. `config` is a `ModelConfig`, `actions` the size of the action vocabulary."""

    def __init__(self, config, actions):
        super().__init__(config, actions, 3 + SEEN_CHANNELS)
        # plain passes never touch these: random ones would upset what was learned once noise comes in (experiment 17)
        nn.init.zeros_(self.embed.weight[:, :3])
        condition = config.condition_width
        self.noise_embed = nn.Sequential(nn.Linear(8, condition), nn.SiLU(), nn.Linear(condition, condition))
        self._add_blocks(variances=1)
        # heads of version 0.1's training: nothing reads them, but its files hold them
        heads = config.hallucinated_frames - 1
        self.hallucinate = nn.ModuleList(nn.Linear(config.frame_width, self.per_token * 3) for _ in range(heads))

    def forward(self, noisy, seen, noise_level, stamps_s, mask, pool_row=None, action_probability=None):
        """All rows at once, as in training and offline.

        noisy (B, N, 17, 3) network units; seen (B, N, 17, 4), see SEEN_CHANNELS; noise_level (B, N) in [0, 1];
        stamps_s (B, N) seconds from the sequence's start; mask (B or 1, N, N) bool, True where row n attends to row m;
        pool_row (N,) long: the row whose causal action pooling row n uses (default itself); action_probability
        (B, A) replaces the predicted actions (oracle, for evaluation only). Returns a `Prediction`.
        """
        inputs = (noisy, seen, noise_level)
        return self._all_rows(inputs, seen, stamps_s, mask, pool_row, action_probability)

    def _rows(self, noisy, seen, noise_level, stamps_s, bias, summary, logits, context, action_probability):
        condition = self.noise_embed(noise_features(noise_level))
        joints = self.embed(torch.cat([noisy, seen], -1)) + self.joint_name
        frames, joints, fresh = self._frames(
            joints, condition, stamps_s, bias, summary, logits, context, action_probability
        )
        clean, log_variance = self._pose(frames, joints)
        if logits is None:
            logits = noisy.new_zeros(*noisy.shape[:2], self.action_count)
        return Prediction(clean, log_variance[..., 0], logits), fresh


def noise_features(noise_level):
    """(B, N) noise levels in [0, 1] to (B, N, 8) smooth features."""
    powers = 2.0 ** torch.arange(4, device=noise_level.device, dtype=noise_level.dtype)
    phase = noise_level[..., None] * powers * (torch.pi / 2)
    return torch.cat([torch.sin(phase), torch.cos(phase)], -1)
