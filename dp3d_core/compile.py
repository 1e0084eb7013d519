"""`python -m dp3d_core.compile` is `dp3d compile`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("compile")
