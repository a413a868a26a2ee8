"""Which darks are of one exposure, and how a dark of another exposure follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from potpyri_like.frame import Pixels

__all__ = ["DarkShares", "dark_shares", "group_exposures", "near_exposure", "same_exposure", "weighted_sum"]

_SAME, _SAME_SECONDS = 1e-3, 0.002  # relative, and what shutters and clocks make of short exposures
_NEAR = 0.005  # relative; a dark so near is used as it is
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


def _line(taken: Sequence[float], exposure: float) -> dict[float, float]:
    """The shares of the darks in the value, at one exposure, of the least squares line through them."""
    times = np.array(sorted(taken))
    away = times - times.mean()
    shares = 1 / len(times) + (exposure - times.mean()) * away / np.sum(away**2)
    return {float(t): float(share) for t, share in zip(times, shares, strict=True)}
