"""The semantic prompt-driven denoiser (SPD): noisy 3D and seen 2D in, clean 3D out, with its own uncertainty.

Knows no noise schedule, camera or stream: rows, masks, noise levels and caches come in as tensors, so that the same
graph trains, lifts offline, streams, and is exported.
"""
# B batch, N rows, C cached frames, L temporal blocks, G token groups (1, or 17), J = 17 joints, D width, A actions

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dp3d_core.model.attention import MASKED, SpatialBlock, TemporalBlock
from dp3d_core.model.encoder import LOG_VARIANCE_RANGE, SEEN_CHANNELS, Context
from dp3d_core.model.prompts import POOL_TIMES_S, POOL_WIDTH, ActionEncoder, PromptBank, pool_causal, pool_step


class Prediction(NamedTuple):
    """What the denoiser says of each row."""

    clean: Tensor
    """(B, N, 17, 3) estimate of the clean root-relative pose, network units."""
    log_variance: Tensor
    """(B, N, 17) natural log of the variance per axis, network units squared."""
    action_logits: Tensor
    """(B, N, A)."""
    neighbours: Tensor | None
    """(B, N, n - 1, 17, 3) hallucinated poses of f-k..f+k without f (training only), else None."""


class Denoiser(nn.Module):
    """See the module's head. `config` is a `ModelConfig`, `actions` the size of the action vocabulary."""

    def __init__(self, config, actions):
        super().__init__()
        self.config = config
        self.action_count = actions
        joint, frame, condition = config.joint_width, config.frame_width, config.condition_width
        self.by_joint = config.temporal_token == "joint"
        self.embed = nn.Linear(3 + SEEN_CHANNELS, joint)
        # plain passes never touch these: random ones would upset what was learned once noise comes in (experiment 17)
        nn.init.zeros_(self.embed.weight[:, :3])
        self.joint_name = nn.Parameter(torch.randn(17, joint) * 0.02)
        self.noise_embed = nn.Sequential(nn.Linear(8, condition), nn.SiLU(), nn.Linear(condition, condition))
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
        self.variance_head = nn.Linear(frame, per_token) if config.log_variance else None
        self.hallucinate = nn.ModuleList(nn.Linear(frame, per_token * 3) for _ in range(config.hallucinated_frames - 1))

    @property
    def groups(self):
        """Temporal token groups: 17 where a token is a joint, else 1."""
        return 17 if self.by_joint else 1

    def forward(self, noisy, seen, noise_level, stamps_s, mask, pool_row=None, action_probability=None):
        """All rows at once, as in training and offline.

        noisy (B, N, 17, 3) network units; seen (B, N, 17, 4), see SEEN_CHANNELS; noise_level (B, N) in [0, 1];
        stamps_s (B, N) seconds from the sequence's start; mask (B or 1, N, N) bool, True where row n attends to row m;
        pool_row (N,) long: the row whose causal action pooling row n uses (default itself); action_probability
        (B, A) replaces the predicted actions (oracle, for evaluation only). Returns a `Prediction`.
        """
        summary = logits = None
        if self.action_encoder is not None:
            present = (seen[..., 2] > 0).any(-1).to(seen.dtype)
            pooled = pool_causal(self.action_encoder.features(seen), stamps_s, present)
            summary, logits = self.action_encoder(pooled if pool_row is None else pooled[:, pool_row])
        bias = torch.where(mask, 0.0, MASKED)[:, None, None].to(noisy.dtype)
        if action_probability is not None:
            action_probability = action_probability[:, None].expand(-1, noisy.shape[1], -1)
        return self._rows(noisy, seen, noise_level, stamps_s, bias, summary, logits, None, action_probability)[0]

    def step(self, noisy, seen, noise_level, stamps_s, context, decay):
        """One arriving frame of a stream: rows are the working window, oldest first, the new frame last.

        Shapes as in `forward` with N = lookahead + 1; stamps_s modulo `ROTARY_PERIOD_S`; decay (B, S) is
        exp(-dt / POOL_TIMES_S) since the last frame. The last row attends to the cache and itself; the others also to
        the last and to each other. Returns the prediction, the new frame's keys and values (B, L, G, D) for the
        cache, and the new pooled state (B, S, H + 1).
        """
        summary = logits = None
        pooled_state = context.pooled
        if self.action_encoder is not None:
            present = (seen[:, -1, :, 2] > 0).any(-1).to(seen.dtype)
            features = self.action_encoder.features(seen[:, -1])
            pooled, pooled_state = pool_step(features, present, context.pooled, decay)
            summary, logits = self.action_encoder(pooled[:, None].expand(-1, noisy.shape[1], -1))
        rows, keys = noisy.shape[1], context.filled.shape[1]
        # made by comparing, not by writing into a slice, which exporters do not take
        row, key = torch.arange(rows, device=noisy.device), torch.arange(keys, device=noisy.device)
        hidden = (row[:, None] == rows - 1) & (key >= keys - rows) & (key < keys - 1)
        bias = ((1 - context.filled) * MASKED)[:, None, None, None, :] + MASKED * hidden.to(noisy.dtype)
        prediction, fresh = self._rows(noisy, seen, noise_level, stamps_s, bias, summary, logits, context, None)
        keys = torch.stack([k[:, :, -1] for k, _ in fresh], 1)
        values = torch.stack([v[:, :, -1] for _, v in fresh], 1)
        return prediction, keys, values, pooled_state

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

    def _rows(self, noisy, seen, noise_level, stamps_s, bias, summary, logits, context, action_probability):
        condition = self.noise_embed(noise_features(noise_level))
        prompts = None
        if self.prompts is not None:
            if summary is None:
                summary = noisy.new_zeros(*noisy.shape[:2], 1)
            probability = torch.softmax(logits.float(), -1) if logits is not None else None
            probability = probability if action_probability is None else action_probability
            *prompts, share = self.prompts.read(summary, probability)
            condition = condition + share

        joints = self.embed(torch.cat([noisy, seen], -1)) + self.joint_name
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

        clean = self._per_joint(self.pose_head(frames), 3)
        if not self.by_joint:
            clean = clean + self.joint_head(joints)
        clean = clean - clean[:, :, :1]
        if self.variance_head is not None:
            log_variance = self._per_joint(self.variance_head(frames), 1)[..., 0].clamp(*LOG_VARIANCE_RANGE)
        else:
            log_variance = torch.zeros_like(clean[..., 0])
        neighbours = None
        if self.training and len(self.hallucinate):
            neighbours = torch.stack([self._per_joint(head(frames), 3) for head in self.hallucinate], 2)
            neighbours = neighbours - neighbours[..., :1, :]
        if logits is None:
            logits = noisy.new_zeros(*noisy.shape[:2], self.action_count)
        return Prediction(clean, log_variance, logits, neighbours), fresh

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


def noise_features(noise_level):
    """(B, N) noise levels in [0, 1] to (B, N, 8) smooth features."""
    powers = 2.0 ** torch.arange(4, device=noise_level.device, dtype=noise_level.dtype)
    phase = noise_level[..., None] * powers * (torch.pi / 2)
    return torch.cat([torch.sin(phase), torch.cos(phase)], -1)
