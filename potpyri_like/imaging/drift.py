"""How masters change from night to night: which of them contradict their neighbours, and what age does to one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from potpyri_like.frame import Pixels

__all__ = ["Verdict", "drift_variance", "verdicts"]

_SIGMAS = 5.0  # by which one contradicts its neighbours
_AROUND = 3  # neighbours on each side
_FEWEST = 3  # others, from which on one can contradict them
_PAIRS = 8  # of nights that are compared
_BOX = 15  # pixels along each axis, over which a change is averaged
_FARTHEST = 4.0  # times the age; over which a change is scaled with time at most


class Verdict(NamedTuple):
    """Whether a master agrees with those of the nights around it.

    Attributes
    ----------
    agrees : bool
        With those before or those after it; true where there are too few others.
    sigmas : float
        By how many standard deviations it is off the nearer of the two; NaN where there are too few others.
    jumps : bool
        It agrees with those after it, and not with those before: something changed permanently.
    """

    agrees: bool
    sigmas: float
    jumps: bool


def verdicts(days: np.ndarray, values: np.ndarray, errors: np.ndarray) -> list[Verdict]:
    """Compare masters of one kind with their neighbours in time.

    Parameters
    ----------
    days : ndarray, shape (n,)
        When each was made, in order.
    values : ndarray, shape (n,) or (n, m)
        Of each master in order of time: its level, or its shape in m places.
    errors : ndarray, shape (n,)
        Of each value by its noise.

    Notes
    -----
    What masters usually change by counts as an error as well: the median change from one to the next, over the root of
    the days between them, as that of a random walk.
    """
    values = np.asarray(values, float).reshape(len(values), -1)
    n = len(values)
    if n <= _FEWEST:
        return [Verdict(True, float("nan"), False)] * n
    steps = np.array([_apart(one, other) for one, other in pairwise(values)])
    apart = np.maximum(np.diff(days), 1.0)
    usual = float(np.median(steps / np.sqrt(apart))) / 0.6745
    found: list[Verdict] = []
    for i in range(n):
        before, after = (
            _sigmas_off(i, side, days, values, errors, usual)
            for side in (slice(max(0, i - _AROUND), i), slice(i + 1, i + 1 + _AROUND))
        )
        nearer = min(before, after)
        found.append(Verdict(nearer <= _SIGMAS, nearer, i > 0 and after <= _SIGMAS < before))
    first = [one.jumps and not before.jumps for before, one in pairwise([found[0], *found])]
    return [one._replace(jumps=jumps) for one, jumps in zip(found, first, strict=True)]


def _sigmas_off(
    i: int, side: slice, days: np.ndarray, values: np.ndarray, errors: np.ndarray, usual: float
) -> float:
    """By how many standard deviations a value is off the median of those on one side; infinity where there is none."""
    if not len(values[side]):
        return float("inf")
    since = max(float(np.max(np.abs(days[side] - days[i]))), 1.0)
    sigma = float(np.hypot(errors[i], usual * np.sqrt(since))) or 1.0
    return _apart(values[i], np.median(values[side], axis=0)) / sigma


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """By how much two values differ: of a shape, in most places."""
    return float(np.nanpercentile(np.abs(one - other), 90)) if one.size > 1 else float(np.abs(one - other)[0])


def drift_variance(masters: Sequence[tuple[float, Pixels]], age: float) -> np.ndarray | None:
    """What the age of a master adds to the variance of its pixels, by how others changed in about that time.

    Parameters
    ----------
    masters : sequence of (float, Pixels)
        Masters of one kind with the days on which they were made.
    age : float
        Days.

    Returns
    -------
    ndarray, shape (rows, columns), or None
        None where there are no two to compare.

    Notes
    -----
    The mean square of the differences of pairs, about as far apart in time, less their noise, averaged over boxes of
    pixels. Pairs that are nearer or farther apart are scaled as a random walk grows.
    """
    age = max(abs(age), 0.5)
    pairs = sorted(
        ((one, other) for one, other in combinations(masters, 2) if one[0] != other[0]),
        key=lambda pair: abs(np.log(abs(pair[0][0] - pair[1][0]) / age)),
    )[:_PAIRS]
    if not pairs:
        return None
    squares = [_change(one, other, age) for one, other in pairs]
    mean = np.mean(squares, axis=0)
    return np.maximum(uniform_filter(mean, _BOX, mode="nearest"), 0).astype(np.float32)


def _change(one: tuple[float, Pixels], other: tuple[float, Pixels], age: float) -> np.ndarray:
    """The squared difference of two masters less its noise, as of so many days."""
    (day, first), (later, second) = one, other
    good = (first.mask == 0) & (second.mask == 0)
    away = np.where(good, first.data - second.data, 0)
    noise = np.where(good, first.variance + second.variance, 0)
    limit = np.percentile(
        np.abs(away), 99.8
    )  # single pixels that a cosmic ray hit say nothing of those around
    scale = np.clip(age / abs(later - day), 1 / _FARTHEST, _FARTHEST)
    return np.asarray((np.square(np.clip(away, -limit, limit)) - noise) * scale)
