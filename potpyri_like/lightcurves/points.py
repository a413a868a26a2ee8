"""Which points of a light curve were measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["measured_in_order", "since_first"]


def measured_in_order(time: ArrayLike, *values: ArrayLike) -> np.ndarray:
    """Indices of the points where time and all values are finite, in order of time."""
    good = np.isfinite(np.asarray(time, float))
    for one in values:
        good = good & np.isfinite(np.asarray(one, float))
    index = np.flatnonzero(good)
    return index[np.argsort(np.asarray(time, float)[index], kind="stable")]


def since_first(time: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The measured points in order of time, which is counted from the first."""
    time, values = np.asarray(time, float), np.asarray(values, float)
    index = measured_in_order(time, values)
    return time[index] - time[index[:1]], values[index]
