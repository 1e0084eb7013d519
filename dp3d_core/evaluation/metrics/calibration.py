"""Whether the published sigma tells the truth: likelihood, coverage, expected calibration error, temperature.

The model: a joint's error vector is an isotropic Gaussian in 3D with standard deviation `sigma` per axis, so |e|²/σ² is
chi-squared with 3 degrees of freedom. Errors and sigmas are in metres, of one shape (…, J). Leave the root out of
root-relative errors: its error is zero by construction and says nothing (`Summary` does so).
"""
# N samples (every leading axis), J joints, Q quantile levels

from functools import lru_cache
from math import pi, sqrt

import numpy as np

QUANTILES = np.linspace(0.0, 1.0, 21)
"""Levels 0:.05:1 of the calibration curve."""


def _checked(error_m, sigma_m):
    error_m, sigma_m = np.asarray(error_m, dtype=np.float64), np.asarray(sigma_m, dtype=np.float64)
    if error_m.shape != sigma_m.shape or error_m.ndim < 1 or error_m.size == 0:
        raise ValueError(
            f"sigma_m: expected one per error, {error_m.shape}, got {sigma_m.shape}; "
            "errors are lengths (…, J), not vectors"
        )
    if not (np.isfinite(error_m).all() and (error_m >= 0).all()):
        raise ValueError("error_m: expected finite lengths of 0 or more metres; leave missing joints out")
    if not (np.isfinite(sigma_m).all() and (sigma_m > 0).all()):
        raise ValueError("sigma_m: expected finite metres above 0; a joint without a sigma cannot be scored")
    return error_m, sigma_m


@lru_cache(maxsize=256)
def radial_quantile(probability):
    """Radius, in sigmas, of the ball that holds `probability` of an isotropic 3D Gaussian: √χ²₃⁻¹(p), 2.5003 at 0.9."""
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability: expected 0 to 1, got {probability}")
    from scipy.stats import maxwell  # takes half a second to import

    return float(maxwell.ppf(probability))


def gaussian_nll(error_m, sigma_m):
    """Negative log-likelihood of each joint's error vector: 3/2 ln 2πσ² + |e|²/2σ² nats, of the input's shape.

    A density over cubic metres, so well-fitted centimetre errors give negative numbers; compare only in one unit.
    """
    error_m, sigma_m = _checked(error_m, sigma_m)
    return 1.5 * np.log(2.0 * pi * sigma_m**2) + 0.5 * (error_m / sigma_m) ** 2


def coverage(error_m, sigma_m, *, probability=0.9):
    """Share of joints whose error lies inside the ball said to hold `probability`: near it if sigma is honest."""
    error_m, sigma_m = _checked(error_m, sigma_m)
    return float((error_m <= radial_quantile(probability) * sigma_m).mean())


def quantile_frequencies(error_m, sigma_m, *, levels=QUANTILES):
    """How often each joint's error lies inside each level's ball, (…, J) to (Q, J): the calibration curves.

    Below the diagonal: overconfident, sigma too small. Above: sigma too large.
    """
    error_m, sigma_m = _checked(error_m, sigma_m)
    ratio = (error_m / sigma_m).reshape(-1, error_m.shape[-1])
    return np.stack([(ratio < radial_quantile(float(level))).mean(axis=0) for level in levels])


def curve_distance(frequencies, *, levels=QUANTILES, across_joints="median"):
    """Mean distance of calibration curves (Q, J) from the diagonal; options of `expected_calibration_error`."""
    levels = np.asarray(levels)
    if across_joints == "median":
        return float(np.abs(np.median(frequencies, axis=1) - levels).mean())
    if across_joints == "mean":
        return float(np.abs(frequencies - levels[:, None]).mean())
    raise ValueError(f"across_joints: expected 'median' or 'mean', got {across_joints!r}")


def expected_calibration_error(error_m, sigma_m, *, levels=QUANTILES, across_joints="median"):
    """Mean distance of the calibration curve from the diagonal (Pierzchlewicz et al. 2022, arXiv 2210.11179).

    `across_joints="median"` is cGNF's published form: the median joint's curve. It does not see that half of the joints
    are overconfident and half too modest; "mean" does, as it averages the distances of all joints' curves. The levels 0
    and 1 count, though both are met by construction.
    """
    frequencies = quantile_frequencies(error_m, sigma_m, levels=levels)
    return curve_distance(frequencies, levels=levels, across_joints=across_joints)


def fit_temperature(error_m, sigma_m):
    """The factor on sigma that minimises the negative log-likelihood, in closed form: √(mean |e|²/σ² / 3).

    Fit it on data that is not scored. Few large errors pull it up; `fit_temperature_to_coverage` ignores their size.
    """
    error_m, sigma_m = _checked(error_m, sigma_m)
    factor = sqrt(float(((error_m / sigma_m) ** 2).mean()) / 3.0)
    if factor == 0.0:
        raise ValueError("error_m: every error is 0, so no temperature fits; leave the root joint out")
    return factor


def fit_temperature_to_coverage(error_m, sigma_m, *, probability=0.9):
    """The factor on sigma after which `coverage` is `probability` on this data (split conformal, without its +1)."""
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability: expected strictly between 0 and 1, got {probability}")
    error_m, sigma_m = _checked(error_m, sigma_m)
    # "higher" is a value of the sample, so at least the asked share lies inside
    radius = float(np.quantile(error_m / sigma_m, probability, method="higher"))
    if radius == 0.0:
        raise ValueError("error_m: too many errors are 0 for a temperature; leave the root joint out")
    return radius / radial_quantile(probability)
