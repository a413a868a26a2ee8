"""The lag between two light curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.points import measured_in_order

__all__ = ["Lag", "correlation", "lag"]

_LEAST = 10  # points that a correlation needs
_MAX_GAP = 5.0  # median cadences over which nothing is interpolated
_MOST = 200  # lags on either side, without a step
_BLOCK = 2_000_000  # values in memory at once
_CENTROID = 0.8  # of the peak: the part of it that the centroid is taken of
_ONE_SIGMA = (15.87, 84.13)  # percentiles
_Series = tuple[np.ndarray, np.ndarray, np.ndarray]  # time, flux, error: measured, in order of time


@dataclass(frozen=True, eq=False)
class Lag:
    """The lag of a second series behind a first; positive when the second follows.

    Attributes
    ----------
    lags, correlation : ndarray, shape (n_lags,)
        The cross-correlation; NaN at lags where fewer than ten points overlap.
    peak : float
        The highest correlation.
    peak_lag : float, unit of time
        Where it is.
    lag, lag_error : float, unit of time
        Centroid of the correlation about the peak, where it is above 0.8 of it; half of the 68 % range of
        the realisations. NaN when there is no peak inside the range of lags.
    realisations : ndarray, shape (n,), unit of time
        The centroids of the series drawn again, without those that had no peak.
    notes : tuple of str
        What is to be doubted, in sentences.
    """

    lags: np.ndarray
    correlation: np.ndarray
    peak: float
    peak_lag: float
    lag: float
    lag_error: float
    realisations: np.ndarray
    notes: tuple[str, ...] = ()


def lag(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    max_lag: float | None = None,
    step: float | None = None,
    realisations: int = 200,
    seed: int | np.random.Generator = 0,
) -> Lag:
    """The lag between two series by interpolated cross-correlation, and its error (Peterson et al. 1998).

    The error is from series drawn again: random subsets of the points, each flux moved by its error (PASP 110,
    660; repeated points have smaller errors, Peterson et al. 2004). It is on the cautious side.

    Common trends (airmass, a comparison star's variation, dawn) correlate at lag 0 and pull every lag there; a
    trend longer than the range of lags makes a broad peak of its own. Take them off both series first.

    Parameters
    ----------
    first, second : (time, flux, error), each array_like, shape (n,)
        Unevenly sampled, in any order, in one unit of time; NaN is ignored.
    max_lag : float, unit of time
        Lags go from minus to plus it; otherwise a quarter of the time that both cover.
    step : float, unit of time
        Of the lags; otherwise half of the smaller median cadence, or `max_lag` / 200 where that is more.
    realisations : int
        0 for no error.
    seed : int or numpy.random.Generator
    """
    first, second = _measured(*first), _measured(*second)
    if min(first[0].size, second[0].size) < _LEAST:
        return _nothing(f"{first[0].size} and {second[0].size} points: a lag needs {_LEAST} of each")
    lags = _lags(first[0], second[0], max_lag, step)
    if not lags.size:
        return _nothing("the two series do not overlap in time")
    gaps = _gap(first[0]), _gap(second[0])
    values = _correlation(first, second, lags, gaps)
    found = _realised(first, second, lags, gaps, realisations, np.random.default_rng(seed))
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    enough = found.size > realisations / 2
    return Lag(
        lags=lags,
        correlation=values,
        peak=float(values[best]),
        peak_lag=float(lags[best]) if np.isfinite(values[best]) else np.nan,
        lag=_centroid(lags, values),
        lag_error=float(np.ptp(np.percentile(found, _ONE_SIGMA)) / 2) if enough else np.nan,
        realisations=found,
        notes=_notes(lags, values, realisations, found.size),
    )


def correlation(first: Sequence[ArrayLike], second: Sequence[ArrayLike], lags: ArrayLike) -> np.ndarray:
    """Interpolated cross-correlation at each lag (Gaskell & Peterson 1987; local means, Welsh 1999).

    The first series at t is compared with the second at t + lag: once at the times of the first, the second
    being interpolated, once the other way, and the two are averaged. Means and scatters are those of the points
    that overlap at that lag. Nothing is interpolated over gaps longer than five median cadences.

    Parameters
    ----------
    first, second : (time, flux) or (time, flux, error)
    lags : array_like, shape (n_lags,)

    Returns
    -------
    ndarray, shape (n_lags,)
        -1 to 1; NaN where fewer than ten points overlap.
    """
    first, second = _measured(*first), _measured(*second)
    if min(first[0].size, second[0].size) < 2:
        return np.full(np.size(lags), np.nan)
    return _correlation(first, second, np.asarray(lags, float), (_gap(first[0]), _gap(second[0])))


def _measured(time: ArrayLike, flux: ArrayLike, error: ArrayLike | None = None) -> _Series:
    """The points where all is finite, in order of time."""
    time, flux = np.asarray(time, float), np.asarray(flux, float)
    error = np.zeros_like(flux) if error is None else np.asarray(error, float)
    good = measured_in_order(time, flux, error)
    return time[good], flux[good], error[good]


def _cadence(time: np.ndarray) -> float:
    step = np.diff(time)
    return np.median(step[step > 0]) if (step > 0).any() else np.inf


def _gap(time: np.ndarray) -> float:
    return _MAX_GAP * _cadence(time)


def _lags(first: np.ndarray, second: np.ndarray, max_lag: float | None, step: float | None) -> np.ndarray:
    """An odd number of lags, 0 in the middle; none without overlap."""
    overlap = min(first[-1], second[-1]) - max(first[0], second[0])
    cadence = min(_cadence(first), _cadence(second))
    if not np.isfinite(cadence) or (max_lag is None and overlap <= 0):
        return np.zeros(0)
    max_lag = overlap / 4 if max_lag is None else max_lag
    step = max(cadence / 2, max_lag / _MOST) if step is None else step
    if not (0 < step <= max_lag < np.inf):
        raise UsageError(
            f"lags up to {max_lag:g} in steps of {step:g}: the step must be above 0 and not above the largest lag"
        )
    n = int(max_lag / step + 1e-6)
    return step * np.arange(-n, n + 1)


def _correlation(first: _Series, second: _Series, lags: np.ndarray, gaps: tuple[float, float]) -> np.ndarray:
    there = _one_way(first, second, lags, gaps[1])
    back = _one_way(second, first, -lags, gaps[0])
    return (there + back) / 2


def _one_way(fixed: _Series, moved: _Series, lags: np.ndarray, gap: float) -> np.ndarray:
    """Correlation of the fixed series with the other interpolated at its times + lag."""
    blocks = np.array_split(lags, 1 + lags.size * fixed[0].size // _BLOCK)
    return np.concatenate([_block(fixed, moved, block, gap) for block in blocks])


def _block(fixed: _Series, moved: _Series, lags: np.ndarray, gap: float) -> np.ndarray:
    wanted = fixed[0] + lags[:, None]
    other, inside = _interpolated(moved[0], moved[1], wanted, gap)
    n = inside.sum(axis=1)
    safe = np.maximum(n, 1)[:, None]
    one, two = (
        np.where(inside, values - (values * inside).sum(axis=1, keepdims=True) / safe, 0)
        for values in (np.broadcast_to(fixed[1], other.shape), other)
    )
    scatter = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    known = (n >= _LEAST) & (scatter > 0)
    return np.divide((one * two).sum(axis=1), scatter, out=np.full(len(lags), np.nan), where=known)


def _interpolated(
    time: np.ndarray, flux: np.ndarray, wanted: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation, and where there is something to interpolate between."""
    right = np.clip(np.searchsorted(time, wanted), 1, time.size - 1)
    before, after = time[right - 1], time[right]
    # Julian dates are rounded to 5e-10 d, and the ends of two series may differ by that.
    slack = 1e-6 * (gap / _MAX_GAP)
    inside = (wanted >= time[0] - slack) & (wanted <= time[-1] + slack)
    inside &= (after - before <= gap) | (np.minimum(np.abs(wanted - before), np.abs(wanted - after)) <= slack)
    share = np.clip((wanted - before) / np.maximum(after - before, 1e-300), 0, 1)
    return flux[right - 1] + share * (flux[right] - flux[right - 1]), inside


def _realised(
    first: _Series,
    second: _Series,
    lags: np.ndarray,
    gaps: tuple[float, float],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """The centroids of n pairs of series drawn again, without those that have no peak."""
    centroids = np.full(n, np.nan)
    for i in range(n):
        drawn = _drawn(first, rng), _drawn(second, rng)
        centroids[i] = _centroid(lags, _correlation(*drawn, lags, gaps))
    return centroids[np.isfinite(centroids)]


def _drawn(series: _Series, rng: np.random.Generator) -> _Series:
    """A random subset, in order, each flux moved by its error, which repeated draws make smaller."""
    time, flux, error = series
    index, count = np.unique(rng.integers(time.size, size=time.size), return_counts=True)
    return (
        time[index],
        flux[index] + error[index] / np.sqrt(count) * rng.normal(size=index.size),
        error[index],
    )


def _centroid(lags: np.ndarray, values: np.ndarray) -> float:
    """Centroid of the part about the highest peak that is above 0.8 of it; NaN if it reaches an end."""
    values = np.where(np.isfinite(values), values, -np.inf)
    best = int(np.argmax(values))
    if not values[best] > 0:
        return np.nan
    low = np.flatnonzero(values < _CENTROID * values[best])
    left, right = low[low < best], low[low > best]
    if not (left.size and right.size):
        return np.nan
    part = slice(left[-1] + 1, right[0])
    return float(np.average(lags[part], weights=values[part]))


def _notes(lags: np.ndarray, values: np.ndarray, realisations: int, found: int) -> tuple[str, ...]:
    notes = []
    if not np.isfinite(_centroid(lags, values)):
        notes.append(f"the correlation has no peak between lags of {lags[0]:g} and {lags[-1]:g}")
    if found <= realisations / 2 and realisations:
        notes.append(f"only {found} of {realisations} realisations have a peak: the lag has no error")
    return tuple(notes)


def _nothing(why: str) -> Lag:
    none = np.zeros(0)
    return Lag(none, none, np.nan, np.nan, np.nan, np.nan, none, (why,))
