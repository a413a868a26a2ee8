"""Sums over masks whose borders run through pixels: each pixel is cut into s x s, and each part is in or out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_cdt, label

from potpyri_like.photometry.cutouts import Ring, rounded, square_sums, squares, squares_from

__all__ = ["Contours", "Template", "circles", "contours", "layered_sums", "parts"]

_NEAR = 0.5  # FWHM around a star's place in which its peak is looked for
_FAINT = 0.75  # FWHM: the radius of the contour of a star that does not stand out
_STANDS_OUT = 3.0  # sigma of the sky
_WIDEST = 2.5  # FWHM: how far a contour reaches, before it is grown


@dataclass(frozen=True)
class Template:
    """The reference, as far as masks are made from it; those of one digest are equal.

    Attributes
    ----------
    digest : str
    image : ndarray, shape (ny, nx)
    xy : ndarray, shape (n_star, 2), pixels
    fwhm : float, pixels
    """

    digest: str
    image: np.ndarray = field(compare=False, repr=False)
    xy: np.ndarray = field(compare=False, repr=False)
    fwhm: float = field(compare=False)


@dataclass(frozen=True, eq=False)
class Contours:
    """The contour of each star in a template, and how many layers have to grow around it to reach each pixel.

    Attributes
    ----------
    low : ndarray of int, shape (n_star, 2)
        The first pixel (x, y) of each star's square.
    layers : ndarray of int, shape (n_star, side, side)
        0 inside the contour.
    """

    low: np.ndarray
    layers: np.ndarray

    def equivalent_radii(self, layers: Sequence[int]) -> np.ndarray:
        """The radius of a circle of the area that the contours have after growing, the median of all stars, pixels."""
        area = [np.count_nonzero(self.layers <= n, axis=(1, 2)) for n in layers]
        return np.sqrt(np.median(area, axis=1) / np.pi)


@lru_cache(maxsize=2)
def contours(template: Template, *, depth: float, layers: int) -> Contours:
    """The pixels that hang together with each star's peak and are brighter than a part of it.

    Parameters
    ----------
    template : Template
    depth : float
        That part, above the sky; what is not 3 sigma above the sky is no star's.
    layers : int
        At most so many layers of 3 x 3 pixels will be grown.
    """
    half = int(np.ceil(_WIDEST * template.fwhm)) + layers + 1
    centre = rounded(template.xy)
    level, noise = _sky(template, half)
    stamps = squares(template.image, centre, half, outside=np.nan) - level[:, None, None]
    offset = np.arange(-half, half + 1)
    each = [
        _grown(stamp, np.hypot(offset + c[0] - x, (offset + c[1] - y)[:, None]), template.fwhm, depth, sigma)
        for stamp, c, (x, y), sigma in zip(stamps, centre, template.xy, noise, strict=True)
    ]
    grown = np.array(each, dtype=np.int32).reshape(-1, 2 * half + 1, 2 * half + 1)
    used = np.flatnonzero((grown <= layers).any(axis=(0, 1)) | (grown <= layers).any(axis=(0, 2)))
    spare = max(0, min(used.min(initial=half), 2 * half - used.max(initial=half)) - 1)
    middle = slice(spare, 2 * half + 1 - spare)
    return Contours(centre - half + spare, grown[:, middle, middle])


def _sky(template: Template, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Median of the sky around each star and its scatter, from the darker pixels; 0 where there is none."""
    ring = Ring.between(3 * template.fwhm, max(half, 5 * template.fwhm)).pixels(template.image, template.xy)
    ring = np.sort(np.asarray(ring, float), axis=1)
    rows, n = np.arange(len(ring)), np.count_nonzero(np.isfinite(ring), axis=1)
    middle, low = ring[rows, n // 2], ring[rows, n // 4]
    return np.nan_to_num(middle), np.nan_to_num((middle - low) / 0.6745)


def _grown(stamp: np.ndarray, far: np.ndarray, fwhm: float, depth: float, noise: float) -> np.ndarray:
    """How many layers around the contour of the star in the middle of a square reach each pixel."""
    peak = np.fmax.reduce(stamp[far <= max(1.0, _NEAR * fwhm)], initial=-np.inf)
    inside = (stamp > max(depth * peak, _STANDS_OUT * noise)) & (far <= _WIDEST * fwhm)
    piece, _ = label(inside)
    own = piece[np.unravel_index(np.argmin(far), far.shape)]
    inside = binary_fill_holes(piece == own) if own else far <= _FAINT * fwhm
    return distance_transform_cdt(~inside, metric="chessboard")


def parts(offset: np.ndarray, subpixels: int) -> np.ndarray:
    """The centres of the parts of some pixels along one axis, shape (..., n_pixel, subpixels)."""
    return offset[..., None] + (np.arange(subpixels) + 0.5) / subpixels - 0.5


def circles(x: np.ndarray, y: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """In which of concentric circles each part of each pixel lies: the number of the smallest, or their count."""
    far = np.hypot(x[:, None, None, :, :], y[:, :, :, None, None])
    return np.searchsorted(radii, far, side="left")


def layered_sums(
    image: np.ndarray,
    variance: np.ndarray,
    low: np.ndarray,
    layers: np.ndarray,
    count: int,
    *,
    binning: int = 1,
) -> np.ndarray:
    """Sums over nested masks of an image, of its variance and of 1: shape (3, n_star, count).

    A pixel cut by a mask's border enters the variance with its fraction, as in `aperture_sums`.

    Parameters
    ----------
    image, variance : ndarray, shape (ny, nx)
    low : ndarray of int, shape (n_star, 2)
        The first pixel (x, y) of each star's square.
    layers : ndarray of int, shape (n_star, side, subpixels, side, subpixels)
        The smallest mask that holds each part of each pixel of the square; `count` where none does.
    binning : int
        The variance is still that of pixels of which squares of that side make one of the image's.
    count : int
        Masks. Those that reach outside the image, or a pixel that is not finite, are NaN.
    """
    stars, side, fine = layers.shape[:3]
    number = (layers + (count + 1) * np.arange(stars)[:, None, None, None, None]).ravel()
    fine_variance = squares_from(variance, low * binning, side * binning)
    cuts = squares_from(image, low, side, outside=np.nan), square_sums(fine_variance, binning)
    sums = np.empty((3, stars, count + 1))
    for total, cut in zip(sums, (*cuts, np.ones((stars, side, side))), strict=True):
        each = np.broadcast_to(cut[:, :, None, :, None] / fine**2, layers.shape).ravel()
        total[:] = np.bincount(number, each, minlength=total.size).reshape(total.shape)
    return np.cumsum(sums[..., :count], axis=-1)
