"""The data of a training run: banks of training and development sequences, from whichever files are given.

Knows no network.
"""

from pathlib import Path

from dp3d_core.data.motions import load_motions
from dp3d_core.data.screen import screened
from dp3d_core.data.windows import MotionBank, sample_batch

BESIDE = {"--motions": [], "--h36m-3d": ["--h36m-2d", "--cameras"], "--mpi-train": ["--cameras"]}
"""The options that name what a run trains on, and those that each needs beside it."""


def load_training_data(*, motions=None, h36m_3d=None, h36m_2d=None, mpi_train=None, cameras=None, annotation=None):
    """Read one data set: (bank to train on, bank to watch by, where both come from, for the weights' provenance).

    motions: a motion file, seen by synthetic cameras. Or real pairs (`data.paired`): h36m_3d, h36m_2d ("gt": exact) and
    cameras; or mpi_train, cameras and annotation (default "univ"). ValueError for a mixture or a missing companion.
    """
    named = lambda **options: ["--" + n.replace("_", "-") for n, path in options.items() if path is not None]  # noqa: E731
    kinds = named(motions=motions, h36m_3d=h36m_3d, mpi_train=mpi_train)
    if len(kinds) != 1:
        raise ValueError(f"data: expected one of {', '.join(BESIDE)}, got {' and '.join(kinds) or 'none'}")
    beside = named(h36m_2d=h36m_2d, cameras=cameras, annotation=None if mpi_train else annotation)
    if beside != BESIDE[kinds[0]]:
        needed = " and ".join(BESIDE[kinds[0]]) or "nothing"
        raise ValueError(f"{kinds[0]}: expected {needed} beside it, got {' and '.join(beside) or 'nothing'}")
    if motions is None:
        from dp3d_core.data.paired import human36m_pairs, mpi_inf_3dhp_pairs

        if h36m_3d is not None:
            return human36m_pairs(h36m_3d, h36m_2d, cameras)
        return mpi_inf_3dhp_pairs(mpi_train, cameras, annotation=annotation or "univ")
    clips = load_motions(motions)
    try:
        clips = screened(clips)
        banks = MotionBank(clips.split("train")), MotionBank(clips.split("dev"))
    except ValueError as error:
        raise ValueError(f"{motions}: {error}") from None
    return *banks, {"motions": Path(motions).name, "sources": sorted(set(clips.sources))}


def sampled(bank, *size, **options):
    """A batch from a bank of either kind."""
    if isinstance(bank, MotionBank):
        return sample_batch(bank, *size, **options)
    from dp3d_core.data.paired import sample_pairs

    return sample_pairs(bank, *size, **options)


def described(bank, origin):
    """One line about the data, printed before the first step: without labels there is no action to learn."""
    labelled = float(bank.seconds[bank.labels >= 0].sum() / bank.seconds.sum())
    line = f"action labels: {100 * labelled:.0f} % of {float(bank.seconds.sum()) / 60:.1f} minutes"
    if "pairs" in origin:
        trained, held_back = (", ".join(origin["pairs"][part]) for part in ("train", "dev"))
        line += f"; {trained} train, {held_back} is held back to watch by (published runs train on it too)"
    return line
