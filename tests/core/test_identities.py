"""On the shipped recording ids last: few more than stays; and the counting itself is right."""

import numpy as np
import pytest

from dp3d_core.capture.recording import load, shipped
from dp3d_core.cli import run as dp3d
from dp3d_core.evaluation.identities import Score, cut, identify, score, stays, truth

GAP_S = 1.0


@pytest.fixture(scope="module")
def played():
    """The part of the recording whose people were told apart by eye, and who is in each row."""
    recording = load(shipped("vtest"))
    return cut(recording, truth(recording, shipped("vtest").with_name("vtest_people.csv")))


def test_the_truth_has_everybody_at_most_once_in_a_frame(played):
    recording, who = played
    clear = who != ""
    pairs = list(zip(recording.frame[clear], who[clear]))
    assert len(set(pairs)) == len(pairs) and clear.mean() > 0.9


def test_a_stream_gives_at_most_1_3_ids_a_stay_and_few_swaps(played):
    recording, who = played
    count = len(list(stays(recording, who, GAP_S)))
    own, given = (score(recording, who, ids, GAP_S) for ids in (recording.person, identify(recording, GAP_S)))
    assert given.ids <= 1.3 * count < own.ids
    assert given.changes < 0.5 * own.changes and given.swaps < own.swaps
    assert given.unnamed < 0.01 * len(who)


def test_true_ids_have_no_change_and_no_swap(played):
    recording, who = played
    _, true = np.unique(who, return_inverse=True)
    perfect = score(recording, who, np.where(who == "", -1, true), GAP_S)
    assert perfect == Score(ids=len(set(who) - {""}), changes=0, swaps=0, unnamed=0)


def test_an_exchange_is_two_changes_and_two_swaps(played):
    recording, who = played
    _, true = np.unique(who, return_inverse=True)
    first, second = (true[who == person][0] for person in "DE")
    late = (recording.frame > 100) & (recording.frame < 160)
    mixed = np.where(late & (who == "D"), second, np.where(late & (who == "E"), first, true))
    found = score(recording, who, np.where(who == "", -1, mixed), GAP_S)
    assert (found.changes, found.swaps) == (4, 4)  # there and back


def test_the_command_prints_the_table(capsys):
    dp3d("ids", [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vtest, 315 frames: 9 people, 20 stays") and len(lines) == 4
