"""`python -m dp3d_core.stress` is `dp3d stress`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("stress")
