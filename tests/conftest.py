"""One thread, a DDS domain of this run's own, logs under build/; the same for every process that a test starts."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# 1..101 is the range in which Linux's ephemeral ports cannot clash with DDS
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))
os.environ.setdefault("ROS_LOG_DIR", str(ROOT / "build" / "ros_log"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
