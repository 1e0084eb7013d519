"""`python -m dp3d_core.evaluate` is `dp3d evaluate`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("evaluate")
