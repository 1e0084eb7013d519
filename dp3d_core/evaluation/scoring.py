"""Scores a method over sequences: pooled metrics by group, and beside them, named oracle, what the truth could choose.

A method is a function of an `EvalSequence` as in `dp3d_core.evaluation.methods`. Knows no files and no command line.
"""
# H hypotheses, T frames, J = 17 joints

from functools import partial
from typing import Any

import numpy as np

from dp3d_core.checkpoint import USES
from dp3d_core.config import LOOKAHEADS
from dp3d_core.evaluation import methods
from dp3d_core.evaluation.metrics import (
    Summary,
    fit_temperature_to_coverage,
    oracle_best_clip_mpjpe_mm,
    oracle_best_joint_mpjpe_mm,
    oracle_best_pose_mpjpe_mm,
)

ORACLES = {
    "oracle_best_of_m_pose_mpjpe_mm": oracle_best_pose_mpjpe_mm,
    "oracle_best_of_m_pose_p_mpjpe_mm": partial(oracle_best_pose_mpjpe_mm, procrustes=True),
    "oracle_best_of_m_clip_mpjpe_mm": oracle_best_clip_mpjpe_mm,
    "oracle_best_of_m_clip_p_mpjpe_mm": partial(oracle_best_clip_mpjpe_mm, procrustes=True),
    "oracle_best_of_m_joint_mpjpe_mm": oracle_best_joint_mpjpe_mm,
    "oracle_best_of_m_joint_p_mpjpe_mm": partial(oracle_best_joint_mpjpe_mm, procrustes=True),
}
"""Of m hypotheses: chosen a frame ("pose"), a clip (the papers' P-Best), and a joint of a frame (J-Best)."""


class NoAnswer(ValueError):
    """A method answered in no frame that counts."""


def score(method, sequences, *, joints=None, pck_joints=None) -> dict[str, Any]:
    """`Summary.result()` of a method over sequences, with `frames_unanswered` before its first answers.

    joints: those that count (None: all); pck_joints: those of PCK and AUC. A method that also returns its hypotheses
    (H, T, 17, 3) gets the best of them, chosen by the truth, under "oracle". `NoAnswer` if it answers nowhere.
    """
    summary, unanswered, chosen = Summary(joints=joints), 0, {}
    pck = None if pck_joints is None else Summary(joints=pck_joints)
    for sequence in sequences:
        answer, sigma, answered, *hypotheses = method(sequence)
        unanswered += int((sequence.valid & ~answered).sum())
        valid = sequence.valid & answered
        if not valid.any():
            continue
        group = sequence.action or sequence.name
        for one in filter(None, (summary, pck)):
            # what is not scored must still be finite
            one.add(
                np.where(valid[:, None, None], answer, 0),
                sequence.joints_cam_m,
                group=group,
                sigma_m=np.where(valid[:, None], sigma, 1),
                valid=valid,
                metric=sequence.metric,
            )
        if hypotheses:
            picked = {
                name: best(hypotheses[0][:, valid], sequence.joints_cam_m[valid], joints=joints)
                for name, best in ORACLES.items()
            }
            chosen.setdefault(group, []).append((len(hypotheses[0]), picked))
    if unanswered == sum(int(sequence.valid.sum()) for sequence in sequences):
        raise NoAnswer(f"method: expected an answer in some of {unanswered} frames, got none; is the network trained?")
    result = summary.result()
    if pck is not None:
        _take(result, pck.result(), ("pck_150mm", "auc"))
    if chosen:
        result["oracle"] = _oracle(chosen)
    return result | {"frames_unanswered": unanswered}


def _take(result, other, keys):
    """Put `other`'s values of `keys` into every row of `result`."""
    for part in ("overall", "mean_of_groups"):
        result[part] |= {key: other[part][key] for key in keys}
    for group, row in result["groups"].items():
        row |= {key: other["groups"][group][key] for key in keys}


def _oracle(chosen):
    """Means of the per-frame oracle errors {group: [(m, {name: (T,)})]}."""
    groups = {
        group: {name: np.concatenate([picked[name] for _, picked in rows]) for name in ORACLES}
        for group, rows in sorted(chosen.items())
    }
    means = {group: {name: float(errors.mean()) for name, errors in row.items()} for group, row in groups.items()}
    return {
        "m": next(iter(chosen.values()))[0][0],
        "overall": {name: float(np.concatenate([row[name] for row in groups.values()]).mean()) for name in ORACLES},
        "mean_of_groups": {name: float(np.mean([row[name] for row in means.values()])) for name in ORACLES},
        "groups": means,
    }


def action_scores(lifter, sequences, *, causal):
    """How often the network names the true action, in valid frames of the sequences whose action it has; None if none.

    {"frames", "top1", "most_frequent", "oracle_most_frequent_top1": what always answering the most frequent class of
    this very data would score, "named": share of frames in which it is more than half sure and so says the action
    aloud, "named_right": how often it is right then}.
    """
    right, sure, truth = [], [], []
    for sequence in sequences:
        action = methods.true_action(lifter, sequence)
        if action is None:
            continue
        probability = methods.action_probability(lifter, sequence, causal=causal)[sequence.valid]
        right.append(probability.argmax(-1) == action)
        sure.append(probability.max(-1) > 0.5)
        truth.append(np.full(len(probability), action))
    if not truth:
        return None
    right, sure, truth = np.concatenate(right), np.concatenate(sure), np.concatenate(truth)
    counts = np.bincount(truth)
    return {
        "frames": len(truth),
        "top1": float(right.mean()),
        "most_frequent": lifter.actions[int(counts.argmax())],
        "oracle_most_frequent_top1": float(counts.max() / len(truth)),
        "named": float(sure.mean()),
        "named_right": float(right[sure].mean()) if sure.any() else float("nan"),
    }


def fitted_temperatures(lifter, sequences):
    """{use: factor on the network's raw sigma} that makes 90 % intervals of each use cover 90 % of its errors."""
    answers = {"offline": methods.offline}
    answers |= {f"lookahead {n}": partial(methods.stream, lookahead=n) for n in LOOKAHEADS}
    return {use: lifter.temperatures[use] * _factor(partial(answers[use], lifter), sequences) for use in USES}


def _factor(answer, sequences):
    """What a method's sigma must be multiplied by."""
    errors, sigmas = [], []
    for sequence in sequences:
        joints, sigma, answered = answer(sequence)
        answered = answered & sequence.valid
        relative = (joints - joints[:, :1]) - (sequence.joints_cam_m - sequence.joints_cam_m[:, :1])
        errors.append(np.linalg.norm(relative, axis=-1)[answered, 1:])
        sigmas.append(sigma[answered, 1:])
    return float(fit_temperature_to_coverage(np.concatenate(errors), np.concatenate(sigmas)))
