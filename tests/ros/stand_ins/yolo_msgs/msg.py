"""Stands in for yolo_msgs, which no registry has: any message under the name, for who looks at topics only."""

from visualization_msgs.msg import MarkerArray as DetectionArray  # noqa: F401
