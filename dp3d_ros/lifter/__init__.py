"""The parts of the lifter node."""
