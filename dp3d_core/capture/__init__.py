"""From pictures to recordings: detect keypoints, store them, calibrate the camera."""
