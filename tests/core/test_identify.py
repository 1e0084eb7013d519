"""People keep their ids while they walk, cross, hide for a while or are seen in part, at any frame rate and order."""

import numpy as np
import pytest
from helpers import CAMERA, seen, walk

from dp3d_core.live.identify import HOLD_S, MOST_PEOPLE, Identifier, IdentifyConfig

SHOWN = np.where(np.isin(np.arange(17), (7, 10)), 0, 0.9)


def walker(stamps_s, **options):
    """Pixels (T, 17, 2) of somebody who walks, as a common detector sees them."""
    return seen(walk(stamps_s, **options), noise_px=1.0)[0]


def follow(stamps_s, *people, config=None, shuffle=False):
    """Ids by frame as {person's place in `people`: id}; each of people is (T, 17, 2), NaN where not detected."""
    identifier, generator = Identifier(config or IdentifyConfig()), np.random.default_rng(0)
    for frame, stamp_s in enumerate(stamps_s):
        there = [index for index, person in enumerate(people) if np.isfinite(person[frame]).all()]
        if shuffle:
            there = list(generator.permutation(there))
        bodies = np.array([people[index][frame] for index in there]).reshape(-1, 17, 2)
        ids = identifier.update(bodies, np.tile(SHOWN, (len(there), 1)), stamp_s)
        yield dict(zip(there, ids.tolist()))


@pytest.mark.parametrize("fps", [7, 30, 60])
@pytest.mark.parametrize("apart_m", [0.0, 0.8])
def test_ids_follow_people_who_cross_whatever_the_order(fps, apart_m):
    """Also where one hides the other and is all that is detected for half a second."""
    stamps_s = np.arange(0, 4, 1 / fps)
    first = walker(stamps_s, start_m=(-2.0, 0.1, 5.0), velocity_m_s=(1.0, 0, 0))
    second = walker(stamps_s, start_m=(2.0, 0.1, 5.0 + apart_m), velocity_m_s=(-1.0, 0, 0), yaw=-0.6)
    second[np.abs(stamps_s - 2.0) < 0.25] = np.nan
    for people in follow(stamps_s, first, second, shuffle=True):
        assert people.get(0, 0) == people[0] and people[0] != people.get(1, -2)
    assert people == {0: 0, 1: 1} or people == {0: 1, 1: 0}


def test_order_of_bodies_does_not_matter():
    stamps_s = np.arange(0, 2, 1 / 15)
    crowd = [walker(stamps_s, start_m=(0.9 * place - 2, 0.1, 5 + 0.3 * place)) for place in range(5)]
    straight, shuffled = (list(follow(stamps_s, *crowd, shuffle=shuffle)) for shuffle in (False, True))
    assert all(len(set(people.values())) == 5 for people in shuffled)
    assert all(people == straight[0] for people in straight) and all(people == shuffled[0] for people in shuffled)


@pytest.mark.parametrize("fps", [10, 60])
@pytest.mark.parametrize(("gap_s", "same"), [(0.2, True), (0.9, True), (1.2, False)])
def test_a_person_is_remembered_for_the_gap_and_no_longer(fps, gap_s, same):
    """The gap is in seconds: as long at any frame rate, whether the frames in it come or not; walking on meanwhile."""
    stamps_s = np.arange(0, 3, 1 / fps)
    person = walker(stamps_s, velocity_m_s=(0.8, 0, 0.2))
    gone = (stamps_s > 1.5) & (stamps_s < 1.5 + gap_s - 1e-6)
    person[gone] = np.nan
    for frames in (slice(None), ~gone):
        *_, last = follow(stamps_s[frames], person[frames])
        assert (last[0] == 0) == same


def test_a_runner_at_ten_hertz_keeps_the_id():
    stamps_s = np.arange(0, 1.5, 0.1)
    runner = walker(stamps_s, start_m=(-3.0, 0.1, 5.0), velocity_m_s=(5.0, 0, 0))
    assert all(people == {0: 0} for people in follow(stamps_s, runner))


