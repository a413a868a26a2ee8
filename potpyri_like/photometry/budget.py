"""The noise of each star term by term, compared with the measured noise.

The terms are those of the CCD equation (Merline & Howell 1995), of scintillation (Osborn et al. 2015), of the
comparison stars, and of the flat field. All but the last are new in every frame and average out; the error of the
flat is the same for as long as a star stays on its pixels, and averages out only where it moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.photometry.noise import nan_median, spikes
from potpyri_like.photometry.series import Series

__all__ = ["BUDGET_CLOSED", "NoiseBudget", "close_budget", "noise_terms", "photons_seen", "shared_flat_error"]

_SHARPNESS = 2 * np.log(2) / np.pi  # sum of a Gaussian's squared pixels, times its FWHM squared
BUDGET_CLOSED = 0.8, 1.3  # predicted over measured: all is well
_MINUTES = (2.0, 5.0, 10.0, 15.0, 30.0)
_FEWEST_BINS = 4
_FULL = 0.5  # of the usual number of points: a bin with fewer is excluded
_MOST_FRAMES = 1500  # whose places on the flat are compared with one another
_UNTOLD = {"photons": 1.0, "read-out": 0.0, "digitisation": 0.0, "dark current": 0.0, "flat": 0.0}
_OF_PHOTONS = "star", "sky", "sky level", "comparison stars"  # terms that photons make, about
_LIMITED = 0.7  # of a star's variance; so much is photons' where it tells of the gain
_FEWEST_STARS, _ALIKE = (
    6,
    1.35,
)  # stars that tell; the factor of the brighter over that of the fainter, at most
_TELLING = 3  # stars that tell how far the field moves and turns


@dataclass(frozen=True, eq=False)
class NoiseBudget:
    """Predicted and measured noise at several time scales.

    All noise is relative to the flux. NaN stands for too few points.

    Attributes
    ----------
    terms : mapping of str to ndarray, shape (n_stars,)
        Noise of one frame by what makes it, root mean square over the frames; in quadrature they make the first
        column of `predicted`, but for the flat, of which only that part counts that changes from frame to frame.
    width : ndarray, shape (n_scales,), minutes
        Of the bins; 0 stands for single frames.
    predicted, measured : ndarray, shape (n_stars, n_scales)
        Standard deviation of the bins' means.
    uncertainty : ndarray, shape (n_stars, n_scales)
        Relative, of what was measured, from the number of the bins.
    """

    terms: Mapping[str, np.ndarray]
    width: np.ndarray
    predicted: np.ndarray
    measured: np.ndarray
    uncertainty: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Predicted over measured, shape (n_stars, n_scales)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.predicted / self.measured

    def typical_ratio(self, stars: np.ndarray, scale: int) -> tuple[float, float]:
        """The median of some stars' ratio at a scale, and twice its relative uncertainty; NaN where none is known."""
        ratio = self.ratio[stars, scale]
        known = np.isfinite(ratio)
        if not known.any():
            return np.nan, np.nan
        uncertainty = float(np.median(self.uncertainty[stars, scale][known]))
        return float(np.median(ratio[known])), 2 * uncertainty / np.sqrt(known.sum())


