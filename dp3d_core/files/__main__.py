"""`python -m dp3d_core.files` is `dp3d lift`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("lift")
