"""A level at which pixels end below the declared saturation: 12 bits written as 16, a full well, a clipped stretch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.photometry.noise import nan_median

__all__ = ["plateau"]

_NEAR = 0.97  # of the highest peak: a flat field spreads the level by so much
_FEWEST = 4  # peaks that end there
_LOW = 0.93  # of the usual share of the brightest pixel in a star's light
_SURE = 30.0  # a star's flux over its error, that tells that share
_FEWEST_STARS = 4


def plateau(peak: ArrayLike, flux: ArrayLike, error: ArrayLike) -> float:
    """The level above which no star's peak rises, though its light says that it should.

    The highest peaks of a night are those of the sharpest frames, where the brightest pixel has more of a star's light
    than usual. Where it has less than in the other stars of the same frames, it was cut off.

    Parameters
    ----------
    peak : array_like, shape (n_frames, n_stars), electron
        Brightest pixel above the sky; NaN for points that are known to be saturated.
    flux, error : array_like, shape (n_frames, n_stars), electron
        Within a small aperture.

    Returns
    -------
    float
        Peaks from here on are cut off; infinity where there is no such level.
    """
    peak, flux, error = np.asarray(peak, float), np.asarray(flux, float), np.asarray(error, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(flux > _SURE * error, peak / flux, np.nan)
        highest = np.nanmax(np.where(np.isfinite(share), peak, -np.inf), initial=-np.inf)
        top = peak > _NEAR * highest
        others = np.where(top, np.nan, share)
        usual = nan_median(others.T)[:, None]
        known = np.isfinite(others).sum(axis=1)[:, None] >= _FEWEST_STARS
        ratio = np.where(top & known, share / usual, np.nan)
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) < _FEWEST or not np.median(ratio) < _LOW:
        return float("inf")
    return float(_NEAR * highest)
