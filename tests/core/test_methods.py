"""What is evaluated answers every frame it may, and hypotheses are those whose mean is lifted."""
# T frames, H hypotheses, J = 17 joints

from dataclasses import replace

import numpy as np
import pytest
from helpers import CAMERA, random_lifter, seen, walk, walking_motions

from dp3d_core.data.actions import ACTIONS
from dp3d_core.data.sequences import EvalSequence
from dp3d_core.evaluation import methods
from dp3d_core.model.sampler import AGGREGATES


@pytest.fixture(scope="module")
def lifter():
    return random_lifter()


@pytest.fixture(scope="module")
def sequence():
    stamps_s = np.arange(20) / 30
    joints = walk(stamps_s)
    keypoints_px, confidence = seen(joints, noise_px=1.0)
    return EvalSequence(
        name="walk",
        action="walk",
        subject="1",
        fps=30.0,
        stamps_s=stamps_s,
        keypoints_px=keypoints_px,
        confidence=confidence,
        joints_cam_m=joints.astype(np.float32),
        camera=CAMERA,
    )


def test_hold_repeats_the_last_answer_and_never_one_from_the_future():
    joints = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 17, 3), np.float32)
    held, _, known = methods.hold(joints, joints[..., 0], np.array([False, True, False, False, True]))
    assert known.tolist() == [False, True, True, True, True]
    assert held[1:, 0, 0].tolist() == [1, 1, 1, 4]


@pytest.mark.parametrize("lookahead", [0, 2])
def test_stream_answers_each_frame_but_those_that_never_aged(lifter, sequence, lookahead):
    joints, sigma, known = methods.stream(lifter, sequence, lookahead=lookahead)
    assert joints.shape == (20, 17, 3) and sigma.shape == (20, 17)
    assert known.tolist() == [True] * (20 - lookahead) + [False] * lookahead


def test_hypotheses_average_to_what_is_lifted(lifter, sequence):
    options = {"samples": 4, "seed": 3}
    lifted, sigma, _ = methods.offline(lifter, sequence, **options)
    joints, sampled_sigma, answered, hypotheses = methods.sampled(lifter, sequence, **options)
    assert hypotheses.shape == (4, 20, 17, 3) and answered.all()
    # each hypothesis keeps its own bone lengths and is moved to its rays, both far for random weights: the means agree
    # roughly
    relative = (joints - joints[:, :1]) - (lifted - lifted[:, :1])
    assert np.linalg.norm(relative, axis=-1).mean() < 0.5 * np.ptp(hypotheses, axis=0).mean()
    np.testing.assert_allclose(sampled_sigma, sigma, rtol=1e-5)
    assert np.ptp(hypotheses, axis=0).max() > 1e-3


def test_one_hypothesis_is_the_point_estimate(lifter, sequence):
    lifted, _, _ = methods.offline(lifter, sequence)
    joints, _, _, _ = methods.sampled(lifter, sequence, samples=1)
    np.testing.assert_allclose(joints, lifted, atol=1e-5)


def test_jpma_takes_each_joint_from_a_hypothesis_and_reprojects_better_than_the_mean(lifter, sequence):
    def miss_px(joints):
        return np.linalg.norm(CAMERA.project(joints) - sequence.keypoints_px, axis=-1).mean()

    answers = {aggregate: methods.sampled(lifter, sequence, samples=6, aggregate=aggregate) for aggregate in AGGREGATES}
    joints, _, _, hypotheses = answers["jpma"]
    relative = hypotheses - hypotheses[:, :, :1] - (joints - joints[:, :1])
    assert (np.abs(relative).max(-1).min(0) < 1e-5).all()
    misses = {aggregate: miss_px(answer[0]) for aggregate, answer in answers.items()}
    assert max(misses["jpma"], misses["jpma_soft"]) < misses["mean"]


@pytest.mark.parametrize("aggregate", ["jpma", "jpma_soft"])
def test_what_is_lifted_by_an_aggregation_is_what_is_evaluated(lifter, sequence, aggregate):
    options = {"samples": 3, "seed": 1, "aggregate": aggregate}
    lifted, sigma, _ = methods.offline(lifter, sequence, **options)
    joints, sampled_sigma, *_ = methods.sampled(lifter, sequence, **options)
    np.testing.assert_allclose(lifted, joints, atol=1e-5)
    np.testing.assert_allclose(sigma, sampled_sigma, rtol=1e-5)
    with pytest.raises(ValueError, match="aggregate: expected one of"):
        methods.offline(lifter, sequence, aggregate="best")


def test_unknown_aggregation_and_no_samples_are_refused(lifter, sequence):
    with pytest.raises(ValueError, match="aggregate: expected one of"):
        methods.sampled(lifter, sequence, aggregate="best")
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        methods.sampled(lifter, sequence, samples=0)


def test_an_oracle_label_changes_the_answer_and_no_label_does_not(lifter, sequence):
    plain = methods.offline(lifter, sequence)[0]
    np.testing.assert_array_equal(methods.offline(lifter, sequence, oracle_label=False)[0], plain)
    told = methods.offline(lifter, sequence, oracle_label=True)[0]
    assert sequence.action in ACTIONS and np.abs(told - plain).max() > 1e-6
    np.testing.assert_allclose(methods.sampled(lifter, sequence, samples=1, oracle_label=True)[0], told, atol=1e-5)


@pytest.mark.parametrize(
    ("action", "known"),
    [("walk", "walk"), ("Walking", "walk"), ("Phoning", "everyday"), ("acrobatics", "acrobatics"),
     ("Posing", "gesture"),
     ("Levitating", None), ("", None)],
)  # fmt: skip
def test_the_true_action_is_found_by_name_or_by_the_rules_of_the_vocabulary(lifter, sequence, action, known):
    index = methods.true_action(lifter, replace(sequence, action=action))
    assert (None if index is None else lifter.actions[index]) == known


def test_per_frame_has_no_memory_of_its_own(lifter, sequence):
    forward, _, known = methods.per_frame(lifter, sequence)
    assert known.all() and np.isfinite(forward).all()
    still = replace(sequence, keypoints_px=np.repeat(sequence.keypoints_px[:1], 20, 0))
    np.testing.assert_allclose(np.ptp(methods.per_frame(lifter, still)[0], axis=0), 0, atol=1e-4)


def test_mean_pose_is_the_same_pose_in_every_frame(sequence):
    mean = methods.training_mean(walking_motions())
    assert mean.shape == (17, 3) and np.allclose(mean[0], 0)
    joints, _, known = methods.mean_pose(mean)(sequence)
    lengths = np.linalg.norm(joints[known][:, 1] - joints[known][:, 0], axis=-1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)
