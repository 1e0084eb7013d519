"""`python -m dp3d_core.smoothness` is `dp3d smoothness`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("smoothness")
