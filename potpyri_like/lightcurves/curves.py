"""The inputs of a transit fit: light curves in bands, and priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from potpyri_like.errors import ReductionError
from potpyri_like.photometry.noise import expected, point_to_point

__all__ = ["BandCurve", "Prior", "TransitPriors", "is_due", "measured", "priors_of_ephemeris"]

_MIN_POINTS = 12
# How far a transit may be from its ephemeris, one sigma: days at least, and times the ephemeris' uncertainty.
_TC_FREE, _TC_SURE = 0.02, 10.0
_T14_SURE, _B_SURE = 0.1, 0.2  # of the duration at least; of the impact parameter
_USUAL_T14 = 3 / 24  # days, where nothing is known


@dataclass(frozen=True, eq=False)
class BandCurve:
    """One star in one band, through one camera, in one night.

    Attributes
    ----------
    name : str
        Of the band, and unlike that of any other curve: "r", "r 2024-05-02". Limb darkening goes by its first word.
    time : ndarray, shape (n,), days
        Mid-exposure.
    flux, error : ndarray, shape (n,)
        Relative. NaN where not measured.
    exposure : float or ndarray, shape (n,), days
    columns : mapping of str to ndarray, shape (n,)
        What was recorded beside the flux: airmass, x, y, fwhm, sky...
    """

    name: str
    time: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    exposure: float | np.ndarray = 0.0
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def band(self) -> str:
        return self.name.split()[0] if self.name.strip() else ""


@dataclass(frozen=True)
class Prior:
    """A Gaussian; `sigma` 0 holds the value, infinity leaves it free within its limits."""

    mean: float
    sigma: float = np.inf


@dataclass(frozen=True)
class TransitPriors:
    """The priors of the transit parameters.

    Attributes
    ----------
    tc : Prior, days
        On the scale of the curves' times.
    t14 : Prior, days
    b : Prior
    k : Prior
        For all bands.
    period : Prior, days
        Its mean is taken as known.
    limb_darkening : mapping of str to ((u1, sigma), (u2, sigma))
        By name of curve or band; those missing are those of a Sun-like star.
    """

    tc: Prior | None = None
    t14: Prior | None = None
    b: Prior | None = None
    k: Prior | None = None
    period: Prior | None = None
    limb_darkening: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] | None = None


def priors_of_ephemeris(
    *,
    tc: float,
    tc_error: float = np.nan,
    period: float,
    t14: float = np.nan,
    t14_error: float = np.nan,
    b: float = np.nan,
) -> TransitPriors:
    """The priors from an ephemeris; that of the mid-transit time is only narrow enough to select the right transit.

    Parameters
    ----------
    tc, tc_error : float, days
        Of the transit that may be in the night, and its uncertainty; NaN where unknown, as all that follows.
    period, t14, t14_error : float, days
    b : float
        Impact parameter.
    """
    sigma = max(_TC_FREE, _TC_SURE * np.nan_to_num(tc_error))
    duration = Prior(t14, max(np.nan_to_num(t14_error), _T14_SURE * t14))
    return TransitPriors(
        tc=Prior(tc, sigma),
        t14=duration if np.isfinite(t14) else None,
        b=Prior(b, _B_SURE) if np.isfinite(b) else None,
        period=Prior(period, 0.0),
    )


def is_due(tc: Prior, times: np.ndarray, *, t14: float = np.nan) -> bool:
    """Whether a transit may be in a light curve at least in part.

    Parameters
    ----------
    tc : Prior, days
    times : ndarray, days
        At which the light curve is measured.
    t14 : float, days
        Of the transit; NaN where unknown.
    """
    reach = tc.sigma + (t14 if np.isfinite(t14) else _USUAL_T14) / 2
    return bool(times.min() - reach <= tc.mean <= times.max() + reach)


def measured(curve: BandCurve) -> tuple[np.ndarray, np.ndarray]:
    """Where a curve is measured, in order of time, and errors there that the point-to-point scatter believes.

    Returns
    -------
    ndarray of int, shape (n_measured,)
    ndarray, shape (n_measured,)
        The given errors, raised to the scatter of successive points where they promise less.
    """
    time, flux, error = (np.asarray(values, float) for values in (curve.time, curve.flux, curve.error))
    if not time.shape == flux.shape == error.shape or time.ndim != 1:
        raise ReductionError(
            f"{curve.name}: time, flux and error have the shapes {time.shape}, {flux.shape} and {error.shape}; "
            "a light curve has one of each per frame"
        )
    good = np.flatnonzero(np.isfinite(time) & np.isfinite(flux))
    if good.size < _MIN_POINTS:
        raise ReductionError(
            f"{curve.name}: {good.size} points are measured, a transit fit needs at least {_MIN_POINTS}; "
            "exclude this light curve"
        )
    good = good[np.argsort(time[good], kind="stable")]
    return good, _believable(time[good], flux[good], error[good])


def _believable(time: np.ndarray, flux: np.ndarray, error: np.ndarray) -> np.ndarray:
    scatter = point_to_point(flux, time)
    scatter = scatter if scatter > 0 else 1e-6
    known = np.isfinite(error) & (error > 0)
    typical = float(np.median(error[known])) if known.any() else scatter
    error = np.where(known, error, typical)
    return error * max(1.0, scatter / expected(error, robust=True))
