"""Find the stars of a frame, and their FWHM.

A coarse sky is subtracted from the frame, single hot pixels are replaced, and it is searched with a kernel as wide as
its own stars (matched filter), on pixels binned so that a star spans about three of them: deep and fast at
any sampling. A FWHM is that of the light that falls on the detector: the width of a pixel is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import sep
from numpy.typing import ArrayLike

from potpyri_like.errors import PixelError
from potpyri_like.photometry.cutouts import (
    PIXEL_FWHM2,
    from_squares,
    native_float32,
    pixels_around,
    rounded,
    square_sums,
    squares,
)
from potpyri_like.photometry.noise import MAD_TO_SIGMA

__all__ = ["Stars", "crowded", "detect_stars", "frame_fwhm", "half_light_widths", "hot_pixels"]

_SMALLEST_FWHM = 1.5
_HOT_SIGMA = 8.0  # how far above the sky a hot pixel has to be to matter
_HOT_RATIO = 6.5  # and above its neighbours; the core of a star of FWHM 1.5 px reaches 3.1
_BRIGHTEST = 30  # objects that set the first idea of the width
_ENOUGH = 15  # so many need no help from fainter ones
_TRAILED = 0.5  # usual ellipticity
_DISK, _BESIDE, _DIRECTIONS = 0.6, 1.4, 4  # FWHM: of the disks that are compared, and how far they are apart
_RIDGE = 0.25  # of the height in the median direction
_LOCAL = 0.6  # of the threshold: how far a star has to stand out from what lies beside it
_CLOSE_ENOUGH = 5e-4  # of the width of the mean profile


@dataclass(frozen=True, eq=False)
class Stars:
    """The stars of a frame, brightest first; arrays of equal length.

    Attributes
    ----------
    x, y : ndarray, pixels
    flux : ndarray, image unit
        Above the sky, within one FWHM of the frame.
    peak : ndarray, image unit
        Brightest pixel above the sky, within half a FWHM.
    fwhm : ndarray, pixels
        From the half-light radius within one FWHM of the frame: a rough measure, to tell what is no star.
    ellipticity : ndarray
        1 - b/a of the light above the threshold.
    npix : ndarray of int
        Pixels above the threshold.
    saturated : ndarray of bool
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    peak: np.ndarray
    fwhm: np.ndarray
    ellipticity: np.ndarray
    npix: np.ndarray
    saturated: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @property
    def xy(self) -> np.ndarray:
        """Positions, shape (n, 2)."""
        return np.column_stack([self.x, self.y])

    def take(self, index: np.ndarray | slice) -> Stars:
        """Some of the stars, by index, slice or truth value."""
        return Stars(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class _Flat:
    """An image above its sky: bad pixels zero, hot ones replaced; `noise` is that of an empty pixel."""

    data: np.ndarray
    bad: np.ndarray | None
    noise: float


@dataclass(frozen=True, eq=False)
class _Binned:
    """Means of `factor` x `factor` pixels of a `_Flat`; `hole` where no good pixel was (None: nowhere)."""

    data: np.ndarray
    hole: np.ndarray | None
    noise: float
    factor: int

    def zoom_out(self, position: np.ndarray) -> np.ndarray:
        """Positions in the full image."""
        return from_squares(position, self.factor)


def detect_stars(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    threshold: float = 5.0,
    binning: int | None = None,
    max_stars: int | None = None,
    border: float = 0,
    saturated: np.ndarray | float | None = None,
    fwhm: float | None = None,
) -> Stars:
    """Find the stars of an image, from FWHM 1.5 to 20 pixels with the same settings.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
        Pixels that are not finite are ignored.
    mask : ndarray, shape (ny, nx), optional
        Pixels that are not zero are ignored. Saturated pixels should not be among them.
    threshold : float
        In standard deviations of the image after the matched filter.
    binning : int, optional
        Pixels a side to bin before the search; chosen from the width of the stars by default.
    max_stars : int, optional
        Keep the brightest.
    border : float, pixels
        Leave out stars nearer than this to the edge.
    saturated : float or ndarray of bool, optional
        Level from which pixels are saturated, or which are. Saturated stars are kept, and flagged.
    fwhm : float, optional
        Of the stars, in pixels, within a factor of two: spares a first look at the image.

    Returns
    -------
    Stars
        Empty when there is none. Hot pixels, cosmic rays and trails are excluded as far as their shape tells.
    """
    image = native_float32(image)
    flat, coarse = _flatten(image, mask)
    full = None if saturated is None else np.asarray(saturated if np.ndim(saturated) else image >= saturated)
    if flat.noise == 0 or coarse.noise == 0:
        return _no_stars()
    fwhm = fwhm or _typical_fwhm(flat, coarse, full)
    factor = max(1, int(fwhm / 2.5)) if binning is None else binning
    binned = coarse if factor == coarse.factor else _bin(flat, factor)
    if binned.noise == 0:
        return _no_stars()
    found = _extract(binned, fwhm, threshold)
    if max_stars is not None:  # what is not a star is sorted out later, and is seldom among the brightest
        found = found[np.argsort(-found["flux"], kind="stable")[: 3 * max_stars]]
    stars = _describe(found, binned, flat, fwhm, full)
    stars = stars.take(_is_star(stars, binned, flat, fwhm, threshold))
    inside = (np.minimum(stars.x, stars.y) >= border) & (stars.x <= image.shape[1] - 1 - border)
    stars = stars.take(inside & (stars.y <= image.shape[0] - 1 - border))
    return stars.take(np.argsort(-stars.flux, kind="stable")[:max_stars])


def frame_fwhm(
    image: np.ndarray, x: ArrayLike, y: ArrayLike, *, sky: ArrayLike, radius: float = 30.0, binning: int = 1
) -> float:
    """The seeing of a frame: the FWHM of the mean profile of some bright stars.

    The profiles are normalised, combined by medians in rings, and followed down to 0.2 of their peak by a
    parabola in radius squared for the logarithm: exact for a Gaussian, close for a Moffat profile.
    The width that the pixels add is taken off.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
    x, y : array_like, shape (n,), pixels
        Centroids of bright stars, unsaturated and preferably isolated.
    sky : float or array_like, shape (n,), image unit
    radius : float, pixels
        How far to look; 1.5 FWHM at least.
    binning : int
        Look at squares of so many pixels a side; a fifth of the FWHM costs no precision.

    Returns
    -------
    float
        Pixels; NaN when no profile falls to half its maximum within the radius.
    """
    xy = np.column_stack([np.atleast_1d(x), np.atleast_1d(y)]).astype(float)
    values, dx, dy = _binned_around(native_float32(image), xy, radius, binning)
    values = values - np.broadcast_to(np.asarray(sky, dtype=float), len(xy))[:, None]
    centre = (xy - np.rint(xy)) / binning
    s = (dx - centre[:, :1]) ** 2 + (dy - centre[:, 1:]) ** 2
    good = np.isfinite(values)
    distance = np.hypot(dx, dy)
    half = _first_half_width(values, distance)
    if np.isfinite(half):  # the rest is not looked at again
        near = distance < 2 * half + 3
        values, s, good = values[:, near], s[:, near], good[:, near]
    amplitude = np.max(np.where(good, values, 0), axis=1, initial=0)
    for _ in range(6):
        if not np.isfinite(half):
            return float("nan")
        before = half
        amplitude, half = _profile_step(values, s, good, amplitude, half)
        if abs(half - before) < _CLOSE_ENOUGH * before:
            break
    return 2 * half * binning


def _binned_around(
    image: np.ndarray, xy: np.ndarray, radius: float, binning: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of squares of pixels around each star, shape (n_star, n_square), and their offsets in squares.

    The offsets are from the star's rounded position, in each direction; squares count within the radius.
    """
    if binning == 1:
        return pixels_around(image, xy, radius)
    half = int(np.ceil(radius))
    cut = squares(image, rounded(xy), half, outside=np.nan)
    count = cut.shape[1] // binning
    cut = cut[:, : count * binning, : count * binning]
    means = cut.reshape(len(xy), count, binning, count, binning).mean(axis=(2, 4))
    offset = np.arange(count) + ((binning - 1) / 2 - half) / binning
    dx, dy = np.tile(offset, count), np.repeat(offset, count)
    inside = np.hypot(dx, dy) <= radius / binning
    return means.reshape(len(xy), count**2)[:, inside], dx[inside], dy[inside]


# ---------------------------------------------------------------- the flattened image


def _flatten(image: np.ndarray, mask: np.ndarray | None) -> tuple[_Flat, _Binned]:
    """The image above its sky, without bad and hot pixels; and the same, coarsely binned."""
    bad = _bad_pixels(image, mask)
    factor = _coarse(image.shape)
    raw = _bin(_Flat(image if bad is None else np.where(bad, np.float32(0), image), bad, 1.0), factor)
    bh, bw = (_box(n, 128 // factor) for n in raw.data.shape)
    sky = sep.Background(raw.data, mask=raw.hole, bw=bw, bh=bh).back()
    data = _less(image, sky, factor)
    if bad is not None:
        data[bad] = 0
    noise = _noise(data, bad)
    hot, value = hot_pixels(data, noise)
    surplus = data.ravel()[hot] - value
    data.ravel()[hot] = value
    flat = _Flat(data, bad, noise)
    if bad is not None or factor == 1:
        return flat, _bin(flat, factor)
    return flat, _binned_less(raw, sky, image.shape[1], hot, surplus)


def _box(length: int, wanted: int) -> int:
    """A side for the boxes of the sky: large against stars, three to an image at least, none a sliver."""
    return int(np.ceil(length / max(3, round(length / wanted))))


def _coarse(shape: tuple[int, ...]) -> int:
    """The binning for what needs no detail: the sky, and the first look."""
    return 4 if min(shape) >= 512 else 2 if min(shape) >= 128 else 1


def _binned_less(
    raw: _Binned, sky: np.ndarray, width: int, index: np.ndarray, surplus: np.ndarray
) -> _Binned:
    """The binned image above its sky and without the surplus of hot pixels; quicker than binning again."""
    data = raw.data - sky
    y, x = np.divmod(index, width)
    row, column = y // raw.factor, x // raw.factor
    inside = (row < data.shape[0]) & (column < data.shape[1])
    np.subtract.at(data, (row[inside], column[inside]), surplus[inside] / raw.factor**2)
    return _Binned(data, None, _noise(data, None), raw.factor)


def _bad_pixels(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
    """Which pixels are masked or not finite; None when there are none."""
    bad = None if mask is None or not np.any(mask) else np.asarray(mask) != 0
    if not np.isfinite(image).all():
        bad = ~np.isfinite(image) if bad is None else bad | ~np.isfinite(image)
    return bad


def _less(image: np.ndarray, sky: np.ndarray, factor: int) -> np.ndarray:
    """The image minus a binned one; what binning cut off repeats the last row and column."""
    columns = np.minimum(np.arange(image.shape[1]) // factor, sky.shape[1] - 1)
    wide = np.vstack([sky, sky[-1:]]).take(columns, axis=1)
    whole = len(image) // factor * factor
    # Groups of whole rows: ten times faster than a sky of full size.
    groups = image[:whole].reshape(-1, factor, image.shape[1]) - wide[:-1, None]
    rest = image[whole:] - wide[-1]
    return np.concatenate([groups.reshape(whole, -1), rest]) if len(rest) else groups.reshape(image.shape)


def _noise(data: np.ndarray, bad: np.ndarray | None) -> float:
    """Standard deviation of the sky, from some 20 000 pixels."""
    step = max(1, int(np.sqrt(data.size / 20_000)))
    sample = data[::step, ::step]
    if bad is not None:
        sample = sample[~bad[::step, ::step]]
    if sample.size == 0:
        return 0.0
    middle = float(np.median(sample))
    mad = MAD_TO_SIGMA * float(np.median(np.abs(sample - middle)))
    # The clipped standard deviation, since that of a few counts is not what their median deviation says.
    kept = sample[np.abs(sample - middle) <= 4 * mad]
    return float(kept.std(dtype=float))


def hot_pixels(data: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of pixels far above most of their neighbours, and the median of those."""
    flat, (height, width) = data.ravel(), data.shape
    index = np.flatnonzero(flat > _HOT_SIGMA * noise) if noise > 0 else np.empty(0, dtype=np.intp)
    # A first look along rows and columns spares most of the stars; a thin track stands out across itself.
    beside, above = (
        flat.take(index - step, mode="clip") + flat.take(index + step, mode="clip") for step in (1, width)
    )
    index = index[flat[index] > 0.75 * np.minimum(beside, above)]
    y, x = np.divmod(index, width)
    dy, dx = np.array([(j, i) for j in (-1, 0, 1) for i in (-1, 0, 1) if i or j]).T
    rows, columns = np.clip(y[:, None] + dy, 0, height - 1), np.clip(x[:, None] + dx, 0, width - 1)
    around = np.sort(data[rows, columns], axis=1)[:, 3:5].mean(axis=1)
    hot = flat[index] - around > np.maximum(_HOT_SIGMA * noise, _HOT_RATIO * around)
    return index[hot], around[hot]


def _bin(flat: _Flat, factor: int) -> _Binned:
    """Means of the good pixels in squares; incomplete squares at the far edges are cut off."""
    if factor == 1:
        return _Binned(flat.data, flat.bad, flat.noise, 1)
    total = square_sums(flat.data, factor)
    if flat.bad is None:
        total /= factor**2
        return _Binned(total, None, _noise(total, None), factor)
    count = factor**2 - square_sums(flat.bad.astype(np.float32), factor)
    hole = count == 0
    total /= np.maximum(count, 1)
    return _Binned(total, hole, _noise(total, hole), factor)


# ---------------------------------------------------------------- search


def _typical_fwhm(flat: _Flat, binned: _Binned, full: np.ndarray | None) -> float:
    """A first idea of the width of the stars: where the widths of the brightest objects crowd.

    The crowd, not the median, since cosmic rays and blends come in all widths.
    """
    found = _sep_extract(binned, _kernel(2.5), 25.0, minarea=1)
    if len(found) < _ENOUGH:
        found = _sep_extract(binned, _kernel(2.5), 6.0, minarea=1)
    x, y = binned.zoom_out(found["x"]), binned.zoom_out(found["y"])
    if full is not None:
        unsaturated = ~_any_saturated(full, x, y, 3.0 * binned.factor)
        x, y, found = x[unsaturated], y[unsaturated], found[unsaturated]
    best = np.argsort(-found["flux"])[:_BRIGHTEST]
    if len(best) == 0:
        return 2 * _SMALLEST_FWHM
    rough2 = (2.35 * binned.factor) ** 2 * (found["a"] * found["b"])[best]
    rough = np.sqrt(np.maximum(rough2 - PIXEL_FWHM2 * binned.factor**2, 9))
    if np.median(rough) > 3 * binned.factor:  # well sampled on the binned pixels, which are fewer
        f, data, x, y = binned.factor, binned.data, found["x"], found["y"]
    else:
        f, data = 1, flat.data
    width = f * half_light_widths(data, x[best], y[best], np.minimum(rough, 30) / f)
    width = width[width >= _SMALLEST_FWHM]
    return float(np.clip(crowded(width), _SMALLEST_FWHM, 30)) if len(width) else 2 * _SMALLEST_FWHM


def half_light_widths(data: np.ndarray, x: np.ndarray, y: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """FWHMs from half-light radii around windowed centroids, pixels."""
    x, y, _ = sep.winpos(data, x, y, rough / 2.35, subpix=1)
    width = 1.5 * rough
    for _ in range(3):
        width = _width_within(data, x, y, np.maximum(width, 1.0))
    return np.sqrt(np.maximum(width**2 - PIXEL_FWHM2, 0))


def _width_within(data: np.ndarray, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """FWHM from the radius that holds half of the light within a circle of about one FWHM.

    The circle keeps wings and neighbours out: the result is 0.98 FWHM for a Gaussian and 1.09 for a Moffat
    profile of beta = 3, where the half-light radius of all the light would give 1.26.
    """
    return 2 * sep.flux_radius(data, x, y, radius, 0.5, subpix=5)[0] / 0.97


def crowded(width: np.ndarray) -> float:
    """The median of the widths within 15 % of the one that has most neighbours."""
    near = np.abs(np.log(width[:, None] / width)) < 0.15
    return float(np.median(width[near[np.argmax(near.sum(axis=1))]]))


def _kernel(fwhm: float) -> np.ndarray:
    """A Gaussian of sum 1 on 5 x 5 pixels, or on 3 x 3 when it is narrow."""
    half = 2 if fwhm > 2 else 1
    profile = np.exp(-4 * np.log(2) * (np.arange(-half, half + 1) / fwhm) ** 2)
    kernel = np.outer(profile, profile)
    return (kernel / kernel.sum()).astype(np.float32)


def _extract(binned: _Binned, fwhm: float, threshold: float) -> np.ndarray:
    """What stands above the threshold after the matched filter, as sep describes it."""
    width = np.sqrt((fwhm / binned.factor) ** 2 + PIXEL_FWHM2)
    # The area on which the filtered star of 1.1 thresholds stands above it.
    minarea = max(1, int(0.2 * width**2))
    return _sep_extract(binned, _kernel(width), threshold, minarea=minarea)


def _sep_extract(binned: _Binned, kernel: np.ndarray, threshold: float, *, minarea: int) -> np.ndarray:
    """sep's objects above a threshold in units of the filtered noise."""
    level = threshold * binned.noise * float(np.sqrt((kernel**2).sum()))
    try:
        return sep.extract(
            binned.data,
            level,
            mask=binned.hole,
            filter_kernel=kernel,
            minarea=minarea,
            deblend_nthresh=16,  # a third faster than sep's 32, and point sources need no more
        )
    except Exception as problem:  # sep raises the bare Exception for its full buffers
        raise PixelError(
            f"too much of the image is above {threshold:g} sigma to separate stars ({problem}); "
            "raise the threshold, or mask what is not sky"
        ) from problem


def _describe(found: np.ndarray, binned: _Binned, flat: _Flat, fwhm: float, full: np.ndarray | None) -> Stars:
    """The numbers of each object, in pixels of the full image."""
    f, width = binned.factor, fwhm / binned.factor
    bx, by, _ = sep.winpos(binned.data, found["x"], found["y"], max(width, 1.5) / 2.35, subpix=1)
    lost = ~(np.hypot(bx - found["x"], by - found["y"]) < width / 2)
    bx[lost], by[lost] = found["x"][lost], found["y"][lost]
    flux = f**2 * sep.sum_circle(binned.data, bx, by, max(width, 1.0), subpix=0)[0]
    radius = np.full(len(bx), np.sqrt(max(width, 1.0) ** 2 + PIXEL_FWHM2))
    fwhm2 = _width_within(binned.data, bx, by, radius) ** 2
    x, y = binned.zoom_out(bx), binned.zoom_out(by)
    around, _, _ = pixels_around(flat.data, np.column_stack([x, y]), max(1.0, fwhm / 2))
    return Stars(
        x=x,
        y=y,
        flux=flux,
        peak=np.nanmax(around, axis=1, initial=-np.inf),
        fwhm=f * np.sqrt(np.maximum(fwhm2 - PIXEL_FWHM2, 0)),
        ellipticity=1 - found["b"] / np.maximum(found["a"], 1e-6),
        npix=found["npix"] * f**2,
        saturated=np.zeros(len(x), dtype=bool)
        if full is None
        else _any_saturated(full, x, y, max(1.0, fwhm)),
    )


def _any_saturated(full: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Which stars have a saturated pixel in the square of that half side."""
    low = np.maximum(np.rint(np.column_stack([x, y]) - radius), 0).astype(int)
    high = np.maximum(np.rint(np.column_stack([x, y]) + radius) + 1, 0).astype(int)
    return np.array([full[b:d, a:c].any() for (a, b), (c, d) in zip(low, high, strict=True)], dtype=bool)


def _is_star(stars: Stars, binned: _Binned, flat: _Flat, fwhm: float, threshold: float) -> np.ndarray:
    """Which objects are shaped like the stars of this frame; saturated ones are not judged."""
    f, width = binned.factor, max(fwhm / binned.factor, 1.0)
    bx, by = (stars.x + 0.5) / f - 0.5, (stars.y + 0.5) / f - 0.5
    inner = f**2 * sep.sum_circle(binned.data, bx, by, width / 2, subpix=0)[0]
    error = f**2 * binned.noise * np.sqrt(np.pi) * width
    # Half a FWHM holds 0.53 of what one does for a Gaussian, 0.49 for a Moffat profile, 1 for a pixel.
    spread = inner - error < 0.75 * stars.flux
    # One pixel that holds the light: without what it has more than a star's central pixel, nothing is left.
    surplus = stars.peak - 0.94 * stars.flux / (fwhm**2 + PIXEL_FWHM2)
    lonely = (surplus > 4.5 * flat.noise) & (stars.flux - surplus < 3 * error)
    usual = np.median(stars.ellipticity) if len(stars) else 0.0
    round_enough = stars.ellipticity < max(0.7, usual + 0.35)
    shaped = (
        spread
        & ~lonely
        & round_enough
        & _is_peak(binned, bx, by, width=width, usual=usual, threshold=threshold)
    )
    return (stars.flux > 0) & (shaped | stars.saturated)


def _is_peak(
    binned: _Binned, x: np.ndarray, y: np.ndarray, *, width: float, usual: float, threshold: float
) -> np.ndarray:
    """Which objects are higher than what lies beside them on both sides, in every direction, and beyond doubt.

    The coarse sky does not follow the edge of a shadow or a galaxy, on which any noise is above the threshold.
    Along the edge of a shadow, on a ridge or across a trail there is one direction in which they are not. In a frame of
    trailed stars, by their usual ellipticity, all pass.
    """
    if usual > _TRAILED:
        return np.ones(len(x), bool)
    radius, away = max(_DISK * width, 0.6), _BESIDE * width
    angles = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    dx, dy = away * np.cos(angles), away * np.sin(angles)
    here = sep.sum_circle(binned.data, x, y, radius, subpix=5)[0]
    beside = [
        sep.sum_circle(binned.data, x + sign * i, y + sign * j, radius, subpix=5)[0]
        for i, j in zip(dx, dy, strict=True)
        for sign in (-1, 1)
    ]
    above = here - np.reshape(beside, (_DIRECTIONS, 2, len(x))).mean(axis=1)
    noise = binned.noise * np.sqrt(1.5 * np.pi) * radius
    usually = np.median(above, axis=0)
    return (usually > _LOCAL * threshold * noise) & (above.min(axis=0) > np.maximum(noise, _RIDGE * usually))


def _no_stars() -> Stars:
    empty = np.empty(0)
    return Stars(empty, empty, empty, empty, empty, empty, empty.astype(int), empty.astype(bool))


# ---------------------------------------------------------------- the mean profile


def _first_half_width(values: np.ndarray, distance: np.ndarray) -> float:
    """Where the median profile in rings of one pixel first falls below half its maximum.

    `distance` is that of each column of `values` from the star's rounded position.
    """
    total = np.nansum(values, axis=1)
    scaled = values[total > 0] / total[total > 0, None]
    rings = [scaled[:, np.floor(distance) == n] for n in range(int(distance.max()) + 1)]
    known = [ring[np.isfinite(ring)] for ring in rings]
    profile = np.array([_medians(ring[None])[0] if ring.size else 0.0 for ring in known])
    below = np.flatnonzero(profile < profile.max() / 2)
    below = below[below > np.argmax(profile)]
    return float(max(0.8, below[0])) if len(below) else float("nan")


def _profile_step(
    values: np.ndarray, s: np.ndarray, good: np.ndarray, amplitude: np.ndarray, half: float
) -> tuple[np.ndarray, float]:
    """Better amplitudes and a better half width, from a parabola through the logarithm of the profile."""
    used = good & (s < max(1.5 * half, 1.7) ** 2) & (amplitude > 0)[:, None]
    scaled = values / np.where(amplitude > 0, amplitude, 1)[:, None]
    s_ring, v_ring = _rings(s[used], scaled[used])
    positive = v_ring > 0.05 * v_ring.max(initial=0)
    if np.count_nonzero(positive) < 4:
        return amplitude, float("nan")
    # Equal errors of v are errors of 1/v of its logarithm.
    curve = np.polyfit(s_ring[positive], np.log(v_ring[positive]), 2, w=v_ring[positive])
    model = np.where(used, np.exp(np.polyval(curve, np.where(used, s, 0))), 0)
    fitted = np.sum(model * np.where(used, values, 0), axis=1) / np.maximum(np.sum(model**2, axis=1), 1e-30)
    return fitted, _half_width(curve, half)


def _half_width(curve: np.ndarray, guess: float) -> float:
    """Where the profile, corrected for the pixel size, has half its central value.

    A pixel of side 1 averages f to g = f + (1/24) laplacian(f) at lowest order, so f = g - (1/24)
    laplacian(g); in s = r**2 the laplacian is 4 (s g'' + g').
    """
    s = np.linspace(0, (1.8 * guess) ** 2, 400)
    slope, bend = np.polyval(np.polyder(curve), s), np.polyder(curve, 2)[0]
    profile = np.exp(np.polyval(curve, s)) * (1 - (s * (slope**2 + bend) + slope) / 6)
    below = np.flatnonzero(profile < profile[0] / 2)
    if len(below) == 0:
        return 1.8 * guess
    n = below[0]
    part = (profile[n - 1] - profile[0] / 2) / (profile[n - 1] - profile[n])
    return float(np.sqrt(s[n - 1] + part * (s[n] - s[n - 1])))


def _rings(s: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians of distance squared and value in 16 rings of as many pixels each; few pixels are left alone."""
    if len(s) < 256:
        return s, v
    order = np.argsort(s, kind="stable")[: len(s) // 16 * 16].reshape(16, -1)
    return _medians(s[order]), _medians(v[order])


def _medians(rows: np.ndarray) -> np.ndarray:
    """The median of each row; ten times faster than NumPy's for short ones."""
    n = rows.shape[1]
    ordered = np.sort(rows, axis=1)
    return (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
