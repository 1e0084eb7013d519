"""`python -m dp3d_core.train` is `dp3d train`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("train")
