"""What every network over a person's frames shares: joint tokens, spatial and temporal blocks, actions, prompts, cache.

`Encoder` and version 0.1's `Denoiser` add their inputs and their answers. Knows no camera, stream or noise level.
"""
# B batch, N rows, M keys, C cached frames, L temporal blocks, G token groups (1, or 17), D frame width, A actions

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dp3d_core.model.attention import MASKED, SpatialBlock, TemporalBlock
from dp3d_core.model.prompts import POOL_TIMES_S, POOL_WIDTH, ActionEncoder, PromptBank, pool_causal, pool_step

SEEN_CHANNELS = 4
"""Per joint: x, y in the person's virtual view over its size, confidence (0 = missing), log size."""
LOG_VARIANCE_RANGE = (-9.0, 3.0)
"""Limits of the natural log of the variance in network units: about 3 mm to 1.1 m at the default pose scale."""


class Context(NamedTuple):
    """What a stream keeps of its past, as tensors in and out of `Encoder.step`."""

    keys: Tensor
    """(B, L, G, C, D) rotated keys of older frames."""
    values: Tensor
    """(B, L, G, C, D)."""
    filled: Tensor
    """(B, C + N) 1 where a key counts, else 0: cached frames, then the rows of the working window."""
    pooled: Tensor
    """(B, S, H + 1) decayed sums of the action encoder."""


