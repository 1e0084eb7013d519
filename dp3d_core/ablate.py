"""`python -m dp3d_core.ablate` is `dp3d ablate`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("ablate")
