"""RViz's layout for the demo: that of rviz/dp3d.rviz, seen from where its people are. Knows nothing of ROS."""

from pathlib import Path
from typing import Any

import yaml

LAYOUT = Path(__file__).parents[1] / "rviz" / "dp3d.rviz"
GRID = "rviz_default_plugins/Grid"
PEOPLE_AT_M = 27.0
"""Of the shipped recording, ahead of the camera; a robot's people are nearer."""


def demo_layout(file: Path = LAYOUT) -> dict[str, Any]:
    """The layout with its orbit view and its ground moved to the people of the demo."""
    layout = yaml.safe_load(file.read_text())
    manager = layout["Visualization Manager"]
    view = manager["Views"]["Current"]
    view["Focal Point"] |= {"X": PEOPLE_AT_M, "Y": -3.0}
    view |= {"Distance": 17.0, "Pitch": 0.5, "Yaw": 3.5}
    (grid,) = (item for item in manager["Displays"] if item["Class"] == GRID)
    grid["Offset"]["X"] = PEOPLE_AT_M
    return layout
