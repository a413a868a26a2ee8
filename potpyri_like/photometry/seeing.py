"""How sharp a frame is: the width and the profile of its stars, and which of several frames is sharp and rich."""

from __future__ import annotations

import numpy as np

from potpyri_like.frame import StarFlag
from potpyri_like.photometry.cutouts import leaves, pixels_around
from potpyri_like.photometry.detect import Stars, crowded, frame_fwhm
from potpyri_like.photometry.measure import annulus_sky, aperture_flags
from potpyri_like.photometry.psf import Profile, fit_profile

__all__ = ["RICH", "fwhm_at", "fwhm_of", "profile_at", "round_up", "sharp_and_rich"]

RICH = 0.8  # of the most stars
_FWHM_STARS = 8
_BRIGHT, _FEW = 30, 3  # the stars that may tell the FWHM; so many are enough
_ALIKE, _APART = 0.2, 3.0  # ln of the ratio to the usual width; FWHM to the next star
_FAINT, _TOO_FAINT = (
    0.05,
    0.2,
)  # of a star's light, that a neighbour has; of the third brightest star's: less is no help
_PROFILE_STARS = 10
_SAMPLING = 4  # pixels per FWHM that are enough to measure it


def fwhm_of(image: np.ndarray, stars: Stars) -> float:
    """The FWHM of a frame, pixels, from its best stars; NaN where it has none."""
    good = np.flatnonzero(~stars.saturated & (stars.fwhm > 0))[:_BRIGHT]
    if not len(good):
        return float("nan")
    width = crowded(stars.fwhm[good])
    usual = good[np.abs(np.log(stars.fwhm[good] / width)) < _ALIKE]
    alone = usual[_is_alone(stars, usual, _APART * width)]
    chosen = next((some for some in (alone, usual) if len(some) >= _FEW), good)[:_FWHM_STARS]
    return _fwhm(image, stars.xy[chosen], float(np.median(stars.fwhm[chosen])))


def _is_alone(stars: Stars, which: np.ndarray, reach: float) -> np.ndarray:
    """Which of some stars have no neighbour within reach that matters to their profile."""
    apart = np.hypot(*(stars.xy[which, None] - stars.xy).transpose(2, 0, 1))
    near = (apart < reach) & (stars.flux > _FAINT * stars.flux[which, None])
    return np.count_nonzero(near, axis=1) == 1  # itself


def fwhm_at(image: np.ndarray, mask: np.ndarray, xy: np.ndarray, width: float) -> float:
    """The FWHM of a frame, pixels, from the first unsaturated of some stars; NaN where all are saturated.

    Parameters
    ----------
    image, mask : ndarray, shape (rows, columns)
    xy : ndarray, shape (n_stars, 2), pixel
        The brightest first.
    width : float, pixel
        About the FWHM.
    """
    return _fwhm(image, xy[~_saturated(mask, xy, width)][:_FWHM_STARS], width)


def profile_at(image: np.ndarray, mask: np.ndarray, xy: np.ndarray, width: float) -> Profile:
    """The profile of a frame's stars, from the first unsaturated of some that lie well inside; as in `fwhm_at`."""
    inside = ~leaves(image.shape, xy, 2 * width)
    xy = xy[inside & ~_saturated(mask, xy, width)][:_PROFILE_STARS]
    sky = annulus_sky(image, xy, inner=4 * width, outer=4 * width + max(2.0, 30 / width))
    known = np.isfinite(sky.level)
    return fit_profile(
        image,
        xy[known],
        sky=sky.level[known],
        noise=sky.scatter[known],
        fwhm=width,
        binning=max(1, round(width / _SAMPLING)),
    )


def sharp_and_rich(counts: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Frames with nearly as many stars as the richest, the sharpest first; then those of the others; and so on.

    Parameters
    ----------
    counts, widths : ndarray, shape (n_frames,)
        Stars, and their FWHM.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        Indices.
    """
    left, order = np.arange(len(counts)), []
    while left.size:
        rich = left[counts[left] >= RICH * counts[left].max()]
        order += list(rich[np.argsort(widths[rich], kind="stable")])
        left = np.setdiff1d(left, rich)
    return np.array(order)


def round_up(width: float, ratio: float) -> float:
    """The next power of `ratio` from a width on: what depends on it does not change with every small change."""
    return float(ratio ** np.ceil(np.log(width) / np.log(ratio)))


def _saturated(mask: np.ndarray, xy: np.ndarray, width: float) -> np.ndarray:
    return (aperture_flags(mask, xy, max(1.0, width)) & StarFlag.SATURATED) > 0


def _fwhm(image: np.ndarray, xy: np.ndarray, width: float) -> float:
    """The FWHM of the mean profile of some stars of about that width, pixels."""
    sky = annulus_sky(image, xy, inner=4 * width, outer=6 * width + 4)
    pixels, _, _ = pixels_around(image, xy, max(1.0, width))
    light = np.nan_to_num(np.nansum(pixels - sky.level[:, None], axis=1))
    third = np.sort(light)[-min(_FEW, len(light)) :][:1]
    known = np.isfinite(sky.level) & (light > _TOO_FAINT * np.max(third, initial=0.0))
    return frame_fwhm(
        image,
        *xy[known].T,
        sky=sky.level[known],
        radius=max(2 * width, 8.0),
        binning=max(1, int(width / _SAMPLING)),
    )
