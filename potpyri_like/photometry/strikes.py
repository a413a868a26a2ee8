"""Pixels of a star that a particle struck: far above the star's profile, and sharper than any star."""

from __future__ import annotations

import numpy as np

from potpyri_like.frame import MaskBit
from potpyri_like.photometry.cutouts import Ring, in_blocks, is_clean, rounded, squares
from potpyri_like.photometry.noise import nan_median
from potpyri_like.photometry.psf import Profile

__all__ = ["struck_pixels"]

_SURE = 8.0  # standard deviations of a pixel
_MODEL_ERROR, _OF_PIXELS = 0.3, 0.3  # of the profile near a pixel; more, where a star is only two pixels wide
_SHARPER = 0.5  # of what a star puts beside its brightest pixel
_CORE = 0.75  # FWHM: the pixels that tell how bright the star is


def struck_pixels(
    image: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    xy: np.ndarray,
    level: np.ndarray,
    *,
    profile: Profile,
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The stars with struck pixels within a radius, and those pixels.

    A pixel is struck that exceeds the star's scaled profile by eight standard deviations and a third of the profile's
    brightest value beside it, and whose neighbours show less of the excess than a second star's would. Saturated stars
    are not searched.

    Parameters
    ----------
    image, variance : ndarray, shape (ny, nx), electron, electron^2
    mask : ndarray of uint16, shape (ny, nx)
    xy : ndarray, shape (n, 2), pixels
        Centroids.
    level : ndarray, shape (n,), electron
        Of the sky.
    profile : Profile
        As pixels see it.
    radius : float, pixels

    Returns
    -------
    stars : ndarray of int, shape (m,)
    struck : ndarray of bool, shape (m, n_pixel)
        In the order of ``Ring.between(0, radius + 0.5)`` around each star's rounded position.
    """
    disk = Ring.between(0, radius + 0.5)
    stars, struck = [np.empty(0, np.intp)], [np.empty((0, disk.dx.size), bool)]
    if profile.is_known:
        for some in in_blocks(np.flatnonzero(np.isfinite(level)), (2 * disk.half + 3) ** 2):
            hit = _struck(image, variance, xy[some], level[some], profile, disk)
            found = hit.any(axis=1)
            if found.any() and not is_clean(mask):
                found &= ~(disk.pixels(mask, xy[some]) & np.uint16(MaskBit.SATURATED)).any(axis=1)
            stars.append(some[found])
            struck.append(hit[found])
    return np.concatenate(stars), np.concatenate(struck)


def _struck(
    image: np.ndarray, variance: np.ndarray, xy: np.ndarray, level: np.ndarray, profile: Profile, disk: Ring
) -> np.ndarray:
    """Which pixels of the disk around each star are struck, shape (n, n_pixel)."""
    half, centre = disk.half + 1, rounded(xy)
    side, grid = 2 * half + 1, np.arange(-half, half + 1, dtype=np.float32)
    off = (xy - centre).astype(np.float32)
    above = squares(image, centre, half, outside=np.nan) - level[:, None, None].astype(image.dtype)
    light = profile.light(grid - off[:, :1, None], grid[:, None] - off[:, 1:, None]).reshape(len(xy), -1)
    core = (np.hypot(grid, grid[:, None]) <= max(_CORE * profile.fwhm, 1.0)).ravel()
    error = _MODEL_ERROR + _OF_PIXELS * (2 / profile.fwhm) ** 2
    inside = np.zeros(side**2, bool)
    inside[(disk.dy + half) * side + disk.dx + half] = True
    with np.errstate(invalid="ignore"):
        above = above.reshape(len(xy), -1)
        light *= np.maximum(nan_median((above[:, core] / light[:, core]).T), 0)[:, None].astype(np.float32)
        rest = above - light
        star, pixel = np.nonzero(
            (rest > error * light) & inside
        )  # a first look; the rest is for a few pixels
    around = pixel[:, None] + np.array([j * side + i for j in (-1, 0, 1) for i in (-1, 0, 1) if i or j])
    excess, beside = rest[star, pixel], np.nan_to_num(rest[star[:, None], around])
    noise = np.sqrt(np.maximum(squares(variance, centre, half).reshape(len(xy), -1)[star, pixel], 0))
    sure = excess > _SURE * noise + error * light[star[:, None], around].max(axis=1, initial=0)
    of_a_star = float(
        profile.light(np.array(1.2), np.array(0.0)) / profile.light(np.array(0.0), np.array(0.0))
    )
    sharp = np.sort(beside, axis=1)[:, 3:5].mean(axis=1) < _SHARPER * of_a_star * excess
    hit = np.zeros((len(xy), side**2), bool)
    hit[star[sure & sharp], pixel[sure & sharp]] = True
    return hit[:, inside]
