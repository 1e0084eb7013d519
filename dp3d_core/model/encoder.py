"""The encoder: a person's 2D and the camera's up vector in; pose, uncertainty, foot contacts and action out.

It runs once a frame and answers by itself. One network serves three uses, which differ in their masks alone: causal
rows with a cache (a stream), rows that see a few frames ahead (a stream with a lookahead), and rows that see both ways
(offline). Knows no camera, stream or noise level: rows, masks and caches come in as tensors.
"""
# B batch, N rows, D frame width, A actions

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dp3d_core.model.attention import zero
from dp3d_core.model.trunk import SEEN_CHANNELS, Trunk

UP_CHANNELS = 4
"""Per frame: the unit vector against gravity in the person's view and how certain it is; see `observation.up_input`."""
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


class Encoder(Trunk):
    """See the module's head. `config` is a `ModelConfig`, `actions` the size of the action vocabulary."""

    def __init__(self, config, actions):
        super().__init__(config, actions, SEEN_CHANNELS)
        # at first the up vector changes nothing, and an unknown one (zeros) never does
        self.up_to_joint = nn.Linear(UP_CHANNELS, config.joint_width, bias=False)
        self.up_to_condition = nn.Linear(UP_CHANNELS, config.condition_width, bias=False)
        zero(self.up_to_joint, self.up_to_condition)
        self.condition = nn.Parameter(torch.zeros(config.condition_width))
        self._add_blocks(variances=2)
        self.contact_head = nn.Linear(config.frame_width, len(FEET))
        zero(self.contact_head)

    def forward(self, seen, up, stamps_s, mask, pool_row=None, action_probability=None):
        """All rows at once, as in training and offline.

        seen (B, N, 17, 4), see SEEN_CHANNELS; up (B, N, 4), see UP_CHANNELS, zeros where unknown; stamps_s (B, N)
        seconds from the sequence's start; mask (B or 1, N, N) bool, True where row n attends to row m; pool_row (N,)
        long: the row whose causal action pooling row n uses (default itself); action_probability (B, A) replaces the
        predicted actions (oracle, for evaluation only). Returns `Encoded`.
        """
        return self._all_rows((seen, up), seen, stamps_s, mask, pool_row, action_probability)

    def step(self, seen, up, stamps_s, context, decay):
        """One arriving frame of a stream: rows are the working window, oldest first, the new frame last.

        Shapes as in `forward` with N = lookahead + 1; stamps_s modulo `ROTARY_PERIOD_S`; decay (B, S) is
        exp(-dt / POOL_TIMES_S) since the last frame. The last row attends to the cache and itself; the others also to
        the last and to each other. Returns `Encoded`, the new frame's keys and values (B, L, G, D) for the cache, and
        the new pooled state (B, S, H + 1).
        """
        return self._next_row((seen, up), seen, stamps_s, context, decay)

    def _rows(self, seen, up, stamps_s, bias, summary, logits, context, action_probability):
        condition = self.up_to_condition(up) + self.condition
        joints = self.embed(seen) + self.joint_name + self.up_to_joint(up)[:, :, None]
        frames, joints, fresh = self._frames(
            joints, condition, stamps_s, bias, summary, logits, context, action_probability
        )
        features = frames.mean(1) if self.by_joint else frames[:, 0]
        if logits is None:
            logits = seen.new_zeros(*seen.shape[:2], self.action_count)
        return Encoded(*self._pose(frames, joints), self.contact_head(features), logits, features), fresh
