"""Whoever comes and goes, each camera's people lie together without holes, and everybody keeps what is theirs."""

import numpy as np
import pytest
from helpers import tiny_config

from dp3d_core.live.tracks import Tracks


def arrays(tracks):
    """All with a row a person."""
    return (*tracks._arrays, *tracks.memory._arrays)


def marked(tracks, person, value):
    """Write a number of one's own everywhere in a person's row."""
    for array in arrays(tracks):
        array[person.row] = value
    tracks.bones.length_m[person.row] = tracks.bones.weight[person.row] = value


def test_rows_are_dense_and_follow_their_people():
    generator = np.random.default_rng(0)
    tracks, values = Tracks(tiny_config(), 12, 3, cameras=3), {}
    for step in range(400):
        camera = int(generator.integers(3))
        people = tracks.people[camera]
        if people and (len(people) == 4 or generator.random() < 0.5):
            person = people[generator.integers(len(people))]
            tracks.remove(camera, person)
            del values[person]
        else:
            person = tracks.add(camera, f"{camera}/{step}", 0.0)
            new = (array for array in arrays(tracks) if array is not tracks.gaps)
            assert not any(array[person.row].any() for array in new)
            assert not tracks.bones.weight[person.row].any()
            values[person] = step
            marked(tracks, person, step)
        everybody = [person for people in tracks.people for person in people]
        assert [person.row for person in everybody] == list(range(len(tracks))) and set(everybody) == set(values)
        for person, value in values.items():
            assert all((array[person.row] == value).all() for array in arrays(tracks))
            assert (tracks.bones.length_m[person.row] == value).all()


def test_neighbouring_cameras_are_read_in_place_and_others_copied():
    tracks = Tracks(tiny_config(), 8, 1, cameras=3)
    for camera in (0, 0, 2, 1):
        marked(tracks, tracks.add(camera, "somebody", 0.0), camera)
    for cameras, rows, numbers in (((0, 1), slice(0, 3), [0, 0, 1]), ((0, 2), [0, 1, 3], [0, 0, 2])):
        people, found = tracks.of(cameras)
        assert [person.row for person in people] == list(range(8))[rows] if isinstance(rows, slice) else rows
        keys, _, pooled = tracks.memory.of(found)
        assert pooled[:, 0, 0].tolist() == numbers
        assert np.shares_memory(keys, tracks.memory.keys) == isinstance(rows, slice)
        assert isinstance(found, slice) == isinstance(rows, slice)
    tracks.remove(1, tracks.people[1][0])
    assert tracks.of((0, 2))[1] == slice(0, 3)


def test_the_same_rows_are_the_same_objects():
    """An engine that is handed the arrays of the last frame need not be told again where they lie."""
    tracks = Tracks(tiny_config(), 2, 1)
    tracks.add(0, "somebody", 0.0)
    assert all(left is right for left, right in zip(tracks.memory.of(slice(0, 1)), tracks.memory.of(slice(0, 1))))


@pytest.mark.parametrize("how", ["removed", "restarted"])
def test_nobody_inherits_a_nan(how):
    """What is masked is multiplied by nought all the same: a row is clean when somebody gets it or starts anew."""
    tracks = Tracks(tiny_config(), 2, 3)
    person = tracks.add(0, "first", 0.0)
    person.frames = 9
    marked(tracks, person, np.nan)
    if how == "removed":
        tracks.remove(0, person)
        person = tracks.add(0, "second", 0.0)
    else:
        tracks.restart(person)
    assert person.row == 0 and person.frames == 0 and not person.viewpoint.started
    assert not tracks.placement.roots.started[0]
    assert not any(np.isnan(array[:1]).any() for array in (*tracks._arrays, tracks.bones.length_m))
