"""What a training run shows while it runs: a progress bar, TensorBoard scalars, and pictures of answers beside truth.

tqdm and tensorboard are optional: without them nothing is shown, and the run's log.jsonl holds every number. Knows no
network.
"""
# B sequences, T frames, J = 17 joints

import numpy as np

from dp3d_core.skeleton import BONES, LEFT, RIGHT

TILE_PX = 128
HALF_HEIGHT_M = 1.15
"""Metres from a tile's centre, the pelvis, to its edge."""
PICTURED = 6
_BACKGROUND, _TRUTH = np.array((18, 20, 26), np.uint8), (120, 128, 140)
_LEFT, _RIGHT, _MIDDLE = (255, 170, 80), (80, 170, 255), (235, 235, 235)


class Reporter:
    """Progress bar and TensorBoard of one run in folder `out`, from step `step` of `steps`."""

    def __init__(self, out, step, steps):
        try:
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
        """Draw what `poses()` returns, answer and truth (B, T, 17, 3); it is called only where somebody will look."""
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

    Above as the camera sees them, below from their right side; the truth in grey under the answer (left limbs orange,
    right ones blue).
    """
    count = len(answer_m)
    image = np.tile(_BACKGROUND, (2 * TILE_PX, count * TILE_PX, 1))
    for index in range(count):
        for row, axes in enumerate(([0, 1], [2, 1])):
            tile = image[row * TILE_PX : (row + 1) * TILE_PX, index * TILE_PX : (index + 1) * TILE_PX]
            for pose_m, plain in ((truth_m[index], True), (answer_m[index], False)):
                points_px = (pose_m[:, axes] / HALF_HEIGHT_M + 1) * (TILE_PX / 2)
                for a, b in BONES:
                    colour = _LEFT if b in LEFT else _RIGHT if b in RIGHT else _MIDDLE
                    _line(tile, points_px[a], points_px[b], _TRUTH if plain else colour)
    return image


def _line(tile, start_px, end_px, colour):
    """Dots every half pixel, two pixels thick, cut at the tile's edge."""
    if not (np.isfinite(start_px).all() and np.isfinite(end_px).all()):
        return
    steps = min(4 * TILE_PX, int(2 * np.abs(end_px - start_px).max()) + 2)
    points = start_px + np.linspace(0, 1, steps)[:, None] * (end_px - start_px)
    for shift in (0, 1):
        x, y = np.floor(points + shift / 2).astype(int).T
        inside = (x >= 0) & (x < tile.shape[1]) & (y >= 0) & (y < tile.shape[0])
        tile[y[inside], x[inside]] = colour
