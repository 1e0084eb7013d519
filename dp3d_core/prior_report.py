"""Measure what the prior of motion is worth: `python -m dp3d_core.prior_report`; see `dp3d_core.prior.report`."""

from dp3d_core.prior.report import main

if __name__ == "__main__":
    raise SystemExit(main())
