"""An image moved, turned or scaled onto another grid."""

from __future__ import annotations

import numpy as np

from potpyri_like.errors import PixelError
from potpyri_like.frame import MaskBit
from potpyri_like.imaging.bands import row_bands
from potpyri_like.imaging.pixels import Pixels

__all__ = ["warp"]

_EDGE = 1e-6  # pixel: how far outside the last pixel centre is still rounding


def warp(
    pixels: Pixels,
    matrix: np.ndarray,
    offset: np.ndarray,
    *,
    shape: tuple[int, int] | None = None,
    order: int = 1,
) -> Pixels:
    """The image on the grid that ``[x', y'] = matrix @ [x, y] + offset`` leads to.

    Parameters
    ----------
    pixels : Pixels
    matrix : array_like, shape (2, 2)
    offset : array_like, shape (2,), pixel
        Together they take a position (x, y) in `pixels` to (x', y') in the result; 0-based, pixel
        centres on integers, x along columns.
    shape : (int, int), optional
        Rows, columns of the result; those of `pixels` by default.
    order : {1, 0}
        1: bilinear; 0: the nearest pixel.

    Returns
    -------
    Pixels
        Where the four (or the one) input pixels are not all inside, data and variance are 0 and the
        mask is BAD. A bit is set where any input pixel of weight above 0 has it.

    Notes
    -----
    Flux is conserved: values are divided by \\|det(matrix)\\|, the number of new pixels an old one
    covers. The variance is interpolated with the same weights and divided by \\|det(matrix)\\|
    too. Interpolation correlates neighbours; this way the sum of the variance over an aperture
    stays the variance of the flux in it, as it was. (Squared weights would give the scatter of
    single pixels, 2.25 times less on average.)
    """
    matrix, offset = np.asarray(matrix, dtype=np.float64), np.asarray(offset, dtype=np.float64)
    area = abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
    if order not in (0, 1) or not np.isfinite(area) or area < 1e-12:
        raise PixelError(f"cannot warp with order {order} and a matrix of determinant {area:g}")
    shape = pixels.data.shape if shape is None else shape
    result = Pixels(np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.uint8))
    for band in row_bands(shape, pixels=1 << 14):
        x, y = _places_in_input(np.linalg.inv(matrix), offset, band, shape[1])
        if order == 0:
            x, y = np.rint(x), np.rint(y)
        _interpolate(pixels, x, y, 1 / area, out=Pixels(*(plane[band] for plane in result)))
    return result


def _places_in_input(
    inverse: np.ndarray, offset: np.ndarray, band: slice, cols: int
) -> tuple[np.ndarray, np.ndarray]:
    dx = np.arange(cols) - offset[0]
    dy = np.arange(band.start, band.stop)[:, None] - offset[1]
    return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy


def _interpolate(pixels: Pixels, x: np.ndarray, y: np.ndarray, scale: float, *, out: Pixels) -> None:
    rows, cols = pixels.data.shape
    column, next_column, right, inside_x = _neighbours(x, cols)
    row, next_row, above, inside_y = _neighbours(y, rows)
    for plane in out:
        plane[:] = 0
    for line, of_y in ((row * cols, 1 - above), (next_row * cols, above)):
        for place, of_x in ((column, 1 - right), (next_column, right)):
            weight, index = of_x * of_y, line + place
            for plane, source in zip(out[:2], pixels[:2], strict=True):
                plane += source.take(index) * weight
            np.bitwise_or(out.mask, pixels.mask.take(index), out=out.mask, where=weight > 0)
    outside = ~(inside_x & inside_y)
    for plane, value in zip(out, (0, 0, MaskBit.BAD), strict=True):
        plane[outside] = value
    for plane in out[:2]:
        plane *= np.float32(scale)


def _neighbours(place: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pixel before each place, the one after, the weight of the latter, and whether both are inside."""
    whole = np.rint(place)
    place = np.where(np.abs(place - whole) < _EDGE, whole, place)
    inside = (place >= 0) & (place <= size - 1)
    place = np.clip(place, 0, size - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, size - 1), (place - before).astype(np.float32), inside
