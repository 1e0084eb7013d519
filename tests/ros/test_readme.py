"""The README tells of every parameter with its default, of every topic with its type, and of every counter."""

from pathlib import Path

import pytest

from dp3d_ros.tables import COUNTERS, NODES, TOPICS, parameter_rows

README = Path(__file__).resolve().parents[2] / "dp3d_ros" / "README.md"
ADVICE = "print the tables anew: python -m dp3d_ros.tables"


@pytest.fixture(scope="module")
def lines():
    return README.read_text().splitlines()


@pytest.mark.parametrize("node", NODES)
def test_every_parameter_is_in_the_readme_with_its_default(lines, node):
    starts = ["| " + " | ".join(row[:2]) + " |" for row in parameter_rows(node)]
    assert [start for start in starts if not any(line.startswith(start) for line in lines)] == [], ADVICE


@pytest.mark.parametrize("node", TOPICS)
def test_every_topic_is_in_the_readme_with_its_type(lines, node):
    wanted = [(f"`{topic}`", f"`{kind}`") for _, topic, kind, _, _ in TOPICS[node]]
    assert [pair for pair in wanted if not any(all(word in line for word in pair) for line in lines)] == [], ADVICE


@pytest.mark.parametrize("group", COUNTERS)
def test_every_counter_is_in_the_readme(lines, group):
    assert [name for name in COUNTERS[group] if not any(f"`{group}.{name}`" in line for line in lines)] == [], ADVICE
