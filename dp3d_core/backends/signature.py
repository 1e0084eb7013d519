"""What the step takes and gives, by name and shape: graphs, engines and their check are made from this description.

Per arriving frame of a stream: rows are the working window, oldest first, the new frame last; see `Encoder.step`.
"""
# B people, N rows, C cached frames, L blocks, G groups, D width, A actions, S pooling times, H pooled features

from dp3d_core.config import POOL_TIMES_S, POOL_WIDTH, ModelConfig

OUTPUTS: tuple[str, ...] = ("pose", "log_variance", "contacts", "action_logits", "features", "keys", "values", "pooled")
"""Of the step, in order: (B, N, 17, 3), (B, N, 17, 2), (B, N, 2), (B, A), (B, N, D), the new frame's (B, L, G, D)
twice, and (B, S, H + 1); see `encoder.Encoded`."""


def input_shapes(config: ModelConfig, people: int, rows: int) -> dict[str, tuple[int, ...]]:
    """{name: shape} of the step's inputs, in order; all are float32."""
    cached = config.window_frames - 1
    memory = (people, config.frame_layers, config.groups, cached, config.frame_width)
    return {
        "seen": (people, rows, 17, 4), "up": (people, rows, 4), "stamps_s": (people, rows), "keys": memory,
        "values": memory, "filled": (people, cached + rows),
        "pooled": (people, len(POOL_TIMES_S), POOL_WIDTH + 1), "decay": (people, len(POOL_TIMES_S)),
    }  # fmt: skip


INPUTS = tuple(input_shapes(ModelConfig(), 1, 1))
