"""What else is in a star's aperture, as a good frame shows it: its neighbours' light, and a sky that is not level."""

from __future__ import annotations

import numpy as np

from potpyri_like.photometry.apertures import aperture_sums
from potpyri_like.photometry.cutouts import Ring, native_float32
from potpyri_like.photometry.measure import annulus_sky, disks
from potpyri_like.photometry.psf import Profile

__all__ = ["light_of_others", "sky_error"]

_CORE = 0.5  # FWHM: the aperture that tells how bright each star is
_RINGS, _STEPS = 24, 48  # of the circle over which a profile is summed
_FAR = 12.0  # FWHM: what is further away does not matter
_COVERED = 3.0  # FWHM around a star that are no sky
_FEWEST = 60  # pixels


def light_of_others(
    image: np.ndarray,
    xy: np.ndarray,
    star: int,
    radii: np.ndarray,
    *,
    profile: Profile,
    annulus: tuple[float, float],
) -> np.ndarray:
    """The share of other stars in the light of a star's apertures.

    Each star's light is told by a small aperture, freed from what the others put into it.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    xy : ndarray, shape (n_star, 2), pixels
    star : int
    radii : ndarray, shape (n_radius,), pixels
    profile : Profile
        As pixels see it.
    annulus : (float, float), pixels
        Of the sky.

    Returns
    -------
    ndarray, shape (n_radius,)
        0 to 1; NaN where the star has no light.
    """
    image, near = native_float32(image), np.hypot(*(xy - xy[star]).T) < _FAR * profile.fwhm + 2 * radii.max()
    xy, here = xy[near], int(np.count_nonzero(near[:star]))
    core = max(_CORE * profile.fwhm, 1.0)
    sky = annulus_sky(image, xy, inner=annulus[0], outer=annulus[1]).level
    sums = aperture_sums(image, np.zeros_like(image), xy, np.array([core]))[0][:, 0] - np.pi * core**2 * sky
    away = xy[:, None] - xy
    shared = np.array([[_light_within(profile, there, core) for there in row] for row in away])
    known = np.isfinite(sums)
    total = np.zeros(len(xy))
    total[known] = np.linalg.lstsq(shared[np.ix_(known, known)], sums[known], rcond=None)[0]
    total = np.maximum(total, 0)
    inside = np.array([[_light_within(profile, there, r) for there in away[here]] for r in radii]) * total
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - inside[:, here] / np.where(inside[:, here] > 0, inside.sum(axis=1), np.nan)


def _light_within(profile: Profile, away: np.ndarray, radius: float) -> float:
    """The part of a star's light within a circle whose centre is so far (dx, dy) from the star."""
    r = radius * np.sqrt((np.arange(_RINGS) + 0.5) / _RINGS)[:, None]  # rings of equal area
    turn = 2 * np.pi * np.arange(_STEPS) / _STEPS
    return float(
        profile.light(away[0] + r * np.cos(turn), away[1] + r * np.sin(turn)).mean() * np.pi * radius**2
    )


def sky_error(
    image: np.ndarray, xy: np.ndarray, star: int, *, level: float, fwhm: float, outer: float
) -> tuple[float, float]:
    """How far the sky at a star lies from the level of its annulus, by a curved surface through what is around it.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    xy : ndarray, shape (n_star, 2), pixels
        All stars, which are excluded.
    star : int
    level : float
        That was taken for the sky.
    fwhm, outer : float, pixels
        Pixels between three FWHM and this from the star are fitted.

    Returns
    -------
    difference, error : float, image unit per pixel
        NaN where too few pixels are free of stars.
    """
    image, ring = native_float32(image), Ring.between(_COVERED * fwhm, outer)
    covered = disks(image.shape, np.delete(xy, star, axis=0), np.full(len(xy) - 1, _COVERED * fwhm))
    values, hidden = (ring.pixels(plane, xy[star])[0] for plane in (image, covered.astype(np.uint8)))
    x, y = ring.dx / outer, ring.dy / outer
    terms = np.column_stack([np.ones_like(x), x, y, x**2, x * y, y**2])
    used = np.isfinite(values) & (hidden == 0)
    for _ in range(4):
        if used.sum() < _FEWEST:
            return float("nan"), float("nan")
        fit = np.linalg.lstsq(terms[used], values[used].astype(float), rcond=None)[0]
        left = values - terms @ fit
        scatter = float(np.std(left[used]))
        used &= np.abs(left) < 3 * scatter
    covariance = np.linalg.inv(terms[used].T @ terms[used])
    return float(fit[0] - level), scatter * float(np.sqrt(covariance[0, 0]))
