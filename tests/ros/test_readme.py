"""dp3d_ros/README.md has the tables of today's parameters, topics and counters."""

from dp3d_ros.tables import BAD_INPUT, COUNTERS, README, readme


def test_the_readme_is_fresh():
    assert README.read_text() == readme(), "write the tables anew: python -m dp3d_ros.tables --write"


def test_every_counter_that_bad_input_names_is_one():
    known = {f"{group}.{name}" for group, causes in COUNTERS.items() for name in causes}
    named = {word for _, text in BAD_INPUT for word in text.split("`")[1::2] if "." in word}
    assert named and named <= known
