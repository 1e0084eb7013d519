"""Measure a lifter's errors: `python -m dp3d_core.evaluate`; see `dp3d_core.evaluation.evaluate`."""

from dp3d_core.evaluation.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
