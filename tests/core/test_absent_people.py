"""People who are not there cost nothing in the network's pass, and leave neither rows nor zeros in what comes out."""
# P people, J = 17 joints

import numpy as np
import pytest
from helpers import CAMERA, random_lifter, seen, walk

STAMPS_S = np.arange(40) / 30
PEOPLE = {7: -1.0, 3: 0.0, 5: 1.2}
"""Id: metres to the right at the start."""


@pytest.fixture
def lifter():
    """A lifter that notes in `passes` how many people each of its passes holds."""
    lifter = random_lifter()
    lifter.passes, step = [], lifter._backend.step
    lifter._backend.step = lambda seen, *rest: lifter.passes.append(len(seen)) or step(seen, *rest)
    return lifter


def frames(present):
    """{id: keypoints} of each frame; present(id, frame) says who is in it."""
    views = {person: seen(walk(STAMPS_S, start_m=(x, 0.1, 4.5))) for person, x in PEOPLE.items()}
    return [
        {person: (pixels[f], trust[f]) for person, (pixels, trust) in views.items() if present(person, f)}
        for f in range(len(STAMPS_S))
    ]


def test_each_pass_holds_those_who_are_followed_and_no_more(lifter):
    """max_people is room, not cost: 3 of 16, then 1 once the others are forgotten, then nobody and no pass at all."""
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", max_people=16, reset_after_s=0.2, predict_for_s=0.1)
    people = frames(lambda person, f: f < 10 or (person == 3 and f < 25))
    out = [stream.push(stamp_s, now) for stamp_s, now in zip(STAMPS_S, people)]
    assert lifter.passes[:10] == [3] * 10 and lifter.passes[17:25] == [1] * 8
    assert max(lifter.passes) == 3 and len(lifter.passes) < len(STAMPS_S)
    assert set(out[9].ids) == {7, 3, 5} and out[20].ids == (3,) and out[-1].ids == ()
    assert out[-1].joints_cam_m.shape == (0, 17, 3) and out[-1].sigma_m.shape == (0, 17)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_no_row_of_zeros_comes_out_when_people_come_and_go(lifter, lookahead):
    stream = lifter.stream(camera=CAMERA, joint_set="h36m17", lookahead=lookahead, reset_after_s=0.3)
    generator = np.random.default_rng(0)
    there = generator.random((len(STAMPS_S), 8)).repeat(3, 0) < 0.6
    published = 0
    for stamp_s, now in zip(STAMPS_S, frames(lambda person, f: there[f, person])):
        out = stream.push(stamp_s, now)
        assert len(out.ids) == len(out.joints_cam_m) == len(out.sigma_m) == len(set(out.ids))
        assert np.isfinite(out.joints_cam_m).all() and (out.joints_cam_m[:, 0, 2] > 0.1).all()
        assert (np.abs(out.joints_cam_m).max((1, 2)) > 0.1).all() and (out.sigma_m[:, 1:] > 0).all()
        published += len(out.ids)
    assert published > 40
