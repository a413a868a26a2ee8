"""Bad pixels under a star: how much of its light they held, and that light put back from the star's profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.frame import UNUSABLE
from potpyri_like.photometry.cutouts import Ring, in_blocks, is_clean
from potpyri_like.photometry.psf import Profile

if TYPE_CHECKING:
    from potpyri_like.photometry.measure import Sky

__all__ = ["HALF_LOST", "MUCH_LOST", "PROFILE_ERROR", "filled", "stars_on_bad_pixels"]

MUCH_LOST = 0.1  # of a star's light: what its profile puts back is off by up to half a per cent
HALF_LOST = 0.5  # from here on a star is not measured
PROFILE_ERROR = 0.05  # of the light put back
_DARK_SIGMA, _DARK_SHARE = (
    10.0,
    0.5,
)  # standard deviations below the sky, and part of the sky: no pixel is darker


def stars_on_bad_pixels(
    image: np.ndarray, variance: np.ndarray, mask: np.ndarray, xy: ArrayLike, sky: Sky, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """The stars with unusable pixels within a radius, and those pixels.

    Unusable is what the mask says is bad or hit by a cosmic ray; and a pixel far darker than the sky, which no light
    can make: a block of zeros, a dead column without a flat.

    Returns
    -------
    stars : ndarray of int, shape (n,)
    bad : ndarray of bool, shape (n, n_pixel)
        In the order of ``Ring.between(0, radius + 0.5)`` around each star's rounded position.
    """
    disk, xy, clean = Ring.between(0, radius + 0.5), np.asarray(xy, float).reshape(-1, 2), is_clean(mask)
    stars, bad = [np.empty(0, np.intp)], [np.empty((0, disk.dx.size), bool)]
    for some in in_blocks(np.arange(len(xy)), 4 * radius**2):
        values, level = disk.pixels(image, xy[some]), sky.level[some, None]
        with np.errstate(invalid="ignore"):
            dark = values < np.minimum(_DARK_SHARE * level, level - _DARK_SIGMA * sky.scatter[some, None])
        if dark.any():
            noise = np.sqrt(np.maximum(disk.pixels(variance, xy[some]), 0))
            dark &= values < level - _DARK_SIGMA * noise
        if not clean:
            dark |= (disk.pixels(mask, xy[some]) & np.uint16(UNUSABLE)) > 0
        found = dark.any(axis=1)
        stars.append(some[found])
        bad.append(dark[found])
    return np.concatenate(stars), np.concatenate(bad)


def filled(
    image: np.ndarray,
    xy: np.ndarray,
    bad: np.ndarray,
    level: np.ndarray,
    *,
    centre: np.ndarray,
    profile: Profile,
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The image with the light of some stars put back, and how much of it that was.

    Each star's profile is scaled to what its good pixels hold above the sky.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    xy : ndarray, shape (n, 2), pixels
    bad : ndarray of bool, shape (n, n_pixel)
        As `stars_on_bad_pixels` gives them.
    level : ndarray, shape (n,)
        Of the sky around each star; where it is not known the star is left as it is.
    centre : ndarray of int, shape (n, 2), pixels
        The rounded positions that `bad` is for.
    profile : Profile
        As pixels see it.
    radius : float, pixels

    Returns
    -------
    image : ndarray
        A copy.
    lost : ndarray, shape (n,)
        Of each star's light within the radius.
    """
    disk, off, image = Ring.between(0, radius + 0.5), xy - centre, image.copy()
    light = profile.light(disk.dx - off[:, :1], disk.dy - off[:, 1:])
    lost = np.where(bad, light, 0).sum(axis=1) / light.sum(axis=1)
    above = np.where(bad, np.nan, disk.pixels(image, centre) - level[:, None])
    good = np.isfinite(above)
    held = np.where(good, light, 0).sum(axis=1)
    scale = np.where(good, above, 0).sum(axis=1) / np.where(held > 0, held, np.nan)
    value = level[:, None] + np.maximum(scale, 0)[:, None] * light
    y, x = centre[:, 1:] + disk.dy, centre[:, :1] + disk.dx
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    put = bad & inside & np.isfinite(value)
    image[y[put], x[put]] = value[put]
    return image, lost
