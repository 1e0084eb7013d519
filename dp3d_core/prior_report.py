"""`python -m dp3d_core.prior_report` is `dp3d prior-report`."""

from dp3d_core.cli import run

if __name__ == "__main__":
    run("prior-report")
