# Everything a newcomer runs. `make` alone explains.
PYTHON ?= python3
VENV ?= .venv
TENSORRT_VENV ?= .venv-tensorrt
DETECTOR_VENV ?= .venv-detector

# One thread for each process, as on a robot that has other work; DDS stays on this machine.
export OMP_NUM_THREADS ?= 1
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
# Set by the pip-only ROS when it has prepared a process; it must prepare ours itself.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

IN_VENV = $(VENV)/bin/python
CHECKED = dp3d_core dp3d_ros launch tests setup.py

.PHONY: help environment demo webcam detector test test-tensorrt check bench clean

help:
	@echo "make demo           plays a real recording through the live node and films the people in 3D (build/demo/)"
	@echo "make webcam         people in front of /dev/video0 in 3D (adds $(DETECTOR_VENV), 300 MB to download)"
	@echo "make detector       makes $(DETECTOR_VENV) alone: MediaPipe for the detector node and for dp3d detect"
	@echo "make test           runs the tests, also those of the ROS nodes, but the slow ones and TensorRT's"
	@echo "make test-tensorrt  converts every graph for TensorRT, without a GPU (adds $(TENSORRT_VENV), 94 MB to download)"
	@echo "make check          lints, checks the formatting and the types"
	@echo "make bench          times the lifter on this machine"
	@echo "make clean          removes build products; the environments $(VENV), $(TENSORRT_VENV), $(DETECTOR_VENV) stay"
	@echo "The first run makes $(VENV) from pinned packages; no ROS, no GPU needed."
	@echo "Options: PYTHON=python3.11 VENV=.venv DEMO_ARGS='--help' WEBCAM_ARGS='a.mp4' TEST_ARGS='-k camera -x'"

environment:
	@.ci/environment "$(PYTHON)" "$(VENV)"

demo: environment
	@$(IN_VENV) -m dp3d_ros.demo $(DEMO_ARGS)

detector:
	@.ci/environment "$(PYTHON)" "$(DETECTOR_VENV)" detector

webcam: environment detector
	@DP3D_DETECTOR_PYTHON="$(abspath $(DETECTOR_VENV))/bin/python" $(IN_VENV) -m dp3d_ros.webcam $(WEBCAM_ARGS)

test: environment
	@echo "Running all tests but the slow ones (make test TEST_ARGS='-n 0 -m slow') and TensorRT's (make test-tensorrt)"
	@$(IN_VENV) -m pytest -n 2 --dist loadfile $(TEST_ARGS)

test-tensorrt: environment
	@.ci/environment "$(PYTHON)" "$(TENSORRT_VENV)" tensorrt "$(VENV)"
	@echo "Converting every graph for TensorRT"
	@$(TENSORRT_VENV)/bin/python -m pytest -m tensorrt tests/core/test_tensorrt_coverage.py $(TEST_ARGS)

check: environment
	@$(IN_VENV) -m ruff check $(CHECKED)
	@$(IN_VENV) -m ruff format --check $(CHECKED)
	@$(IN_VENV) -m pyright --project .ci/pyright.json --pythonpath $(IN_VENV)

bench: environment
	@$(IN_VENV) -m dp3d_core.bench $(BENCH_ARGS)

clean:
	rm -rf build dist install log .pytest_cache .ruff_cache .hypothesis *.egg-info
	find dp3d_core dp3d_ros launch tests -name __pycache__ -type d -prune -exec rm -rf {} +
