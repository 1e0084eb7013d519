"""What several hypotheses could score if someone who knows the truth chose among them: upper bounds, never results.

Published tables often print these without saying so. A method that widens its hypotheses improves them while its
calibration gets worse (Pierzchlewicz et al. 2022, arXiv 2210.11179). Print them with the word oracle and H beside them.
"""
# H hypotheses, … leading axes, T frames, J joints

import numpy as np

from dp3d_core.evaluation.metrics.pose import (
    checked_joints,
    chosen,
    joint_errors_mm,
    mpjpe_mm,
    p_mpjpe_mm,
    procrustes_align,
)


def _beside(hypotheses_m, truth_m):
    hypotheses_m = checked_joints("hypotheses_m", hypotheses_m)
    truth_m = checked_joints("truth_m", truth_m)
    if hypotheses_m.shape[1:] != truth_m.shape:
        raise ValueError(
            f"hypotheses_m: expected (H, *{truth_m.shape}), got {hypotheses_m.shape}; hypotheses come first"
        )
    return hypotheses_m, np.broadcast_to(truth_m, hypotheses_m.shape)


def oracle_best_pose_mpjpe_mm(hypotheses_m, truth_m, *, joints=None, root=0, procrustes=False):
    """ORACLE: in each frame the smallest MPJPE of any hypothesis, (H, …, T, J, 3) and (…, T, J, 3) to (…, T) mm.

    A choice a frame, which may jump from motion to motion; `procrustes=True` takes P-MPJPE instead.
    """
    hypotheses_m, truth_m = _beside(hypotheses_m, truth_m)
    if procrustes:
        return p_mpjpe_mm(hypotheses_m, truth_m, joints=joints).min(axis=0)
    return mpjpe_mm(hypotheses_m, truth_m, joints=joints, root=root).min(axis=0)


def oracle_best_clip_mpjpe_mm(hypotheses_m, truth_m, *, joints=None, root=0, procrustes=False):
    """ORACLE: the errors (…, T) mm of the one hypothesis whose mean over the clip is smallest, as D3DP's code takes
    its P-Best: the choice is one motion. `procrustes=True` takes P-MPJPE instead.
    """
    hypotheses_m, truth_m = _beside(hypotheses_m, truth_m)
    if procrustes:
        errors_mm = p_mpjpe_mm(hypotheses_m, truth_m, joints=joints)
    else:
        errors_mm = mpjpe_mm(hypotheses_m, truth_m, joints=joints, root=root)
    best = errors_mm.mean(axis=-1, keepdims=True).argmin(axis=0)[None]
    return np.take_along_axis(errors_mm, np.broadcast_to(best, (1, *errors_mm.shape[1:])), axis=0)[0]


def oracle_best_joint_mpjpe_mm(hypotheses_m, truth_m, *, joints=None, root=0, procrustes=False):
    """ORACLE: MPJPE where each joint of each frame comes from its nearest hypothesis, (…, T) mm (D3DP's J-Best).

    The result is no pose that any hypothesis holds: bones may have any length. `procrustes=True` aligns each
    hypothesis before the choice.
    """
    hypotheses_m, truth_m = _beside(hypotheses_m, truth_m)
    if procrustes:
        hypotheses_m = procrustes_align(chosen(hypotheses_m, joints), chosen(truth_m, joints))
        nearest_mm = 1000 * np.linalg.norm(hypotheses_m - chosen(truth_m, joints), axis=-1).min(axis=0)
        return nearest_mm.mean(axis=-1)
    nearest_mm = joint_errors_mm(hypotheses_m, truth_m, root=root).min(axis=0)
    return chosen(nearest_mm[..., None], joints)[..., 0].mean(axis=-1)
