"""`python -m dp3d_core.calibrate` is `dp3d calibrate`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("calibrate")
