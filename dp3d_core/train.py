"""Train a denoiser: `python -m dp3d_core.train`; see `dp3d_core.training.run`."""

from dp3d_core.training.run import main

if __name__ == "__main__":
    raise SystemExit(main())
