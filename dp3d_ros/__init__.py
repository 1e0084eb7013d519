"""The ROS 2 side of dp3d: convert, push, publish. Knows dp3d_core's public names and messages, not poses."""
