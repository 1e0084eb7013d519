"""Video to 2D keypoints: find people, read a pose in each, follow them from frame to frame.

The parts: `people` (boxes), `pose` (MediaPipe on enlarged crops), `video` (the loop), `command` (the subcommand). Ids
are given by `dp3d_core.live.identify`, as in a live stream.
Importing this package is light; OpenCV and MediaPipe load on first use.
"""

import importlib
from types import ModuleType


def extra(module: str) -> ModuleType:
    """Import one of the detector's optional modules; ImportError names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"dp3d_core.capture.detect needs {module}, which could not be imported ({error}); "
            "install the detector's extra: pip install '.[detector]' in the folder of dp3d"
        ) from error
