"""Noise on the time scale of a transit, without the slow trends: combined differential photometric precision.

All figures are relative: 1e-4 is 100 parts per million.
"""

from __future__ import annotations

import importlib

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.points import since_first
from potpyri_like.photometry.noise import MAD_TO_SIGMA

__all__ = ["cdpp", "cdpp_in_time"]

_WINDOW = 41  # points of the trend
_HANN = 10  # points of the smoothing that finds outliers
_CHUNK = 30  # points of one chunk
_NSIGMA = 5.0
_BLOCK = 1_000_000  # values in memory at once


def cdpp(flux: ArrayLike, time: ArrayLike) -> float:
    """The noise of the mean of 30 points, as the K2 mission's recipe in archi gives it (Silva et al. 2020).

    A running quadratic over 41 points is taken off, points off a 10-point Hann smoothing by more than five
    robust scatters are excluded, and the median scatter (ddof=0) of chunks of 30 points is divided by sqrt(30).
    It sees white noise only, and 5 % less of it than there is. Where windows of 41 points differ in length and
    a window changes by more than the photon noise, sqrt(flux), the quadratic is one in time: so flux in
    electrons matters there, and relative flux never comes to it. `cdpp_in_time` has none of these limits.

    Parameters
    ----------
    flux, time : array_like, shape (n,)
        In any order. NaN is ignored first; fewer than 60 points give NaN.
    """
    time, flux = since_first(time, flux)
    if flux.size < 2 * _CHUNK:
        return np.nan
    flat = _detrended(time, flux)
    level = np.median(flat)
    if not level > 0:
        return np.nan
    flat = _without_outliers(flat / level)
    return float(np.median([np.std(chunk) for chunk in _chunks(flat)]) / np.sqrt(_CHUNK))


def cdpp_in_time(flux: ArrayLike, time: ArrayLike, *, duration: float) -> float:
    """The noise of the mean over `duration` of what is left above slow trends.

    As `cdpp`, with windows of time instead of counts: a quadratic in time over 41 / 30 of `duration` about each
    point is taken off, and the scatter within each interval of `duration` divided by the root of its points.
    The freedom that the quadratic takes and the lopsided distribution of scatters are allowed for, so white
    noise sigma in n points gives sigma / sqrt(n), to 8 % at 5 points and 1 % at 30. Intervals with fewer than
    half of the points of the median one, or fewer than three, do not count.

    Parameters
    ----------
    flux, time : array_like, shape (n,)
        In any order; NaN is ignored. Without an interval that counts, NaN.
    duration : float
        In the unit of `time`, above 0.
    """
    if not (np.isfinite(duration) and duration > 0):
        raise UsageError(
            f"a duration of {duration} for the CDPP; it must be above 0, in the unit of the times"
        )
    time, flux = since_first(time, flux)
    level = np.median(flux) if flux.size else np.nan
    if not level > 0:
        return np.nan
    half = _WINDOW / _CHUNK * duration / 2 * (1 + 1e-9)
    first, last = np.searchsorted(time, time - half), np.searchsorted(time, time + half, side="right")
    trend, leverage = _quadratic(time, flux, np.ones_like(flux), first, last)
    free = 1 - leverage > 0.05  # the quadratic does not go through the point
    residual = (flux[free] - trend[free]) / np.sqrt(1 - leverage[free]) / level
    kept = np.abs(residual) <= _NSIGMA * _robust(residual)
    return _of_intervals(time[free][kept], residual[kept], duration)


def _of_intervals(time: np.ndarray, residual: np.ndarray, duration: float) -> float:
    """Median over the intervals of scatter / sqrt(n)."""
    if time.size < 3:
        return np.nan
    cell = np.floor((time - time[0]) / duration + 1e-6)  # a point on an edge must not fall to either side
    _, label, n = np.unique(cell, return_inverse=True, return_counts=True)
    mean = np.bincount(label, residual) / n
    counts = (n >= 3) & (n >= np.median(n) / 2)
    if not counts.any():
        return np.nan
    freedom = n[counts] - 1
    variance = np.bincount(label, (residual - mean[label]) ** 2)[counts] / freedom
    # The median of chi-squared, by Wilson and Hilferty (1931), is below its mean.
    return float(np.median(np.sqrt(variance / (1 - 2 / (9 * freedom)) ** 3 / n[counts])))


