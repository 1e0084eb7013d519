"""`python -m dp3d_core.detect` is `dp3d detect`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("detect")
