"""Every default of dp3d, once: frozen dataclasses from which checkpoints, the command line and ROS parameters are made.

Knows no torch and no ROS. Field metadata: `help` (one sentence), `unit`, `low`, `high`, `choices`, and `live` (may
change while running).
"""

from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Literal, get_args

Lookahead = Literal[0, 2, 4]
LOOKAHEADS = get_args(Lookahead)
"""Frames that a stream may wait."""
Precision = Literal["float32", "float16", "bfloat16"]
PRECISIONS = get_args(Precision)
"""Precisions that an engine may have."""
Aggregate = Literal["mean", "jpma", "jpma_soft"]
AGGREGATES = get_args(Aggregate)
"""How several hypotheses become one pose."""

# Constants of the network that a live stream needs too; here, so that a stream needs no torch.
ROTARY_PERIOD_S = 64.0
"""All rotary frequencies are integer multiples of 1/64 Hz, so stamps may be taken modulo 64 s: cached keys stay valid
and float32 stays precise in a stream that runs for days."""
POOL_TIMES_S = (0.3, 1.0, 3.0)
"""Time constants with which the action encoder averages the past."""
POOL_WIDTH = 64
"""Features that it averages."""


def option(default, help, *, unit=None, low=None, high=None, choices=None, live=False):
    """A dataclass field that documents and limits itself; the limits are checked by `validate`."""
    return field(
        default=default,
        metadata={"help": help, "unit": unit, "low": low, "high": high, "choices": choices, "live": live},
    )


def validate(config):
    """Check every field of `config` against its metadata; ValueError names the field, the value and the limits."""
    name = type(config).__name__
    for item in fields(config):
        value, meta = getattr(config, item.name), item.metadata
        if item.default is not MISSING and isinstance(item.default, float) and isinstance(value, int):
            object.__setattr__(config, item.name, value := float(value))
        if item.default is not MISSING and type(value) is not type(item.default):
            raise ValueError(
                f"{name}.{item.name}: expected {type(item.default).__name__}, got {type(value).__name__} {value!r}"
            )
        if meta.get("choices") is not None and value not in meta["choices"]:
            raise ValueError(f"{name}.{item.name}: expected one of {list(meta['choices'])}, got {value!r}")
        low, high = meta.get("low"), meta.get("high")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # `not (>=)` also refuses NaN
        if number and ((low is not None and not value >= low) or (high is not None and not value <= high)):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            raise ValueError(f"{name}.{item.name}: expected {limits}, got {value!r}")


def from_dict(cls, values):
    """Build `cls` from a plain dict; unknown keys raise ValueError that lists the known ones."""
    return changed(cls(), values)


