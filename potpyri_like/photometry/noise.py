"""How noisy one series is, and how noisy it ought to be.

Every figure of a relative flux (1 out of transit) is a relative number: 0.002 is 2 parts in a thousand. NaN
in a series stands for "not measured" and is excluded; too few points give NaN, never an exception.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

__all__ = [
    "MAD_TO_SIGMA",
    "ccd_error",
    "expected",
    "nan_median",
    "outlier_fraction",
    "point_to_point",
    "rms",
    "robust_rms",
    "running_median",
    "scintillation",
    "spikes",
]

MAD_TO_SIGMA = 1.4826  # of a normal distribution
_Number = float | np.ndarray


def rms(flux: ArrayLike) -> float:
    """Standard deviation about the mean (ddof=1); NaN is ignored, fewer than two points give NaN."""
    flux = _finite(flux)
    return float(np.std(flux, ddof=1)) if flux.size > 1 else np.nan


def robust_rms(flux: ArrayLike) -> float:
    """Scatter about the median, 1.4826 times the median absolute deviation; NaN is ignored."""
    flux = _finite(flux)
    return float(MAD_TO_SIGMA * np.median(np.abs(flux - np.median(flux)))) if flux.size > 1 else np.nan


def point_to_point(flux: ArrayLike, time: ArrayLike | None = None, *, max_gap: float = 5.0) -> float:
    """Scatter of successive differences over sqrt(2): the white noise, blind to a transit or a trend.

    Differences more than four robust scatters (1.4826 MAD) from their median, as a cosmic ray makes, are left
    out; of the others it is the standard deviation, half as noisy a figure as the MAD itself.

    Parameters
    ----------
    flux : array_like, shape (n,)
        NaN is ignored before the differences are taken; fewer than three points give NaN.
    time : array_like, shape (n,), optional
        In any unit and order. Differences over more than `max_gap` times the median cadence are excluded.
        Without it the points are taken as they come.
    """
    flux = np.asarray(flux, float)
    if time is None:
        return _clipped_rms(np.diff(_finite(flux))) / np.sqrt(2)
    time = np.asarray(time, float)
    good = np.flatnonzero(np.isfinite(flux) & np.isfinite(time))
    good = good[np.argsort(time[good], kind="stable")]
    if good.size < 3:
        return np.nan
    step = np.diff(time[good])
    return _clipped_rms(np.diff(flux[good])[step <= max_gap * np.median(step)]) / np.sqrt(2)


def expected(error: ArrayLike, *, robust: bool = False) -> float:
    """The noise expected from the errors: their root mean square, or their median; NaN is ignored."""
    error = _finite(error)
    if not error.size:
        return np.nan
    return float(np.median(error) if robust else np.sqrt(np.mean(error**2)))


def outlier_fraction(flux: ArrayLike, *, nsigma: float = 5.0) -> float:
    """Fraction of the measured points that stand alone, more than `nsigma` from their neighbours, up or down.

    A transit is not an outlier: see `spikes`. NaN is ignored of both counts; no point at all gives NaN.
    """
    flux = _finite(flux)
    return float(np.mean(spikes(flux, nsigma=nsigma))) if flux.size else np.nan


def spikes(flux: ArrayLike, *, nsigma: float = 5.0, width: int = 5) -> np.ndarray:
    """Where a point is off the running median by more than `nsigma` robust scatters of that distance.

    Parameters
    ----------
    flux : array_like, shape (n,) or (n, n_series)
        In order of time. NaN is never a spike and does not hide one.
    width : int
        Points in the running median, odd; excursions of width // 2 points and fewer are seen.

    Returns
    -------
    ndarray of bool, of the shape of `flux`
    """
    flux = np.asarray(flux, float)
    distance = np.abs(flux - running_median(flux, width))
    # The median of the distances not zero: a point that is its own running median has none.
    scale = MAD_TO_SIGMA * nan_median(np.where(distance > 0, distance, np.nan))
    with np.errstate(invalid="ignore"):
        return distance > nsigma * scale


def running_median(flux: ArrayLike, width: int = 5) -> np.ndarray:
    """Median over `width` (odd) neighbouring points along the first axis, fewer at the ends.

    NaN is ignored of each window; a window without a number is NaN.
    """
    flux = np.asarray(flux, float)
    half = width // 2
    padded = np.pad(flux, [(half, half)] + [(0, 0)] * (flux.ndim - 1), constant_values=np.nan)
    return nan_median(np.moveaxis(sliding_window_view(padded, width, axis=0), -1, 0))


def nan_median(values: ArrayLike) -> np.ndarray:
    """Median along the first axis without the NaN; NaN, in silence, where there is nothing else."""
    ordered = np.sort(np.asarray(values, float), axis=0)
    n = np.count_nonzero(~np.isnan(ordered), axis=0)
    if ordered.shape[0] == 0:
        return np.full(ordered.shape[1:], np.nan)
    middle = np.stack([np.maximum(n - 1, 0) // 2, np.minimum(n // 2, ordered.shape[0] - 1)])
    return np.take_along_axis(ordered, middle, axis=0).mean(axis=0)


def ccd_error(
    flux: ArrayLike,
    *,
    area: _Number,
    sky: _Number,
    read_noise: _Number,
    dark: _Number = 0.0,
    sky_pixels: _Number | None = None,
    gain: _Number = 0.0,
) -> np.ndarray:
    """Error of an aperture's flux by the CCD equation (Merline & Howell 1995; Howell 2006, section 4.4).

    ``sqrt(F + n (1 + n / n_sky) (sky + dark + R**2 + gain**2 / 12))``, all in electrons: photons of the star,
    then of sky, dark current, read-out and digitisation in the n pixels of the aperture, then the same again
    for the sky level, which was the mean of n_sky pixels.

    Parameters
    ----------
    flux : float or ndarray, electron
        Net of sky; below 0 counts as 0. NaN stays NaN.
    area : float or ndarray, pixel
        Of the aperture.
    sky, dark : float or ndarray, electron / pixel in the exposure
        Below 0 counts as 0.
    read_noise : float or ndarray, electron
    sky_pixels : float or ndarray, pixel, optional
        Pixels that gave the sky; without it the sky is taken as known exactly.
    gain : float, electron / ADU
        For the noise of digitisation, gain / sqrt(12); 0 leaves it out.
    """
    pixel = np.maximum(sky, 0) + np.maximum(dark, 0) + np.square(read_noise) + gain**2 / 12
    share = 0.0 if sky_pixels is None else np.divide(area, sky_pixels)
    return np.sqrt(np.maximum(flux, 0) + area * (1 + share) * pixel)


def scintillation(
    exposure: _Number,
    airmass: _Number,
    *,
    diameter: float,
    altitude: float,
    coefficient: float = 1.5,
    scale_height: float = 8000.0,
) -> np.ndarray:
    """Relative scatter of a star from scintillation (Young 1967, as calibrated by Osborn et al. 2015, eq. 7).

    ``sqrt(1e-5 C**2 D**(-4/3) X**3 exp(-2 h / H) / t)``, for exposures of about a second and longer.

    Parameters
    ----------
    exposure : float or ndarray, s
    airmass : float or ndarray
        NaN stays NaN.
    diameter, altitude, scale_height : float, m
        Of the telescope's mirror, of the site above the sea, of the turbulent air.
    coefficient : float, m**(2/3) s**(1/2)
        Of the site: 1.5 is the median of those measured, 1.67 that of San Pedro Martir.
    """
    variance = 1e-5 * coefficient**2 * diameter ** (-4 / 3) * np.exp(-2 * altitude / scale_height)
    return np.sqrt(variance * np.power(airmass, 3.0) / exposure)


def _clipped_rms(values: np.ndarray) -> float:
    if values.size < 2:
        return np.nan
    off = np.abs(values - np.median(values))
    return rms(values[off <= 4 * MAD_TO_SIGMA * np.median(off)])


def _finite(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, float)
    return values[np.isfinite(values)]
