"""What a training run shows: a progress bar, and in TensorBoard scalars and pictures of the answer beside the truth.

All of it needs the extra "train" (tqdm, tensorboard, matplotlib). Without it nothing is shown; the log of the run
(log.jsonl) holds every number. Knows no network.
"""
# B sequences, T frames, J = 17 joints

import numpy as np

from dp3d_core.skeleton import BONES, LEFT, RIGHT

TILE_PX = 128
HALF_HEIGHT_M = 1.15
"""Metres from a tile's centre, the pelvis, to its edge."""
PICTURED = 6
_BACKGROUND, _TRUTH = "#12141a", "#78808c"
_LEFT, _RIGHT, _MIDDLE = "#ffaa50", "#50aaff", "#ebebeb"


class Reporter:
    """Progress bar and TensorBoard of one run in folder `out`, from step `step` of `steps`."""

    def __init__(self, out, step, steps):
        try:
            import matplotlib  # noqa: F401  # draws the pictures
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(out)
        except ImportError:
            self._writer = None
        try:
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=step, desc="train", unit="step", mininterval=5)
        except ImportError:
            self._bar = None

    def scalars(self, row, step):
        """Show every number of `row` by its name; the bar advances to `step`."""
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, step)
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in row.items() if k.endswith(("position", "mm"))})

    def picture(self, poses, step):
        """Draw the answer and the truth (B, T, 17, 3) that `poses()` returns; call it only if TensorBoard is there."""
        if self._writer is not None:
            image = draw_poses(*(pose[:PICTURED, -1].cpu().numpy() for pose in poses()))
            self._writer.add_image("dev/answer_beside_truth", image, step, dataformats="HWC")

    def close(self):
        """Flush and release."""
        if self._writer is not None:
            self._writer.close()
        if self._bar is not None:
            self._bar.close()


def draw_poses(answer_m, truth_m):
    """Root-relative poses (B, 17, 3), x right and y down, as an image (2 * TILE_PX, B * TILE_PX, 3) uint8.

    Upper row: as the camera sees them. Lower row: from their right side. The truth is grey below the answer (left limbs
    orange, right limbs blue). Needs matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(answer_m)
    figure = Figure(figsize=(count, 2), dpi=TILE_PX, facecolor=_BACKGROUND)
    for index in range(count):
        for row, (across, down) in enumerate(((0, 1), (2, 1))):
            axes = figure.add_axes((index / count, (1 - row) / 2, 1 / count, 1 / 2))
            axes.set(xlim=(-HALF_HEIGHT_M, HALF_HEIGHT_M), ylim=(HALF_HEIGHT_M, -HALF_HEIGHT_M))
            axes.axis("off")
            for pose_m, colour in ((truth_m[index], _TRUTH), (answer_m[index], None)):
                for bone in BONES:
                    limb = _LEFT if bone[1] in LEFT else _RIGHT if bone[1] in RIGHT else _MIDDLE
                    axes.plot(pose_m[bone, across], pose_m[bone, down], color=colour or limb, linewidth=1)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
