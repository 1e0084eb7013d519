"""Measure what hurts a stream: `python -m dp3d_core.stress`; see `dp3d_core.evaluation.stress`."""

from dp3d_core.evaluation.stress import main

if __name__ == "__main__":
    raise SystemExit(main())
