"""Light curves in bins of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import UsageError

__all__ = ["Bins", "bin_series"]


@dataclass(frozen=True, eq=False)
class Bins:
    """A series in bins of time; empty bins are excluded.

    Attributes
    ----------
    time : ndarray, shape (n_bins,)
        Mean time of the points in the bin, not its middle.
    value : ndarray, shape (n_bins,)
    error : ndarray, shape (n_bins,)
        NaN where neither the scatter (fewer than three points) nor the errors of the points tell.
    n : ndarray of int, shape (n_bins,)
        Points in the bin.
    """

    time: np.ndarray
    value: np.ndarray
    error: np.ndarray
    n: np.ndarray


def bin_series(
    time: ArrayLike, value: ArrayLike, error: ArrayLike | None = None, *, width: float, weighted: bool = False
) -> Bins:
    """Average a series in bins of time, the first of which begins at the first point.

    The error of a bin is that of the mean from the scatter inside it, std(ddof=1) / sqrt(n); of fewer than
    three points, it is propagated from their errors.

    Parameters
    ----------
    time, value : array_like, shape (n,)
        In any order. A point that is NaN in time, value or error is excluded.
    error : array_like, shape (n,), optional
    width : float
        In units of `time`, above 0.
    weighted : bool
        Weight the points of a bin by 1 / error**2 instead of equally; needs errors above 0.
    """
    if not (np.isfinite(width) and width > 0):
        raise UsageError(f"a bin is {width} wide; the width must be above 0, in the unit of the times")
    if weighted and error is None:
        raise UsageError("error-weighted bins need errors; none were given")
    time, value, error = _finite_points(time, value, error)
    label, n = _labels(time, width)
    weight = 1 / error**2 if weighted else np.ones_like(value)
    mean = _sums(label, weight * value) / _sums(label, weight)
    return Bins(
        time=_sums(label, weight * time) / _sums(label, weight) if time.size else time,
        value=mean,
        error=_errors(label, value - mean[label], error, weight, n),
        n=n,
    )


def _finite_points(
    time: ArrayLike, value: ArrayLike, error: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points where all is finite, as float64; without errors, NaN stands for each."""
    time, value = np.asarray(time, float), np.asarray(value, float)
    good = np.isfinite(time) & np.isfinite(value)
    if error is None:
        return time[good], value[good], np.full(good.sum(), np.nan)
    error = np.asarray(error, float)
    good &= np.isfinite(error)
    return time[good], value[good], error[good]


def _labels(time: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each point, counted without the empty ones, and the points in each bin."""
    if not time.size:
        return np.zeros(0, int), np.zeros(0, int)
    # A Julian date has 5e-10 d of rounding: a point on an edge must not fall to either side by chance.
    cell = np.floor((time - time.min()) / width + 1e-6)
    _, label, n = np.unique(cell, return_inverse=True, return_counts=True)
    return label, n


def _sums(label: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(label, weights=values)


def _errors(
    label: np.ndarray, residual: np.ndarray, error: np.ndarray, weight: np.ndarray, n: np.ndarray
) -> np.ndarray:
    """From the scatter where there are three points or more, else from the errors of the points."""
    total = _sums(label, weight)
    propagated = np.sqrt(_sums(label, (weight * error) ** 2)) / total
    scatter = np.sqrt(_sums(label, weight * residual**2) / (np.maximum(n - 1, 1) * total))
    return np.where(n >= 3, scatter, propagated)
