"""A recording for the viewer rerun: people in 3D (world, z up), their keypoints in the picture, sigma over time."""

from pathlib import Path

import numpy as np

from dp3d_core.drawing.render import colour_of
from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result
from dp3d_core.skeleton import BONES


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """One file; open it with `rerun FILE`."""
    try:
        import rerun
    except ImportError as error:
        raise ImportError(f"--to rrd needs rerun-sdk ({error}); pip install 'dp3d_ros[viewer]'") from error
    path = out / f"{result.name}.rrd"
    with beside(path) as unfinished:
        # pyright does not see what rerun exports lazily
        recording = rerun.RecordingStream("dp3d", recording_id=result.name)  # pyright: ignore[reportAttributeAccessIssue]
        recording.save(str(unfinished))
        _log(rerun, recording, result)
        recording.flush()
        recording.disconnect()
    return [path]


def _log(rerun, recording, result: Result) -> None:
    camera = result.camera
    recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    recording.log(
        "world/camera",
        rerun.Transform3D(translation=(0, 0, result.ground.distance_m), mat3x3=result.ground.world_from_cam),
        rerun.Pinhole(image_from_camera=camera.matrix, width=camera.width, height=camera.height),
        static=True,
    )
    world_m, bones = result.joints_world_m, np.array(BONES)
    bounds = np.searchsorted(result.frame, np.arange(len(result.stamps_s) + 1))
    shown: set[int] = set()
    for index, stamp_s in enumerate(result.stamps_s):
        recording.set_time("video", duration=float(stamp_s))
        rows = range(bounds[index], bounds[index + 1])
        for person in shown - {int(result.person[row]) for row in rows}:
            recording.log(f"world/people/{person}", rerun.Clear(recursive=True))
            recording.log(f"world/camera/people/{person}", rerun.Clear(recursive=True))
        shown = {int(result.person[row]) for row in rows}
        for row in rows:
            person, seen = int(result.person[row]), result.confidence[row] > 0
            colour = colour_of(person)
            home = f"world/people/{person}"
            recording.log(f"{home}/joints", rerun.Points3D(world_m[row], radii=0.02, colors=colour))
            recording.log(f"{home}/bones", rerun.LineStrips3D(world_m[row][bones], radii=0.012, colors=colour))
            recording.log(
                f"world/camera/people/{person}", rerun.Points2D(result.joints_px[row][seen], radii=2.0, colors=colour)
            )
            recording.log(f"sigma_m/{person}", rerun.Scalars(float(result.sigma_m[row].mean())))
