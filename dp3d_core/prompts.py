"""`python -m dp3d_core.prompts` is `dp3d prompts`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("prompts")
