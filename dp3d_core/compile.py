"""Build engines ahead of time: `python -m dp3d_core.compile`; see `dp3d_core.backends.compile`."""

from dp3d_core.backends.compile import main

if __name__ == "__main__":
    raise SystemExit(main())