def changed(config, values):
    """`config` with some options changed; unknown names raise ValueError that lists the known ones."""
    known = [item.name for item in fields(config)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{type(config).__name__}: unknown option {unknown[0]!r}; known options are {known}")
    return replace(config, **values)


def to_dict(config):
    """Plain dict of a config, ready for JSON."""
    return asdict(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The denoiser's shape and parts; stored in each checkpoint."""

    window_frames: int = option(32, "frames that one frame may attend to, itself included", low=2, high=1024)
    temporal_token: str = option("frame", "what a temporal token is", choices=("frame", "joint"))
    joint_width: int = option(48, "channels of a joint token", low=8, high=1024)
    joint_layers: int = option(2, "spatial blocks over joint tokens", low=1, high=64)
    frame_width: int = option(256, "channels of a frame token (temporal_token=frame)", low=32, high=1024)
    frame_layers: int = option(4, "temporal blocks", low=1, high=64)
    heads: int = option(8, "attention heads of the temporal blocks", low=1, high=32)
    joint_heads: int = option(4, "attention heads of the spatial blocks", low=1, high=32)
    mlp_ratio: int = option(2, "hidden width of each feed-forward over its input width", low=1, high=8)
    condition_width: int = option(64, "channels of the prompt and noise-level condition (PTS)", low=8, high=1024)
    prompt_width: int = option(64, "channels of a baked prompt token", low=8, high=1024)
    action_prompts: bool = option(True, "action prompt learning from the 2D sequence (APL)")
    part_prompts: bool = option(True, "fine-grained part prompts with learnable modifiers (FPP)")
    affinity: bool = option(True, "kinship affinity as token mixing and attention bias")
    log_variance: bool = option(True, "per-joint log-variance head")
    hallucinated_frames: int = option(
        3, "frames predicted around each frame in training (HPD); 1 is none", low=1, high=9
    )
    pose_scale_m: float = option(0.25, "metres per network unit of the root-relative pose", low=0.01, high=10.0)

    def __post_init__(self):
        validate(self)
        if self.frame_width % self.heads or (self.frame_width // self.heads) % 2:
            raise ValueError(
                f"ModelConfig.heads: frame_width / heads must be an even integer for rotary positions, got "
                f"{self.frame_width} / {self.heads}"
            )
        if self.joint_width % self.joint_heads:
            raise ValueError(
                f"ModelConfig.joint_heads: must divide joint_width {self.joint_width}, got {self.joint_heads}"
            )
        if self.hallucinated_frames % 2 == 0:
            raise ValueError(f"ModelConfig.hallucinated_frames: expected an odd number, got {self.hallucinated_frames}")

    @property
    def groups(self) -> int:
        """Groups of temporal tokens: 17 where a token is a joint, else 1."""
        return 17 if self.temporal_token == "joint" else 1


PRESETS = {
    "small": ModelConfig(),
    "base": ModelConfig(
        window_frames=81, temporal_token="joint", joint_width=256, joint_layers=8, frame_width=256, frame_layers=8,
        joint_heads=8, condition_width=128,
    ),
    "paper": ModelConfig(
        window_frames=243, temporal_token="joint", joint_width=512, joint_layers=8, frame_width=512, frame_layers=8,
        joint_heads=8, condition_width=512, prompt_width=512,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserConfig:
    """Shape and parts of a `MotionDenoiser`; stored in each checkpoint that holds one."""

    width: int = option(48, "channels of a joint token", low=8, high=1024)
    layers: int = option(3, "pairs of a spatial and a temporal block", low=1, high=64)
    heads: int = option(4, "attention heads", low=1, high=32)
    mlp_ratio: int = option(2, "hidden width of each feed-forward over its input width", low=1, high=8)
    condition_width: int = option(64, "channels of the condition of the FiLM layers (PTS)", low=8, high=1024)
    feature_width: int = option(0, "channels of the encoder's features; 0 makes a prior without context", low=0)
    window_frames: int = option(32, "a frame attends to frames less than this far away", low=2, high=1024)
    affinity: bool = option(True, "kinship affinity as token mixing and attention bias")
    part_prompts: bool = option(True, "prompts of body parts, read by the joints that they name (FPP)")
    prompt_width: int = option(48, "channels of a baked prompt token", low=8, high=1024)
    actions: int = option(0, "actions whose prompt a frame's action distribution mixes; 0: none", low=0)
    hallucinated_frames: int = option(3, "frames predicted around each frame in training (HPD); 1 is none", low=1,
                                      high=9)  # fmt: skip
    pose_scale_m: float = option(0.25, "metres per network unit of the root-relative pose", low=0.01, high=10.0)

    def __post_init__(self):
        validate(self)
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"DenoiserConfig.heads: width / heads must be an even integer for rotary positions, got "
                f"{self.width} / {self.heads}"
            )
        if self.hallucinated_frames % 2 == 0:
            raise ValueError(
                f"DenoiserConfig.hallucinated_frames: expected an odd number, got {self.hallucinated_frames}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """What is known of the keypoints' source and of the people: the same for a live stream and for a sequence."""

    joint_set: str = option("coco17", "joint set of incoming pointcloud2 keypoints (yolo: coco17, hri: hri18)")
    min_confidence: float = option(
        0.05, "keypoints below this confidence count as missing", low=0.0, high=1.0, live=True
    )
    person_height_m: float = option(
        0.0, "known standing height of the people; 0: unknown", unit="m", low=0.0, high=2.5, live=True
    )

    def __post_init__(self):
        validate(self)
        if 0 < self.person_height_m < 0.4:
            raise ValueError(
                f"{type(self).__name__}.person_height_m: expected 0 (unknown) or 0.4 to 2.5, got {self.person_height_m}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftConfig(SourceConfig):
    """Options of lifting a whole sequence: `Lifter.lift` and `Lifter.sample`."""

    steps: int = option(1, "denoising steps of each hypothesis", low=1)
    samples: int = option(1, "hypotheses; 1: the point estimate", low=1)
    aggregate: str = option("mean", "how several hypotheses become one pose (`lift`)", choices=AGGREGATES)
    flip: bool = option(False, "lift the mirrored person too and answer with the mean of both; twice the cost")
    seed: int = option(0, "seed of the hypotheses' noise")
    causal: bool = option(False, "look back in time only")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig(SourceConfig):
    """Options of a live stream; the ROS node's parameters are made from these."""

    lookahead: int = option(0, "frames of lag traded for quality", unit="frames", choices=LOOKAHEADS)
    max_people: int = option(16, "people lifted at once; further ones are dropped and counted", low=1, high=64)
    min_joints: int = option(
        4, "a person with fewer visible joints in a frame counts as unseen", low=1, high=17, live=True
    )
    reset_after_s: float = option(
        1.0, "a person unseen for longer starts afresh", unit="s", low=0.05, high=60.0, live=True
    )
    predict_for_s: float = option(
        0.3, "an unseen person is predicted for this long, then dropped", unit="s", low=0.0, high=5.0, live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Options of one training run; stored beside its checkpoints so that a resumed run is the same run."""

    batch: int = option(64, "sequences per step and process", low=1)
    sequence_frames: int = option(48, "frames per training sequence", low=4)
    steps: int = option(20000, "length of the learning-rate schedule", unit="steps", low=1)
    learning_rate: float = option(1e-3, "peak learning rate (AdamW)", low=0.0)
    warmup: int = option(200, "steps of linear warm-up", unit="steps", low=0)
    weight_decay: float = option(0.02, "AdamW weight decay", low=0.0)
    clip_norm: float = option(1.0, "gradient clipping norm", low=0.0)
    ema_decay: float = option(0.999, "decay of the averaged weights that are evaluated and shipped", low=0.0, high=1.0)
    velocity_weight: float = option(4.0, "weight of the velocity loss", low=0.0)
    bone_weight: float = option(0.2, "weight of the bone-length loss", low=0.0)
    action_weight: float = option(0.05, "weight of the action cross-entropy", low=0.0)
    likelihood_weight: float = option(0.05, "weight of the heteroscedastic likelihood", low=0.0)
    acceleration_weight: float = option(1.0, "weight of the acceleration loss", low=0.0)
    reprojection_weight: float = option(0.3, "weight of the error of seen joints across their rays", low=0.0)
    contact_weight: float = option(0.02, "weight of the feet's contact cross-entropy", low=0.0)
    hold_share: float = option(
        0.3, "share of training at the peak learning rate, before it falls to nothing", low=0.0, high=1.0
    )
    field: bool = option(True, "other joint definitions, bodies, views and half pictures (`data.field`)")
    seed: int = option(0, "seed of weights, data and noise", low=0)
    precision: str = option(
        "auto", "autocast precision; auto: bfloat16 where the device has it", choices=("auto", "float32", "bfloat16")
    )

    def __post_init__(self):
        validate(self)
