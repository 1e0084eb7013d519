"""What the README shows, runs."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_snippets_run_and_give_finite_skeletons():
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL):
        exec(compile(snippet, str(README), "exec"), names)
    assert len(names["skeletons"].ids) > 0 and np.isfinite(names["skeletons"].joints_cam_m).all()
    assert names["lifted"].joints_cam_m.shape == (len(names["first"]), 17, 3)
    assert names["motions_m"].shape == (4, 30, 17, 3)
    assert np.isfinite(names["completed_m"]).all() and np.isfinite(names["fitted_m"]).all()


def test_every_command_of_the_readme_exists():
    import importlib.util

    modules = set(re.findall(r"python -m ([\w.]+)", README.read_text()))
    assert modules and [name for name in modules if importlib.util.find_spec(name) is None] == []


def test_everything_in_the_tree_exists():
    tree = re.search(r"## The tree\n\n```\n(.*?)```", README.read_text(), flags=re.DOTALL)[1]
    names = set(re.findall(r"(?<![\w/.])\w+(?:\.py|/)", tree))
    assert len(names) > 30
    ours = [README.parent / part for part in ("dp3d_core", "dp3d_ros", "launch", "tests")]
    paths = ours + [path for part in ours for path in part.rglob("*")]
    assert sorted(names - {path.name + "/" * path.is_dir() for path in paths}) == []
