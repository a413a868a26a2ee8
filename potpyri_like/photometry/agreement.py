"""Whether one factor describes a frame: cloud does the same to all its stars, a dome's edge does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.photometry.noise import MAD_TO_SIGMA, nan_median

__all__ = ["disagreement"]

_FEWEST = 4  # stars, of which one may be the odd one
_FAR = 6.0  # standard deviations
_MANY = 0.3  # of the stars: too bright by a trail or particles in so many cannot be


def disagreement(flux: ArrayLike, error: ArrayLike) -> np.ndarray:
    """How far the stars of each frame are from one common factor, where they disagree beyond doubt.

    A star's usual scatter against the median star of each frame is its robust one over the night, and its error at
    least. A frame's stars disagree if two or more are too faint by six of it, which a shadow does, or a third are too
    bright. One star, or a few too bright ones, are excluded as outliers, and say nothing of the others.

    Parameters
    ----------
    flux, error : array_like, shape (n_frames, n_stars)
        Of constant stars; NaN where a star was not measured.

    Returns
    -------
    ndarray, shape (n_frames,)
        Relative standard deviation of the stars beyond their usual scatter; 0 where they agree, or are fewer than four.
    """
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    level = nan_median(flux)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = flux / np.where(level > 0, level, np.nan)
        common = nan_median(share.T)[:, None]
        off = share / np.where(common > 0, common, np.nan) - 1
        own = nan_median(off)
        usual = np.fmax(MAD_TO_SIGMA * nan_median(np.abs(off - own)), error / np.abs(level * common))
        far = (off - own) / usual
    known = np.isfinite(far).sum(axis=1)
    low, high = ((sign * far > _FAR).sum(axis=1) for sign in (-1, 1))
    odd = (known >= _FEWEST) & ((low >= 2) | (high >= np.maximum(3, _MANY * known)))
    spread2 = np.nanmean(np.where(odd[:, None], (off - own) ** 2 - usual**2, 0.0), axis=1)
    return np.sqrt(np.maximum(spread2, 0))
