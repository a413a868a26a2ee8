"""The 3x3 median, exact and fast, and its masked form."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from potpyri_like.errors import PixelError
from potpyri_like.imaging.pixels import Counts

__all__ = ["masked_median_at", "median3x3"]

_BAND_BYTES = 1 << 18  # of one work buffer: the eight of them stay near the processor
_MOST_COUNTS = 65536  # float32 tells whole numbers of this size from their neighbours after four roundings


def median3x3(
    image: np.ndarray, *, mask: np.ndarray | None = None, counts: Counts | None = None
) -> np.ndarray:
    """The median of each pixel and its eight neighbours; edge pixels are repeated outwards.

    Parameters
    ----------
    image : ndarray, shape (rows, cols), at least 1 x 1
        Integer or floating, of either byte order.
    mask : ndarray of bool, shape (rows, cols), optional
        True for pixels that must not count. Pixels that are NaN never count.
    counts : Counts, optional
        What a float32 image was made of: whole numbers below 65536, which are sorted twice as fast. The
        result is the same, bit for bit, since the median commutes with any increasing function.

    Returns
    -------
    ndarray, shape (rows, cols)
        C-contiguous, native byte order, and the data type of `image`: what
        ``scipy.ndimage.median_filter(image, size=3, mode="reflect")`` gives, bit for bit. Where
        some of the nine do not count, the median of the others (the mean of the middle two of an
        even number), NaN where there are none. With a `mask`, integers come back as floats that
        hold them exactly, since a median may then be half-integral or NaN.

    Notes
    -----
    Each vertical triple is sorted; of three adjacent triples, the median of the nine is the median
    of the largest minimum, the middle one of the middles and the smallest maximum (Smith 1996,
    XCell 23). Done in bands of rows that fit the cache.
    """
    native = _native(image)
    if mask is None and counts is not None and _made_of(native, counts):
        return _median_of_counts(native, counts)
    if mask is None:
        result = _column_network(native)
        # a minimum or a maximum with NaN is NaN: a NaN among any nine shows in their result
        if native.dtype.kind != "f" or not np.isnan(result.min()):
            return result
        incomplete, good = np.isnan(result), ~np.isnan(native)
    else:
        native = native.astype(np.result_type(native.dtype, np.float32), copy=False)
        result = _column_network(native)
        good = ~(np.asarray(mask, dtype=bool) | np.isnan(native))
        incomplete = ~_all_nine(good)
    rows, cols = np.nonzero(incomplete)
    result[rows, cols] = masked_median_at(native, good, rows, cols)
    return result


def masked_median_at(image: np.ndarray, good: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """The median of the good ones of the nine pixels about each given place; NaN where none is good.

    Parameters
    ----------
    image : ndarray, shape (rows, cols), floating
    good : ndarray of bool, shape (rows, cols)
    rows, cols : ndarray of int, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
    """
    steps = np.arange(-1, 2)
    y = np.clip(rows[:, None] + np.repeat(steps, 3), 0, image.shape[0] - 1)
    x = np.clip(cols[:, None] + np.tile(steps, 3), 0, image.shape[1] - 1)
    nine_good = good[y, x]
    nine = np.sort(np.where(nine_good, image[y, x], np.inf), axis=1)
    count = nine_good.sum(axis=1)
    each = np.arange(rows.size)
    with np.errstate(invalid="ignore"):  # the middle two may be -inf and inf
        middle = (nine[each, np.maximum(count - 1, 0) // 2] + nine[each, np.minimum(count // 2, 8)]) / 2
    middle[count == 0] = np.nan
    return middle


def _native(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 2 or image.size == 0:
        raise PixelError(f"a 3x3 median needs a non-empty 2-D image, not one of shape {image.shape}")
    return image.astype(image.dtype.newbyteorder("="), copy=False)


def _column_network(image: np.ndarray) -> np.ndarray:
    result = np.empty(image.shape, image.dtype)
    for band, middles in _medians_of_bands(image.shape, image.dtype, lambda rows: image[rows]):
        result[band] = middles
    return result


def _made_of(image: np.ndarray, counts: Counts) -> bool:
    """Whether an image is what a sample of its rows says of it."""
    if image.dtype != np.float32 or not (abs(counts.level) < _MOST_COUNTS and 1e-6 < counts.gain < 1e6):
        return False
    sample = image[:: max(1, len(image) // 8)]
    back = np.rint(sample / np.float32(counts.gain) + np.float32(counts.level))
    again = (back - np.float32(counts.level)) * np.float32(counts.gain)
    return bool(np.all((again == sample) & (back >= 0) & (back < _MOST_COUNTS)))


def _median_of_counts(image: np.ndarray, counts: Counts) -> np.ndarray:
    """The median of an image by way of what it was counted in."""
    level, gain = np.float32(counts.level), np.float32(counts.gain)
    inverse, nearest = 1 / gain, level + np.float32(0.5)  # which the conversion to integers cuts off
    result = np.empty(image.shape, np.float32)

    def counted(rows: slice) -> np.ndarray:
        whole = image[rows] * inverse
        whole += nearest
        return whole

    for band, middles in _medians_of_bands(image.shape, np.dtype(np.uint16), counted):
        data = result[band]
        data[:] = middles
        data -= level
        data *= gain
    return result


def _medians_of_bands(
    shape: tuple[int, int], dtype: np.dtype, values: Callable[[slice], np.ndarray]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Bands of rows and their medians, of the values of any rows; each is gone when the next is asked for."""
    rows, cols = shape
    width = cols + 2
    height = min(rows, max(4, _BAND_BYTES // (width * dtype.itemsize)))
    work = np.empty((8, (height + 2) * width), dtype)
    for first in range(0, rows, height):
        band = slice(first, min(first + height, rows))
        size = (band.stop - first) * width
        _pad(values, rows, band, out=work[0, : size + 2 * width].reshape(-1, width))
        yield band, _median_of_band(work, size, width).reshape(-1, width)[:, :cols]


def _pad(values: Callable[[slice], np.ndarray], rows: int, band: slice, *, out: np.ndarray) -> None:
    """The values of a band of rows with one more on each side, edges repeated."""
    known = slice(max(band.start - 1, 0), min(band.stop + 1, rows))
    out[known.start - band.start + 1 : known.stop - band.start + 1, 1:-1] = values(known)
    if known.start == band.start:
        out[0] = out[1]
    if known.stop == band.stop:
        out[-1] = out[-2]
    out[:, 0], out[:, -1] = out[:, 1], out[:, -2]


def _median_of_band(work: np.ndarray, size: int, width: int) -> np.ndarray:
    """Medians of the padded band in ``work[0]``; the last two of each row are meaningless."""
    small, least, middle, most, a, b, c = work[1:]
    _sort_three(
        work[0, :size], work[0, width : width + size], work[0, 2 * width : 2 * width + size],
        out=(least[:size], middle[:size], most[:size]), spare=a[:size],
    )  # fmt: skip
    left, centre, right = slice(0, size - 2), slice(1, size - 1), slice(2, size)
    short = slice(0, size - 2)
    largest_least = np.maximum(least[left], least[centre], out=a[short])
    np.maximum(largest_least, least[right], out=largest_least)
    smallest_most = np.minimum(most[left], most[centre], out=c[short])
    np.minimum(smallest_most, most[right], out=smallest_most)
    _median_of_three(middle[left], middle[centre], middle[right], out=b[short], spare=small[short])
    _median_of_three(largest_least, b[short], smallest_most, out=least[short], spare=small[short])
    return least[:size]


def _sort_three(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    *,
    out: tuple[np.ndarray, np.ndarray, np.ndarray],
    spare: np.ndarray,
) -> None:
    least, middle, most = out
    np.minimum(x, y, out=least)
    np.maximum(x, y, out=most)
    np.minimum(most, z, out=spare)
    np.maximum(most, z, out=most)
    np.maximum(least, spare, out=middle)
    np.minimum(least, spare, out=least)


def _median_of_three(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, *, out: np.ndarray, spare: np.ndarray
) -> None:
    np.maximum(x, y, out=spare)
    np.minimum(spare, z, out=spare)
    np.minimum(x, y, out=out)
    np.maximum(out, spare, out=out)


def _all_nine(good: np.ndarray) -> np.ndarray:
    """Where a pixel and its eight neighbours are all good."""
    padded = np.pad(good, 1, mode="edge")
    lines = padded[:-2] & padded[1:-1] & padded[2:]
    return lines[:, :-2] & lines[:, 1:-1] & lines[:, 2:]
