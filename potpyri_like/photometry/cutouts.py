"""The pixels around stars: squares, rings, and whether they lie inside the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

__all__ = [
    "PIXEL_FWHM2",
    "Ring",
    "from_squares",
    "in_blocks",
    "is_clean",
    "leaves",
    "native_float32",
    "pixels_around",
    "rounded",
    "square_sums",
    "squares",
    "squares_from",
    "to_squares",
]


PIXEL_FWHM2 = 8 * np.log(2) / 12  # square of the FWHM that a square pixel adds, its variance being 1/12
_CACHED = 240_000  # pixels that are worked on at a time


def native_float32(image: ArrayLike) -> np.ndarray:
    """The image as sep wants it: float32, native byte order, C order; the same array if it is so."""
    return np.ascontiguousarray(image, dtype=np.float32)


def rounded(xy: np.ndarray) -> np.ndarray:
    """Positions as whole pixels; one that is not finite goes far outside."""
    return np.rint(np.nan_to_num(xy, nan=-1e6)).astype(np.intp)


def leaves(shape: tuple[int, ...], xy: np.ndarray, radius: float) -> np.ndarray:
    """Which circles are not wholly inside the image, whose first pixel begins at -0.5."""
    low, high = radius - 0.5, np.array([shape[1], shape[0]]) - 0.5 - radius
    return ~np.all((xy >= low) & (xy <= high), axis=1)


def squares(image: np.ndarray, centre: np.ndarray, half: int, *, outside: float = 0) -> np.ndarray:
    """The square of pixels around each of some whole positions (x, y), shape (n, 2 half + 1, 2 half + 1).

    `outside` is the value of pixels outside the image.
    """
    return squares_from(image, centre - half, 2 * half + 1, outside=outside)


def squares_from(image: np.ndarray, low: np.ndarray, side: int, *, outside: float = 0) -> np.ndarray:
    """The squares of pixels that begin at some pixels (x, y), shape (n, side, side)."""
    inside = np.all((low >= 0) & (low + side <= np.array(image.shape[::-1])), axis=1)
    if np.any(inside):  # one indexing copies row by row, several times faster than pixel by pixel
        x, y = np.where(inside[:, None], low, 0).T
        cut = sliding_window_view(image, (side, side))[y, x]
    else:
        cut = np.empty((len(low), side, side), image.dtype)
    for n in np.flatnonzero(~inside):
        cut[n] = _square_partly(image, low[n, 0], low[n, 1], side, outside)
    return cut


def _square_partly(image: np.ndarray, x: int, y: int, side: int, outside: float) -> np.ndarray:
    """The square that begins at a pixel."""
    square = np.full((side, side), outside, dtype=image.dtype)
    high, wide = image.shape
    rows, columns = slice(max(y, 0), min(y + side, high)), slice(max(x, 0), min(x + side, wide))
    if rows.start < rows.stop and columns.start < columns.stop:
        square[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x] = image[rows, columns]
    return square


@dataclass(frozen=True, eq=False)
class Ring:
    """The pixels whose distance from a central one is in a range.

    Attributes
    ----------
    dx, dy : ndarray of int, shape (n_pixel,)
        Their offsets from the central one.
    half : int
        Of the side of the square that holds them.
    """

    dx: np.ndarray
    dy: np.ndarray
    half: int

    @classmethod
    def between(cls, inner: float, outer: float) -> Ring:
        """The pixels at distances in [inner, outer]."""
        half = int(np.floor(outer))
        offset = np.arange(-half, half + 1)
        distance = np.hypot(offset, offset[:, None])
        y, x = np.nonzero((distance >= inner) & (distance <= outer))
        return cls(x - half, y - half, half)

    def pixels(self, image: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """The pixels around each star's rounded position, shape (n_star, n_pixel).

        Outside the image they are NaN, or 0 in an image of integers.
        """
        image, side = np.asarray(image), 2 * self.half + 1
        outside = np.nan if image.dtype.kind == "f" else 0
        centre = rounded(np.asarray(xy, dtype=float).reshape(-1, 2))
        cut = squares(image, centre, self.half, outside=outside)
        place = (self.dy + self.half) * side + self.dx + self.half
        return cut.reshape(len(cut), side**2).take(place, axis=1)


def pixels_around(
    image: np.ndarray, xy: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels within a radius of each star's rounded position, as `Ring.pixels`, and their offsets dx, dy."""
    ring = Ring.between(0, radius)
    return ring.pixels(image, xy), ring.dx, ring.dy


def is_clean(mask: np.ndarray) -> bool:
    """Whether no pixel of a mask is marked; of one that is a single value for all pixels, only that is looked at."""
    return not (mask[:1, :1] if mask.strides == (0, 0) else mask).any()


def square_sums(data: np.ndarray, factor: int) -> np.ndarray:
    """Sums of squares of pixels; what fills no square at the far edges is cut off. The same array for a factor of 1."""
    if factor == 1:
        return data
    high, wide = data.shape[-2] // factor, data.shape[-1] // factor
    total = np.empty((*data.shape[:-2], high, wide), data.dtype)
    step = max(1, _CACHED // (data.shape[-1] * factor))
    for first in range(0, high, step):
        band = slice(first, min(first + step, high))
        lines = data[..., band.start * factor : band.stop * factor, : wide * factor]
        # Rows first, since adding whole rows is fast.
        rows = lines[..., ::factor, :] + lines[..., 1::factor, :]
        for i in range(2, factor):
            rows += lines[..., i::factor, :]
        np.add(rows[..., ::factor], rows[..., 1::factor], out=total[..., band, :])
        for i in range(2, factor):
            total[..., band, :] += rows[..., i::factor]
    return total


def to_squares(xy: np.ndarray, factor: int) -> np.ndarray:
    """Positions in an image of squares of so many pixels a side, from those in pixels."""
    return (xy + 0.5) / factor - 0.5


def from_squares(xy: np.ndarray, factor: int) -> np.ndarray:
    """Positions in pixels, from those in an image of squares of so many pixels a side."""
    return (xy + 0.5) * factor - 0.5


def in_blocks(
    rows: np.ndarray, pixels: float, *, at_once: int = _CACHED, most: int | None = None
) -> list[np.ndarray]:
    """Rows, one for each star, in blocks that have so many pixels each, and together no more than fit the cache.

    A block has one row at least, and `most` at most; without rows there is one block without any.
    """
    step = min(max(1, int(at_once / max(1.0, pixels))), most or len(rows) or 1)
    return [rows[start : start + step] for start in range(0, max(1, len(rows)), step)]
