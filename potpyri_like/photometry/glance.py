"""A first look at a frame whose stars are known: its brightest peaks, and the stars where they must be.

On pixels binned so that a star spans about three of them, above a sky of a few large boxes: a small part of the
work of a detection, for frames of a field that was searched before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import sep
from numpy.typing import ArrayLike

from potpyri_like.photometry.centroids import FWHM_PER_SIGMA, windowed
from potpyri_like.photometry.cutouts import from_squares, native_float32, square_sums, to_squares
from potpyri_like.photometry.detect import half_light_widths, hot_pixels
from potpyri_like.photometry.noise import MAD_TO_SIGMA

__all__ = ["Glance", "brightest", "glance", "stars_at", "typical_width"]

_SAMPLING = 2.5  # binned pixels per FWHM, at least
_BOX, _MOST_BOXES = 10, 8  # FWHM a side of a box of the sky at least; boxes a side at most
_SAMPLES = 16  # pixels a side that are looked at in each
_ROWS_OF_SKY = 128  # at most twice as many: a few rows have the same sky
_MOST_PEAKS = 200
_PEAK_SIGMA = 6.0
_STAR_SIGMA = 5.0
_CROWD = 0.03  # of the pixels: more than the stars of a frame fill
_SHARPEST = (
    7.5  # how far a peak may stand above its neighbours; the core of a star of FWHM 1.5 px reaches 4.1
)


@dataclass(frozen=True, eq=False)
class Glance:
    """Means of squares of pixels above a coarse sky.

    Attributes
    ----------
    data : ndarray of float32, shape (ny // factor, nx // factor), image unit
        NaN where a pixel of the square is not finite.
    noise : float, image unit
        Standard deviation of an empty square.
    factor : int
        Pixels a side.
    """

    data: np.ndarray
    noise: float
    factor: int

    def zoom_in(self, xy: np.ndarray) -> np.ndarray:
        """Positions in `data` from those in the image."""
        return to_squares(xy, self.factor)

    def zoom_out(self, xy: np.ndarray) -> np.ndarray:
        """Positions in the image from those in `data`."""
        return from_squares(xy, self.factor)


def glance(image: ArrayLike, *, fwhm: float, clean: bool = True) -> Glance:
    """The image binned for stars of some FWHM, in pixels, and above its sky.

    An image that is not clean loses its hot pixels first, which costs as much again.
    """
    image, factor = native_float32(image), max(1, int(fwhm / _SAMPLING))
    if not clean:
        above = _above_sky(image, fwhm)
        hot, value = hot_pixels(above.data, above.noise)
        image = above.data
        image.ravel()[hot] = value
    binned = image if factor == 1 else square_sums(image, factor) / np.float32(factor**2)
    return replace(_above_sky(binned, fwhm / factor), factor=factor)


def _above_sky(data: np.ndarray, fwhm: float) -> Glance:
    """An image above its sky, which is the same for a few rows together."""
    level, noise = _boxes(data, fwhm)
    step = max(1, len(data) // _ROWS_OF_SKY)
    sky = _stretched(_stretched(level, -(-len(data) // step)).T, data.shape[1]).T.astype(data.dtype)
    above = np.empty_like(data)
    for n, row in enumerate(np.ascontiguousarray(sky)):
        np.subtract(data[n * step : (n + 1) * step], row, out=above[n * step : (n + 1) * step])
    return Glance(above, noise, 1)


def _stretched(level: np.ndarray, size: int) -> np.ndarray:
    """So many rows from those of the boxes, linear between the boxes' centres and beyond."""
    place = (np.arange(size)[:, None] + 0.5) * len(level) / size - 0.5
    before = np.clip(place.astype(int), 0, len(level) - 2)[:, 0]
    # Written out, since a matrix product may round differently on another number of cores.
    return level[before] * (before[:, None] + 1 - place) + level[before + 1] * (place - before[:, None])


def brightest(look: Glance, *, fwhm: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The brightest peaks that are no hot pixels.

    Parameters
    ----------
    look : Glance
    fwhm : float, pixels
        About that of the stars; of several peaks within it only the brightest counts.
    count : int
        At most so many.

    Returns
    -------
    xy : ndarray, shape (n, 2), pixels
        Windowed centroids, brightest first.
    flux : ndarray, shape (n,), image unit
        Within one FWHM.
    """
    width = max(1.0, fwhm / look.factor)
    found = _apart(_peaks(look), width)[: 3 * count // 2]
    xy, light = windowed(look.data, found, fwhm=width, max_shift=width)
    xy = xy[light > 0]
    flux = look.factor**2 * sep.sum_circle(look.data, *xy.T, width, subpix=0)[0]
    order = np.argsort(-flux, kind="stable")
    order = order[flux[order] > 0]  # nor NaN
    xy, flux = xy[order], flux[order]
    apart = _apart(np.column_stack([xy, flux]), width)[:count]
    return look.zoom_out(apart[:, :2]), apart[:, 2]


def _apart(found: np.ndarray, reach: float) -> np.ndarray:
    """The rows (x, y, ...) that have no earlier one within reach."""
    x, y = found[:, :2].T
    near = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < reach**2
    return found[~np.triu(near, 1).any(axis=0)]


def stars_at(look: Glance, xy: np.ndarray, *, fwhm: float, max_shift: float) -> np.ndarray:
    """The stars near some places.

    Parameters
    ----------
    look : Glance
    xy : array_like, shape (n, 2), pixels
    fwhm, max_shift : float, pixels
        Of the centroid's window; how far a star may be from its place.

    Returns
    -------
    ndarray, shape (n, 2), pixels
        Windowed centroids; NaN where no star stands out from the noise.
    """
    width = max(fwhm / look.factor, 1.0)
    found, light = windowed(
        look.data, look.zoom_in(np.asarray(xy)), fwhm=width, max_shift=max_shift / look.factor
    )
    # The noise of light in a Gaussian window: the root of the sum of the weights' squares.
    seen = light > _STAR_SIGMA * look.noise * np.sqrt(np.pi) * width / FWHM_PER_SIGMA
    return np.where(seen[:, None], look.zoom_out(found), np.nan)


def typical_width(look: Glance, xy: np.ndarray, *, fwhm: float) -> float:
    """The median FWHM of some stars from their half-light radii, pixels, beginning with a guess; NaN for none."""
    x, y = look.zoom_in(np.asarray(xy)).T.copy()
    width = half_light_widths(look.data, x, y, np.full(len(x), max(fwhm / look.factor, 1.5)))
    width = width[np.isfinite(width) & (width > 0)]
    return float(look.factor * np.median(width)) if len(width) else np.nan


# ---------------------------------------------------------------- the sky


def _boxes(data: np.ndarray, fwhm: float) -> tuple[np.ndarray, float]:
    """The median in each of some boxes, large against stars, from a sample of pixels; and the noise about them."""
    high, wide = (int(np.clip(size / (_BOX * fwhm), 2, _MOST_BOXES)) for size in data.shape)
    rows, columns = (
        (2 * np.arange(n * _SAMPLES) + 1) * size // (2 * n * _SAMPLES)
        for n, size in zip((high, wide), data.shape, strict=True)
    )
    sample = data[np.ix_(rows, columns)].reshape(high, _SAMPLES, wide, _SAMPLES).swapaxes(1, 2)
    sample = np.sort(sample.reshape(high * wide, _SAMPLES**2), axis=1)
    level = sample[np.arange(high * wide), np.count_nonzero(np.isfinite(sample), axis=1) // 2 - 1]
    known = np.isfinite(level)
    level = np.where(known, level, np.median(level[known]) if known.any() else 0)
    rest = np.abs(sample - level[:, None])
    rest = rest[np.isfinite(rest)]
    return level.reshape(high, wide), MAD_TO_SIGMA * float(np.median(rest)) if rest.size else 0.0


# ---------------------------------------------------------------- peaks


def _peaks(look: Glance) -> np.ndarray:
    """The highest local maxima that are not single pixels, highest first; shape (n, 2), in pixels of the glance."""
    data, (height, width) = look.data.ravel(), look.data.shape
    index = _above(look)
    y, x = np.divmod(index, width)
    index = index[(x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)]
    for step in (1, width):  # spares most pixels the full comparison
        index = index[(data[index] > data[index - step]) & (data[index] >= data[index + step])]
    around = np.array([j * width + i for j in (-1, 0, 1) for i in (-1, 0, 1) if i or j])
    neighbours = np.sort(data[index[:, None] + around], axis=1)
    peak = data[index]
    good = (neighbours[:, -1] <= peak) & (peak < _SHARPEST * neighbours[:, 3:5].mean(axis=1))
    index = index[good]
    index = index[np.argsort(-data[index], kind="stable")[:_MOST_PEAKS]]
    return np.column_stack([index % width, index // width]).astype(float)


def _above(look: Glance) -> np.ndarray:
    """Flat indices of the pixels above a threshold, which rises until few enough are left."""
    level = _PEAK_SIGMA * look.noise
    index = np.flatnonzero(look.data > level) if look.noise > 0 else np.empty(0, dtype=np.intp)
    while len(index) > _CROWD * look.data.size:
        level *= 2
        index = index[look.data.ravel()[index] > level]
    return index
