"""Exact sums of an image and its variance in concentric circles, for many stars and radii at once.

By Green's theorem the sum over a disk is an integral along its circle: of ``V dy``, V being the image summed
along its row up to x. Within one pixel V is linear in x, so that only those places count where the circle
crosses a line of the pixel grid, and by how much the image changes there. Each of the 4 r lines is crossed
twice and costs one square root and one arc sine; the pixels inside are not visited at all.

On which side of a corner the circle passes is decided for both lines of the corner by one and the same
comparison, so that rounding cannot open the loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from potpyri_like.photometry.cutouts import in_blocks, leaves, rounded, square_sums, squares_from

__all__ = ["aperture_sums"]

_AT_ONCE = 70_000  # pixels of all squares together whose tables stay in the cache


@dataclass(frozen=True, eq=False)
class _Lines:
    """The grid's lines that circles of some radii can cross, one radius after the other.

    Attributes
    ----------
    number : ndarray of int, shape (n_line,)
        Line k separates pixel k - 1 from pixel k.
    radius, radius2 : ndarray, shape (n_line,), pixels
        And its square.
    first : ndarray of int, shape (n_radius,)
        Index of each radius' first line.
    """

    number: np.ndarray
    radius: np.ndarray
    radius2: np.ndarray
    first: np.ndarray


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Where circles cross the lines; arrays of shape (2, n_star, n_line), for lines of rows and of columns.

    Attributes
    ----------
    place : ndarray, pixels
        Of the line, from the centre.
    area : ndarray, square pixels
        Half the disk's part between its diameter and the line; negative before the centre.
    before, after : ndarray
        The pixel along the line in which it is crossed, on the side of small coordinates and on that of large ones.
    crossed : ndarray of bool
        Whether it is.
    """

    place: np.ndarray
    area: np.ndarray
    before: np.ndarray
    after: np.ndarray
    crossed: np.ndarray


