"""Every star of the reference in one frame, at every aperture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.frame import Frame
from potpyri_like.photometry import measure_stars
from potpyri_like.primitives.stage import Setup, pixels_of
from potpyri_like.results import Reference

__all__ = ["Measure", "radii_of"]

FLAGGED = 1.5  # FWHM around a star in which masked pixels flag it
GRID = tuple(np.round(np.geomspace(0.7, 3.5, 20), 3))


@dataclass(frozen=True)
class Measure:
    """Windowed centroids near where the stars must be, and sums in concentric apertures above the local sky.

    Attributes
    ----------
    grid : tuple of float
        Radii in units of the reference's FWHM; fixed in pixels for the set.
    annulus : (float, float)
        Of the sky, in FWHM.
    recentre : float
        How far a star may be from where the transform puts it, in FWHM.
    sampling : float
        Pixels per FWHM that are enough: frames with twice as many are binned before they are measured, which
        loses nothing of a star so well sampled and saves three quarters of the time.
    sky_sampling : float
        The same for the sky.
    """

    per: ClassVar[str] = "frame"
    reads: ClassVar[tuple[str, ...]] = ("reference", "forced")
    grid: tuple[float, ...] = GRID
    annulus: tuple[float, float] = (4.0, 6.0)
    recentre: float = 0.5
    sampling: float = 5.0
    sky_sampling: float = 2.5

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        reference = setup.reference
        assert reference is not None
        binning = max(1, int(reference.fwhm / self.sampling))
        xy = frame.results["transform"](np.vstack([reference.xy, setup.forced]))
        flux = np.concatenate([reference.flux, np.zeros(len(setup.forced))])
        measured = measure_stars(
            *pixels_of(frame),
            xy,
            fwhm=frame.results["fwhm"],
            radii=radii_of(self, reference),
            annulus=annulus_of(self, reference),
            recentre=max(1.0, self.recentre * reference.fwhm),
            flag_radius=FLAGGED * reference.fwhm,
            reach=reach_of(flux, reference.widest, noise=sky_noise(reference.image)),
            binning=binning,
            sky_binning=binning * max(1, int(reference.fwhm / binning / self.sky_sampling)),
        )
        return frame.after(
            f"{len(xy)} stars measured" + f", binned by {binning}" * (binning > 1), measurement=measured
        )


def radii_of(stage: Measure, reference: Reference) -> np.ndarray:
    """Radii in pixels."""
    return np.asarray(stage.grid) * reference.fwhm


def annulus_of(stage: Measure, reference: Reference) -> tuple[float, float]:
    """Inner and outer radius of the sky in pixels; wide enough for its level to be well known."""
    inner = max(stage.annulus[0] * reference.fwhm, 6.0)
    return inner, max(stage.annulus[1] * reference.fwhm, inner + 8.0)


def reach_of(flux: np.ndarray, fwhm: float, *, noise: float) -> np.ndarray:
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
    reach = core * np.sqrt(np.maximum((3 * central / noise) ** (1 / 3) - 1, 0))
    return np.clip(reach, 0, 3.5 * fwhm)


def sky_noise(image: np.ndarray) -> float:
    """The scatter of the sky's pixels, from the lower half of a sample."""
    sample = image[::23, ::23]
    middle = np.median(sample)
    return float(max(1.4826 * np.median(middle - sample[sample <= middle]), 1e-3))