def photons_seen(budget: NoiseBudget, stars: np.ndarray) -> tuple[float, float]:
    """The variance of photons that the scatter of some stars shows from frame to frame, over the declared one.

    Parameters
    ----------
    budget : NoiseBudget
    stars : ndarray of int or bool
        Constant ones.

    Returns
    -------
    factor, error : float
        NaN where fewer than six stars are limited by their photons, or the brighter of them show another factor than
        the fainter ones, as they do where what is left is no noise of photons.
    """
    photons = np.sqrt(sum(np.square(budget.terms[name]) for name in _OF_PHOTONS if name in budget.terms))[
        stars
    ]
    predicted, measured = budget.predicted[stars, 0], budget.measured[stars, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.maximum(np.square(predicted) - np.square(photons), 0)
        factors = (np.square(measured) - rest) / np.square(photons)
        known = np.isfinite(factors) & (np.square(photons) > _LIMITED * np.square(predicted))
    if known.sum() < _FEWEST_STARS:
        return np.nan, np.nan
    factors, light = factors[known], budget.terms["star"][stars][known]
    faint = light >= np.median(light)  # the relative noise of a faint star's own light is large
    halves = np.median(factors[faint]), np.median(factors[~faint]) if (~faint).any() else np.median(factors)
    middle = float(np.median(factors))
    if min(halves) <= 0 or max(halves) > _ALIKE * min(halves):
        return np.nan, np.nan
    scatter = 1.4826 * float(np.median(np.abs(factors - middle)))
    return middle, float(1.2533 * scatter / np.sqrt(known.sum()))


def noise_terms(
    series: Series, aperture: int, relflux: np.ndarray, relflux_err: np.ndarray
) -> dict[str, np.ndarray]:
    """The variance of each relative flux by what makes it.

    Parameters
    ----------
    series : Series
    aperture : int
        Index of the aperture.
    relflux, relflux_err : ndarray, shape (n_frames, n_stars)
        At that aperture; what the errors hold beyond the star's own is the comparison stars'.

    Returns
    -------
    dict of str to ndarray, shape (n_frames, n_stars)
        They add up to the square of the relative error. "masters" is what is left of a star's error when all that is
        known by name is taken from it: the noise of the master bias and dark.
    """
    flux, error = series.flux[..., aperture], series.flux_err[..., aperture]
    told: dict[str, ArrayLike] = {**_UNTOLD, **series.pixel_noise}
    pixel = {name: np.asarray(values, float).reshape(-1, 1) for name, values in told.items()}
    area = np.pi * series.radii[aperture] ** 2
    annulus = np.pi * (series.annulus[1] ** 2 - series.annulus[0] ** 2)
    light, level = np.maximum(flux, 0), np.maximum(series.sky, 0)
    sky = pixel["photons"] * level
    of_pixel = sky + pixel["dark current"] + pixel["read-out"] + pixel["digitisation"]
    sharpness = np.minimum(_SHARPNESS / series.fwhm[:, None] ** 2, 1.0)
    counted = {
        "star": pixel["photons"] * light,
        "sky": area * sky,
        "dark current": area * pixel["dark current"],
        "read-out": area * pixel["read-out"],
        "digitisation": area * pixel["digitisation"],
        "sky level": area**2 / annulus * of_pixel,
        "flat": pixel["flat"] * (sharpness * light**2 + 2 * light * level + area * level**2),
        "scintillation": np.square(series.scintillation[:, None] * flux),
    }
    known = sum(counted.values())
    counted["masters"] = np.maximum(error**2 - known, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.square(relflux / flux) * np.minimum(error**2 / known, 1.0)
        own = np.square(error * relflux / flux)
        terms = {name: np.where(np.isfinite(own), values, np.nan) * scale for name, values in counted.items()}
        terms["masters"] = np.square(relflux / flux) * counted["masters"]
        terms["comparison stars"] = np.maximum(relflux_err**2 - own, 0)
    return terms


def close_budget(
    series: Series,
    aperture: int,
    relflux: ArrayLike,
    relflux_err: ArrayLike,
    *,
    usable: ArrayLike | None = None,
) -> NoiseBudget:
    """Compare the scatter of every star with its errors, from one frame to half an hour.

    Parameters
    ----------
    series : Series
    aperture : int
    relflux, relflux_err : array_like, shape (n_frames, n_stars)
        At that aperture, about 1, without what is known to vary, as a transit.
    usable : array_like of bool, shape (n_frames,) or (n_frames, n_stars), optional
        Points that count; those under cloud say nothing of the noise of a clear night.
    """
    relflux, relflux_err = np.array(relflux, float), np.asarray(relflux_err, float)
    if usable is not None:
        relflux[~np.asarray(usable, bool)] = np.nan
    relflux[spikes(relflux)] = np.nan
    variance = noise_terms(series, aperture, relflux, relflux_err)
    white = sum((v for name, v in variance.items() if name != "flat"), start=np.zeros(relflux.shape))
    width, places = _widths(series.time), _places(series)
    found = [_at_scale(relflux, white, variance["flat"], series.time, places, w / 1440) for w in width]
    predicted, measured, uncertainty = (np.array(values).T for values in zip(*found, strict=True))
    terms = {name: np.sqrt(_mean(values)) for name, values in variance.items()}
    return NoiseBudget(terms, width, predicted, measured, uncertainty)


def _widths(time: np.ndarray) -> np.ndarray:
    """Single frames, and the widths in minutes that hold two frames and fit into the series a few times."""
    time = np.sort(time[np.isfinite(time)])
    if time.size < 2:
        return np.zeros(1)
    step, span = 1440 * float(np.median(np.diff(time))), 1440 * float(np.ptp(time))
    fitting = [w for w in _MINUTES if 1.5 * step <= w <= span / _FEWEST_BINS]
    return np.array([0.0, *fitting])


def _at_scale(
    relflux: np.ndarray, white: np.ndarray, flat: np.ndarray, time: np.ndarray, places: _Places, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and measured standard deviation of each star's bins, and its relative uncertainty."""
    number = np.arange(time.size) if width == 0 else (time - np.nanmin(time)) // width
    member = (number[None, :] == np.unique(number[np.isfinite(number)])[:, None]).astype(float)
    good = np.isfinite(relflux) & np.isfinite(white)
    n = member @ good
    kept = (n > 0) & (n >= _FULL * nan_median(np.where(n > 0, n, np.nan)))
    count = np.maximum(n, 1)
    mean = np.where(kept, member @ np.where(good, relflux, 0) / count, np.nan)
    own = _mean(np.where(kept, member @ np.where(good, white, 0) / count**2, np.nan))
    moved = places.left_between(member) * _mean(np.where(good, flat, np.nan))
    bins = kept.sum(axis=0)
    enough = bins >= _FEWEST_BINS
    uncertainty = np.where(enough, 1 / np.sqrt(2 * np.maximum(bins - 1, 1)), np.nan)
    predicted = np.where(enough, np.sqrt(own + moved), np.nan)
    return predicted, np.where(enough, _scatter(mean), np.nan), uncertainty


@dataclass(frozen=True, eq=False)
class _Places:
    """Frames whose stars' places are known, and how much of the flat's error each two of them have in common."""

    index: np.ndarray
    common: np.ndarray

    def left_between(self, member: np.ndarray) -> float:
        """How much of the variance from the flat is left between bins: 0 for stars that stay on their pixels.

        `member`, shape (n_bins, n_frames), is 1 where a frame is in a bin.
        """
        member = member[:, self.index]
        member = member[member.any(axis=1)]
        bins = len(member)
        if bins < 2:
            return 0.0
        share = member / member.sum(axis=1, keepdims=True)
        within = np.einsum("bi,bi->b", share @ self.common, share)
        mean = share.mean(axis=0)
        return float(max(within.mean() - mean @ self.common @ mean, 0.0) * bins / (bins - 1))


def shared_flat_error(distance2: np.ndarray, fwhm: float) -> np.ndarray:
    """How much of the flat's error the fluxes of a star at two places have in common, from 0 to 1.

    The error of the flat under a star is that of the pixels under its profile, so that two places have in common what
    two Gaussian profiles do: exp(-d^2 / 4 sigma^2).

    Parameters
    ----------
    distance2 : ndarray, pixel^2
        Between the places, squared.
    fwhm : float, pixel
    """
    sigma = fwhm / np.sqrt(8 * np.log(2))
    return np.exp(-distance2 / (4 * sigma**2))


def _places(series: Series) -> _Places:
    """Where the brightest stars stand on the flat."""
    xy = series.xy[:, :_TELLING]
    telling = np.isfinite(xy).all(axis=2).mean(axis=0) > _FULL
    xy = xy[:, telling]
    known = np.flatnonzero(np.isfinite(xy).all(axis=(1, 2)) & np.isfinite(series.fwhm))
    known = known[:: max(1, -(-known.size // _MOST_FRAMES))]
    if not telling.any() or known.size < 2:
        return _Places(known[:0], np.empty((0, 0)))
    fwhm = float(np.median(series.fwhm[known]))
    common = np.zeros((known.size, known.size))
    for star in xy[known].swapaxes(0, 1):
        distance2 = np.square(star[:, None] - star).sum(axis=2)
        common += shared_flat_error(distance2, fwhm)
    return _Places(known, common / telling.sum())


def _mean(values: np.ndarray) -> np.ndarray:
    """Along the first axis, without NaN; NaN where there is nothing else."""
    good = np.isfinite(values)
    total = np.where(good, values, 0).sum(axis=0)
    return np.where(good.any(axis=0), total / np.maximum(good.sum(axis=0), 1), np.nan)


def _scatter(values: np.ndarray) -> np.ndarray:
    """Standard deviation along the first axis (ddof=1), without NaN."""
    off = values - _mean(values)
    return np.sqrt(_mean(off**2) * (n := np.isfinite(values).sum(axis=0)) / np.maximum(n - 1, 1))
