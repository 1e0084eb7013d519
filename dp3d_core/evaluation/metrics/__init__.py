"""How wrong a pose sequence is, how sure it should have been, and how late it comes: numpy only, float64 inside.

Positions go in as metres, errors come out in the unit their name says. Functions keep leading axes and answer per frame
(`mpjpe_mm(prediction, truth).mean()` is the published number); `Summary` pools whole datasets. What looks at the truth
to choose its answer is named `oracle_…`.
"""

from dp3d_core.evaluation.metrics.calibration import (
    QUANTILES,
    coverage,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_to_coverage,
    gaussian_nll,
    quantile_frequencies,
    radial_quantile,
)
from dp3d_core.evaluation.metrics.motion import (
    accel_error_mm_per_frame2,
    accel_error_mm_per_s2,
    algorithmic_lag_frames,
    bone_length_std_mm,
    mpjve_mm,
    power_above_mm2,
    static_jitter_rms_mm,
)
from dp3d_core.evaluation.metrics.oracle import (
    oracle_best_clip_mpjpe_mm,
    oracle_best_joint_mpjpe_mm,
    oracle_best_pose_mpjpe_mm,
)
from dp3d_core.evaluation.metrics.pose import (
    AUC_THRESHOLDS_MM,
    JOINTS_14,
    auc,
    joint_errors_mm,
    mpjpe_mm,
    n_mpjpe_mm,
    p_mpjpe_mm,
    pck,
    procrustes_align,
    root_error_m,
)
from dp3d_core.evaluation.metrics.summary import KEYS, Summary

__all__ = [
    "AUC_THRESHOLDS_MM",
    "JOINTS_14",
    "KEYS",
    "QUANTILES",
    "Summary",
    "accel_error_mm_per_frame2",
    "accel_error_mm_per_s2",
    "algorithmic_lag_frames",
    "auc",
    "bone_length_std_mm",
    "coverage",
    "expected_calibration_error",
    "fit_temperature",
    "fit_temperature_to_coverage",
    "gaussian_nll",
    "joint_errors_mm",
    "mpjpe_mm",
    "mpjve_mm",
    "n_mpjpe_mm",
    "oracle_best_clip_mpjpe_mm",
    "oracle_best_joint_mpjpe_mm",
    "oracle_best_pose_mpjpe_mm",
    "p_mpjpe_mm",
    "pck",
    "power_above_mm2",
    "procrustes_align",
    "quantile_frequencies",
    "radial_quantile",
    "root_error_m",
    "static_jitter_rms_mm",
]