class Trunk(nn.Module):
    """See the module's head. `config` is a `ModelConfig`, `actions` the size of the action vocabulary, `channels` the
    number of inputs of a joint. A subclass makes its own inputs, then calls `_add_blocks`."""

    def __init__(self, config, actions, channels):
        super().__init__()
        self.config = config
        self.action_count = actions
        self.by_joint = config.temporal_token == "joint"
        self.embed = nn.Linear(channels, config.joint_width)
        self.joint_name = nn.Parameter(torch.randn(17, config.joint_width) * 0.02)

    def _add_blocks(self, variances):
        """Actions, prompts, blocks, and the heads of pose and of `variances` log variances for each joint."""
        self.variances, config = variances, self.config
        joint, frame, condition = config.joint_width, config.frame_width, config.condition_width
        self.action_encoder = ActionEncoder(self.action_count, SEEN_CHANNELS) if config.action_prompts else None
        uses_prompts = config.action_prompts or config.part_prompts
        self.prompts = PromptBank(config, self.action_count) if uses_prompts else None
        self.spatial = nn.ModuleList(
            SpatialBlock(joint, config.joint_heads, config.mlp_ratio, condition, config.affinity)
            for _ in range(config.joint_layers)
        )
        self.temporal = nn.ModuleList(
            TemporalBlock(frame, config.heads, config.mlp_ratio, condition) for _ in range(config.frame_layers)
        )
        if self.by_joint:
            self.to_frame = nn.Linear(joint, frame) if joint != frame else nn.Identity()
            self.to_joint = nn.Linear(frame, joint) if joint != frame else nn.Identity()
        else:
            self.to_frame = nn.Linear(17 * joint, frame)
            self.joint_head = nn.Linear(joint, 3)
        self.norm = nn.LayerNorm(frame)
        # every output of a temporal token: one joint's, or all joints' of a frame
        self.per_token = 1 if self.by_joint else 17
        self.pose_head = nn.Linear(frame, self.per_token * 3)
        self.variance_head = nn.Linear(frame, self.per_token * variances) if config.log_variance else None

    @property
    def groups(self):
        """Temporal token groups: 17 where a token is a joint, else 1."""
        return 17 if self.by_joint else 1

    def empty_context(self, batch, rows=1, device=None):
        """A `Context` with nothing in its cache, for a working window of `rows`, of which only the newest counts."""
        config = self.config
        cache = (batch, config.frame_layers, self.groups, config.window_frames - 1, config.frame_width)
        filled = torch.zeros(batch, config.window_frames - 1 + rows, device=device)
        filled[:, -1] = 1
        pooled = torch.zeros(batch, len(POOL_TIMES_S), POOL_WIDTH + 1, device=device)
        return Context(torch.zeros(cache, device=device), torch.zeros(cache, device=device), filled, pooled)

    def _rows(self, *inputs):
        """What a subclass makes of its own inputs, then stamps_s, bias, summary, logits, context, action_probability:
        its answer, and each temporal block's keys and values."""
        raise NotImplementedError

    def _all_rows(self, inputs, seen, stamps_s, mask, pool_row, action_probability):
        """The answer of `_rows` for all rows at once; `inputs` are those of the network beside `seen`."""
        summary = logits = None
        if self.action_encoder is not None:
            present = (seen[..., 2] > 0).any(-1).to(seen.dtype)
            pooled = pool_causal(self.action_encoder.features(seen), stamps_s, present)
            summary, logits = self.action_encoder(pooled if pool_row is None else pooled[:, pool_row])
        bias = torch.where(mask, 0.0, MASKED)[:, None, None].to(seen.dtype)
        if action_probability is not None:
            action_probability = action_probability[:, None].expand(-1, seen.shape[1], -1)
        return self._rows(*inputs, stamps_s, bias, summary, logits, None, action_probability)[0]

    def _next_row(self, inputs, seen, stamps_s, context, decay):
        """The answer for a window whose last row is new, and what is kept of that row: keys, values, pooled state."""
        summary = logits = None
        pooled_state = context.pooled
        if self.action_encoder is not None:
            present = (seen[:, -1, :, 2] > 0).any(-1).to(seen.dtype)
            features = self.action_encoder.features(seen[:, -1])
            pooled, pooled_state = pool_step(features, present, context.pooled, decay)
            summary, logits = self.action_encoder(pooled[:, None].expand(-1, seen.shape[1], -1))
        rows, keys = seen.shape[1], context.filled.shape[1]
        # made by comparing, not by writing into a slice, which exporters do not take
        row, key = torch.arange(rows, device=seen.device), torch.arange(keys, device=seen.device)
        hidden = (row[:, None] == rows - 1) & (key >= keys - rows) & (key < keys - 1)
        bias = ((1 - context.filled) * MASKED)[:, None, None, None, :] + MASKED * hidden.to(seen.dtype)
        answer, fresh = self._rows(*inputs, stamps_s, bias, summary, logits, context, None)
        keys = torch.stack([k[:, :, -1] for k, _ in fresh], 1)
        values = torch.stack([v[:, :, -1] for _, v in fresh], 1)
        return answer, keys, values, pooled_state

    def _frames(self, joints, condition, stamps_s, bias, summary, logits, context, action_probability):
        """Tokens through all blocks. joints (B, N, 17, joint width), condition (B, N, condition width).

        Returns normalised frame tokens (B, G, N, D), joint tokens (B, N, 17, joint width) and each temporal block's
        keys and values.
        """
        prompts = []
        if self.prompts is not None:
            if summary is None:
                summary = joints.new_zeros(*joints.shape[:2], 1)
            probability = torch.softmax(logits.float(), -1) if logits is not None else None
            probability = probability if action_probability is None else action_probability
            *prompts, share = self.prompts.read(summary, probability)
            condition = condition + share
        angles = cast(TemporalBlock, self.temporal[0]).angles(stamps_s)
        row_condition = condition[:, None]
        if self.by_joint:
            frames, fresh = self._alternate(joints, condition, row_condition, prompts, angles, bias, context)
        else:
            for block in self.spatial:
                joints = block(joints, condition)
            frames = self.to_frame(joints.flatten(-2))[:, None]
            if self.prompts is not None:
                frames = self.prompts.attend(frames, *prompts)
            fresh = []
            for index, block in enumerate(self.temporal):
                frames, k, v = block(frames, row_condition, angles, bias, _past(context, index))
                fresh.append((k, v))
        return self.norm(frames), joints, fresh

    def _pose(self, frames, joints):
        """Root-relative poses (B, N, 17, 3) and log variances (B, N, 17, variances), 0 without that head."""
        pose = self._per_joint(self.pose_head(frames), 3)
        if not self.by_joint:
            pose = pose + self.joint_head(joints)
        pose = pose - pose[:, :, :1]
        if self.variance_head is None:
            return pose, torch.zeros_like(pose[..., : self.variances])
        return pose, self._per_joint(self.variance_head(frames), self.variances).clamp(*LOG_VARIANCE_RANGE)

    def _alternate(self, joints, condition, row_condition, prompts, angles, bias, context):
        """MixSTE's order: a spatial block, then a temporal one, on joint tokens throughout."""
        fresh = []
        for index in range(max(len(self.spatial), len(self.temporal))):
            if index < len(self.spatial):
                joints = self.spatial[index](joints, condition)
            if index < len(self.temporal):
                frames = self.to_frame(joints).transpose(1, 2)
                if index == 0 and self.prompts is not None:
                    frames = self.prompts.attend(frames, *prompts)
                frames, k, v = self.temporal[index](frames, row_condition, angles, bias, _past(context, index))
                fresh.append((k, v))
                joints = self.to_joint(frames.transpose(1, 2))
        return frames, fresh

    def _per_joint(self, output, channels):
        """(B, G, N, ...) outputs of the temporal tokens to (B, N, 17, channels)."""
        if self.by_joint:
            return output.transpose(1, 2)
        return output[:, 0].unflatten(-1, (17, channels))


def _past(context, index):
    return None if context is None else (context.keys[:, index], context.values[:, index])
