"""A known dimming of some stars, put into the raw pixels of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.frame import Frame
from potpyri_like.primitives.stage import Setup, pixels_of, to_ccd

__all__ = ["Dimming", "Inject", "dimmed"]

WHOLE, RIM = 0.8, 1.0  # of the radius: up to where the whole light is dimmed, and where nothing is


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


@dataclass(frozen=True)
class Inject:
    """Dim stars in a trimmed frame that is not calibrated yet: all that follows meets the dip as it would a real one.

    What a pixel has above the sky around the star is multiplied by 1 - loss, so that the star keeps its profile and
    its noise.

    Attributes
    ----------
    dimmings : mapping of str to tuple of Dimming
        By the frame's label.
    radius : float, pixel
        Around each star.
    """

    dimmings: Mapping[str, tuple[Dimming, ...]]
    radius: float
    per: ClassVar[str] = "frame"
    reads: ClassVar[tuple[str, ...]] = ()
    hands_on_pixels: ClassVar[bool] = True  # what comes of it is not a measurement of the night

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        pixels = pixels_of(frame)
        data = pixels.data.copy()
        for dimming in self.dimmings.get(frame.info.label, ()):
            dimmed(data, dimming, radius=self.radius, out=data)
        return frame.after("stars dimmed", ccd=to_ccd(pixels._replace(data=data), frame.ccd.wcs))


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
    half = int(np.ceil(1.5 * radius))
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
    around = part[(distance > RIM) & (distance < 1.5)]
    sky = float(np.median(around)) if around.size else float(np.median(part))
    share = np.clip((RIM - distance) / (RIM - WHOLE), 0, 1)
    out[box] = part - (dimming.loss * share * (part - sky)).astype(image.dtype)
    return out
