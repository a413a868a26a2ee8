"""Search a night for a transit, over mid-transit time and duration, before the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from potpyri_like.errors import ReductionError
from potpyri_like.lightcurves.curves import BandCurve, Prior, TransitPriors, measured
from potpyri_like.lightcurves.rednoise import beta_at, time_averaging
from potpyri_like.lightcurves.transit import occulted_flux

__all__ = ["TransitSearch", "find_transit"]

_SHORTEST, _LONGEST = 0.4 / 24, 12 / 24  # days, of the durations that are tried
_N_DURATIONS = 14
_STEPS = 16  # mid-transit times tried per duration
_OUTSIDE = 0.45  # of a duration: how far before and after the data mid-transit may lie
_LEAST_SHARE = 1e-3  # of the dip's square that a straight baseline must leave over
_HALF_PHASE = np.linspace(0, 0.5, 201)


@dataclass(frozen=True, eq=False)
class TransitSearch:
    """The best mid-transit time and duration, and the significance of the transit.

    Attributes
    ----------
    tc, t14 : float, days
    depths : ndarray, shape (n_curves,)
        Of a dip of typical shape, never negative.
    delta_chi2 : float
        By how much the dip lowers chi-square, every band's share divided by the square of its red-noise factor.
    significance : float
        The square root of that.
    starts : tuple of (float, float)
        Mid-time and duration of the best few places that are distinct, the best first.
    """

    tc: float
    t14: float
    depths: np.ndarray
    delta_chi2: float
    significance: float
    starts: tuple[tuple[float, float], ...]


def find_transit(curves: Sequence[BandCurve], *, priors: TransitPriors | None = None) -> TransitSearch:
    """Search all bands together for a dip on a straight baseline, whole or partial.

    At each mid-transit time and duration the depths, one for each band, and the baselines follow from linear least
    squares; the gain in chi-square is summed over the bands where the dip is downwards.

    Raises
    ------
    ReductionError
        When there is nothing to search.
    """
    priors = priors or TransitPriors()
    if not curves:
        raise ReductionError("no light curve to search for a transit; give at least one")
    series = [_straightened(curve) for curve in curves]
    grid = _grid(series, priors)
    gain = sum(_gains(one, grid)[1] for one in series) - _penalty(grid, priors)
    order = np.argsort(-gain, kind="stable")
    best = grid[order[0]]
    dips = [_gains(one, best[None]) for one in series]
    shares = [dip[1][0] / _beta(one, best, dip[0][0]) ** 2 for one, dip in zip(series, dips, strict=True)]
    delta = float(sum(shares))
    return TransitSearch(
        float(best[0]),
        float(best[1]),
        np.array([dip[0][0] for dip in dips]),
        delta,
        float(np.sqrt(delta)),
        _distinct(grid[order], gain[order]),
    )


@dataclass(frozen=True, eq=False)
class _Straight:
    """One curve, whitened; `basis` are two orthonormal columns that span constant and slope."""

    time: np.ndarray
    flux: np.ndarray
    weight: np.ndarray
    basis: np.ndarray


def _straightened(curve: BandCurve) -> _Straight:
    good, error = measured(curve)
    time = np.asarray(curve.time, float)[good]
    weight = 1 / error
    level = float(np.median(np.asarray(curve.flux, float)[good])) or 1.0
    columns = np.column_stack([np.ones(time.size), time - np.median(time)]) * weight[:, None]
    basis = np.linalg.qr(columns)[0]
    flux = np.asarray(curve.flux, float)[good] / level
    weight = weight * abs(level)
    return _Straight(time, _beside(flux * weight, basis), weight, basis)


def _beside(rows: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return rows - (rows @ basis) @ basis.T


def _grid(series: Sequence[_Straight], priors: TransitPriors) -> np.ndarray:
    """Mid-times and durations to try, shape (n, 2)."""
    first = min(one.time[0] for one in series)
    last = max(one.time[-1] for one in series)
    pairs = []
    for t14 in _durations(series, last - first, priors.t14):
        start, stop = first - _OUTSIDE * t14, last + _OUTSIDE * t14
        if priors.tc is not None and np.isfinite(priors.tc.sigma):
            reach = 4 * priors.tc.sigma
            start, stop = priors.tc.mean - reach, priors.tc.mean + reach
        n = int(np.clip(np.ceil((stop - start) / t14 * _STEPS), 1, 2000)) + (stop > start)
        pairs.append(np.column_stack([np.linspace(start, stop, n), np.full(n, t14)]))
    return np.concatenate(pairs)


def _durations(series: Sequence[_Straight], span: float, prior: Prior | None) -> np.ndarray:
    if prior is not None and np.isfinite(prior.sigma):
        if prior.sigma == 0:
            return np.array([prior.mean])
        tried = prior.mean + np.linspace(-3, 3, 9) * prior.sigma
        return tried[tried > 0.2 * prior.mean]
    cadence = min(float(np.median(np.diff(one.time))) for one in series)
    shortest = max(_SHORTEST, 4 * cadence)
    return np.geomspace(shortest, max(min(1.5 * span, _LONGEST), 1.01 * shortest), _N_DURATIONS)


def _penalty(grid: np.ndarray, priors: TransitPriors) -> np.ndarray:
    total = np.zeros(len(grid))
    for prior, values in ((priors.tc, grid[:, 0]), (priors.t14, grid[:, 1])):
        if prior is not None and 0 < prior.sigma < np.inf:
            total += ((values - prior.mean) / prior.sigma) ** 2
    return total


def _gains(one: _Straight, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth, never negative, and gain in chi-square of the dip at each place of the grid."""
    dips = _dip((one.time - grid[:, [0]]) / grid[:, [1]]) * one.weight
    beside = _beside(dips, one.basis)
    square = np.einsum("ij,ij->i", beside, beside)
    whole = np.einsum("ij,ij->i", dips, dips)
    usable = square > _LEAST_SHARE * whole
    depth = -np.divide(beside @ one.flux, square, out=np.zeros(len(grid)), where=usable)
    depth = np.maximum(depth, 0)
    return depth, depth**2 * square


def _dip(phase: np.ndarray) -> np.ndarray:
    """A typical transit of depth 1 at durations from mid-transit."""
    k, b = 0.1, 0.3
    z = np.sqrt(b**2 + (2 * _HALF_PHASE) ** 2 * ((1 + k) ** 2 - b**2))
    lost = 1 - occulted_flux(z, k, 0.4, 0.25)
    return np.interp(np.abs(phase), _HALF_PHASE, lost / lost[0], right=0.0)


def _beta(one: _Straight, place: np.ndarray, depth: float) -> float:
    dip = _dip((one.time - place[0]) / place[1]) * one.weight
    left = one.flux + depth * _beside(dip[None], one.basis)[0]
    return beta_at(time_averaging(one.time, left), 0.1 * place[1], 0.5 * place[1])


def _distinct(grid: np.ndarray, gain: np.ndarray, *, most: int = 4) -> tuple[tuple[float, float], ...]:
    """The best places, none within half a duration and a factor of two of a better one."""
    kept: list[np.ndarray] = []
    for place in grid[gain > 0.3 * gain[0]]:
        near = [abs(place[0] - k[0]) < 0.3 * max(place[1], k[1]) and 0.5 < place[1] / k[1] < 2 for k in kept]
        if not any(near):
            kept.append(place)
        if len(kept) == most:
            break
    kept = kept or [grid[0]]
    return tuple((float(tc), float(t14)) for tc, t14 in kept)
