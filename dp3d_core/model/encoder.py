"""The encoder: a person's 2D and the camera's up vector in; pose, uncertainty, foot contacts and action out.

It runs once a frame and answers by itself. One network serves three uses, which differ in their masks alone: causal
rows with a cache (a stream), rows that see a few frames ahead (a stream with a lookahead), and rows that see both ways
(offline). Knows no camera, stream or noise level: rows, masks and caches come in as tensors.
"""
# B batch, N rows, M keys, C cached frames, L temporal blocks, G token groups (1, or 17), D frame width, A actions

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dp3d_core.model.attention import MASKED, SpatialBlock, TemporalBlock
from dp3d_core.model.prompts import POOL_TIMES_S, POOL_WIDTH, ActionEncoder, PromptBank, pool_causal, pool_step

SEEN_CHANNELS = 4
"""Per joint: x, y in the person's virtual view over its size, confidence (0 = missing), log size."""
UP_CHANNELS = 4
"""Per frame: the unit vector against gravity in the person's view and how certain it is; see `observation.up_input`."""
LOG_VARIANCE_RANGE = (-9.0, 3.0)
"""Limits of the natural log of the variance in network units: about 3 mm to 1.1 m at the default pose scale."""
FEET = ("right", "left")
"""The order of the contact logits: the feet under joints RAnkle and LAnkle."""


class Encoded(NamedTuple):
    """What the encoder says of each row."""

    pose: Tensor
    """(B, N, 17, 3) root-relative pose in the person's view, network units."""
    log_variance: Tensor
    """(B, N, 17, 2) natural log of the variance, network units squared: per axis across the ray, and along it."""
    contacts: Tensor
    """(B, N, 2) logits that each foot of FEET stands on something."""
    action_logits: Tensor
    """(B, N, A)."""
    features: Tensor
    """(B, N, D) normalised frame tokens; where tokens are joints, their mean."""


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


class Encoder(nn.Module):
    """See the module's head. `config` is a `ModelConfig`, `actions` the size of the action vocabulary."""

    def __init__(self, config, actions):
        super().__init__()
        self.config = config
        self.action_count = actions
        joint, frame, condition = config.joint_width, config.frame_width, config.condition_width
        self.by_joint = config.temporal_token == "joint"
        self.embed = nn.Linear(SEEN_CHANNELS, joint)
        self.joint_name = nn.Parameter(torch.randn(17, joint) * 0.02)
        # at first the up vector changes nothing, and an unknown one (zeros) never does
        self.up_to_joint = nn.Linear(UP_CHANNELS, joint, bias=False)
        self.up_to_condition = nn.Linear(UP_CHANNELS, condition, bias=False)
        nn.init.zeros_(self.up_to_joint.weight), nn.init.zeros_(self.up_to_condition.weight)
        self.condition = nn.Parameter(torch.zeros(condition))
        self.action_encoder = ActionEncoder(actions, SEEN_CHANNELS) if config.action_prompts else None
        uses_prompts = config.action_prompts or config.part_prompts
        self.prompts = PromptBank(config, actions) if uses_prompts else None
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
        per_token = 1 if self.by_joint else 17
        self.pose_head = nn.Linear(frame, per_token * 3)
        self.variance_head = nn.Linear(frame, per_token * 2) if config.log_variance else None
        self.contact_head = nn.Linear(frame, len(FEET))
        nn.init.zeros_(self.contact_head.weight), nn.init.zeros_(self.contact_head.bias)

    @property
    def groups(self):
        """Temporal token groups: 17 where a token is a joint, else 1."""
        return 17 if self.by_joint else 1

    def forward(self, seen, up, stamps_s, mask, pool_row=None, action_probability=None):
        """All rows at once, as in training and offline.

        seen (B, N, 17, 4), see SEEN_CHANNELS; up (B, N, 4), see UP_CHANNELS, zeros where unknown; stamps_s (B, N)
        seconds from the sequence's start; mask (B or 1, N, N) bool, True where row n attends to row m; pool_row (N,)
        long: the row whose causal action pooling row n uses (default itself); action_probability (B, A) replaces the
        predicted actions (oracle, for evaluation only). Returns `Encoded`.
        """
        summary = logits = None
        if self.action_encoder is not None:
            present = (seen[..., 2] > 0).any(-1).to(seen.dtype)
            pooled = pool_causal(self.action_encoder.features(seen), stamps_s, present)
            summary, logits = self.action_encoder(pooled if pool_row is None else pooled[:, pool_row])
        bias = torch.where(mask, 0.0, MASKED)[:, None, None].to(seen.dtype)
        if action_probability is not None:
            action_probability = action_probability[:, None].expand(-1, seen.shape[1], -1)
        return self._rows(seen, up, stamps_s, bias, summary, logits, None, action_probability)[0]

    def step(self, seen, up, stamps_s, context, decay):
        """One arriving frame of a stream: rows are the working window, oldest first, the new frame last.

        Shapes as in `forward` with N = lookahead + 1; stamps_s modulo `ROTARY_PERIOD_S`; decay (B, S) is
        exp(-dt / POOL_TIMES_S) since the last frame. The last row attends to the cache and itself; the others also to
        the last and to each other. Returns `Encoded`, the new frame's keys and values (B, L, G, D) for the cache, and
        the new pooled state (B, S, H + 1).
        """
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
        encoded, fresh = self._rows(seen, up, stamps_s, bias, summary, logits, context, None)
        keys = torch.stack([k[:, :, -1] for k, _ in fresh], 1)
        values = torch.stack([v[:, :, -1] for _, v in fresh], 1)
        return encoded, keys, values, pooled_state

    def empty_context(self, batch, rows=1, device=None):
        """A `Context` with nothing in its cache, for a working window of `rows`, of which only the newest counts."""
        config = self.config
        cache = (batch, config.frame_layers, self.groups, config.window_frames - 1, config.frame_width)
        filled = torch.zeros(batch, config.window_frames - 1 + rows, device=device)
        filled[:, -1] = 1
        return Context(
            torch.zeros(cache, device=device), torch.zeros(cache, device=device), filled,
            torch.zeros(batch, len(POOL_TIMES_S), POOL_WIDTH + 1, device=device),
        )  # fmt: skip

    def _rows(self, seen, up, stamps_s, bias, summary, logits, context, action_probability):
        condition = self.up_to_condition(up) + self.condition
        prompts = None
        if self.prompts is not None:
            if summary is None:
                summary = seen.new_zeros(*seen.shape[:2], 1)
            probability = torch.softmax(logits.float(), -1) if logits is not None else None
            probability = probability if action_probability is None else action_probability
            *prompts, share = self.prompts.read(summary, probability)
            condition = condition + share

        joints = self.embed(seen) + self.joint_name + self.up_to_joint(up)[:, :, None]
        angles = self.temporal[0].angles(stamps_s)
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
        frames = self.norm(frames)

        pose = self._per_joint(self.pose_head(frames), 3)
        if not self.by_joint:
            pose = pose + self.joint_head(joints)
        pose = pose - pose[:, :, :1]
        if self.variance_head is not None:
            log_variance = self._per_joint(self.variance_head(frames), 2).clamp(*LOG_VARIANCE_RANGE)
        else:
            log_variance = torch.zeros_like(pose[..., :2])
        features = frames.mean(1) if self.by_joint else frames[:, 0]
        if logits is None:
            logits = seen.new_zeros(*seen.shape[:2], self.action_count)
        return Encoded(pose, log_variance, self.contact_head(features), logits, features), fresh

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
