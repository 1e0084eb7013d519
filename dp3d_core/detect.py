"""Read 2D keypoints from a video: `python -m dp3d_core.detect`; see `dp3d_core.capture.detect`."""

from dp3d_core.capture.detect.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
