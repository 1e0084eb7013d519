"""`python -m dp3d_core.bench` is `dp3d bench`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("bench")
