"""Keypoints in from any tool, 3D people out to any tool: files and folders, without ROS and without a stream.

The way through: `readers` (a file as it is), `prepare` (ids, stamps, camera), `lifting` (metres), `quality`, `writers`
and `pictures`. `run` does that for one input, `many` for a list of them, `command` is `dp3d lift`.
"""
