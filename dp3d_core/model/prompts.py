"""Action prompt learning (APL) and the fine-grained prompt bank (FPP): what the person does, from the 2D alone.

DreamPose3D predicts a prompt from the 2D sequence; its text is not differentiable, so here the action distribution
mixes prompt tokens that were encoded once, plus a learned residual token. The part prompts are FinePOSE's {person,
speed, head, body, arms, legs}; "action" is the seventh. Where no text tower is available the bank is learned.
"""
# B batch, N rows, S pooling time scales, H pooled features, A actions, P part prompts, D frame width

import torch
from torch import Tensor, nn

from dp3d_core.config import POOL_TIMES_S, POOL_WIDTH
from dp3d_core.model.attention import attend

PARTS = ("person", "speed", "head", "body", "arms", "legs")
RESIDUAL_TOKENS = 1


def pool_causal(features, stamps_s, present):
    """Exponentially weighted mean of each frame's past, at each time scale; the offline form of `pool_step`.

    features (B, N, H), stamps_s (B, N) ascending, present (B, N) 0/1. Returns (B, N, S * H).
    """
    ages = stamps_s[:, :, None] - stamps_s[:, None, :]
    past = torch.arange(ages.shape[1], device=ages.device)[:, None] >= torch.arange(ages.shape[1], device=ages.device)
    scales = torch.tensor(POOL_TIMES_S, device=ages.device, dtype=ages.dtype)
    # clamp before exp: masked future ages are negative and would overflow
    weights = torch.exp(-ages.clamp(min=0)[..., None] / scales) * (past[..., None] * present[:, None, :, None])
    total = weights.sum(2)
    pooled = torch.einsum("bnms,bmh->bnsh", weights, features) / (total[..., None] + 1e-6)
    return pooled.flatten(2)


def pool_step(features, present, state, decay):
    """One frame of `pool_causal`. features (B, H), present (B,), state (B, S, H + 1), decay (B, S) = exp(-dt / time).

    Returns pooled (B, S * H) and the new state: decayed sums of the features and, last, of the weights.
    """
    weighted = torch.cat([features * present[:, None], present[:, None]], -1)
    state = state * decay[..., None] + weighted[:, None]
    return (state[..., :-1] / (state[..., -1:] + 1e-6)).flatten(1), state


class ActionEncoder(nn.Module):
    """APL's encoder over the 2D sequence alone: per-frame features, pooled causally, to an action distribution."""

    def __init__(self, actions, channels, width=128):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(17 * channels, width),
            nn.GELU(approximate="tanh"),
            nn.Linear(width, POOL_WIDTH),
            nn.GELU(approximate="tanh"),
        )
        self.hidden = nn.Sequential(nn.Linear(len(POOL_TIMES_S) * POOL_WIDTH, width), nn.GELU(approximate="tanh"))
        self.logits = nn.Linear(width, actions)

    def features(self, seen):
        """seen (..., 17, channels) to (..., POOL_WIDTH)."""
        return self.embed(seen.flatten(-2))

    def forward(self, pooled):
        """pooled (..., S * H) to a summary (..., width) and action logits (..., A)."""
        summary = self.hidden(pooled)
        return summary, self.logits(summary)


class PromptBank(nn.Module):
    """Baked prompt tokens with learnable modifiers, and the frames' cross-attention to them.

    `baked` holds text-tower encodings (or zeros: then the modifiers alone are the learned bank). The tokens a frame
    sees are the part prompts, its own action mixture and its own residual: never another sample's.
    """

    baked: Tensor

    baked: Tensor

    def __init__(self, config, actions, summary_width=128):
        super().__init__()
        width = config.prompt_width
        self.heads = config.heads
        self.parts = len(PARTS) if config.part_prompts else 0
        self.actions = actions if config.action_prompts else 0
        self.register_buffer("baked", torch.zeros(self.parts + self.actions, width))
        self.modifier = nn.Parameter(torch.randn(self.parts + self.actions, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        if config.action_prompts:
            self.residual = nn.Linear(summary_width, RESIDUAL_TOKENS * width)
        self.norm_frame = nn.LayerNorm(config.frame_width)
        self.query = nn.Linear(config.frame_width, config.frame_width)
        self.key = nn.Linear(width, config.frame_width)
        self.value = nn.Linear(width, config.frame_width)
        self.out = nn.Linear(config.frame_width, config.frame_width)
        self.condition = nn.Linear(width, config.condition_width)

    def read(self, summary, probability):
        """What each frame's prompt tokens are to the network, from APL's summary and action distribution (B, N, ...).

        Returns keys and values (B, N, tokens, D), and the prompts' share of the FiLM condition v = P[L] + F(t),
        (B, N, Dc). Projections are linear and probabilities sum to 1: the bank is projected once, not frame by frame,
        and mixed afterwards.
        """
        bank = self.norm(self.baked + self.modifier)
        lead = summary.shape[:-1]
        if self.actions:
            residual = self.residual(summary).unflatten(-1, (RESIDUAL_TOKENS, -1))

        def through(layer):
            known = layer(bank)
            tokens = [known[: self.parts].expand(*lead, -1, -1)]
            if self.actions:
                mixture = probability.to(known.dtype) @ known[self.parts :]
                tokens += [mixture[..., None, :], layer(residual)]
            return torch.cat(tokens, -2)

        return through(self.key), through(self.value), through(self.condition).mean(-2)

    def attend(self, frames, keys, values):
        """frames (B, G, N, D) attend to their own prompt tokens, keys and values (B, N, tokens, D)."""
        query = self.query(self.norm_frame(frames))[..., None, :]
        zero = torch.zeros((), dtype=query.dtype, device=query.device)
        return frames + self.out(attend(query, keys[:, None], values[:, None], zero, self.heads)[..., 0, :])
