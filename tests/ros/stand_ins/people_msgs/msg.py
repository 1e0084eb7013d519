"""Stands in for people_msgs where it is not installed: an empty message under the name, and a record."""

from geometry_msgs.msg import PolygonStamped


class Person:
    def __init__(self, **values):
        self.__dict__.update(values)


class People(PolygonStamped):
    def __init__(self, header=None, people=()):
        super().__init__(header=header)


People.__name__, People.__module__ = PolygonStamped.__name__, PolygonStamped.__module__
