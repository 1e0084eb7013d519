"""Attention over joints (with kinship affinity) and over time (rotary positions in seconds).

Written out instead of `scaled_dot_product_attention`: the exported graph is smaller, and TensorRT's fused attention has
returned wrong results (NVIDIA/TensorRT issues 4328, 4333).
"""
# B batch, N rows (frames), M keys, J joints, G groups (1, or J where a token is a joint), D channels, Hd heads

import math

import torch
from torch import Tensor, nn

from dp3d_core.config import ROTARY_PERIOD_S
from dp3d_core.skeleton import BONES

MASKED = -1e4
"""Added to a masked score: finite, so that a row with no key gives the mean instead of NaN, also in half precision."""


def attend(query, key, value, bias, heads):
    """Softmax attention. query (..., N, D), key and value (..., M, D), bias broadcastable to (..., Hd, N, M)."""
    split = lambda x: x.unflatten(-1, (heads, x.shape[-1] // heads)).transpose(-2, -3)  # noqa: E731
    q, k, v = split(query), split(key), split(value)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + bias
    return (torch.softmax(scores.float(), -1).to(v.dtype) @ v).transpose(-2, -3).flatten(-2)


def rotary_frequencies(count):
    """`count` frequencies in Hz from 1/64 to 8, geometric, rounded to multiples of 1/64 without repeats."""
    multiples = []
    for index in range(count):
        wanted = round((8 * ROTARY_PERIOD_S) ** (index / max(count - 1, 1)))
        multiples.append(max(wanted, multiples[-1] + 1 if multiples else 1))
    return torch.tensor(multiples, dtype=torch.float32) / ROTARY_PERIOD_S


def rotate(x, cos, sin, heads):
    """Rotary position embedding of (B, G, N, D); cos, sin (B, 1, N, 1, D/Hd/2) (Su et al., 2021)."""
    x = x.unflatten(-1, (heads, x.shape[-1] // heads))
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def zero(*layers):
    """Set the weights and biases of layers to 0."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def kinship():
    """(17, 17) row-normalised adjacency of the skeleton with self-links: the fixed tree AL of DreamPose3D."""
    tree = torch.eye(17)
    for parent, child in BONES:
        tree[parent, child] = tree[child, parent] = 1
    return tree / tree.sum(1, keepdim=True)


class Affinity(nn.Module):
    """A = sym(AL + AG): the fixed tree and a learned symmetric matrix (DreamPose3D; KTPFormer's learnable graph).

    Mixes tokens, XA = C A with separate weights on and off the diagonal, and gives each attention head a bias.
    """

    tree: Tensor
    identity: Tensor

    def __init__(self, width, heads):
        super().__init__()
        self.register_buffer("tree", kinship(), persistent=False)
        self.register_buffer("identity", torch.eye(17), persistent=False)
        self.learned = nn.Parameter(torch.randn(17, 17) * 1e-3)
        self.own = nn.Linear(width, width)
        self.others = nn.Linear(width, width, bias=False)
        self.head_gain = nn.Parameter(torch.zeros(heads))
        zero(self.own, self.others)

    def matrix(self):
        """(17, 17) symmetric."""
        total = self.tree + self.learned
        return (total + total.T) / 2

    def forward(self, tokens_NJD):
        """(..., 17, D) to the mixed tokens (..., 17, D) and the attention bias (Hd, 17, 17)."""
        matrix = self.matrix()
        # products with the identity instead of diag and diagonal: every exporter knows these
        own = matrix * self.identity
        mixed = self.own(tokens_NJD * own.sum(1)[:, None]) + self.others((matrix - own) @ tokens_NJD)
        return mixed, self.head_gain[:, None, None] * matrix


def feed_forward(width, ratio):
    """Two layers with GELU (tanh form: one kernel in every backend)."""
    return nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))


class SpatialBlock(nn.Module):
    """Joints of one frame attend to each other, with affinity; FiLM by the condition."""

    def __init__(self, width, heads, ratio, condition_width, affinity):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.affinity = Affinity(width, heads) if affinity else None
        self.film = Film(condition_width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = feed_forward(width, ratio)

    def forward(self, tokens, condition):
        """tokens (B, N, 17, D), condition (B, N, Dc) to (B, N, 17, D)."""
        normed = self.film(self.norm(tokens), condition[:, :, None])
        q, k, v = self.qkv(normed).chunk(3, -1)
        if self.affinity is None:
            tokens = tokens + self.out(attend(q, k, v, torch.zeros((), dtype=q.dtype, device=q.device), self.heads))
        else:
            mixed, bias = self.affinity(normed)
            tokens = tokens + self.out(attend(q, k, v, bias, self.heads)) + mixed
        return tokens + self.feed(self.norm_feed(tokens))


class Film(nn.Module):
    """Z <- Z * (1 + psi_w(v)) + psi_b(v): prompt-driven timestep stylisation (FinePOSE, PTS), at first the identity."""

    def __init__(self, condition_width, width):
        super().__init__()
        self.project = nn.Linear(condition_width, 2 * width)
        zero(self.project)

    def forward(self, tokens, condition):
        """tokens (..., D), condition (..., Dc) broadcastable to it."""
        scale, shift = self.project(condition).chunk(2, -1)
        return tokens * (1 + scale) + shift


class TemporalBlock(nn.Module):
    """Frames attend to each other and to cached keys and values of older frames."""

    def __init__(self, width, heads, ratio, condition_width):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.film = Film(condition_width, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.film_feed = Film(condition_width, width)
        self.feed = feed_forward(width, ratio)
        self.register_buffer("frequencies", rotary_frequencies(width // heads // 2), persistent=False)

    def angles(self, stamps_s):
        """cos and sin (B, 1, N, 1, D/Hd/2) of stamps (B, N) in seconds, modulo `ROTARY_PERIOD_S`."""
        phase = (2 * math.pi) * stamps_s[:, None, :, None, None] * self.frequencies
        return torch.cos(phase), torch.sin(phase)

    def forward(self, tokens, condition, angles, bias, past=None):
        """tokens (B, G, N, D), condition (B, 1, N, Dc), bias (B or 1, 1, 1, N, M), past keys and values (B, G, C, D).

        Returns the tokens and this call's own rotated keys and values, each (B, G, N, D). M = C + N, past first.
        """
        q, k, v = self.qkv(self.film(self.norm(tokens), condition)).chunk(3, -1)
        cos, sin = angles
        q, k = rotate(q, cos, sin, self.heads), rotate(k, cos, sin, self.heads)
        keys, values = (k, v) if past is None else (torch.cat([past[0], k], -2), torch.cat([past[1], v], -2))
        tokens = tokens + self.out(attend(q, keys, values, bias, self.heads))
        return tokens + self.feed(self.film_feed(self.norm_feed(tokens), condition)), k, v
