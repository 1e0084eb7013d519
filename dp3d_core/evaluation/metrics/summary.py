"""One row of numbers for a whole dataset: sequences go in, frame-weighted means come out, overall and per group.

Every mean is taken over its own terms (frames, consecutive pairs, consecutive triples, joints), so a long sequence
weighs more than a short one and the order of adding does not matter. Knows nothing of models or files.
"""
# T frames, J joints, S evaluated joints, Q quantile levels

from collections import Counter, defaultdict

import numpy as np

from dp3d_core.evaluation.metrics import calibration as cal
from dp3d_core.evaluation.metrics import motion, pose

KEYS = (
    "mpjpe_mm",
    "p_mpjpe_mm",
    "n_mpjpe_mm",
    "mpjve_mm",
    "accel_error_mm_per_frame2",
    "root_error_m",
    "coverage_90",
    "ece",
    "nll",
    "pck_150mm",
    "auc",
    "frames",
)
"""What every row holds; shares (coverage_90, ece, pck_150mm, auc) are 0 to 1, nll is nats per joint."""


class _Tally:
    """Sums and numbers of terms by metric, and the calibration curves' hits; two tallies add up."""

    def __init__(self):
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.terms: Counter[str] = Counter()
        self.frames, self.hits = 0, 0.0

    def put(self, key, values):
        self.sums[key] += float(np.sum(values))
        self.terms[key] += int(np.size(values))

    def __iadd__(self, other):
        for key, value in other.sums.items():
            self.sums[key] += value
        self.terms.update(other.terms)
        self.frames += other.frames
        self.hits = self.hits + other.hits
        return self

    def row(self):
        row = {key: self.sums[key] / self.terms[key] if self.terms[key] else float("nan") for key in KEYS}
        curves = np.atleast_2d(self.hits)
        if self.terms["nll"]:
            row["ece"] = cal.curve_distance(curves / (self.terms["nll"] / curves.shape[1]))
        return row | {"frames": self.frames}


