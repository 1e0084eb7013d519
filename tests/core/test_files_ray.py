"""A local Ray cluster that loses a machine in mid-run still gives every output, once and whole."""

import files_samples as samples
import numpy as np
import pytest

from dp3d_core.files.many import run_all
from dp3d_core.files.prepare import PrepareOptions
from dp3d_core.files.run import RunOptions


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lost_worker_loses_nothing(tmp_path):
    ray = pytest.importorskip("ray", reason="needs pip install '.[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        inputs = [samples.mmpose(tmp_path / f"walk{number}.json") for number in range(6)]
        inputs[3].write_text("{")
        options = RunOptions(out=tmp_path / "out", to=("npz", "bvh"), prepare=PrepareOptions(hfov_deg=40))
        told = []

        def kill_one(outcome):
            told.append(outcome)
            if len(told) == 1:
                cluster.remove_node(nodes[0], allow_graceful=False)

        outcomes = run_all(inputs, options, ray_address=cluster.address, progress=kill_one)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert [one.ok for one in outcomes] == [True, True, True, False, True, True], [one.text for one in outcomes]
    files = sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("."))
    assert len(files) == 5 * 4 and not list((tmp_path / "out").glob(".unfinished*"))
    with np.load(tmp_path / "out" / "walk0.npz") as one, np.load(tmp_path / "out" / "walk5.npz") as other:
        np.testing.assert_array_equal(one["joints_cam_m"], other["joints_cam_m"])
