"""`dp3d train`: the command line of a training run. Every field of `TrainConfig` and `ModelConfig` is an option."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch
from tyro.conf import OmitArgPrefixes

from dp3d_core.cli import chosen, optional
from dp3d_core.config import PRESETS, ModelConfig, TrainConfig
from dp3d_core.training.run import run

if TYPE_CHECKING:
    ModelChanges = ModelConfig
else:
    ModelChanges = optional(ModelConfig)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a network: on motion capture (--motions), on Human3.6M (--h36m-3d) or on MPI-INF-3DHP (--mpi-train).

    A killed run goes on with --resume. Under torchrun, all processes share one --out.
    """

    out: str
    """Folder for weights, state and logs."""
    motions: str | None = None
    """Motion file (.npz), seen by synthetic cameras."""
    h36m_3d: str | None = None
    """Human3.6M: VideoPose3D's data_3d_h36m.npz."""
    h36m_2d: str | None = None
    """Human3.6M: VideoPose3D's data_2d_h36m_*.npz, or gt."""
    mpi_train: str | None = None
    """MPI-INF-3DHP: P-STMO's data_train_3dhp.npz."""
    cameras: str | None = None
    """Human3.6M: cameras.json or VideoPose3D's h36m_dataset.py. MPI-INF-3DHP: the folder of
    S1/Seq1/camera.calibration and so on, or one such file."""
    annotation: Literal["univ", "annot3"] | None = None
    """MPI-INF-3DHP: the kind of truth in the file (default univ)."""
    preset: Literal["small", "base", "paper"] = "small"
    """Size of the network; the options of the network below change it."""
    minutes: float | None = None
    """Train for this long; the schedule of the learning rate follows."""
    resume: bool = False
    """Go on from the state in --out."""
    start: str | None = None
    """Weights to begin from, a file or a shipped name."""
    prompt_bank: str | None = None
    """Bank of `dp3d prompts` to bake in (default: learned prompts)."""
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    """cpu or cuda."""
    threads: int = 1
    """Threads of one operation."""
    dev_sequences: int = 256
    """Number of development sequences behind each development error."""
    train: OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    """Training."""
    model: OmitArgPrefixes[ModelChanges] = field(default_factory=ModelChanges)
    """Network; the defaults are those of the preset."""


def train(options: TrainOptions) -> None:
    """Train and print where the weights are."""
    if options.threads < 1:
        raise ValueError(f"--threads: expected at least 1, got {options.threads}")
    torch.set_num_threads(options.threads)
    weights = run(
        model=replace(PRESETS[options.preset], **chosen(options.model)),
        train=options.train,
        out=options.out,
        motions_path=options.motions,
        h36m_3d=options.h36m_3d,
        h36m_2d=options.h36m_2d,
        mpi_train=options.mpi_train,
        cameras=options.cameras,
        annotation=options.annotation,
        minutes=options.minutes,
        resume=options.resume,
        start=options.start,
        device=options.device,
        dev_sequences=options.dev_sequences,
        prompt_bank=options.prompt_bank,
    )
    print(f"weights: {weights}")
