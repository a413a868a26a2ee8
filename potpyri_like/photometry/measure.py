"""Photometry at known positions: centroid, local sky, sums, flags. The hot path of a time series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import erf, exp, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from potpyri_like.frame import MaskBit, StarFlag
from potpyri_like.photometry.centroids import refine_positions
from potpyri_like.photometry.cutouts import (
    Ring,
    from_squares,
    in_blocks,
    is_clean,
    leaves,
    native_float32,
    rounded,
    square_sums,
    to_squares,
)
from potpyri_like.photometry.filling import HALF_LOST, MUCH_LOST, PROFILE_ERROR, filled, stars_on_bad_pixels
from potpyri_like.photometry.photometers import Aperture, Context, Photometer, Scene
from potpyri_like.photometry.psf import Profile
from potpyri_like.photometry.strikes import struck_pixels

if TYPE_CHECKING:
    from potpyri_like.photometry.centroids import Centroid

__all__ = [
    "Measurement",
    "Sky",
    "annulus_sky",
    "aperture_flags",
    "disks",
    "measure_stars",
    "peaks",
    "sky_between_stars",
]

_MIN_SKY_PIXELS = 10
_CLIP, _CLIP_SQUARES = (
    3.0,
    3.5,
)  # sigma: stars stand out more from squares, and a wider limit costs less noise
_CROWDED = 0.2  # of an annulus
_DISKS = 30  # of about one size, that are drawn together
_FILLINGS = 4  # times that light is put back on bad pixels
_SAMPLE = 600  # pixels that set the limits of clipping

_STAR_FLAG_OF = {
    MaskBit.SATURATED: StarFlag.SATURATED,
    MaskBit.BAD: StarFlag.BAD_PIXEL,
    MaskBit.HOT: StarFlag.HOT_PIXEL,
    MaskBit.COSMIC_RAY: StarFlag.COSMIC_RAY,
}


@dataclass(frozen=True, eq=False)
class Sky:
    """The sky around each star; arrays of shape (n_star,).

    Attributes
    ----------
    level : ndarray, image unit per pixel
    scatter : ndarray, image unit
        Standard deviation of a sky pixel.
    n : ndarray of int
        Pixels that were kept.
    variance_of_level : ndarray
    """

    level: np.ndarray
    scatter: np.ndarray
    n: np.ndarray
    variance_of_level: np.ndarray


@dataclass(frozen=True, eq=False)
class Measurement:
    """Stars measured in one frame.

    Attributes
    ----------
    xy : ndarray, shape (n_star, 2), pixels
    flux, flux_err : ndarray, shape (n_star, n_radius), image unit
        Above the sky; NaN where the aperture leaves the image.
    sky, sky_scatter : ndarray, shape (n_star,), image unit per pixel
    peak : ndarray, shape (n_star,)
        Brightest pixel within one FWHM, sky included.
    flags : ndarray of int, shape (n_star,)
        Bits of `StarFlag`.
    """

    xy: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    sky: np.ndarray
    sky_scatter: np.ndarray
    peak: np.ndarray
    flags: np.ndarray


def measure_stars(
    image: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    xy: np.ndarray,
    *,
    fwhm: float,
    radii: np.ndarray,
    annulus: tuple[float, float],
    recentre: float | None = None,
    flag_radius: float | None = None,
    reach: np.ndarray | None = None,
    binning: int = 1,
    sky_binning: int = 1,
    centroid: Centroid = refine_positions,
    photometer: Photometer | None = None,
    context: Context | None = None,
) -> Measurement:
    """Measure stars above their local sky, in concentric apertures or as another photometer does.

    Parameters
    ----------
    image, variance : array_like, shape (ny, nx)
        Bad pixels already filled; electron and electron squared for honest errors. The variance is that of each
        pixel by itself; what correlates them is in the context.
    mask : ndarray of uint16, shape (ny, nx)
        Bits of `MaskBit`. Masked pixels are excluded from the sky, and flag the stars. The light that bad pixels and
        cosmic rays hid is put back from the star's profile: FILLED beyond a tenth of it, NaN beyond a half.
    xy : array_like, shape (n_star, 2), pixels
    fwhm : float, pixels
        Of this frame.
    radii : array_like, shape (n_radius,), pixels
    annulus : (float, float), pixels
        Inner and outer radius of the sky.
    recentre : float, optional
        Let each position follow its star by so many pixels at most; positions are kept without it.
    flag_radius : float, optional
        Where masked pixels raise a flag; the largest aperture by default.
    reach : array_like, shape (n_star,), pixels, optional
        How far each star's light counts: the sky of the others leaves those pixels out, as far as that leaves a
        fifth of an annulus.
    binning : int
        Centroids and sums are those of squares of so many pixels a side: of well sampled stars they are the same,
        and had sooner.
    sky_binning : int
        The same for the sky; a multiple of `binning`. Its level is as well known from large squares as from small.
    centroid : callable, optional
        One of `CENTROIDS`; windowed by default.
    photometer : Photometer, optional
        `radii` are its sizes; `Aperture` by default.
    context : Context, optional
        What the photometer may want to know of the frame.
    """
    image, xy, radii = native_float32(image), np.array(xy, float).reshape(-1, 2), np.asarray(radii, float)
    context, near = context or Context(), radii.max() if flag_radius is None else flag_radius
    squared, lost = square_sums(image, binning), np.zeros(len(xy))
    centred = partial(_centred, centroid=centroid, fwhm=fwhm, max_shift=recentre, binning=binning)
    places, ok = centred(squared, xy)
    coarse = square_sums(squared, sky_binning // binning)
    sky = _sky_of_squares(coarse, places, annulus, mask=mask, reach=reach, binning=sky_binning)
    known = (context.psf if context.psf and context.psf.is_known else Profile(fwhm)).through_pixels(1)
    hurt, bad = stars_on_bad_pixels(image, variance, mask, xy, sky, near)
    struck, hit = struck_pixels(image, variance, mask, xy, sky.level, profile=known, radius=near)
    hurt, bad = _together(hurt, bad, struck, hit)
    if len(hurt):
        put_back = partial(filled, image, bad=bad, level=sky.level[hurt], centre=rounded(xy[hurt]))
        put_back = partial(put_back, profile=known, radius=near)
        places[hurt] = xy[hurt]
        for _ in range(_FILLINGS):  # the light that is put back moves the centroid, and is moved by it
            image, lost[hurt] = put_back(places[hurt])
            squared = square_sums(image, binning)
            places[hurt], ok[hurt] = centred(squared, xy[hurt])
    scene = Scene(image, variance, mask, places, sky, fwhm, radii, squared, binning, context)
    flux, flux_err = (photometer or Aperture()).measure(scene)
    flags = np.where(ok, 0, int(StarFlag.NO_CENTROID)) | aperture_flags(mask, places, near)
    flags[leaves(image.shape, places, max(annulus[1], radii.max()))] |= StarFlag.EDGE
    flags[struck] |= StarFlag.COSMIC_RAY
    flags[hurt] |= np.where(flags[hurt] & StarFlag.COSMIC_RAY, 0, int(StarFlag.BAD_PIXEL))
    flags[lost > MUCH_LOST] |= StarFlag.FILLED
    flux[lost > HALF_LOST] = np.nan
    return Measurement(
        xy=places,
        flux=flux,
        flux_err=np.hypot(flux_err, PROFILE_ERROR * lost[:, None] * flux),
        sky=sky.level,
        sky_scatter=sky.scatter,
        peak=peaks(image, places, fwhm),
        flags=flags,
    )


def _together(
    stars: np.ndarray, pixels: np.ndarray, others: np.ndarray, theirs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two lists of stars and their pixels as one, in which each star is once."""
    both = np.union1d(stars, others)
    together = np.zeros((len(both), pixels.shape[1]), bool)
    together[np.searchsorted(both, stars)] |= pixels
    together[np.searchsorted(both, others)] |= theirs
    return both, together


