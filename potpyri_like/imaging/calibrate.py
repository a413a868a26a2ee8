"""Calibrate an image with bias, dark and flat, and add photon noise to its variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from potpyri_like.errors import CalibrationError
from potpyri_like.frame import MaskBit, Pixels
from potpyri_like.imaging.bands import row_bands

__all__ = ["calibrate", "noise_floor", "photon_factor", "pixel_noise", "typical"]

_BAD = np.uint16(MaskBit.BAD)
_SAMPLED = 37  # every so many rows and columns tell what is typical
_Planes = tuple[np.ndarray, np.ndarray]  # data and variance of a band


def calibrate(
    pixels: Pixels,
    *,
    bias: Pixels | None = None,
    bias_left: float = 1.0,
    dark: Pixels | None = None,
    dark_scale: float = 1.0,
    flat: Pixels | None = None,
    flat_floor: float = 0.5,
    poisson_factor: float = 1.0,
    pedestal: float = 0.0,
) -> Pixels:
    """The image without bias, without dark current, and divided by the flat.

    Parameters
    ----------
    pixels : Pixels
        As `assemble` or `filter_hot_pixels` leave them: without a Poisson term in the variance.
    bias, dark, flat : Pixels, optional
        Masters of the same shape. The dark has no bias in it; the flat is about 1.
    bias_left : float
        What is left of the bias's own error once the dark is subtracted from which it was subtracted as well: 0 where
        that is a dark of the same exposure, since the bias then has no part in the result.
    dark_scale : float
        Exposure of the image over that of the dark.
    flat_floor : float
        Where the flat is lower, or not finite, the pixel is BAD and not divided.
    poisson_factor : float
        Multiplies the Poisson term: `MEDIAN_PIXEL_FACTOR` for an image that went through the
        3x3 median; see `photon_factor`.
    pedestal : float, electron
        A level in the image that is no light and has no noise of photons, where there is no bias. It is subtracted,
        unless a dark is, which holds it as well.

    Returns
    -------
    Pixels
        Finite everywhere; what would not be is BAD with data and variance 0. The mask is the union of
        all masks, and that of `pixels` itself where nothing comes to it.

    Notes
    -----
    With the signal s = image - bias, the variance is that of the image + max(s, 0) (which holds the
    dark current's own shot noise) + that of the masters: bias x bias_left^2, dark x scale^2 and
    (data)^2 x flat, all divided by flat^2.
    """
    masters = {"bias": bias, "dark": dark, "flat": flat}
    for name, master in masters.items():
        if master is not None and master.data.shape != pixels.data.shape:
            raise CalibrationError(f"the {name} has shape {master.data.shape}, the image {pixels.data.shape}")
    shape = pixels.data.shape
    data, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    mask = _united(pixels.mask, [master.mask for master in masters.values() if master is not None])
    factor = np.float32(poisson_factor)
    with np.errstate(all="ignore"):  # what is not finite becomes BAD
        for band in row_bands(shape):
            out = data[band], variance[band]
            signal = _without_bias(
                pixels, bias, band, factor, np.float32(bias_left**2), out, np.float32(pedestal)
            )
            _without_dark(signal, dark, dark_scale, band, out)
            if pedestal and dark is None:
                out[0][:] -= np.float32(pedestal)
            bad = _divided(flat, flat_floor, band, out) | _made_finite(out)
            if np.any(bad):
                mask = mask.copy() if mask is pixels.mask else mask
                mask[band][bad] |= _BAD
    return Pixels(data, variance, mask)


def photon_factor(*, of_filter: float, of_gain: float) -> float:
    """What multiplies the Poisson term of the variance of an image in electrons of the declared gain.

    Parameters
    ----------
    of_filter : float
        `MEDIAN_PIXEL_FACTOR` for an image that went through the 3x3 median, else 1.
    of_gain : float
        The declared gain over the true one, both in electron / ADU: n photons are counted as `of_gain` x n, with a
        variance of `of_gain`^2 x n, which is `of_gain` times what is counted.
    """
    return of_filter * of_gain


def pixel_noise(
    variance: np.ndarray,
    *,
    photons: float,
    covariance: float = 1.0,
    digitisation: float = 0.0,
    dark: np.ndarray | None = None,
    flat_variance: np.ndarray | None = None,
) -> dict[str, float]:
    """The variance of a typical pixel by what makes it, as it counts in a sum over many, electron^2.

    Parameters
    ----------
    variance : ndarray, shape (rows, columns), electron^2
        Of the image before it is calibrated: of read-out and digitisation.
    photons : float
        See `photon_factor`.
    covariance : float
        Of the image; see `Frame.covariance`.
    digitisation : float, electron^2
        Its part of `variance`.
    dark : ndarray, shape (rows, columns), electron, optional
        The dark current in the exposure.
    flat_variance : ndarray, shape (rows, columns), optional
        Of the flat, relative.

    Returns
    -------
    dict of str to float
        "read-out", "digitisation", "dark current"; "flat", relative; and "photons", what multiplies the variance of
        photons.
    """
    of_pixel = {
        "photons": photons,
        "digitisation": digitisation,
        "read-out": max(typical(variance) - digitisation, 0.0),
        "dark current": photons * max(typical(dark), 0.0) if dark is not None else 0.0,
        "flat": typical(flat_variance) if flat_variance is not None else 0.0,
    }
    return {name: covariance * value for name, value in of_pixel.items()}


def noise_floor(pixels: Pixels, per_level: float) -> float:
    """The variance of a typical pixel without that of its photons, which is `per_level` times its value."""
    some = slice(None, None, _SAMPLED), slice(None, None, _SAMPLED)
    rest = pixels.variance[some] - per_level * np.maximum(pixels.data[some], 0)
    return max(float(np.median(rest)), 0.0)


def typical(plane: np.ndarray) -> float:
    """The median of a sample of pixels."""
    return float(np.median(plane[::_SAMPLED, ::_SAMPLED]))


def _united(mask: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """All bits; the mask itself where the others have none."""
    for other in others:
        if np.bitwise_or.reduce(other, axis=None):
            mask = mask | other
    return mask


def _without_bias(
    pixels: Pixels,
    bias: Pixels | None,
    band: slice,
    factor: np.float32,
    left: np.float32,
    out: _Planes,
    level: np.float32,
) -> np.ndarray:
    """The signal; the variance gets the photons' noise, that of the readout and that of the bias."""
    data, variance = out
    signal, of_readout = pixels.data[band], pixels.variance[band]
    if bias is not None:
        signal = np.subtract(signal, bias.data[band], out=data)
        of_readout = of_readout + left * bias.variance[band]
    variance[:] = 0  # the larger of two arrays is found three times as fast as that of an array and a number
    np.maximum(signal - level if level else signal, variance, out=variance)
    variance *= factor
    variance += of_readout
    return signal


def _without_dark(signal: np.ndarray, dark: Pixels | None, scale: float, band: slice, out: _Planes) -> None:
    data, variance = out
    if dark is None:
        data[:] = signal
    elif scale == 1:
        np.subtract(signal, dark.data[band], out=data)
        variance += dark.variance[band]
    else:
        np.subtract(signal, dark.data[band] * np.float32(scale), out=data)
        variance += dark.variance[band] * np.float32(scale**2)


def _divided(flat: Pixels | None, floor: float, band: slice, out: _Planes) -> np.ndarray | bool:
    """Divide by the flat; where it cannot be used."""
    if flat is None:
        return False
    data, variance = out
    level, of_level = flat.data[band], flat.variance[band]
    unusable: np.ndarray | bool = False
    if not (level.min() >= floor and level.max() < np.inf):  # NaN too
        unusable = ~((level >= floor) & (level < np.inf))
        level, of_level = np.where(unusable, 1, level), np.where(unusable, 0, of_level)
    inverse = 1 / level
    data *= inverse
    of_flat = np.square(data)
    of_flat *= of_level
    variance += of_flat
    variance *= np.square(inverse, out=inverse)
    return unusable


def _made_finite(out: _Planes) -> np.ndarray | bool:
    """Set to 0 what is not finite; where that was."""
    data, variance = out
    if np.isfinite(variance).all() and np.isfinite(data).all():
        return False
    lost = ~(np.isfinite(data) & np.isfinite(variance))
    data[lost] = variance[lost] = 0
    return lost
