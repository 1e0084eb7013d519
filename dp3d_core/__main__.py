"""`python -m dp3d_core` is the command `dp3d`."""

from dp3d_core.cli import main

if __name__ == "__main__":
    main()
