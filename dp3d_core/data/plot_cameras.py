"""What the synthetic cameras see: draws many and plots them.

    dp3d plot-cameras --motions motions.npz --plot cameras.png

Needs matplotlib. Knows nothing of detectors or networks.
"""
# B sequences, J = 17 joints

from dataclasses import dataclass
from math import pi

import numpy as np
import torch

from dp3d_core.cli import run
from dp3d_core.data import cameras
from dp3d_core.data.motions import load_motions
from dp3d_core.data.windows import MotionBank


def measure(bank, count, *, generator):
    """{what: (B,) or (B, 2)} of `count` moments of a `MotionBank`'s clips, each before one camera."""
    clip = torch.multinomial(bank.weights, count, replacement=True, generator=generator)
    length_s = (bank.offsets[clip + 1] - bank.offsets[clip]).float() / bank.fps
    pose, root = bank.sample(clip, (length_s * torch.rand(count, generator=generator))[:, None])
    joints = pose + root[:, :, None]
    # a point a metre above the pelvis goes along: it tells how the camera is turned
    above = joints[:, :, :1] + torch.tensor([0.0, 0.0, 1.0])
    view = cameras.look(torch.cat([joints, above], 2), torch.zeros(count, 1), generator=generator)
    person, up = view.joints_cam_m[:, 0, :17], view.joints_cam_m[:, 0, 17] - view.joints_cam_m[:, 0, 0]
    pixels, inside = cameras.project(view)
    return {
        "distance_m": person[:, 0].norm(dim=-1).numpy(),
        "pitch_deg": (torch.asin(up[:, 2].clamp(-1, 1)) * 180 / pi).numpy(),
        "roll_deg": (torch.atan2(up[:, 0], -up[:, 1]) * 180 / pi).numpy(),
        "fov_deg": (2 * torch.atan(cameras.WIDTH_PX / 2 / view.focal_px) * 180 / pi).numpy(),
        "height_px": (pixels[:, 0, :17, 1].amax(1) - pixels[:, 0, :17, 1].amin(1)).numpy(),
        "pelvis_px": pixels[:, 0, 0].numpy(),
        "inside": inside[:, 0, :17].float().mean(1).numpy(),
    }


def plot(path, found):
    """Draw what `measure` found into the picture `path`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    figure, axes = plt.subplots(1, 5, figsize=(17, 3.4), constrained_layout=True)
    axes[0].hist(found["distance_m"], np.geomspace(0.5, 20, 40))
    axes[0].set(xscale="log", xlabel="camera to pelvis, m", ylabel="sequences")
    axes[1].hist(found["pitch_deg"], 40)
    axes[1].set(xlabel="camera's pitch, degrees (below 0: it looks down)")
    axes[2].hist(found["fov_deg"], 40)
    axes[2].set(xlabel="horizontal field of view, degrees")
    axes[3].hist(found["height_px"], np.geomspace(20, 3000, 40))
    axes[3].set(xscale="log", xlabel=f"person's height, px of {cameras.HEIGHT_PX:.0f}")
    axes[4].plot(*found["pelvis_px"].T, ".", markersize=1)
    axes[4].set(xlim=(-300, cameras.WIDTH_PX + 300), ylim=(cameras.HEIGHT_PX + 300, -300), xlabel="pelvis, px")
    axes[4].add_patch(Rectangle((0, 0), cameras.WIDTH_PX, cameras.HEIGHT_PX, fill=False, color="black"))
    figure.savefig(path, dpi=80)
    plt.close(figure)


@dataclass(frozen=True, kw_only=True)
class PlotCamerasOptions:
    """Print and draw the distribution of the cameras that training draws."""

    motions: str
    """Motion file (.npz)."""
    plot: str
    """Picture to write (PNG)."""
    count: int = 4000
    """Cameras to draw."""
    seed: int = 0
    """Seed of the draws."""


def command(options: PlotCamerasOptions) -> None:
    """Print percentiles and draw the plot."""
    bank = MotionBank(load_motions(options.motions).split("train"))
    found = measure(bank, options.count, generator=torch.Generator().manual_seed(options.seed))
    plot(options.plot, found)
    for name in ("distance_m", "pitch_deg", "roll_deg", "fov_deg", "height_px"):
        print(f"{name}: 5 / 50 / 95 % {' / '.join(f'{p:.1f}' for p in np.percentile(found[name], (5, 50, 95)))}")
    print(f"joints inside the image: {found['inside'].mean():.3f}; whole people: {(found['inside'] == 1).mean():.3f}")


if __name__ == "__main__":
    run("plot-cameras")
