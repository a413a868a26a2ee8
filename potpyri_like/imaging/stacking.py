"""Combine aligned frames into one deep image: selection, scaling and sky subtraction."""

from __future__ import annotations

import numpy as np

from potpyri_like.frame import MaskBit, Pixels
from potpyri_like.imaging.combine import Combined

__all__ = ["scale_to_typical", "sharpest_frames", "stacked_pixels", "without_sky"]

_SAMPLED = 7  # every so many good pixels tell the sky's level


def without_sky(pixels: Pixels) -> np.ndarray:
    """The data above the median of the good pixels, NaN where a pixel is bad.

    Returns
    -------
    ndarray, shape (rows, columns), float32, electron
    """
    bad = (pixels.mask & MaskBit.BAD) > 0
    sky = np.median(pixels.data[~bad][::_SAMPLED]) if not bad.all() else 0
    return np.where(bad, np.float32(np.nan), pixels.data - np.float32(sky))


def scale_to_typical(flux: np.ndarray, frame: int) -> float:
    """What multiplies a frame so that its stars have their typical flux: one over its relative transparency.

    Parameters
    ----------
    flux : ndarray, shape (n_frames, n_stars), electron
        Of one aperture; NaN where not measured. A star's typical flux is its median over the frames.
    frame : int
        The row of that frame.

    Returns
    -------
    float
        The median over the stars; 1 for a frame without a measured star.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        typical = np.array([np.nanmedian(star) if np.isfinite(star).any() else np.nan for star in flux.T])
        ratio = typical / flux[frame]
    good = np.isfinite(ratio) & (ratio > 0)
    return float(np.median(ratio[good])) if good.any() else 1.0


def sharpest_frames(
    fwhm: np.ndarray, *, measured: np.ndarray, clear: np.ndarray, count: int | None
) -> np.ndarray:
    """Indices, in their order, of the `count` frames of the smallest FWHM; of all frames where `count` is None.

    Parameters
    ----------
    fwhm : ndarray, shape (n_frames,), pixel
    measured, clear : ndarray of bool, shape (n_frames,)
        Only measured frames are taken, and only those that are clear unless none is.
    count : int or None
    """
    usable = np.flatnonzero(np.isfinite(fwhm) & measured)
    chosen = usable[clear[usable]]
    chosen = chosen if len(chosen) else usable
    if count is not None:
        chosen = chosen[np.argsort(fwhm[chosen], kind="stable")[:count]]
    return np.sort(chosen)


def stacked_pixels(stacked: Combined) -> Pixels:
    """The data and variance of a stack, 0 where they are unknown, and a mask that is BAD where no frame had a value."""
    empty = ~np.isfinite(stacked.value)
    unknown = empty | ~np.isfinite(stacked.variance)
    return Pixels(
        np.where(empty, 0, stacked.value),
        np.where(unknown, 0, stacked.variance),
        np.where(empty, np.uint16(MaskBit.BAD), np.uint16(0)),
    )
