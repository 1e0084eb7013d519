"""`RollingStep` for serving: the same function with everything folded that does not change while serving.

Exact algebra, no approximation; the parity check of the backends holds it to the original. What is folded: all FiLM
projections into one product, LayerNorm's gain into FiLM, the prompts' projections into the bank, the affinity into
the spatial projections, the output heads into one. Attention to the cache keeps the cache as it lies in memory: one
query row a head, zero outside the head, so that nothing is transposed.
"""
# B batch, N rows, C cached frames, L blocks, G groups, D width, Hd heads, J = 17 joints

import math

import torch
from torch import nn

from dp3d_core.model.attention import MASKED
from dp3d_core.model.denoiser import LOG_VARIANCE_RANGE, noise_features
from dp3d_core.model.prompts import pool_step

EPSILON = 1e-5


def normalise(x):
    """LayerNorm without gain and shift."""
    return nn.functional.layer_norm(x, x.shape[-1:], eps=EPSILON)


class Product(nn.Module):
    """x @ weight.T + bias with fixed numbers."""

    def __init__(self, weight, bias=None):
        super().__init__()
        self.register_buffer("weight", weight.detach().float().contiguous())
        self.register_buffer("bias", None if bias is None else bias.detach().float().contiguous())

    def forward(self, x):
        """(..., in) to (..., out)."""
        return nn.functional.linear(x, self.weight, self.bias)


def _film(film, norm, width):
    """FiLM after LayerNorm as scale and shift of the bare normalised tokens: weights and biases of both."""
    weight, bias = film.project.weight, film.project.bias
    scale, shift = (weight[:width], bias[:width] + 1), (weight[width:], bias[width:])
    gain, offset = norm.weight, norm.bias
    return (
        torch.cat([gain[:, None] * scale[0], offset[:, None] * scale[0] + shift[0]]),
        torch.cat([gain * scale[1], offset * scale[1] + shift[1]]),
    )


