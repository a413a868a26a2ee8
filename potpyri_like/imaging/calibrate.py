"""Bias, dark and flat taken out of an image, and the photons' own noise put into its variance."""

from __future__ import annotations

import numpy as np

from potpyri_like.errors import CalibrationError
from potpyri_like.frame import MaskBit
from potpyri_like.imaging.bands import row_bands
from potpyri_like.imaging.pixels import Pixels

__all__ = ["calibrate", "normalise_flat"]

BAD = np.uint8(MaskBit.BAD)


def calibrate(
    pixels: Pixels,
    *,
    bias: Pixels | None = None,
    dark: Pixels | None = None,
    dark_scale: float = 1.0,
    flat: Pixels | None = None,
    flat_floor: float = 0.5,
    poisson_factor: float = 1.0,
) -> Pixels:
    """The image without bias, without dark current, and divided by the flat.

    Parameters
    ----------
    pixels : Pixels
        As `assemble` or `filter_hot_pixels` leave them: without a Poisson term in the variance.
    bias, dark, flat : Pixels, optional
        Masters of the same shape. The dark has no bias in it; the flat is about 1.
    dark_scale : float
        Exposure of the image over that of the dark.
    flat_floor : float
        Where the flat is lower, or not finite, the pixel is BAD and not divided.
    poisson_factor : float
        Multiplies the Poisson term: `MEDIAN_NOISE_FACTOR` for an image that went through the
        3x3 median.

    Returns
    -------
    Pixels
        Finite everywhere; what would not be is BAD with data and variance 0. The mask is the union of
        all masks.

    Notes
    -----
    With the signal s = image - bias, the variance is that of the image + max(s, 0) (which holds the
    dark current's own shot noise) + that of the masters: bias, dark x scale^2 and
    (data)^2 x flat, all divided by flat^2.
    """
    for name, master in (("bias", bias), ("dark", dark), ("flat", flat)):
        if master is not None and master.data.shape != pixels.data.shape:
            raise CalibrationError(f"the {name} has shape {master.data.shape}, the image {pixels.data.shape}")
    shape = pixels.data.shape
    result = Pixels(np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.uint8))
    with np.errstate(all="ignore"):  # what is not finite becomes BAD
        for band in row_bands(shape):
            out = Pixels(*(plane[band] for plane in result))
            _copy(pixels, band, out)
            if bias is not None:
                _subtract(out, bias, band, 1.0)
            out.variance[:] += np.maximum(out.data, 0) * np.float32(poisson_factor)
            if dark is not None:
                _subtract(out, dark, band, dark_scale)
            if flat is not None:
                _divide(out, flat, band, flat_floor)
            _make_finite(out)
    return result


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
        raise CalibrationError(
            f"a flat of level {level:.1f} electron in {good.size} good pixels; wanted light"
        )
    inverse = np.float32(1 / level)
    return Pixels(pixels.data * inverse, pixels.variance * inverse**2, pixels.mask.copy()), level


def _clipped_mean(values: np.ndarray) -> float:
    centre = np.median(values)
    away = np.abs(values - centre)
    return float(values[away <= 5 * 1.4826 * np.median(away)].mean(dtype=np.float64))


def _copy(pixels: Pixels, band: slice, out: Pixels) -> None:
    for plane, source in zip(out, pixels, strict=True):
        plane[:] = source[band]


def _subtract(out: Pixels, master: Pixels, band: slice, scale: float) -> None:
    data, variance, mask = out
    data -= master.data[band] if scale == 1 else master.data[band] * np.float32(scale)
    variance += master.variance[band] if scale == 1 else master.variance[band] * np.float32(scale**2)
    mask |= master.mask[band]


def _divide(out: Pixels, flat: Pixels, band: slice, floor: float) -> None:
    data, variance, mask = out
    level = flat.data[band]
    unusable = ~((level >= floor) & (level < np.inf))  # NaN too
    inverse = 1 / np.where(unusable, 1, level)
    data *= inverse
    of_flat = np.square(data)
    of_flat *= flat.variance[band]
    of_flat[unusable] = 0
    variance += of_flat
    variance *= np.square(inverse, out=inverse)
    mask |= flat.mask[band]
    mask[unusable] |= BAD


def _make_finite(out: Pixels) -> None:
    lost = ~np.isfinite(out.data + out.variance)
    if lost.any():
        out.data[lost] = out.variance[lost] = 0
        out.mask[lost] |= BAD
