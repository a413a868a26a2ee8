"""Whether there is a star at a place where none was detected."""

from __future__ import annotations

import numpy as np

from potpyri_like.photometry.psf import Profile

__all__ = ["SIGMA_STAR", "combined_significance", "forced_flux"]

SIGMA_STAR = 5.0  # standard deviations from which on a star is there
_REGION, _BEYOND = (
    4.0,
    3.0,
)  # FWHM around the place that are fitted, and beyond, where neighbours still reach in
_MODEL_ERROR = 0.05  # of a neighbour's light in a pixel: no star looks exactly like the profile
_BLANKS, _FEWEST_BLANKS = 24, 8  # places without a star, that show what the sky alone gives
_BLANK_FROM, _BLANK_TO, _CLEAR = 3.0, 9.0, 2.5  # FWHM from the place; from any star
_SHARE = 0.5  # of a region's pixels that have to be known


def forced_flux(
    image: np.ndarray, xy: np.ndarray, stars: np.ndarray, *, profile: Profile
) -> tuple[float, float]:
    """The flux of a star at a place, fitted together with its measured neighbours and the sky, and its error.

    The error is that of the fit, or the scatter of the same at places without a star around, if that is larger: noise
    of neighbouring pixels may be correlated.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), electron
        Not finite where a pixel is not to be used.
    xy : ndarray, shape (2,), pixel
    stars : ndarray, shape (n, 2), pixel
        All stars that were detected; a neighbour's brightness is fitted, too.
    profile : Profile
        Of the frame's stars.

    Returns
    -------
    flux, error : float, electron
        NaN where too few pixels are known.
    """
    flux, error = _fitted(image, xy, stars, profile)
    blank = _blank_places(xy, stars, profile.fwhm, image.shape)
    found = np.array([_fitted(image, place, stars, profile)[0] for place in blank])
    found = found[np.isfinite(found)]
    if len(found) >= _FEWEST_BLANKS:
        error = max(error, 1.4826 * float(np.median(np.abs(found - np.median(found)))))
    return flux, error


def combined_significance(flux: np.ndarray, error: np.ndarray) -> float:
    """How many standard deviations a star is above nothing in several frames together; NaN where none is known.

    Frames off the median by more than five of their errors, as with a cosmic ray at the place, do not count. The error
    is that of the weighted mean, or what the scatter among the frames says, if that is larger.
    """
    good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    flux, error = np.asarray(flux, float)[good], np.asarray(error, float)[good]
    if not len(flux):
        return float("nan")
    near = np.abs(flux - np.median(flux)) <= 5 * error
    flux, weight = flux[near], 1 / error[near] ** 2
    if not len(flux):
        return float("nan")
    mean, variance = float(np.sum(weight * flux) / weight.sum()), 1 / weight.sum()
    if len(flux) > 2:
        chi2 = float(np.sum(weight * (flux - mean) ** 2)) / (len(flux) - 1)
        variance *= max(1.0, chi2)
    return mean / float(np.sqrt(variance))


def _fitted(image: np.ndarray, xy: np.ndarray, stars: np.ndarray, profile: Profile) -> tuple[float, float]:
    """Flux and error at one place, by weighted linear least squares."""
    reach = _REGION * profile.fwhm
    low = np.maximum(np.floor(xy - reach).astype(int), 0)
    high = np.minimum(np.ceil(xy + reach).astype(int) + 1, image.shape[::-1])
    if (high <= low).any():
        return np.nan, np.nan
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    value = image[low[1] : high[1], low[0] : high[0]].astype(float)
    used = (np.hypot(x - xy[0], y - xy[1]) <= reach) & np.isfinite(value)
    if used.sum() < _SHARE * np.pi * reach**2:
        return np.nan, np.nan
    x, y, value = x[used], y[used], value[used]
    near = stars[np.hypot(*(stars - xy).T) <= reach + _BEYOND * profile.fwhm]
    seen = profile.through_pixels(1.0)
    light = [seen.light(x - cx, y - cy) for cx, cy in (xy, *near)]
    columns = np.column_stack([*light, np.ones(len(x)), x - xy[0], y - xy[1]])
    return _solved(columns, value, len(near))


def _solved(columns: np.ndarray, value: np.ndarray, neighbours: int) -> tuple[float, float]:
    """The first of the fitted numbers and its error; the noise is that which the fit leaves."""
    weight = np.ones(len(value))
    found = np.zeros(columns.shape[1])
    for _ in range(3):
        root = np.sqrt(weight)
        scale = np.sqrt(np.sum((columns * root[:, None]) ** 2, axis=0))
        scale[scale == 0] = 1
        found = np.linalg.lstsq(columns * root[:, None] / scale, value * root, rcond=1e-8)[0] / scale
        rest = value - columns @ found
        noise = max(1.4826 * float(np.median(np.abs(rest - np.median(rest)))), 1e-3)
        others = np.clip(columns[:, 1 : 1 + neighbours] * found[1 : 1 + neighbours], 0, None).sum(axis=1)
        own = np.clip(columns[:, 0] * found[0], 0, None)
        weight = 1 / (noise**2 + own + others + (_MODEL_ERROR * others) ** 2)
    normal = columns.T @ (columns * weight[:, None])
    covariance = np.linalg.pinv(normal / np.outer(scale, scale), rcond=1e-10, hermitian=True)
    return float(found[0]), float(np.sqrt(max(covariance[0, 0], 0))) / float(scale[0])


def _blank_places(xy: np.ndarray, stars: np.ndarray, fwhm: float, shape: tuple[int, ...]) -> np.ndarray:
    """Places around a place that hold no star, spread evenly in angle, from near to far."""
    number = np.arange(4 * _BLANKS)
    angle = number * np.pi * (3 - np.sqrt(5))
    radius = fwhm * np.sqrt(np.linspace(_BLANK_FROM**2, _BLANK_TO**2, len(number)))
    places = xy + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    inside = ((places >= 0) & (places <= np.array(shape[::-1]) - 1)).all(axis=1)
    places = places[inside]
    if len(stars):
        apart = np.hypot(*(places[:, None] - stars[None]).transpose(2, 0, 1))
        places = places[(apart > _CLEAR * fwhm).all(axis=1)]
    return places[:_BLANKS]
