"""Measure what each part of the network is worth: `python -m dp3d_core.ablate`; see `dp3d_core.evaluation.ablate`."""

from dp3d_core.evaluation.ablate import main

if __name__ == "__main__":
    raise SystemExit(main())
