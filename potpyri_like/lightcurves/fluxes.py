"""Excess variance and rms-flux relation of a source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import UsageError

__all__ = ["ExcessVariance", "RmsFlux", "excess_variance", "rms_flux", "segment_duration"]

_LEAST_SEGMENTS = 5  # in a group, of which there are three at least
_LEAST_POINTS = 5  # in a segment
_SEGMENTS, _POINTS = 40, 8  # of a light curve; in a segment
_MOST_GROUPS = 12


@dataclass(frozen=True)
class ExcessVariance:
    """The variance of a series that its errors do not explain.

    Attributes
    ----------
    value, error : float
        Variance, below 0 when the errors are larger than the scatter. The error is that of the measurement
        (Vaughan et al. 2003, eq. 11), not of the source, whose noise differs from night to night.
    fractional, fractional_error : float
        Root of it over the mean flux, F_var; NaN when there is none.
    n : int
        Points.
    """

    value: float
    error: float
    fractional: float
    fractional_error: float
    n: int


@dataclass(frozen=True, eq=False)
class RmsFlux:
    """The rms of a source against its flux, and the line through it; NaN with too few segments.

    Attributes
    ----------
    flux : ndarray, shape (n_groups,)
        Mean flux of the segments of a group.
    rms, rms_error : ndarray, shape (n_groups,)
        Root of their mean excess variance; NaN where that is below 0.
    n_segments : ndarray of int, shape (n_groups,)
        Segments in each group.
    slope, slope_error : float
        Of rms against flux.
    intercept, intercept_error : float
        The rms at no flux, in the unit of the flux.
    """

    flux: np.ndarray
    rms: np.ndarray
    rms_error: np.ndarray
    n_segments: np.ndarray
    slope: float
    slope_error: float
    intercept: float
    intercept_error: float


def excess_variance(flux: ArrayLike, error: ArrayLike) -> ExcessVariance:
    """Variance in excess of the error bars (Nandra et al. 1997; Vaughan et al. 2003, MNRAS 345, 1271).

    Parameters
    ----------
    flux, error : array_like, shape (n,)
        NaN is ignored; fewer than two points give NaN.
    """
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    good = np.isfinite(flux) & np.isfinite(error)
    values, variances = np.asarray(flux[good]), np.asarray(error[good] ** 2)
    n = values.size
    if n < 2:
        return ExcessVariance(np.nan, np.nan, np.nan, np.nan, n)
    level, noise = values.mean(), variances.mean()
    value = np.var(values, ddof=1) - noise
    sigma = np.sqrt(2 / n * noise**2 + 4 / n * noise * max(value, 0))
    if not (value > 0 and level > 0):
        return ExcessVariance(float(value), float(sigma), np.nan, np.nan, n)
    fractional = np.sqrt(value) / level
    return ExcessVariance(
        float(value), float(sigma), float(fractional), float(sigma / (2 * np.sqrt(value) * level)), n
    )


def rms_flux(time: ArrayLike, flux: ArrayLike, error: ArrayLike, *, duration: float) -> RmsFlux:
    """Whether a source flickers in proportion to its flux (Uttley & McHardy 2001, MNRAS 323, L26).

    The series is cut into segments of `duration`; segments of like mean flux make a group, in which the excess
    variances are averaged before the root is taken, because that of one segment scatters widely and is often
    below 0. A line is fitted to the groups, each weighted by its segments and by the variance that the line
    itself gives it. It needs 15 segments of five points; those with fewer than half of the points of the median
    one are excluded.

    Parameters
    ----------
    time, flux, error : array_like, shape (n,)
        In any order; NaN is ignored. The flux must not be detrended, nor the errors be scaled to the scatter.
    duration : float
        Of a segment, in the unit of `time`: longer than the flickering of interest, shorter than the changes
        of the mean.
    """
    if not (np.isfinite(duration) and duration > 0):
        raise UsageError(f"segments of {duration}: the duration must be above 0, in the unit of the times")
    mean, variance = _segments(time, flux, error, duration)
    n_groups = min(mean.size // _LEAST_SEGMENTS, _MOST_GROUPS)
    if n_groups < 3:
        none = np.zeros(0)
        return RmsFlux(none, none, none, np.zeros(0, int), np.nan, np.nan, np.nan, np.nan)
    groups = np.array_split(np.argsort(mean, kind="stable"), n_groups)
    level = np.array([mean[group].mean() for group in groups])
    n = np.array([group.size for group in groups])
    power = np.array([variance[group].mean() for group in groups])
    spread = np.array([variance[group].std(ddof=1) for group in groups]) / np.sqrt(n)
    rms = np.sqrt(np.where(power > 0, power, np.nan))  # below 0: the noise leaves nothing
    return RmsFlux(level, rms, spread / (2 * rms), n, *_line(level, rms, n))


def segment_duration(time: np.ndarray) -> float:
    """A length of segments in which flickering can be measured: a fortieth of the light curve, eight points at least.

    Parameters
    ----------
    time : ndarray, shape (n,)
        At which the light curve is measured, in any order.
    """
    step = float(np.median(np.diff(np.sort(time))))
    return max(float(np.ptp(time)) / _SEGMENTS, _POINTS * step)


def _segments(
    time: ArrayLike, flux: ArrayLike, error: ArrayLike, duration: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean flux and excess variance of each segment that is full."""
    time, flux, error = np.asarray(time, float), np.asarray(flux, float), np.asarray(error, float)
    good = np.isfinite(time) & np.isfinite(flux) & np.isfinite(error)
    if not good.any():
        return np.zeros(0), np.zeros(0)
    when, values, noise = np.asarray(time[good]), np.asarray(flux[good]), np.asarray(error[good])
    cell = np.floor((when - when.min()) / duration + 1e-6)
    _, label, n = np.unique(cell, return_inverse=True, return_counts=True)
    mean = np.bincount(label, values) / n
    scatter = np.bincount(label, (values - mean[label]) ** 2) / np.maximum(n - 1, 1)
    full = (n >= _LEAST_POINTS) & (n >= np.median(n) / 2)
    return mean[full], (scatter - np.bincount(label, noise**2) / n)[full]


def _line(flux: np.ndarray, rms: np.ndarray, n: np.ndarray) -> tuple[float, float, float, float]:
    """Slope, its error, intercept, its error; the weights from the line itself, so that no low point draws it."""
    good = np.isfinite(rms)
    flux, rms, n = flux[good], rms[good], n[good]
    if flux.size < 3 or not np.ptp(flux) > 0:
        return (np.nan,) * 4
    design = np.column_stack([flux - flux.mean(), np.ones_like(flux)])
    model = np.full_like(rms, rms.mean())
    for _ in range(3):
        weight = np.sqrt(n) / np.maximum(model, rms.mean() / 10)
        coefficients = np.linalg.lstsq(design * weight[:, None], rms * weight, rcond=None)[0]
        model = design @ coefficients
    scale = np.sum(((rms - model) * weight) ** 2) / (flux.size - 2)
    covariance = scale * np.linalg.inv((design * weight[:, None]).T @ (design * weight[:, None]))
    back = np.array([-flux.mean(), 1.0])
    slope_error, intercept_error = np.sqrt(covariance[0, 0]), np.sqrt(back @ covariance @ back)
    return float(coefficients[0]), float(slope_error), float(back @ coefficients), float(intercept_error)
