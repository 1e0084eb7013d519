"""Estimate focal length and ground plane from people who walk: `python -m dp3d_core.calibrate`."""

from dp3d_core.capture.calibrate import main

if __name__ == "__main__":
    raise SystemExit(main())