def aperture_sums(
    image: np.ndarray, variance: np.ndarray, xy: np.ndarray, radii: np.ndarray, *, binning: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Sums in circular apertures with exact overlap of circle and pixels, and their variances.

    Parameters
    ----------
    image, variance : array_like, shape (ny, nx)
        Bad pixels already filled. A pixel that is not finite makes NaN of every aperture that touches it.
    xy : array_like, shape (n_star, 2), pixels
    radii : array_like, shape (n_radius,), pixels
    binning : int
        The variance is still that of pixels of which squares of that side make one of the image's.

    Returns
    -------
    sums, variance_sums : ndarray, shape (n_star, n_radius)
        NaN where the aperture leaves the image. A pixel cut by the circle enters the variance with its
        fraction, not the square of it: an upper limit, 3 % too high in the error at 5 pixels radius.
    """
    planes = np.asarray(image), np.asarray(variance)
    xy, radii = np.asarray(xy, dtype=float).reshape(-1, 2), np.asarray(radii, dtype=float)
    sums = np.full((2, len(xy), len(radii)), np.nan)
    cut = np.column_stack([leaves(planes[0].shape, xy, radius) for radius in radii])
    usable = np.flatnonzero(~cut.all(axis=1))
    if not len(usable):
        return sums[0], sums[1]
    half = int(np.ceil(radii.max())) + 1
    lines = _lines(radii, half)
    for some in in_blocks(usable, (2 * half + 1) ** 2, at_once=_AT_ONCE):
        sums[:, some] = _sums(planes, xy[some], radii, lines, half, binning)
    sums[:, cut] = np.nan
    return sums[0], sums[1]


def _lines(radii: np.ndarray, half: int) -> _Lines:
    """The lines near circles whose centre is in the central pixel of squares of that half side."""
    numbers = [np.arange(int(half - r) + 1, int(np.ceil(half + 1 + r))) for r in radii]
    counts = [len(number) for number in numbers]
    radius = np.repeat(radii, counts)
    return _Lines(np.concatenate(numbers), radius, radius**2, np.cumsum([0, *counts[:-1]]))


def _sums(
    planes: tuple[np.ndarray, np.ndarray],
    xy: np.ndarray,
    radii: np.ndarray,
    lines: _Lines,
    half: int,
    binning: int,
) -> np.ndarray:
    """Sums for some stars, shape (n_plane, n_star, n_radius)."""
    corner, side = rounded(xy), 2 * half + 1
    centre = (xy - corner + half + 0.5).T[::-1, :, None]  # y, x; pixel i reaches from i to i + 1
    image, fine = (
        squares_from(plane, (corner - half) * factor, side * factor)
        for plane, factor in zip(planes, (1, binning), strict=True)
    )
    # Shape (x, plane, star, y): whole tables are added up along x, and the parts of one x are contiguous.
    values, bad = _finite(np.array([image, square_sums(fine, binning)], dtype=float).transpose(3, 0, 1, 2))
    sums = _along_circles(values, _crossings(centre, lines), centre[1], lines)
    lowest = _before(centre[0], radii, 0.0, radii**2), np.ceil(centre[1]) - 1
    sums += _take(values, _index(values.shape, *lowest)) * np.pi * radii**2
    if bad is not None:
        sums[:, _touched(bad, centre, radii)] = np.nan
    return sums


def _crossings(centre: np.ndarray, lines: _Lines) -> _Crossings:
    """The crossings around centres, shape (2, n_star, 1)."""
    place = lines.number - centre
    np.clip(place, -lines.radius, lines.radius, out=place)
    square = place * place
    half_chord = lines.radius2 - square
    np.sqrt(half_chord, out=half_chord)
    area = np.arcsin(place / lines.radius)
    area *= lines.radius2
    area += place * half_chord
    area /= 2
    before, after = (pixel(centre[::-1], half_chord, square, lines.radius2) for pixel in (_before, _after))
    return _Crossings(place, area, before, after, square < lines.radius2)


def _after(centre: np.ndarray, half_chord: np.ndarray, square: np.ndarray, radius2: np.ndarray) -> np.ndarray:
    """The number of the pixel that holds ``centre + half_chord``; whether the nearest corner is inside decides."""
    line = np.rint(centre + half_chord)
    off = line - centre
    off *= np.abs(off)
    off += square
    line -= off >= radius2
    return line


def _before(
    centre: np.ndarray, half_chord: np.ndarray, square: np.ndarray | float, radius2: np.ndarray
) -> np.ndarray:
    """The number of the pixel that holds ``centre - half_chord``."""
    line = np.rint(centre - half_chord)
    off = line - centre
    off *= np.abs(off)
    line -= np.subtract(square, off, out=off) < radius2
    return line


def _along_circles(values: np.ndarray, crossings: _Crossings, x: np.ndarray, lines: _Lines) -> np.ndarray:
    """The integral along each circle, but for the pixel where it begins and ends, its lowest.

    Shape (n_plane, n_star, n_radius). What a crossing counts is the change of V times dy integrated up to there.
    """
    below_x, upwards, sideways = _changes(values)
    (left, below), (right, above) = crossings.before, crossings.after
    (y, place), (area, under), (rows, columns) = crossings.place, crossings.area, crossings.crossed
    quarter, shape = np.pi / 4 * lines.radius2, values.shape
    at_left, at_right = (_index(shape, lines.number, pixel, rows) for pixel in (left, right))
    at_below, at_above = (_index(shape, pixel, lines.number, columns) for pixel in (below, above))
    weighed = (
        (below_x, at_right, y),
        (below_x, at_left, -y),
        (upwards, at_right, (x - right) * y + area),
        (upwards, at_left, (left - x) * y + area - 2 * quarter),
        (sideways, at_above, under - quarter),
        (sideways, at_below, under - quarter + 4 * quarter * (place < 0)),  # those are passed last
    )
    total = np.zeros((shape[1], *y.shape))
    for table, index, weight in weighed:
        part = _take(table, index)
        part *= weight
        total += part
    return np.add.reduceat(total, lines.first, axis=-1)


def _index(
    shape: tuple[int, ...], y: np.ndarray, x: np.ndarray, valid: np.ndarray | bool = True
) -> np.ndarray:
    """Where each star's element stands in a plane of tables, `x` counting from the plane's first; 0 where not valid."""
    planes, stars, side = shape[1:]
    index = np.multiply(x, float(planes * stars * side)) + (y + side * np.arange(float(stars))[:, None])
    index *= valid
    return index.astype(np.intp)


def _take(tables: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Elements of each plane's tables, shape (n_plane, *index.shape)."""
    flat, (_, planes, stars, side) = tables.reshape(-1), tables.shape
    taken = np.empty((planes, *index.shape))
    for plane in range(planes):
        flat[plane * stars * side :].take(index, out=taken[plane], mode="clip")  # spares a copy
    return taken


def _changes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By how much things change across the lines of the grid, in tables like `values`.

    Returns
    -------
    below_x : ndarray
        Across lines of rows: the sum of all pixels of smaller x.
    upwards, sideways : ndarray
        Across lines of rows, and of columns: the pixel. What stands at the squares' rims means nothing, but the
        first element of each plane is 0.
    """
    upwards, sideways, below_x = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)
    # Whole tables at once, over the ends of squares, are four times faster.
    np.subtract(values.ravel()[:-1], values.ravel()[1:], out=upwards.ravel()[1:])
    upwards[0, :, 0, 0] = 0
    np.subtract(values[:-1], values[1:], out=sideways[1:])
    for x in range(1, len(values)):  # several times faster than cumsum, and always the same to the bit
        np.add(below_x[x - 1], upwards[x - 1], out=below_x[x])
    return below_x, upwards, sideways


def _finite(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The planes, contiguous, with 0 for what is not finite in any of them; and where that is (None: nowhere)."""
    values = np.ascontiguousarray(values)
    bad = ~np.isfinite(values.sum(axis=1))
    if not bad.any():
        return values, None
    return np.where(bad[:, None], 0, values), bad.transpose(1, 2, 0)


def _touched(bad: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Which circles reach into a bad pixel (star, y, x), shape (n_star, n_radius)."""
    star, *pixel = np.nonzero(bad)
    off = [np.maximum(np.abs(n + 0.5 - c[star, 0]) - 0.5, 0) for n, c in zip(pixel, centre, strict=True)]
    nearest = np.full(len(bad), np.inf)
    np.minimum.at(nearest, star, np.hypot(*off))
    return nearest[:, None] < radii