def _centred(
    squared: np.ndarray,
    xy: np.ndarray,
    *,
    centroid: Centroid,
    fwhm: float,
    max_shift: float | None,
    binning: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Each star's centroid in an image of squares, in pixels, and whether it has one; its place where it has not."""
    if max_shift is None:
        return xy.copy(), np.ones(len(xy), bool)
    found, ok = centroid(squared, to_squares(xy, binning), fwhm=fwhm / binning, max_shift=max_shift / binning)
    return np.where(ok[:, None], from_squares(found, binning), xy), ok.copy()


def annulus_sky(
    image: np.ndarray,
    xy: np.ndarray,
    *,
    inner: float,
    outer: float,
    mask: np.ndarray | None = None,
    sigma: float = _CLIP,
) -> Sky:
    """The sky in an annulus: the mean of the pixels that survive iterated clipping about their median.

    The mean, since the median of a Poisson sky lies 1/6 of a count too low whatever its level, which an
    aperture multiplies by its area; the mean clipped at 3 sigma lies 0.04 low and has two thirds of the
    variance.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
    xy : array_like, shape (n, 2), pixels
        Rounded to whole pixels for the annulus.
    inner, outer : float, pixels
        Pixels whose centres are in between.
    mask : ndarray, optional
        Pixels that are not zero are excluded, like those outside the image and those that are not finite.
    sigma : float
        Clipping limit, in standard deviations taken from the quartiles.

    Returns
    -------
    Sky
        NaN for stars with fewer than 10 pixels.
    """
    image, xy = native_float32(image), np.asarray(xy, dtype=float).reshape(-1, 2)
    ring = Ring.between(inner, outer)
    parts = [
        _clipped(_uncovered(ring, image, mask, block), sigma) for block in in_blocks(xy, (2 * outer + 1) ** 2)
    ]
    level, scatter, n = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sky(level, scatter, n, scatter**2 / np.maximum(n, 1))


def _uncovered(ring: Ring, image: np.ndarray, mask: np.ndarray | None, xy: np.ndarray) -> np.ndarray:
    """The pixels of each star's ring, shape (n_star, n_pixel); NaN where masked or outside."""
    pixels = ring.pixels(image, xy)
    if mask is not None:
        np.copyto(pixels, np.float32(np.nan), where=ring.pixels(mask, xy) != 0)
    return pixels


def sky_between_stars(
    image: np.ndarray,
    xy: np.ndarray,
    annulus: tuple[float, float],
    *,
    mask: np.ndarray,
    reach: np.ndarray | None = None,
    binning: int = 1,
) -> Sky:
    """The sky in each star's annulus, without the pixels within reach of any star (see `measure_stars`).

    Where that would leave less than a fifth of an annulus, the reach is shortened by a quarter, and so on. It is
    taken from squares of `binning` pixels a side, a masked pixel hiding its square, and told in pixels.
    """
    sums = square_sums(native_float32(image), binning)
    return _sky_of_squares(sums, xy, annulus, mask=mask, reach=reach, binning=binning)


def _sky_of_squares(
    sums: np.ndarray,
    xy: np.ndarray,
    annulus: tuple[float, float],
    *,
    mask: np.ndarray,
    reach: np.ndarray | None,
    binning: int,
) -> Sky:
    """`sky_between_stars` from the sums of squares."""
    xy, hidden = to_squares(np.asarray(xy, float), binning), _hidden(np.asarray(mask), binning)
    reach = None if reach is None else np.asarray(reach, float) / binning
    where = {"inner": annulus[0] / binning, "outer": annulus[1] / binning}
    sigma = _CLIP if binning == 1 else _CLIP_SQUARES
    sky = _between_stars(sums, xy, hidden, reach, **where, sigma=sigma)
    return Sky(sky.level / binning**2, sky.scatter / binning, sky.n, sky.variance_of_level / binning**4)


def _hidden(mask: np.ndarray, binning: int) -> np.ndarray:
    """Which squares of pixels hold a masked one."""
    if is_clean(mask):
        return np.zeros((mask.shape[0] // binning, mask.shape[1] // binning), bool)
    return square_sums(mask != 0, binning)


def _between_stars(
    image: np.ndarray,
    xy: np.ndarray,
    hidden: np.ndarray,
    reach: np.ndarray | None,
    *,
    inner: float,
    outer: float,
    sigma: float,
) -> Sky:
    """The sky without hidden pixels and without those within reach of a star."""
    where = {"inner": inner, "outer": outer, "sigma": sigma}
    if reach is None:
        return annulus_sky(image, xy, mask=hidden, **where)
    sky = annulus_sky(image, xy, mask=hidden | disks(hidden.shape, xy, reach), **where)
    for shorter in (0.75, 0.56, 0.42, 0.0):
        crowded = np.flatnonzero(sky.n < _CROWDED * np.pi * (outer**2 - inner**2))
        if not len(crowded):
            break
        near = _closest(xy, xy[crowded]) <= reach + outer + 1
        covered = hidden | disks(hidden.shape, xy[near], shorter * reach[near])
        again = annulus_sky(image, xy[crowded], mask=covered, **where)
        for name, values in vars(again).items():
            getattr(sky, name)[crowded] = values
    return sky


def _closest(xy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distance of each position from the closest of some others."""
    distance = np.hypot(*(xy[:, None] - others).transpose(2, 0, 1))
    return np.fmin.reduce(distance, axis=1, initial=np.inf)


def disks(shape: tuple[int, int], xy: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Which pixels have their centre within the given radius of any of some positions.

    Parameters
    ----------
    shape : (int, int)
        Rows, columns.
    xy : array_like, shape (n, 2), pixels
    radii : array_like, shape (n,), pixels

    Returns
    -------
    ndarray of bool, shape (rows, columns)
    """
    covered = np.zeros(shape, dtype=bool)
    xy, radii = np.asarray(xy, float).reshape(-1, 2), np.broadcast_to(radii, len(xy)).astype(float)
    seen = np.isfinite(xy).all(axis=1) & (radii >= 0)
    circles = np.column_stack([xy, radii])[seen]
    circles = circles[np.argsort(circles[:, 2], kind="stable")]
    for block in in_blocks(circles, (2 * circles[:, 2].max(initial=0) + 3) ** 2, most=_DISKS):
        x, y = _inside(block, int(block[:, 2].max(initial=0)) + 1)
        within = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
        covered[y[within], x[within]] = True
    return covered


def _inside(circles: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels x, y whose centres are inside any of some circles (x, y, radius), those in two of them twice."""
    corner, offset = np.rint(circles[:, :2]), np.arange(-half, half + 1)
    x2, y2 = np.square(offset + (corner - circles[:, :2])[:, :, None]).swapaxes(0, 1)
    star, row, column = np.nonzero(x2[:, None] + y2[:, :, None] <= circles[:, 2, None, None] ** 2)
    return (corner[star, 0] + column - half).astype(np.intp), (corner[star, 1] + row - half).astype(np.intp)


def aperture_flags(mask: np.ndarray, xy: np.ndarray, radius: float) -> np.ndarray:
    """What is wrong with the pixels in each aperture.

    Parameters
    ----------
    mask : ndarray of uint16, shape (ny, nx)
        Bits of `MaskBit`.
    xy : array_like, shape (n, 2), pixels
    radius : float, pixels
        Pixels count whose centres lie within half a pixel of the circle, or inside.

    Returns
    -------
    ndarray of int, shape (n,)
        Bits of `StarFlag`: SATURATED, BAD_PIXEL, HOT_PIXEL, COSMIC_RAY, EDGE.
    """
    mask, xy = np.asarray(mask), np.asarray(xy, dtype=float).reshape(-1, 2)
    flags = np.where(leaves(mask.shape, xy, radius), int(StarFlag.EDGE), 0)
    if is_clean(mask):
        return flags
    disk = Ring.between(0, radius + 0.5)
    around = (disk.pixels(mask, block) for block in in_blocks(xy, 4 * radius**2))
    bits = np.concatenate([np.bitwise_or.reduce(block, axis=1) for block in around])
    for bit, flag in _STAR_FLAG_OF.items():
        flags |= np.where(bits & bit, int(flag), 0)
    return flags


def peaks(image: np.ndarray, xy: np.ndarray, fwhm: float) -> np.ndarray:
    """The brightest pixel within one FWHM; NaN outside the image."""
    xy, disk = np.asarray(xy, dtype=float).reshape(-1, 2), Ring.between(0, max(1.0, fwhm))
    around = (disk.pixels(image, block) for block in in_blocks(xy, 4 * fwhm**2))
    peak = np.concatenate(
        [np.fmax.reduce(block, axis=1, initial=-np.inf) for block in around]
    )  # NaN excluded
    return np.where(np.isfinite(peak), peak, np.nan)


# ---------------------------------------------------------------- clipping by rank


def _clipped(values: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and number of the pixels of each row that survive clipping.

    The limits come from every k-th pixel, 600 at least: their error of 0.05 sigma moves the mean by 0.0015.
    """
    low, high = _limits(np.sort(values[:, :: max(1, values.shape[1] // _SAMPLE)], axis=1), sigma)
    kept = (values >= low[:, None]) & (values <= high[:, None])
    n = np.count_nonzero(kept, axis=1)
    enough = np.where(n >= _MIN_SKY_PIXELS, n, np.nan)
    middle = (low + high) / 2  # taken off for the precision of float32 sums
    rest = np.where(kept, values - middle[:, None], np.float32(0))
    mean = rest.sum(axis=1) / enough
    square = np.einsum("ij,ij->i", rest, rest) / enough
    return middle + mean, np.sqrt(np.maximum(square - mean**2, 0) / _variance_left(sigma)), n


def _limits(rows: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Where to clip sorted rows, NaN last, about their own medians, iterated until the same pixels survive."""
    low, high = np.zeros(len(rows), np.intp), np.count_nonzero(np.isfinite(rows), axis=1)
    limits = np.full((2, len(rows)), np.nan, rows.dtype)
    going = high > 3
    while going.any():
        at = np.flatnonzero(going)
        middle, width = _middle_and_width(rows[at], low[at], high[at])
        limits[:, at] = middle - sigma * width, middle + sigma * width
        first = np.maximum(low[at], np.count_nonzero(rows[at] < limits[0, at, None], axis=1))
        last = np.minimum(high[at], np.count_nonzero(rows[at] <= limits[1, at, None], axis=1))
        going[at] = ((first > low[at]) | (last < high[at])) & (last - first > 3)
        low[at], high[at] = first, last
    return limits[0], limits[1]


def _middle_and_width(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The medians of sorted rows between two indices, and their standard deviations from the quartiles."""
    number, n = np.arange(len(rows)), high - low
    middle = rows[number, low + n // 2]
    width = np.float32(0.7413) * (rows[number, low + 3 * n // 4] - rows[number, low + n // 4])
    for i in np.flatnonzero(width == 0):  # coarse digitisation can bring the quartiles together
        width[i] = rows[i, low[i] : high[i]].std(dtype=float)
    return middle, width


def _variance_left(sigma: float) -> float:
    """Which part of the variance of a normal distribution is left when it is cut at so many sigma."""
    return 1 - 2 * sigma * exp(-(sigma**2) / 2) / sqrt(2 * pi) / erf(sigma / sqrt(2))
