"""Action labels: the documented rules, on sentences of our own."""

import os
from pathlib import Path

import numpy as np
import pytest

from dp3d_core.data import actions
from dp3d_core.data.actions import ACTION_TEXTS, ACTIONS, NO_LABEL, clip_labels, label
from dp3d_core.data.h36m import ACTIONS_15, OTHER_NAMES
from dp3d_core.data.motions import Motions, load_motions

SENTENCES = {
    "A woman stands at a bus stop": "stand",
    "looking around, standing": "stand",
    "man walking slowly": "walk",
    "side step right": "walk",
    "stand, then walk to the door": "walk",
    "He jogs round the park": "run",
    "run side_step left": "run",
    "child skipping": "jump",
    "hop on one leg": "jump",
    "lies down on the floor": "crouch",
    "crawling under a table": "crouch",
    "walks to pick up a parcel": "lift",
    "carrying boxes": "lift",
    "someone drinks tea": "everyday",
    "sits down on a chair": "everyday",
    "waves goodbye": "gesture",
    "directing the traffic": "gesture",
    "basketball_signal": "gesture",
    "boxing with a partner": "fight",
    "Front Kick": "fight",
    "cross right": "fight",
    "tango dancing": "dance",
    "dance with a high kick": "dance",
    "kicks the ball far away": "ball",
    "dribbles, then jumps": "ball",
    "climbing a ladder": "climb",
    "climb, sit, jump down": "climb",
    "a somersault over a bench": "acrobatics",
    "side twists and squats": "other",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_get_their_class(sentence):
    assert ACTIONS[label(sentence)] == SENTENCES[sentence]


def test_every_class_has_a_sentence_here():
    assert set(SENTENCES.values()) == set(ACTIONS)


@pytest.mark.parametrize(
    "sentence", ["walk to run", "crouches, jumps", "", "   ", "clip 17", "ein Mann geht", "runway"]
)
def test_unclear_descriptions_have_no_label(sentence):
    assert label(sentence) == NO_LABEL == -1


@pytest.mark.parametrize("sentence", SENTENCES)
def test_case_and_separators_do_not_count(sentence):
    assert label(sentence.upper().replace(" ", "_")) == label(sentence)


HUMAN36M = {
    "everyday": "Eating Phoning Photo TakingPhoto Purchases Sitting SittingDown Smoking",
    "gesture": "Directions Discussion Greeting Posing",
    "stand": "Waiting",
    "walk": "WalkDog WalkingDog WalkTogether Walking",
}


def test_all_action_names_of_human36m_have_a_class():
    names = {name: action for action, listed in HUMAN36M.items() for name in listed.split()}
    assert set(names) == {*ACTIONS_15, *OTHER_NAMES}
    for name, action in names.items():
        for text in (name, f"{name} 1", f"{name}_2", f" {name.upper()}-12 "):
            assert ACTIONS[label(text)] == action, text


@pytest.mark.parametrize(
    "sentence", ["look in both directions", "photo of a street", "a queue is waiting", "Photo 1 b", "Directions 1 2"]
)
def test_human36m_names_within_a_text_say_nothing(sentence):
    assert label(sentence) == NO_LABEL


def test_every_class_has_one_distinct_english_prompt():
    assert len(ACTION_TEXTS) == len(ACTIONS) == len(set(ACTION_TEXTS)) == len(set(ACTIONS))
    assert all(text.startswith("A person ") and text.endswith(".") for text in ACTION_TEXTS)


def test_clips_are_labelled_by_their_descriptions():
    frames = 1800 + 900 + 450
    texts = ("a",) * 3
    motions = Motions(
        pose_m=np.zeros((frames, 17, 3), np.float32),
        root_m=np.zeros((frames, 3), np.float32),
        offsets=np.array([0, 1800, 2700, 3150]),
        fps=30.0,
        names=texts,
        actions=("walk", "run", "walk to run"),
        styles=texts,
        subjects=texts,
        splits=texts,
        sources=texts,
        licences=texts,
    )
    assert clip_labels(motions).tolist() == [ACTIONS.index("walk"), ACTIONS.index("run"), NO_LABEL]


@pytest.mark.skipif("DP3D_DATA" not in os.environ, reason="DP3D_DATA names no data folder")
def test_nearly_all_motion_capture_has_a_label():
    motions = load_motions(Path(os.environ["DP3D_DATA"]) / "motions.npz")
    labels, minutes = clip_labels(motions), motions.frames_per_clip / motions.fps / 60
    assert minutes[labels == NO_LABEL].sum() < 0.03 * motions.minutes
    assert min(minutes[labels == index].sum() for index in range(len(ACTIONS))) > 0.5


@pytest.mark.skipif("DP3D_DATA" not in os.environ, reason="DP3D_DATA names no data folder")
def test_human36m_names_change_no_label_of_the_motion_capture(monkeypatch):
    motions = load_motions(Path(os.environ["DP3D_DATA"]) / "motions.npz")
    labels = clip_labels(motions)
    monkeypatch.setattr(actions, "HUMAN36M", {})
    np.testing.assert_array_equal(clip_labels(motions), labels)
