"""Which darks are of one exposure, and how a dark of another exposure follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from potpyri_like.frame import Pixels

__all__ = [
    "DarkShares",
    "curvature_variance",
    "dark_shares",
    "group_exposures",
    "near_exposure",
    "same_exposure",
    "weighted_sum",
]

_SAME, _SAME_SECONDS = 1e-3, 0.002  # relative, and what shutters and clocks make of short exposures
_NEAR = 0.005  # relative; a dark so near is used as it is
_LEVELS = (
    5,
    20,
    80,
    320,
    1280,
)  # standard deviations above the median, between which pixels are judged together
_SURE = 3.0  # standard deviations by which a mean square has to exceed that of the noise
_LEVER = 2.0  # ratio of the longest exposure to the shortest from which a line may be continued


class DarkShares(NamedTuple):
    """How a dark follows from those that were taken.

    Attributes
    ----------
    method : str
        "exact", "interpolated", "scaled", "extrapolated".
    shares : dict of float to float
        What multiplies the dark of each exposure.
    """

    method: str
    shares: dict[float, float]


def same_exposure(one: float, other: float) -> bool:
    """Whether two exposures, seconds, differ by no more than a shutter's accuracy."""
    return abs(one - other) <= max(_SAME * max(one, other), _SAME_SECONDS)


def near_exposure(taken: float, exposure: float) -> bool:
    """Whether a dark of one exposure, seconds, serves for another as it is."""
    return abs(taken - exposure) <= max(_NEAR * exposure, 1e-3)


def group_exposures(exposures: Iterable[float]) -> list[list[float]]:
    """Exposures in ascending order, those together that are the same within the accuracy of a shutter."""
    groups: list[list[float]] = []
    for exposure in sorted(exposures):
        if groups and same_exposure(groups[-1][0], exposure):
            groups[-1].append(exposure)
        else:
            groups.append([exposure])
    return groups


def dark_shares(taken: Sequence[float], exposure: float, *, has_bias: bool) -> DarkShares | None:
    """How the dark of an exposure is best made; None where it cannot be.

    Parameters
    ----------
    taken : sequence of float
        Exposures of the darks that there are, seconds.
    exposure : float
        s
    has_bias : bool
        Whether the darks are without the bias, and so are proportional to their exposure.

    Notes
    -----
    Between two exposures each pixel's least squares line, dark = a t + b, is taken. Beyond them the nearest dark is
    scaled, if there is a bias. Without one the line is continued, as long as the exposures differ by a factor of two:
    from nearly equal ones it would follow their noise.
    """
    near = [t for t in taken if near_exposure(t, exposure)]
    if near:
        return DarkShares("exact", {min(near, key=lambda t: abs(t - exposure)): 1.0})
    if not taken or exposure < 0:
        return None
    if min(taken) < exposure < max(taken):
        return DarkShares("interpolated", _line(taken, exposure))
    positive = [t for t in taken if t > 0]
    if has_bias:
        nearest = min(positive, key=lambda t: abs(t - exposure), default=None)
        return None if nearest is None else DarkShares("scaled", {nearest: exposure / nearest})
    if len(taken) > 1 and max(taken) >= _LEVER * min(taken):
        return DarkShares("extrapolated", _line(taken, exposure))
    return None


def weighted_sum(parts: Mapping[float, Pixels], shares: Mapping[float, float]) -> Pixels:
    """The sum of darks times their shares, with its variance; bad where any is."""
    used = [(parts[t], share) for t, share in shares.items()]
    return Pixels(
        np.sum([np.float32(share) * dark.data for dark, share in used], axis=0),
        np.sum([np.float32(share**2) * dark.variance for dark, share in used], axis=0),
        np.bitwise_or.reduce([dark.mask for dark, _ in used]),
    )


def curvature_variance(
    parts: Mapping[float, Pixels],
    shares: Mapping[float, float],
    exposure: float,
    *,
    at_zero: np.ndarray | None = None,
) -> np.ndarray | None:
    """The variance that a dark of another exposure has since dark current need not grow in a straight line.

    Parameters
    ----------
    parts : mapping of float to Pixels
        All darks that were taken, by exposure, seconds.
    shares : mapping of float to float
        What multiplies each in the dark that was made; see `dark_shares`.
    exposure : float
        Of that dark, s.
    at_zero : ndarray, shape (rows, columns), electron^2, optional
        The variance of the bias, where it was subtracted: then the dark current is known to be 0 at 0 s.

    Returns
    -------
    ndarray, shape (rows, columns), electron^2, or None
        None where fewer than three points are known, or no curvature shows.

    Notes
    -----
    The parabola through the points tells by how much the straight one is off. Its bend in a single pixel is noise
    for the most part, so pixels of like dark current are taken together, and what the noise accounts for is subtracted.
    """
    used = {t: parts[t] for t in sorted(parts)}
    times = np.array([*used, *([0.0] if at_zero is not None and 0.0 not in used else [])])
    if len(times) < 3:
        return None
    bend = np.linalg.pinv(np.vander(times, 3))[0]  # what multiplies each point in the coefficient of t^2
    data = sum(g * dark.data.astype(np.float64) for g, dark in zip(bend, used.values(), strict=False))
    noise = sum(
        g * g * dark.variance.astype(np.float64) for g, dark in zip(bend, used.values(), strict=False)
    )
    if at_zero is not None and len(times) > len(used):
        noise = noise + np.square(bend[-1]) * at_zero
    off = sum(share * t * t for t, share in shares.items()) - exposure * exposure
    level = sum(np.float32(share) * parts[t].data for t, share in shares.items())
    of_level = sum(np.float32(share**2) * parts[t].variance for t, share in shares.items())
    bends = _excess_by_level(np.square(data), np.asarray(noise), np.asarray(level), np.asarray(of_level))
    variance = np.float32(off * off) * bends.astype(np.float32)
    return variance if variance.any() else None


def _excess_by_level(
    squares: np.ndarray, noise: np.ndarray, level: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """The mean over pixels of like level of squares, less the variance that they have by noise; 0 where that is all."""
    sigma = np.sqrt(np.median(variance))
    bins = np.digitize(level.ravel(), np.median(level) + sigma * np.array(_LEVELS))
    excess = np.zeros(len(_LEVELS) + 1)
    for number in np.unique(bins):
        inside = bins == number
        some, by_chance = squares.ravel()[inside], float(noise.ravel()[inside].mean())
        found = float(np.minimum(some, np.percentile(some, 99.9)).mean()) - by_chance
        excess[number] = found if found > _SURE * by_chance * np.sqrt(2 / some.size) else 0.0
    return np.asarray(excess[bins].reshape(level.shape))


def _line(taken: Sequence[float], exposure: float) -> dict[float, float]:
    """The shares of the darks in the value, at one exposure, of the least squares line through them."""
    times = np.array(sorted(taken))
    away = times - times.mean()
    shares = 1 / len(times) + (exposure - times.mean()) * away / np.sum(away**2)
    return {float(t): float(share) for t, share in zip(times, shares, strict=True)}
