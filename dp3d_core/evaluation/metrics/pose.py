"""How far a pose is from the truth, frame by frame: MPJPE, P-MPJPE, N-MPJPE, PCK, AUC and the root's own error.

All functions take metres of shape (…, T, J, 3), compute in float64 and return (…, T). A value that is not finite raises
ValueError: which frames may be left out is the caller's decision (`Summary` has a mask for it), never a side effect.
"""
# … leading axes, T frames, J joints, S joints of the evaluated subset

import numpy as np

MM_PER_M = 1000.0
AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)
"""The 31 thresholds of MPI-INF-3DHP's AUC."""
JOINTS_14 = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14-joint protocol in Human3.6M-17 order: ankles, knees, hips, wrists, elbows, shoulders, neck base, head top."""


def checked_joints(name, joints_m):
    """`joints_m` as float64, or ValueError unless it is finite and (…, T, J, 3) with at least one frame and joint."""
    joints_m = np.asarray(joints_m, dtype=np.float64)
    if joints_m.ndim < 3 or joints_m.shape[-1] != 3:
        raise ValueError(
            f"{name}: expected (…, T, J, 3) metres, got {joints_m.shape}; keep the frame axis for one frame"
        )
    if 0 in joints_m.shape:
        raise ValueError(f"{name}: expected at least one frame and one joint, got {joints_m.shape}")
    if not np.isfinite(joints_m).all():
        bad = int((~np.isfinite(joints_m)).any(axis=(-2, -1)).sum())
        raise ValueError(f"{name}: expected finite metres, got NaN or infinity in {bad} frames; leave those frames out")
    return joints_m


def checked_pair(prediction_m, truth_m):
    """Both as float64 of one shape; they are never broadcast against each other."""
    prediction_m = checked_joints("prediction_m", prediction_m)
    truth_m = checked_joints("truth_m", truth_m)
    if prediction_m.shape != truth_m.shape:
        raise ValueError(
            f"prediction_m: expected the truth's shape {truth_m.shape}, got {prediction_m.shape}; "
            "cut both to the same frames"
        )
    return prediction_m, truth_m


def centred(joints_m, root):
    """Positions relative to joint `root`; unchanged where `root` is None."""
    return joints_m if root is None else joints_m - joints_m[..., root : root + 1, :]


def chosen(joints_m, joints):
    """The evaluated subset of joints (all where None): (…, T, S, 3)."""
    return joints_m if joints is None else joints_m[..., list(joints), :]


def mean_norm_mm(difference_m):
    """Mean over joints of the Euclidean length, (…, T, J, 3) metres to (…, T) millimetres."""
    return np.linalg.norm(difference_m, axis=-1).mean(axis=-1) * MM_PER_M


def joint_errors_mm(prediction_m, truth_m, *, root=0):
    """Distance of each joint from the truth, both relative to joint `root` (None: as they stand), (…, T, J) mm."""
    prediction_m, truth_m = checked_pair(prediction_m, truth_m)
    return np.linalg.norm(centred(prediction_m, root) - centred(truth_m, root), axis=-1) * MM_PER_M


def mpjpe_mm(prediction_m, truth_m, *, joints=None, root=0):
    """Mean per-joint position error after root alignment (protocol 1), (…, T) mm.

    The root is subtracted first and `joints` chosen after it. With all 17 joints the root's zero counts in the mean, as
    in the published tables; that flatters the number by 1/17.
    """
    return chosen(joint_errors_mm(prediction_m, truth_m, root=root)[..., None], joints)[..., 0].mean(axis=-1)


def n_mpjpe_mm(prediction_m, truth_m, *, joints=None, root=0):
    """MPJPE after root alignment and the least-squares scale of each frame, (…, T) mm (Rhodin et al. 2018).

    The scale is kept from going below zero: a negative one would mirror the pose through its root.
    """
    prediction_m, truth_m = checked_pair(prediction_m, truth_m)
    prediction_m, truth_m = chosen(centred(prediction_m, root), joints), chosen(centred(truth_m, root), joints)
    overlap = (prediction_m * truth_m).sum(axis=(-2, -1), keepdims=True)
    energy = (prediction_m**2).sum(axis=(-2, -1), keepdims=True)
    scale = np.divide(np.maximum(overlap, 0.0), energy, out=np.zeros_like(energy), where=energy > 0)
    return mean_norm_mm(scale * prediction_m - truth_m)


def procrustes_align(prediction_m, truth_m):
    """Each frame of the prediction under the similarity that brings it nearest the truth, (…, T, J, 3) metres.

    Rotation, translation and scale in the least-squares sense, never a reflection (Umeyama 1991, eq. 40–42). A
    prediction collapsed to one point goes to the truth's centroid.
    """
    prediction_m, truth_m = checked_pair(prediction_m, truth_m)
    centre_m = truth_m.mean(axis=-2, keepdims=True)
    from_m = prediction_m - prediction_m.mean(axis=-2, keepdims=True)
    u, singular, vt = np.linalg.svd(np.swapaxes(from_m, -1, -2) @ (truth_m - centre_m))
    sign = np.ones_like(singular)
    sign[..., -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    energy = (from_m**2).sum(axis=(-2, -1))
    scale = np.divide((singular * sign).sum(axis=-1), energy, out=np.zeros_like(energy), where=energy > 0)
    return scale[..., None, None] * (from_m @ rotation) + centre_m


def p_mpjpe_mm(prediction_m, truth_m, *, joints=None):
    """MPJPE after a similarity Procrustes fit of each frame (protocol 2), (…, T) mm; fitted on the evaluated joints."""
    prediction_m, truth_m = checked_pair(prediction_m, truth_m)
    prediction_m, truth_m = chosen(prediction_m, joints), chosen(truth_m, joints)
    return mean_norm_mm(procrustes_align(prediction_m, truth_m) - truth_m)


def pck(prediction_m, truth_m, *, threshold_mm=150.0, joints=None, root=0):
    """Share of joints nearer to the truth than `threshold_mm` after root alignment, (…, T) in [0, 1].

    Strictly nearer, as MPI-INF-3DHP's evaluation script has it; that script takes the 14 joints of `JOINTS_14`.
    """
    errors_mm = chosen(joint_errors_mm(prediction_m, truth_m, root=root)[..., None], joints)[..., 0]
    return (errors_mm < threshold_mm).mean(axis=-1)


def auc(prediction_m, truth_m, *, thresholds_mm=AUC_THRESHOLDS_MM, joints=None, root=0):
    """Mean of `pck` over the thresholds, (…, T) in [0, 1]; 0 mm is never met, so a perfect pose has 30/31."""
    errors_mm = chosen(joint_errors_mm(prediction_m, truth_m, root=root)[..., None], joints)[..., 0]
    # the number of thresholds above an error, without a (…, T, S, 31) array
    ordered_mm = np.sort(np.asarray(thresholds_mm, dtype=np.float64))
    above = len(ordered_mm) - np.searchsorted(ordered_mm, errors_mm, side="right")
    return above.mean(axis=-1) / len(ordered_mm)


def root_error_m(prediction_m, truth_m, *, root=0):
    """Distance of the root from its true place in the camera's frame, (…, T) metres."""
    prediction_m, truth_m = checked_pair(prediction_m, truth_m)
    return np.linalg.norm(prediction_m[..., root, :] - truth_m[..., root, :], axis=-1)
