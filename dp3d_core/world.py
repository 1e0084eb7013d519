"""`python -m dp3d_core.world` is `dp3d world`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("world")