class _Spatial(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.heads = block.heads
        width = block.qkv.in_features
        qkv, bias = block.qkv.weight.clone(), block.qkv.bias.clone()
        scale = (width // block.heads) ** -0.5
        qkv[:width] *= scale
        bias[:width] *= scale
        self.width, self.affinity = width, block.affinity is not None
        if self.affinity:
            a = block.affinity
            matrix = a.matrix().detach()
            own = torch.diagonal(matrix)
            self.register_buffer("own", own[:, None].clone())
            self.register_buffer("others", matrix - torch.diag(own))
            self.register_buffer("bias", a.head_gain.detach()[:, None, None] * matrix)
            zero = bias.new_zeros(2 * width)
            self.inner = Product(torch.cat([qkv, a.own.weight, a.others.weight]), torch.cat([bias, zero]))
            self.out = Product(block.out.weight, block.out.bias + a.own.bias)
        else:
            self.inner, self.out = Product(qkv, bias), Product(block.out.weight, block.out.bias)
        # the second norm has no FiLM: its gain and shift go into the product behind it
        first, _, last = block.feed
        self.feed = Product(first.weight * block.norm_feed.weight, first.bias + first.weight @ block.norm_feed.bias)
        self.back = Product(last.weight, last.bias)

    def forward(self, tokens, scale, shift):
        """tokens (B * N, 17, D), scale and shift (B * N, 1, D)."""
        width = self.width
        parts = self.inner(normalise(tokens) * scale + shift)
        qkv = parts[..., : 3 * width].unflatten(-1, (3, self.heads, width // self.heads)).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(-1, -2)
        if self.affinity:
            scores = scores + self.bias
        mixed = (torch.softmax(scores, -1) @ qkv[2]).transpose(1, 2).flatten(-2)
        tokens = tokens + self.out(mixed)
        if self.affinity:
            tokens = tokens + parts[..., 3 * width : 4 * width] * self.own + self.others @ parts[..., 4 * width :]
        hidden = nn.functional.gelu(self.feed(normalise(tokens)), approximate="tanh")
        return tokens + self.back(hidden)


class _Temporal(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.heads, width = block.heads, block.qkv.in_features
        weight, bias = block.qkv.weight.clone(), block.qkv.bias.clone()
        scale = (width // block.heads) ** -0.5
        weight[:width] *= scale
        bias[:width] *= scale
        self.qkv, self.out = Product(weight, bias), Product(block.out.weight, block.out.bias)
        first, _, last = block.feed
        self.feed, self.back = Product(first.weight, first.bias), Product(last.weight, last.bias)
        self.register_buffer("frequencies", block.frequencies.clone())

    def forward(self, tokens, film, angles, bias, head_mask, past_keys, past_values):
        """tokens (X, N, D), X = B * G; film 4 x (X, N, D); bias (X, N, 1, C + N); past (X, C, D)."""
        cos, sin = angles
        rows, width, heads = tokens.shape[1], tokens.shape[2], self.heads
        qkv = self.qkv(normalise(tokens) * film[0] + film[1])
        turned = qkv[..., : 2 * width].unflatten(-1, (2 * heads, 2, width // heads // 2))
        a, b = turned[..., 0, :], turned[..., 1, :]
        turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -2).flatten(-3)
        q, k, v = turned[..., :width], turned[..., width:], qkv[..., 2 * width :]
        spread = (q[:, :, None] * head_mask).flatten(1, 2)
        scores = torch.cat([past_keys @ spread.transpose(1, 2), k @ spread.transpose(1, 2)], 1)
        scores = scores.transpose(1, 2).unflatten(1, (rows, heads)) + bias
        weights = torch.softmax(scores, -1).flatten(1, 2)
        cached = past_values.shape[1]
        mixed = weights[..., :cached] @ past_values + weights[..., cached:] @ v
        mixed = (mixed.unflatten(1, (rows, heads)) * head_mask).sum(2)
        tokens = tokens + self.out(mixed)
        hidden = nn.functional.gelu(self.feed(normalise(tokens) * film[2] + film[3]), approximate="tanh")
        return tokens + self.back(hidden), k, v


class _Prompts(nn.Module):
    """The frames' attention to the prompt bank: parts are constants, the action mixture and residual come in."""

    def __init__(self, bank):
        super().__init__()
        self.heads, width = bank.heads, bank.query.in_features
        self.width, self.parts = width, bank.parts
        head = width // self.heads
        with torch.no_grad():
            tokens = bank.norm(bank.baked + bank.modifier)
            count = bank.parts + 2
            # what a token of weight x becomes: key, value, and its share of the condition (the mean over tokens)
            become = torch.cat([bank.key.weight, bank.value.weight, bank.condition.weight / count])
            constant = torch.cat([bank.key.bias, bank.value.bias, bank.condition.bias * 0])
            self.action = Product(become @ tokens[bank.parts :].T, constant)
            self.residual = Product(become @ bank.residual.weight, constant + become @ bank.residual.bias)
            part = tokens[: bank.parts] @ become.T
            self.register_buffer("condition", part[:, 2 * width :].sum(0) + bank.condition.bias)
            # scores of the constant keys, and the output of the constant values, as products of their own
            query, bias = bank.query.weight * bank.norm_frame.weight, bank.query.bias
            bias = bias + bank.query.weight @ bank.norm_frame.bias
            query, bias = query * head**-0.5, bias * head**-0.5
            keys = (part[:, :width] + bank.key.bias).unflatten(-1, (self.heads, head))
            score = torch.einsum("phd,hdi->hpi", keys, query.unflatten(0, (self.heads, head))).flatten(0, 1)
            offset = torch.einsum("phd,hd->hp", keys, bias.unflatten(0, (self.heads, head))).flatten()
            self.query = Product(torch.cat([query, score]), torch.cat([bias, offset]))
            values = (part[:, width : 2 * width] + bank.value.bias).unflatten(-1, (self.heads, head))
            out = torch.einsum("ohd,phd->ohp", bank.out.weight.unflatten(-1, (self.heads, head)), values).flatten(1)
            self.out = Product(torch.cat([bank.out.weight, out], 1), bank.out.bias)

    def tokens(self, probability, summary):
        """(B, A) and (B, width) to keys and values (B, 2, D) of the two tokens, and the condition (B, Dc)."""
        both = torch.stack([self.action(probability), self.residual(summary)], 1)
        width = self.width
        return both[..., :width], both[..., width : 2 * width], self.condition + both[..., 2 * width :].sum(1)

    def forward(self, frames, keys, values, head_mask):
        """frames (B, N, D) attend to the bank and to their own two tokens."""
        rows, heads = frames.shape[1], self.heads
        found = self.query(normalise(frames))
        spread = (found[..., None, : self.width] * head_mask).flatten(1, 2)
        own = (spread @ keys.transpose(1, 2)).unflatten(1, (rows, heads))
        scores = torch.cat([found[..., self.width :].unflatten(-1, (heads, self.parts)), own], -1)
        weights = torch.softmax(scores, -1)
        mixed = (weights[..., self.parts :].flatten(1, 2) @ values).unflatten(1, (rows, heads)) * head_mask
        return frames + self.out(torch.cat([mixed.sum(2), weights[..., : self.parts].flatten(-2)], -1))


class FoldedStep(nn.Module):
    """See the module's head; inputs and outputs as in `RollingStep`. For frame tokens with action prompts."""

    def __init__(self, denoiser):
        super().__init__()
        if not can_fold(denoiser.config):
            raise ValueError("denoiser: expected frame tokens with action and part prompts to fold")
        config = denoiser.config
        width, joint = config.frame_width, config.joint_width
        self.joint_width, self.width = joint, width
        self.action_encoder, self.noise_embed = denoiser.action_encoder, denoiser.noise_embed
        self.embed = Product(denoiser.embed.weight)
        self.register_buffer("joint_name", (denoiser.joint_name + denoiser.embed.bias).detach())
        films = [_film(block.film, block.norm, joint) for block in denoiser.spatial]
        for block in denoiser.temporal:
            films += [_film(block.film, block.norm, width), _film(block.film_feed, block.norm_feed, width)]
        self.films = Product(*(torch.cat(parts) for parts in zip(*films, strict=True)))
        self.film_sizes = [joint] * 2 * len(denoiser.spatial) + [width] * 4 * len(denoiser.temporal)
        self.prompts = _Prompts(denoiser.prompts)
        self.spatial = nn.ModuleList(_Spatial(block) for block in denoiser.spatial)
        self.temporal = nn.ModuleList(_Temporal(block) for block in denoiser.temporal)
        self.to_frame = Product(denoiser.to_frame.weight, denoiser.to_frame.bias)
        self.joint_head = Product(denoiser.joint_head.weight)
        # the joint head's shift and the root's own motion cancel when the root is subtracted
        pose = denoiser.pose_head.weight.unflatten(0, (17, 3))
        shift = denoiser.pose_head.bias.unflatten(0, (17, 3))
        weights, shifts = [(pose - pose[:1]).flatten(0, 1)], [(shift - shift[:1]).flatten()]
        self.has_variance = denoiser.variance_head is not None
        if self.has_variance:
            weights.append(denoiser.variance_head.weight)
            shifts.append(denoiser.variance_head.bias)
        weight, gain = torch.cat(weights), denoiser.norm
        self.heads = Product(weight * gain.weight, torch.cat(shifts) + weight @ gain.bias)
        size = width // config.heads
        self.register_buffer("head_mask", torch.eye(config.heads, device=weight.device).repeat_interleave(size, 1))
        self.register_buffer("frequencies", denoiser.temporal[0].frequencies * (2 * math.pi))

    def forward(self, noisy, seen, noise_level, stamps_s, keys, values, filled, pooled, decay):
        """See `dp3d_core.backends`."""
        batch, rows = noisy.shape[:2]
        present = (seen[:, -1, :, 2].amax(-1) > 0).to(seen.dtype)
        features = self.action_encoder.features(seen[:, -1])
        summary, new_pooled = pool_step(features, present, pooled, decay)
        summary, logits = self.action_encoder(summary)
        prompt_keys, prompt_values, prompt_condition = self.prompts.tokens(torch.softmax(logits, -1), summary)
        condition = self.noise_embed(noise_features(noise_level)) + prompt_condition[:, None]
        films = self.films(condition).split(self.film_sizes, -1)

        joints = self.embed(torch.cat([noisy, seen], -1)) + self.joint_name
        joints = joints.flatten(0, 1)
        for index, block in enumerate(self.spatial):
            joints = block(joints, *(part.reshape(batch * rows, 1, -1) for part in films[2 * index : 2 * index + 2]))
        frames = self.to_frame(joints.reshape(batch, rows, -1))
        frames = self.prompts(frames, prompt_keys, prompt_values, self.head_mask)

        phase = stamps_s[..., None, None] * self.frequencies
        angles = torch.cos(phase), torch.sin(phase)
        bias = ((1 - filled) * MASKED)[:, None, None, :]
        if rows > 1:
            # the newest row does not see the rows under refinement
            row, key = torch.arange(rows, device=noisy.device), torch.arange(filled.shape[1], device=noisy.device)
            hidden = (row[:, None] == rows - 1) & (key >= filled.shape[1] - rows) & (key < filled.shape[1] - 1)
            bias = bias + MASKED * hidden.to(noisy.dtype)[:, None]
        start, fresh_keys, fresh_values = 2 * len(self.spatial), [], []
        for index, block in enumerate(self.temporal):
            film = films[start + 4 * index : start + 4 * index + 4]
            past = keys[:, index, 0], values[:, index, 0]
            frames, k, v = block(frames, film, angles, bias, self.head_mask, *past)
            fresh_keys.append(k[:, -1:])
            fresh_values.append(v[:, -1:])

        out = self.heads(normalise(frames))
        near = self.joint_head(joints.reshape(batch, rows, 17, -1))
        clean = out[..., :51].unflatten(-1, (17, 3)) + near - near[:, :, :1]
        if self.has_variance:
            log_variance = out[..., 51:].clamp(*LOG_VARIANCE_RANGE)
        else:
            log_variance = torch.zeros_like(clean[..., 0])
        return (
            clean, log_variance, logits, torch.stack(fresh_keys, 1), torch.stack(fresh_values, 1), new_pooled,
        )  # fmt: skip


def can_fold(config):
    """Whether `FoldedStep` knows this `ModelConfig`."""
    return config.temporal_token == "frame" and config.action_prompts and config.part_prompts


def serving_graph(denoiser, kind, module):
    """What to build an engine of: `FoldedStep` for a rolling step that it knows, else `module` itself."""
    if kind != "rolling" or not can_fold(denoiser.config):
        return module
    with torch.no_grad():
        return FoldedStep(denoiser).eval()
