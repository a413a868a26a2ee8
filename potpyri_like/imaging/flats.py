"""Flats: their level, by which they are divided."""

from __future__ import annotations

import numpy as np

from potpyri_like.errors import CalibrationError
from potpyri_like.frame import Pixels

__all__ = ["normalise_flat"]


def normalise_flat(pixels: Pixels) -> tuple[Pixels, float]:
    """The flat divided by its level, one number for the whole frame, and that level.

    Parameters
    ----------
    pixels : Pixels
        A flat without bias and dark.

    Returns
    -------
    flat : Pixels
        About 1.
    level : float, electron
        Mean of the good pixels within 5 standard deviations of their median.
    """
    good = pixels.data[(pixels.mask == 0) & np.isfinite(pixels.data)]
    level = _clipped_mean(good) if good.size else 0.0
    if not level > 0:
        raise CalibrationError(f"a flat of level {level:.1f} electrons in {good.size} good pixels: no light")
    inverse = np.float32(1 / level)
    return Pixels(pixels.data * inverse, pixels.variance * inverse**2, pixels.mask.copy()), level


def _clipped_mean(values: np.ndarray) -> float:
    centre = np.median(values)
    away = np.abs(values - centre)
    return float(values[away <= 5 * 1.4826 * np.median(away)].mean(dtype=np.float64))