def test_half_a_body_is_no_smaller_person():
    stamps_s = np.arange(0, 2, 1 / 15)
    person, identifier = walker(stamps_s), Identifier(IdentifyConfig())
    for frame, stamp_s in enumerate(stamps_s):
        confidence = SHOWN.copy()
        if frame % 10 >= 5:
            confidence[[1, 2, 3, 4, 5, 6]] = 0  # a table hides the legs
        assert identifier.update(person[[frame]], confidence[None], stamp_s).tolist() == [0]


def test_somebody_of_another_size_is_somebody_else():
    near, far = walker([0.0], start_m=(0, 0.1, 3.0)), walker([0.0], start_m=(0, 0.1, 12.0))
    first, second = follow([0.0, 0.1], np.concatenate([near, far]))
    assert first != second


def test_the_same_body_twice_gets_one_id_until_it_lasts():
    """A detector's double is held back; two people who stay that near are two after `HOLD_S`."""
    stamps_s = np.arange(0, 2, 1 / 10)
    person = walker(stamps_s, velocity_m_s=(0, 0, 0))
    double = person + (4.0, 3.0)
    once = double.copy()
    once[:5], once[7:] = np.nan, np.nan
    assert all(people == ({0: 0, 1: -1} if 1 in people else {0: 0}) for people in follow(stamps_s, person, once))
    told = [people[1] for people in follow(stamps_s[5:], person[5:], double[5:])]
    held = round(HOLD_S * 10)
    assert set(told[:held]) == {-1} and set(told[held:]) == {1}


def test_a_newcomer_beside_others_has_an_id_at_once():
    stamps_s = np.arange(0, 1, 1 / 10)
    first, second = walker(stamps_s), walker(stamps_s, start_m=(0.2, 0.1, 4.5))
    second[:4] = np.nan
    assert [people.get(1) for people in follow(stamps_s, first, second)] == [None] * 4 + [1] * 6


def test_ids_are_never_given_again_and_too_little_is_nobody():
    identifier = Identifier(IdentifyConfig(max_gap_s=0))
    body = walker([0.0])
    little = np.zeros((1, 17))
    little[0, :2] = 0.9
    assert identifier.update(body, SHOWN[None], 0.0).tolist() == [0]
    assert identifier.update(body, little, 0.1).tolist() == [-1]
    assert identifier.update(np.zeros((0, 17, 2)), np.zeros((0, 17)), 0.2).tolist() == []
    assert identifier.update(body, SHOWN[None], 0.3).tolist() == [1]


def test_no_more_people_than_fit_and_the_last_seen_stay():
    identifier, generator = Identifier(IdentifyConfig(max_gap_s=1e9)), np.random.default_rng(0)
    for frame in range(8):
        bodies = walker([0.0]) + generator.uniform(0, 1e6, (100, 1, 2))
        ids = identifier.update(bodies, np.tile(SHOWN, (100, 1)), float(frame))
    assert len(identifier) == MOST_PEOPLE
    assert identifier.update(bodies, np.tile(SHOWN, (100, 1)), 8.0).tolist() == ids.tolist()


def test_predicted_boxes_hold_the_people():
    stamps_s = np.arange(0, 1, 1 / 10)
    person, identifier = walker(stamps_s, velocity_m_s=(1.0, 0, 0)), Identifier(IdentifyConfig())
    for frame, stamp_s in enumerate(stamps_s[:-1]):
        identifier.update(person[[frame]], SHOWN[None], stamp_s)
    ids, (box,) = identifier.predicted_boxes(stamps_s[-1])
    low, high = person[-1][SHOWN > 0].min(0), person[-1][SHOWN > 0].max(0)
    np.testing.assert_allclose(box, [*low, *high], atol=0.1 * (high - low)[1])
    assert ids.tolist() == [0] and identifier.predicted_boxes(99.0)[1].shape == (0, 4)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="expected finite numbers"):
        Identifier(IdentifyConfig()).update(np.full((1, 17, 2), np.nan), SHOWN[None], 0.0)
    with pytest.raises(ValueError, match="expected max_gap_s >= 0"):
        IdentifyConfig(max_gap_s=float("nan"))


def test_the_camera_sees_the_walkers():
    """Of these tests themselves: the people they place are inside the picture."""
    pixels = walker(np.arange(0, 2, 1 / 10))
    assert (pixels >= 0).all() and (pixels <= (CAMERA.width, CAMERA.height)).all()
