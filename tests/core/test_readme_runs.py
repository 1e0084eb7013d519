"""What the READMEs show, runs and exists."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from dp3d_core.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PACKAGES = ("dp3d_core", "dp3d_ros")
DOCUMENTS = [README, *sorted(path for part in PACKAGES for path in (ROOT / part).rglob("*.md"))]
SNIPPETS = [
    (path, snippet)
    for path in DOCUMENTS
    for snippet in re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)
]
NAMES = [str(path.relative_to(ROOT)) for path, _ in SNIPPETS]


@pytest.mark.parametrize(("path", "snippet"), SNIPPETS, ids=NAMES)
def test_every_python_snippet_runs_and_gives_finite_joints(path, snippet):
    """Snippets that need files of the reader are fenced with py, not with python."""
    names = {}
    exec(compile(snippet, str(path), "exec"), names)
    if path == README:
        assert len(names["skeletons"].ids) > 0 and np.isfinite(names["skeletons"].joints_cam_m).all()
    for name, value in names.items():
        if name.endswith(("completed_m", "fitted_m", "motions_m")):
            assert np.isfinite(value).all()


def test_every_command_of_the_documents_exists():
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    modules = set(re.findall(r"python -m (dp3d_\w+(?:\.\w+)*)", text))
    assert modules and [name for name in modules if importlib.util.find_spec(name) is None] == []
    assert [name for name in set(re.findall(r"`dp3d ([a-z][\w-]*)", text)) if name not in COMMANDS] == []


def test_every_link_of_the_documents_leads_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.relative_to(ROOT)}: {target}"


def test_the_readme_is_short():
    assert len(README.read_bytes()) <= 8192


def test_the_tree_names_every_folder_and_nothing_else():
    tree = re.search(r"## The tree\n\n```\n(.*?)```", README.read_text(), flags=re.DOTALL)[1]
    told = set(re.findall(r"(?<![\w/.])\w+(?:\.py|/)", tree))
    ours = [ROOT / part for part in (*PACKAGES, "launch", "tests")]
    there = {path.name + "/" * path.is_dir() for path in ours + [path for part in ours for path in part.rglob("*")]}
    assert sorted(told - there) == []
    folders = {path.name + "/" for part in PACKAGES for path in (ROOT / part).iterdir() if path.is_dir()}
    assert sorted(folders - told - {"__pycache__/"}) == []
    folders = {f"{path.name}/" for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert sorted(folders - told - {"__pycache__/"}) == []
