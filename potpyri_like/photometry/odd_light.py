"""Light in an aperture that is not shaped like the star: of a satellite, a plane, a particle.

A star that flares keeps its profile; what falls on the detector beside it adds light to some rings around it and not
to others. So each ring's light is compared with what the star's own profile puts there, as the seeing of the frame
changes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.photometry.noise import MAD_TO_SIGMA, nan_median

__all__ = ["odd_light"]

_EDGES = (0.6, 0.9, 1.3, 1.8, 2.5, 3.3)  # FWHM: of the rings; the first one is a disk
_COUNTS = 1.8  # FWHM: light further out matters to few apertures
_TELLING = 0.05  # of the light: rings with less do not tell how bright a star is
_SURE, _MATTERS = 7.0, 3.0  # standard deviations: of a ring, and of the flux within `_COUNTS`
_FEWEST_STARS, _FEWEST_FRAMES = 3, 5
_SEEING = 0.5  # of what the seeing changes in a ring is not believed: blends follow it in their own way
_SHAPE = 0.003  # of a star's light: no profile is known better


def odd_light(flux: ArrayLike, error: ArrayLike, radii: ArrayLike) -> np.ndarray:
    """Which points hold light that their star's profile does not explain.

    Parameters
    ----------
    flux, error : array_like, shape (n_frames, n_stars, n_apertures), electron
        Sums in concentric apertures; NaN where not measured.
    radii : array_like, shape (n_apertures,), FWHM
        Of the apertures, ascending.

    Returns
    -------
    ndarray of bool, shape (n_frames, n_stars)
        Nowhere where apertures, frames or stars are too few to tell.
    """
    flux, error, radii = np.asarray(flux, float), np.asarray(error, float), np.asarray(radii, float)
    none = np.zeros(flux.shape[:2], bool)
    at = (
        np.unique([int(np.argmin(np.abs(radii - edge))) for edge in _EDGES])
        if radii.size
        else np.empty(0, int)
    )
    if len(at) < len(_EDGES) or flux.shape[0] < _FEWEST_FRAMES or flux.shape[1] < _FEWEST_STARS:
        return none
    rings = np.diff(flux[..., at], axis=-1, prepend=0.0)
    noise = np.sqrt(np.maximum(np.diff(error[..., at] ** 2, axis=-1, prepend=0.0), 0))
    near = radii[at] <= _COUNTS + 0.1
    with np.errstate(invalid="ignore", divide="ignore"):
        light = np.where(flux[..., at[near][-1]] > 0, flux[..., at[near][-1]], np.nan)[..., None]
        share = rings / light
        usual = nan_median(share)
        seeing = nan_median(np.moveaxis(share - usual, 1, 0))[:, None]
        expected = usual + seeing
        # How bright the star is, by most of its rings: odd light is in few of them.
        ratio = np.where(expected > _TELLING, rings / expected, np.nan)
        light = nan_median(np.moveaxis(ratio, -1, 0))[..., None]
        light = np.where(light > 0, light, np.nan)
        left = rings / light - expected
        left = left - nan_median(left)
        own = MAD_TO_SIGMA * nan_median(np.abs(left))
        sigma = np.sqrt((noise / light) ** 2 + own**2 + (_SEEING * seeing) ** 2 + _SHAPE**2)
        added = np.nansum(np.maximum(left, 0)[..., near], axis=-1) * light[..., 0]
        enough = added > _MATTERS * error[..., at[near][-1]]
        return none | ((left > _SURE * sigma).any(axis=-1) & enough)
