"""An image moved, turned or scaled onto another grid."""

from __future__ import annotations

import numpy as np

from potpyri_like.errors import PixelError
from potpyri_like.frame import MaskBit, Pixels
from potpyri_like.imaging.bands import row_bands

__all__ = ["warp"]

_EDGE = 1e-6  # pixel: how far outside the last pixel centre is still rounding


def warp(
    pixels: Pixels,
    matrix: np.ndarray,
    offset: np.ndarray,
    *,
    shape: tuple[int, int] | None = None,
    order: int = 1,
) -> tuple[Pixels, float]:
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
    image : Pixels
        Where the four (or the one) input pixels are not all inside, data and variance are 0 and the
        mask is BAD. A bit is set where any input pixel of weight above 0 has it.
    covariance : float
        What multiplies sums of its variance over an aperture, beside what `pixels` had (see `Frame.covariance`): 1 for
        the nearest pixel on a grid as fine, 9/4 on the average of all places between pixels.

    Notes
    -----
    Flux is conserved: values are divided by \\|det(matrix)\\|, the number of new pixels an old one
    covers. The variance is that of a single pixel: interpolated with the squared weights, and
    divided by the determinant squared. Interpolation correlates neighbours, so that the flux in an
    aperture, which has the variance that it had, is more uncertain than the sum says; the covariance
    is the mean ratio of the two over the image.
    """
    matrix, offset = np.asarray(matrix, dtype=np.float64), np.asarray(offset, dtype=np.float64)
    area = abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
    if order not in (0, 1) or not np.isfinite(area) or area < 1e-12:
        raise PixelError(f"cannot warp with order {order} and a matrix of determinant {area:g}")
    shape = pixels.data.shape if shape is None else shape
    squares, inside = 0.0, 0
    result = Pixels(np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.uint16))
    for band in row_bands(shape, pixels=1 << 14):
        x, y = _places_in_input(np.linalg.inv(matrix), offset, band, shape[1])
        if order == 0:
            x, y = np.rint(x), np.rint(y)
        found = _interpolate(pixels, x, y, 1 / area, out=Pixels(*(plane[band] for plane in result)))
        squares, inside = squares + found[0], inside + found[1]
    return result, area * inside / squares if inside else 1.0


def _places_in_input(
    inverse: np.ndarray, offset: np.ndarray, band: slice, cols: int
) -> tuple[np.ndarray, np.ndarray]:
    dx = np.arange(cols) - offset[0]
    dy = np.arange(band.start, band.stop)[:, None] - offset[1]
    return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy


def _interpolate(
    pixels: Pixels, x: np.ndarray, y: np.ndarray, scale: float, *, out: Pixels
) -> tuple[float, int]:
    """The values at some places; the sum of the squared weights of those inside, and their number."""
    rows, cols = pixels.data.shape
    column, next_column, right, inside_x = _neighbours(x, cols)
    row, next_row, above, inside_y = _neighbours(y, rows)
    data, variance, mask = out
    squares = np.zeros(data.shape, np.float32)
    for plane in out:
        plane[:] = 0
    for line, of_y in ((row * cols, 1 - above), (next_row * cols, above)):
        for place, of_x in ((column, 1 - right), (next_column, right)):
            weight, index = of_x * of_y, line + place
            squared = np.square(weight)
            data += pixels.data.take(index) * weight
            variance += pixels.variance.take(index) * squared
            squares += squared
            np.bitwise_or(mask, pixels.mask.take(index), out=mask, where=weight > 0)
    outside = ~(inside_x & inside_y)
    for plane, value in zip(out, (0, 0, MaskBit.BAD), strict=True):
        plane[outside] = value
    data *= np.float32(scale)
    variance *= np.float32(scale**2)
    return float(squares[~outside].sum(dtype=float)), int(np.count_nonzero(~outside))


def _neighbours(place: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pixel before each place, the one after, the weight of the latter, and whether both are inside."""
    whole = np.rint(place)
    place = np.where(np.abs(place - whole) < _EDGE, whole, place)
    inside = (place >= 0) & (place <= size - 1)
    place = np.clip(place, 0, size - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, size - 1), (place - before).astype(np.float32), inside
