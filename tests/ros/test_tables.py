"""The tables of topics are those of the live nodes' code: every message type and topic that it names is there."""

import re
from pathlib import Path

import pytest

import dp3d_ros
from dp3d_ros.tables import NODES, TOPICS, sections

ROS = Path(dp3d_ros.__file__).parent


def test_tables_are_well_formed_markdown():
    for _, text in sections():
        head, rule, *rows = text.splitlines()
        assert rows and all(row.count(" | ") == head.count(" | ") for row in [rule, *rows])


@pytest.mark.parametrize("node", NODES)
def test_every_topic_of_a_node_is_in_its_table(node):
    code = (ROS / f"{node}_node.py").read_text()
    named = set(re.findall(r'create_(?:subscription|publisher)\(\s*\w+, "([^"]+)"', code))
    assert named <= {topic for _, topic, *_ in TOPICS[node]}
    assert named or node == "lifter"


def test_every_message_type_of_the_lifter_is_in_its_table():
    code = "".join((ROS / name).read_text() for name in ("sources.py", "outputs.py", "hri_output.py", "lifter_node.py"))
    used = set(re.findall(r"\b(?:Skeleton2D|IdsList|DetectionArray|PointCloud2|MarkerArray|DiagnosticArray)\b", code))
    assert used == {kind.split("/")[1] for _, _, kind, *_ in TOPICS["lifter"]} & used
