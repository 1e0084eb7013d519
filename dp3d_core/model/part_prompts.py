"""Part prompts that reach the joints they name (FinePOSE's FPP, read by DreamPose3D's joint tokens).

Each prompt is several tokens: learnable modifiers concatenated with the baked text encoding. A joint's query reads the
tokens of the prompts that name it, and the action's token. Knows no text tower: `baked` is filled by others or zero.
"""
# B batch, N rows (frames), J = 17 joints, S static tokens, A actions, D width

import torch
from torch import Tensor, nn

from dp3d_core.model.attention import MASKED, zero

PART_JOINTS = {
    "person": tuple(range(17)), "speed": tuple(range(17)), "head": (8, 9, 10), "body": (0, 1, 4, 7, 8, 11, 14),
    "arms": (11, 12, 13, 14, 15, 16), "legs": (1, 2, 3, 4, 5, 6),
}  # fmt: skip
MODIFIERS = 3
"""Learnable tokens that are concatenated with the encoding of each prompt."""


class PartPrompts(nn.Module):
    """Cross-attention of joint tokens (B, N, 17, D) to prompt tokens, masked by part."""

    baked: Tensor
    mask_JS: Tensor

    def __init__(self, width, heads, prompt_width, actions):
        super().__init__()
        self.heads, self.actions = heads, actions
        parts = len(PART_JOINTS)
        self.register_buffer("baked", torch.zeros(parts + actions, prompt_width))
        self.modifiers = nn.Parameter(torch.randn(parts, MODIFIERS, prompt_width) * 0.02)
        self.offset = nn.Parameter(torch.randn(parts + actions, prompt_width) * 0.02)
        self.norm_joint, self.norm = nn.LayerNorm(width), nn.LayerNorm(prompt_width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(prompt_width, width), nn.Linear(prompt_width, width)
        zero(self.out)
        named = torch.full((17, parts), MASKED)
        for index, joints in enumerate(PART_JOINTS.values()):
            named[list(joints), index] = 0.0
        self.register_buffer("mask_JS", named.repeat_interleave(MODIFIERS + 1, 1), persistent=False)

    def tokens(self):
        """Static tokens (S, P), part by part, and the tokens of the actions (A, P)."""
        encoded = self.baked + self.offset
        parts = torch.cat([self.modifiers, encoded[: len(self.modifiers), None]], 1).flatten(0, 1)
        return self.norm(parts), self.norm(encoded[len(self.modifiers) :])

    def forward(self, joints, action_probability=None):
        """joints (B, N, 17, D), action_probability (B, N, A) or None; the joints with what they read of the prompts."""
        static, actions = self.tokens()
        split = lambda x: x.unflatten(-1, (self.heads, -1))  # noqa: E731
        query = split(self.query(self.norm_joint(joints)))
        query = query * query.shape[-1] ** -0.5
        scores = torch.einsum("bnjhd,shd->bnjhs", query, split(self.key(static))) + self.mask_JS[:, None]
        values = split(self.value(static))
        if action_probability is None or not self.actions:
            read = torch.einsum("bnjhs,shd->bnjhd", torch.softmax(scores, -1), values)
            return joints + self.out(read.flatten(-2))
        probability = action_probability.to(joints.dtype)
        action_key, action_value = split(probability @ self.key(actions)), split(probability @ self.value(actions))
        own = torch.einsum("bnjhd,bnhd->bnjh", query, action_key)
        weight = torch.softmax(torch.cat([scores, own[..., None]], -1), -1)
        read = torch.einsum("bnjhs,shd->bnjhd", weight[..., :-1], values)
        return joints + self.out((read + weight[..., -1:] * action_value[:, :, None]).flatten(-2))
