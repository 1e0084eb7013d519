"""Measure accuracy and lag against smoothness: `python -m dp3d_core.smoothness`."""

from dp3d_core.evaluation.smoothness import main

if __name__ == "__main__":
    raise SystemExit(main())
