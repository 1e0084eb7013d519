"""Coarse action classes, and the keyword rules that read them out of free-text descriptions.

Motion databases describe clips in their own words ("walk turn left 90", "e7 - uppercut left", "Heiansyodan"). The
classes are as coarse as a user of the skeletons needs, and most have a minute or more of free motion capture.
The rules:

1. Case, underscores and hyphens do not count; words match with their usual endings (walk, walks, walking).
2. A description that is nothing but one of Human3.6M's 15 action names has the class of HUMAN36M, also with the number
   of a take ("SittingDown 2", "Photo_1"): Directions, Discussion, Greeting and Posing are gesture, for people stand and
   use their arms; Eating, Phoning, Photo (TakingPhoto), Purchases, Sitting, SittingDown and Smoking are everyday;
   Waiting is stand; Walking, WalkDog (WalkingDog) and WalkTogether are walk. Within a longer text these words say
   less ("walk in two directions", "waiting for the ball"), so there the other rules decide alone.
3. The specific classes are tried in the order of SPECIFIC, and the first that matches wins: "walk to pick up box" is
   lift, "soccer - kick ball" is ball and not fight, "basketball signal" (a referee's arm signals) is gesture.
4. Otherwise the words of WHOLE_BODY are collected. One class named: that is it. Standing beside another ("walk to
   stand") gives way to the other. Two or more ("walk to run") leave the clip without a label, for no rule can tell
   which part a window shows.
5. Nothing matched: no label. "other" is for descriptions known to be none of the classes.

A clip without a label (NO_LABEL) trains the pose and not the action. Knows nothing of text towers or logits.
"""

from __future__ import annotations

import re

import numpy as np

from dp3d_core.data.motions import Motions

NO_LABEL = -1

# Class -> prompt for a text tower, in the order of the logits.
_PROMPTS = {
    "stand": "A person stands in place, looking around and shifting their weight.",
    "walk": "A person walks at a normal pace, forwards, backwards or around a turn.",
    "run": "A person runs or jogs with long quick strides.",
    "jump": "A person jumps, hops or skips off the ground.",
    "crouch": "A person crouches low, crawls on hands and knees or lies down.",
    "lift": "A person bends down, picks up a box, carries it and puts it down.",
    "everyday": "A person uses their hands for an everyday task such as drinking, washing or sitting down.",
    "gesture": "A person stands and gestures with both arms, waving, signalling or laughing.",
    "fight": "A person practises martial arts with punches, kicks and a guarded stance.",
    "dance": "A person dances with rhythmic steps, turns and expressive arms.",
    "ball": "A person plays with a ball, dribbling, shooting or kicking it.",
    "climb": "A person climbs stairs, a ladder or playground bars.",
    "acrobatics": "A person performs acrobatics, breakdance on the floor, flips and handstands.",
    "other": "A person moves in some other way.",
}
ACTIONS: tuple[str, ...] = tuple(_PROMPTS)
ACTION_TEXTS: tuple[str, ...] = tuple(_PROMPTS.values())


# Human3.6M's action name in lower case and without blanks -> class.
HUMAN36M: dict[str, str] = {
    "directions": "gesture", "discussion": "gesture", "eating": "everyday", "greeting": "gesture",
    "phoning": "everyday", "photo": "everyday", "takingphoto": "everyday", "posing": "gesture",
    "purchases": "everyday", "sitting": "everyday", "sittingdown": "everyday", "smoking": "everyday",
    "waiting": "stand", "walkdog": "walk", "walkingdog": "walk", "walktogether": "walk", "walking": "walk",
}  # fmt: skip


def _rule(*patterns: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(patterns) + ")")


# A pattern starts at a word's beginning; \b at its end where a longer word would mean something else.
SPECIFIC: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("other", _rule("motorcycl", "jumping jack", "warmuptoready", "side twist")),
    ("gesture", _rule("basketball signal", r"direct(?:s|ing)?\b.*traffic", r"wav(?:e|es|ing)\b", "laugh", "gestur",
                      r"bvh d\d+ victory", "signal")),
    ("dance", _rule("danc", "salsa", "macarena", "michael jackson", "ballet", "pirouette", "arabesque")),
    ("ball", _rule("basketball", "soccer", "football", "dribbl", r".*\bball\b")),
    ("climb", _rule("climb", "playground", "ladder", "stair")),
    ("lift", _rule(r"(?:box|boxes)\b", r"pick(?:s|ing|ed)? up", r"put(?:s|ting)? down", r"lift(?:s|ing)?\b", "carry",
                   "carries", "scoop")),
    ("acrobatics", _rule("backflip", "breaksequence", "breakdanc", "flip", "cartwheel", "handstand", "somersault",
                         "fancyfootwork", "uprightsequence", "longsequencegood")),
    ("fight", _rule("punch", r"box(?:es|ing)\b", "kick", "side ?kick", "jab", r"cross (?:left|right)\b",
                    r"hook", "uppercut", "backfist", "roundhouse", "cresc?ent", "capoei?ra", "karate", "kata",
                    "martial", "sword", "fight", "bassai", "empi", "gedanbarai", "heiansyodan", "mawashigeri",
                    "oiduki", "syutouuke", r"bvh d7 walktobow", r"bvh e\d+", r"bvh extended", r"bvh form")),
    ("everyday", _rule("drink", "wash", "unscrew", "bottle", r"eat(?:s|ing)?\b", "phon", r"sit(?:s|ting)?\b")),
)  # fmt: skip
WHOLE_BODY: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("crouch", _rule("crouch", "crawl", r"(?:lie|lies|lying)\b", "kneel", "squat")),
    ("jump", _rule("jump", r"hop(?:s|ping)?\b", r"skip", "leap")),
    ("run", _rule(r"run(?:s|ning)?\b", "jog", "sprint")),
    ("walk", _rule("walk", r"(?<!run )side ?step", "stroll", "march")),
    ("stand", _rule(r"stand(?:s|ing)?\b", r"look(?:s|ing)? around", "sway")),
)


def label(description: str) -> int:
    """Index into ACTIONS of what a free-text description says, by the rules above; NO_LABEL (-1) when unclear."""
    text = re.sub(r"[\s_-]+", " ", description.lower()).strip()
    of_human36m = HUMAN36M.get(re.sub(r" ?\d+$", "", text).replace(" ", ""))
    if of_human36m:
        return ACTIONS.index(of_human36m)
    for name, pattern in SPECIFIC:
        if pattern.search(text):
            return ACTIONS.index(name)
    named = [name for name, pattern in WHOLE_BODY if pattern.search(text)]
    if len(named) > 1 and "stand" in named:
        named.remove("stand")
    return ACTIONS.index(named[0]) if len(named) == 1 else NO_LABEL


def clip_labels(motions: Motions) -> np.ndarray:
    """Class of every clip, (C,) int64, NO_LABEL where its description is unclear."""
    return np.array([label(action) for action in motions.actions], dtype=np.int64)
