# Everything a newcomer runs. `make` alone explains.
PYTHON ?= python3
VENV ?= .venv

# One thread for each process, as on a robot that has other work; DDS stays on this machine.
export OMP_NUM_THREADS ?= 1
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
# Set by the pip-only ROS when it has prepared a process; it must prepare ours itself.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

IN_VENV = $(VENV)/bin/python
CHECKED = dp3d_core dp3d_ros launch tests setup.py

.PHONY: help environment demo test check bench clean

help:
	@echo "make demo    plays a real recording through the live node and films the people in 3D (build/demo/)"
	@echo "make test    runs all tests, also those of the ROS nodes"
	@echo "make check   lints and checks the formatting"
	@echo "make bench   times the lifter on this machine"
	@echo "make clean   removes build products; the environment $(VENV) stays"
	@echo "The first run makes $(VENV) from pinned packages; no ROS, no GPU needed."
	@echo "Options: PYTHON=python3.11 VENV=.venv DEMO_ARGS='--help' TEST_ARGS='-k camera -x'"

environment:
	@.ci/environment "$(PYTHON)" "$(VENV)"

demo: environment
	@$(IN_VENV) -m dp3d_ros.demo $(DEMO_ARGS)

test: environment
	@echo "Running all tests but the slow ones (make test TEST_ARGS='-m slow' for those)"
	@$(IN_VENV) -m pytest $(TEST_ARGS)

check: environment
	@$(IN_VENV) -m ruff check $(CHECKED)
	@$(IN_VENV) -m ruff format --check $(CHECKED)

bench: environment
	@$(IN_VENV) -m dp3d_core.bench $(BENCH_ARGS)

clean:
	rm -rf build dist install log .pytest_cache .ruff_cache .hypothesis *.egg-info
	find dp3d_core dp3d_ros launch tests -name __pycache__ -type d -prune -exec rm -rf {} +
