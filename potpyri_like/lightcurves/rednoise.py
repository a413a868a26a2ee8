"""How noise decreases when points are averaged: the time-averaging test for correlated noise.

White noise falls with the square root of the points in a bin; what falls slower is correlated, and the ratio
beta tells by how much errors have to grow (Pont, Zucker & Queloz 2006; Winn et al. 2008, ApJ 683, 1076).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.points import since_first
from potpyri_like.photometry.bins import Bins, bin_series
from potpyri_like.photometry.noise import rms

__all__ = ["TimeAveraging", "beta_at", "time_averaging"]

_PHASES = 8  # starting points of the bins, over which the variances are averaged
_ONE_SIGMA = (0.1587, 0.8413)  # the two ends of the central 68.27 % of a distribution


@dataclass(frozen=True, eq=False)
class TimeAveraging:
    """The scatter of a series in bins, against the width of the bins; NaN where fewer than two bins are full.

    Attributes
    ----------
    width : ndarray, shape (n_widths,), days
    n : ndarray, shape (n_widths,)
        Mean points per bin.
    n_bins : ndarray, shape (n_widths,)
        Bins of one set, averaged over the starting points: not a whole number.
    rms : ndarray, shape (n_widths,)
        Scatter of the bins about their mean, in the unit of the residuals.
    rms_error : ndarray, shape (2, n_widths)
        Below and above, 68 %, as a plot of error bars takes them.
    expected : ndarray, shape (n_widths,)
        What white noise of the same unbinned scatter would have in the same bins.
    expected_error : ndarray, shape (2, n_widths)
        Below and above, 68 %: how far from `expected` white noise would fall in that many bins.
    beta : ndarray, shape (n_widths,)
        `rms` / `expected`: 1 for white noise.
    """

    width: np.ndarray
    n: np.ndarray
    n_bins: np.ndarray
    rms: np.ndarray
    rms_error: np.ndarray
    expected: np.ndarray
    expected_error: np.ndarray
    beta: np.ndarray


def time_averaging(
    time: ArrayLike, residuals: ArrayLike, *, widths: ArrayLike | None = None
) -> TimeAveraging:
    """Bin residuals at many widths and compare their scatter with that of white noise.

    Bins are of time, so a gap is a gap, and a bin counts with the points that it has; one with fewer than half
    of the points of the median bin is excluded. White noise is expected to have the variance
    ``sigma_1**2 <1/n>`` in them. Scatters are about the mean with one degree of freedom less, which makes both
    free of bias: the factor sqrt(M / (M - 1)) that is often seen beside sigma_1 / sqrt(n) would make white
    noise fall below 1 when bins are few.

    The errors are those of a variance of M bins, inverse-gamma or chi-squared with M - 1 degrees of freedom, as
    in Cubillos et al. (2017, AJ 153, 3): rms / sqrt(2 M) for many bins, lopsided for few. Averaging over the
    starting points makes them a little too wide, correlation from bin to bin too narrow.

    Parameters
    ----------
    time : array_like, shape (n,), days
        In any order.
    residuals : array_like, shape (n,)
        Data minus model; NaN is ignored.
    widths : array_like, days, optional
        Above 0; otherwise 25 from the median cadence to a quarter of the span.
    """
    time, residuals = since_first(time, residuals)
    widths = _default_widths(time) if widths is None else _checked(widths)
    tables = [_scatter(time, residuals, width) for width in widths]
    variance, per_point, n, n_bins = np.array(tables).reshape(-1, 4).T
    scatter, expected = np.sqrt(variance), rms(residuals) * np.sqrt(per_point)
    below, above = _factors(n_bins)
    return TimeAveraging(
        width=widths,
        n=n,
        n_bins=n_bins,
        rms=scatter,
        rms_error=scatter * np.stack([1 - 1 / above, 1 / below - 1]),
        expected=expected,
        expected_error=expected * np.stack([1 - below, above - 1]),
        beta=np.divide(scatter, expected, out=np.full(len(widths), np.nan), where=expected > 0),
    )


def beta_at(averaging: TimeAveraging, low: float, high: float | None = None) -> float:
    """The factor by which errors have to grow for correlated noise on one time scale (Winn et al. 2008).

    It is the median of beta over the widths from `low` to `high`, in days, never below 1; 1 where nothing is
    known. Ingress and egress are the time scale that matters for a transit. Without `high`, the widths within
    a factor of 1.5 of `low`; when none lies in the range, the nearest.
    """
    known = np.isfinite(averaging.beta)
    width, beta = averaging.width[known], averaging.beta[known]
    if not width.size:
        return 1.0
    low, high = (low / 1.5, low * 1.5) if high is None else (low, high)
    inside = (width >= low) & (width <= high)
    if not inside.any():
        inside[np.argmin(np.abs(width - (low + high) / 2))] = True
    return max(1.0, float(np.median(beta[inside])))


def _default_widths(time: np.ndarray) -> np.ndarray:
    step = np.diff(time)
    step = step[step > 0]
    if step.size < 4:
        return np.zeros(0)
    cadence = np.median(step)
    return np.geomspace(cadence, max(cadence, (time[-1] + cadence) / 4), 25)


def _checked(widths: ArrayLike) -> np.ndarray:
    widths = np.asarray(widths, float).ravel()
    if not (np.isfinite(widths) & (widths > 0)).all():
        raise UsageError(f"widths of bins are {widths.tolist()}; each must be above 0, in days")
    return widths


def _scatter(time: np.ndarray, residuals: np.ndarray, width: float) -> np.ndarray:
    """Variance of the bins, mean of 1 / n, mean n and number of bins, averaged over the starting points."""
    starts = np.searchsorted(time, np.arange(_PHASES) / _PHASES * width)
    sets = [bin_series(time[start:], residuals[start:], width=width) for start in np.unique(starts)]
    least = np.median(np.concatenate([bins.n for bins in sets])) / 2 if time.size else 0
    found = [_of_one_set(bins, bins.n >= least) for bins in sets]
    tables = [table for table in found if table is not None]
    return np.mean(tables, axis=0) if tables else np.array([np.nan] * 4)


def _of_one_set(bins: Bins, full: np.ndarray) -> tuple[float, float, float, int] | None:
    if full.sum() < 2:
        return None
    return np.var(bins.value[full], ddof=1), np.mean(1 / bins.n[full]), np.mean(bins.n[full]), full.sum()


def _factors(n_bins: np.ndarray) -> np.ndarray:
    """The 68 % range of a measured scatter of white noise, in units of the true one."""
    freedom = n_bins - 1
    return np.sqrt(np.stack([stats.chi2.ppf(tail, freedom) for tail in _ONE_SIGMA]) / freedom)