class Summary:
    """Collects scored sequences of one method.

    `joints` is the evaluated subset (None: all), `root` the joint that is subtracted first. NLL, coverage and ECE judge
    the published sigma of the root-relative joints and leave the root out.
    """

    def __init__(self, *, joints=None, root=0):
        self._joints = None if joints is None else tuple(joints)
        if self._joints is not None and len(set(self._joints) - {root}) == 0:
            raise ValueError(f"joints: expected at least one joint besides the root {root}, got {self._joints}")
        self._root = root
        self._groups = defaultdict(_Tally)
        self._kind = None
        self.excluded = Counter()
        """Frames left out, by cause: "masked" by the caller, "truth not finite"."""

    def add(self, prediction_m, truth_m, *, sigma_m=None, valid=None, group="all", metric=True):
        """Score one sequence, (T, J, 3) metres each, and count it to `group` (the action, say).

        `valid` (T,) bool masks frames; frames whose true evaluated joints are not finite are left out too, both counted
        in `excluded`. A prediction that is not finite in a scored frame raises ValueError, for a method must not choose
        its frames. Velocities and accelerations need 2 and 3 scored frames in a row; shorter stretches give none.
        `metric=False`: the root means nothing, so root_error_m is NaN; without `sigma_m` (T, J) the calibration is NaN.
        All sequences of one Summary must agree in these two.
        """
        prediction_m, truth_m = np.asarray(prediction_m, np.float64), np.asarray(truth_m, np.float64)
        if truth_m.ndim != 3 or truth_m.shape[-1] != 3 or len(truth_m) == 0 or prediction_m.shape != truth_m.shape:
            raise ValueError(
                "prediction_m, truth_m: expected one shape (T, J, 3) with T of 1 or more, got "
                f"{prediction_m.shape} and {truth_m.shape}; add one sequence at a time, cut to the same frames"
            )
        if not isinstance(group, str):
            raise TypeError(f"group: expected a string, got {group!r}")
        kind = (sigma_m is not None, bool(metric), truth_m.shape[1])
        if self._kind not in (None, kind):
            raise ValueError(
                f"Summary.add: earlier sequences had (sigma_m given, metric, joints) = {self._kind}, this one {kind}; "
                "their means would cover different frames, so use one Summary for each kind"
            )
        # the root goes first, the evaluated joints behind it; no other joint matters
        order = [self._root, *(range(truth_m.shape[1]) if self._joints is None else self._joints)]
        prediction_m, truth_m = prediction_m[:, order], truth_m[:, order]
        scored, excluded = self._scored(truth_m, valid)
        if not np.isfinite(prediction_m[scored]).all():
            bad = int((~np.isfinite(prediction_m[scored])).any(axis=(1, 2)).sum())
            raise ValueError(
                f"prediction_m: expected finite metres in every scored frame, got NaN or infinity in {bad} of "
                f"{int(scored.sum())}; fill them, or mask them for every method alike with valid="
            )
        tally = self._score(prediction_m, truth_m, scored, metric)
        if sigma_m is not None:
            sigma_m = np.asarray(sigma_m, np.float64)
            if sigma_m.shape != (len(truth_m), kind[2]):
                raise ValueError(f"sigma_m: expected {(len(truth_m), kind[2])} metres, got {sigma_m.shape}")
            away = [i for i, joint in enumerate(order) if joint != self._root]
            if scored.any():
                self._calibrate(tally, prediction_m[scored], truth_m[scored], sigma_m[:, order][scored], away)
        # nothing is kept of a sequence that raised
        self._kind = kind
        self._groups[group] += tally
        self.excluded.update(excluded)

    @staticmethod
    def _scored(truth_m, valid):
        known = np.isfinite(truth_m).all(axis=(1, 2))
        valid = np.ones(len(truth_m), bool) if valid is None else np.asarray(valid)
        if valid.shape != (len(truth_m),) or valid.dtype != bool:
            raise ValueError(f"valid: expected ({len(truth_m)},) bool, got {valid.shape} {valid.dtype}")
        causes = {"masked": int((~valid).sum()), "truth not finite": int((valid & ~known).sum())}
        return valid & known, {cause: count for cause, count in causes.items() if count}

    @staticmethod
    def _score(prediction_m, truth_m, scored, metric):
        tally = _Tally()
        tally.frames = int(scored.sum())
        if not tally.frames:
            return tally
        joints = range(1, truth_m.shape[1])
        pair = prediction_m[scored], truth_m[scored]
        tally.put("mpjpe_mm", pose.mpjpe_mm(*pair, joints=joints))
        tally.put("p_mpjpe_mm", pose.p_mpjpe_mm(*pair, joints=joints))
        tally.put("n_mpjpe_mm", pose.n_mpjpe_mm(*pair, joints=joints))
        tally.put("pck_150mm", pose.pck(*pair, joints=joints))
        tally.put("auc", pose.auc(*pair, joints=joints))
        if metric:
            tally.put("root_error_m", pose.root_error_m(*pair))
        # unscored frames become zeros, and every difference that touches one is dropped
        whole = np.where(scored[:, None, None], prediction_m, 0.0), np.where(scored[:, None, None], truth_m, 0.0)
        pairs = scored[1:] & scored[:-1]
        triples = pairs[1:] & pairs[:-1]
        if pairs.any():
            tally.put("mpjve_mm", motion.mpjve_mm(*whole, joints=joints)[pairs])
        if triples.any():
            tally.put("accel_error_mm_per_frame2", motion.accel_error_mm_per_frame2(*whole, joints=joints)[triples])
        return tally

    @staticmethod
    def _calibrate(tally, prediction_m, truth_m, sigma_m, away):
        error_m = pose.joint_errors_mm(prediction_m, truth_m)[:, away] / pose.MM_PER_M
        sigma_m = sigma_m[:, away]
        tally.put("nll", cal.gaussian_nll(error_m, sigma_m))
        tally.sums["coverage_90"] = cal.coverage(error_m, sigma_m) * error_m.size
        tally.terms["coverage_90"] = error_m.size
        tally.hits = cal.quantile_frequencies(error_m, sigma_m) * len(error_m)

    def result(self):
        """{"overall": row, "mean_of_groups": row, "groups": {name: row}}, each row with exactly `KEYS`.

        "overall" weighs by frames; "mean_of_groups" weighs groups alike, as Human3.6M's 15 actions are averaged. What
        has no terms is NaN; a group with no scored frame shows frames = 0 and is left out of "mean_of_groups".
        ValueError if nothing at all was scored.
        """
        total = _Tally()
        for tally in self._groups.values():
            total += tally
        if not total.frames:
            raise ValueError(
                f"Summary: no frame was scored (left out: {dict(self.excluded)}); add sequences with truth first"
            )
        groups = {name: tally.row() for name, tally in sorted(self._groups.items())}
        mean = {key: _mean([row[key] for row in groups.values() if row["frames"]]) for key in KEYS}
        return {"overall": total.row(), "mean_of_groups": mean | {"frames": total.frames}, "groups": groups}


def _mean(values):
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")
