"""A star dimmed in an image, as a planet in front of it would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Dimming", "dimmed", "dimming_radius"]

_WHOLE, _RIM = 0.8, 1.0  # of the radius: up to where the whole light is dimmed, and where nothing is
_FWHM, _APERTURE = 3.0, 1.3  # at least so far from a star is its light dimmed: FWHM, radii of the aperture
_SKY = 1.5  # radii, up to which the sky is taken


@dataclass(frozen=True)
class Dimming:
    """How much of a star's light is taken.

    Attributes
    ----------
    x, y : float, pixel
        In the trimmed frame.
    loss : float
        Of its light; 0.01 takes 1 %.
    """

    x: float
    y: float
    loss: float


def dimmed(
    image: np.ndarray, dimming: Dimming, *, radius: float, out: np.ndarray | None = None
) -> np.ndarray:
    """The image with a star dimmed.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        With the bias, or without; the level around the star is taken as that of its sky.
    dimming : Dimming
    radius : float, pixel
        The whole light is dimmed up to 0.8 of it, nothing beyond; the sky is the median out to 1.5 of it.
    out : ndarray, optional
        Where to put it; a copy by default.
    """
    out = image.copy() if out is None else out
    half = int(np.ceil(_SKY * radius))
    column, row = round(dimming.x), round(dimming.y)
    box = (
        slice(max(row - half, 0), max(row + half + 1, 0)),
        slice(max(column - half, 0), max(column + half + 1, 0)),
    )
    part = image[box]
    if not part.size:
        return out
    y, x = np.ogrid[box[0].start : box[0].start + part.shape[0], box[1].start : box[1].start + part.shape[1]]
    distance = np.hypot(x - dimming.x, y - dimming.y) / radius
    around = part[(distance > _RIM) & (distance < _SKY)]
    sky = float(np.median(around)) if around.size else float(np.median(part))
    share = np.clip((_RIM - distance) / (_RIM - _WHOLE), 0, 1)
    out[box] = part - (dimming.loss * share * (part - sky)).astype(image.dtype)
    return out


def dimming_radius(fwhm: float, aperture: float) -> float:
    """How far from a star its light is dimmed, pixels: beyond the aperture, and where it has hardly any left.

    Parameters
    ----------
    fwhm, aperture : float, pixel
        The widest FWHM of the night, and the radius in which the flux is measured.
    """
    return max(_FWHM * fwhm, _APERTURE * aperture)
