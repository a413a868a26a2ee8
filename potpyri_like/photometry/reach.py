"""How far the light of a star reaches above the noise of the sky."""

from __future__ import annotations

import numpy as np

from potpyri_like.photometry.noise import MAD_TO_SIGMA

__all__ = ["light_reach", "sky_annulus", "sky_noise"]

_PART_OF_NOISE = 3  # a third of the sky's noise is outshone
_FARTHEST = 3.5  # FWHM
_SAMPLED = 23  # every so many rows and columns tell the sky's noise
_INNERMOST, _NARROWEST = 6.0, 8.0  # pixels, of an annulus: its inner radius, and its width


def light_reach(flux: np.ndarray, fwhm: float, *, noise: float) -> np.ndarray:
    """How far from a star its light outshines a third of the sky's noise, pixels; 3.5 FWHM at most.

    For a Moffat profile of beta = 3 (Trujillo et al. 2001, MNRAS 328, 977), whose wings are those of real seeing. The
    reach is the same in all frames, so that each star's sky is that of the same pixels in good seeing and bad.

    Parameters
    ----------
    flux : ndarray, shape (n_stars,), electron
    fwhm : float, pixels
        Of the worst frames.
    noise : float, electron
        Standard deviation of a sky pixel.
    """
    core = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    central = np.maximum(flux, 0) * 2 / (np.pi * core**2)
    reach = core * np.sqrt(np.maximum((_PART_OF_NOISE * central / noise) ** (1 / 3) - 1, 0))
    return np.clip(reach, 0, _FARTHEST * fwhm)


def sky_noise(image: np.ndarray) -> float:
    """The scatter of the sky's pixels, from the lower half of a sample."""
    sample = image[::_SAMPLED, ::_SAMPLED]
    middle = np.median(sample)
    return float(max(MAD_TO_SIGMA * np.median(middle - sample[sample <= middle]), 1e-3))


def sky_annulus(inner: float, outer: float, *, fwhm: float) -> tuple[float, float]:
    """Radii of an annulus in pixels from those in FWHM, wide enough for the sky's level to be well known."""
    inside = max(inner * fwhm, _INNERMOST)
    return inside, max(outer * fwhm, inside + _NARROWEST)