def _detrended(time: np.ndarray, flux: np.ndarray) -> np.ndarray:
    half = _WINDOW // 2
    smooth_enough, times = _windows(time, flux)
    if smooth_enough:
        # Loaded here, since it takes 0.7 s and few need it.
        trend = importlib.import_module("scipy.signal").savgol_filter(flux, _WINDOW, 2)
    else:
        fluxes, first = np.pad(flux, half, mode="reflect"), np.arange(flux.size)
        weight = 1 / np.maximum(fluxes, 1)  # the square of 1 / sqrt(flux)
        trend, _ = _quadratic(times, fluxes, weight, first, first + _WINDOW, centre=first + half)
    return flux - trend + np.median(flux)


def _windows(time: np.ndarray, flux: np.ndarray) -> tuple[bool, np.ndarray]:
    """Whether the windows are even enough in length, or in flux; and the times, extended by the first step."""
    half = _WINDOW // 2
    step = (time[1] - time[0]) * np.arange(1, half + 1)
    times = np.concatenate([time[0] - step[::-1], time, time[-1] + step])
    length = np.ptp(sliding_window_view(times, _WINDOW), axis=1) / (time[-1] / time.size or 1.0)
    window = sliding_window_view(np.pad(flux, half, mode="reflect"), _WINDOW)
    change = window[:, -1] - window[:, 0]
    even = ((length >= 36) & (length <= 45)).all()
    return even or not (change > np.median(np.sqrt(np.maximum(flux, 0)))).any(), times


def _quadratic(
    time: np.ndarray,
    flux: np.ndarray,
    weight: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    centre: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A weighted quadratic in time fitted over the points first:last, at each centre; and its leverage there."""
    centre = np.arange(time.size) if centre is None else centre
    widest = np.max(last - first)
    blocks = np.array_split(np.arange(centre.size), 1 + centre.size * widest // _BLOCK)
    fits = [_block(time, flux, weight, first[b], last[b], centre[b], widest) for b in blocks]
    trend, leverage = np.concatenate(fits, axis=1)
    return trend, leverage


def _block(
    time: np.ndarray,
    flux: np.ndarray,
    weight: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    centre: np.ndarray,
    widest: int,
) -> tuple[np.ndarray, np.ndarray]:
    index = first[:, None] + np.arange(widest)
    inside = index < last[:, None]
    index = np.minimum(index, time.size - 1)
    x = np.where(inside, time[index] - time[centre][:, None], 0)
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-300)
    design = np.stack([np.ones_like(x), x, x**2], axis=-1)
    weighted = (design * np.where(inside, weight[index], 0)[:, :, None]).transpose(0, 2, 1)
    row = np.linalg.pinv(weighted @ design, hermitian=True)[:, :1]  # gives the value at x = 0
    trend = row @ (weighted @ flux[index][:, :, None])
    return trend[:, 0, 0], row[:, 0, 0] * weight[centre]


def _without_outliers(flux: np.ndarray) -> np.ndarray:
    """The points within five robust scatters of a Hann smoothing whose ends are reflected through the last point."""
    kernel = np.hanning(_HANN)
    padded = np.pad(flux, _HANN, mode="reflect", reflect_type="odd")
    residual = flux - np.convolve(padded, kernel / kernel.sum(), mode="same")[_HANN:-_HANN]
    return flux[np.abs(residual - np.median(residual)) <= _NSIGMA * _robust(residual)]


def _chunks(flux: np.ndarray) -> list[np.ndarray]:
    """Consecutive chunks of 30, the last of 30 to 59."""
    return np.split(flux, _CHUNK * np.arange(1, max(flux.size // _CHUNK, 1)))


def _robust(residual: np.ndarray) -> float:
    return MAD_TO_SIGMA * np.median(np.abs(residual - np.median(residual))) if residual.size else 0.0
