"""Measure every star of the reference in one frame with a photometer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from potpyri_like.encoding import fingerprint
from potpyri_like.errors import UsageError
from potpyri_like.frame import Frame
from potpyri_like.hookspecs import hookimpl
from potpyri_like.photometry import (
    CENTROIDS,
    Aperture,
    Context,
    Photometer,
    Template,
    light_reach,
    measure_stars,
    sky_annulus,
    sky_noise,
)
from potpyri_like.photometry.photometers import BUILT_IN
from potpyri_like.primitives.fields import (
    CALIBRATED,
    FORCED,
    MEASUREMENT,
    PIXEL_NOISE,
    REFERENCE,
    REGISTRATION,
)
from potpyri_like.primitives.stage import Setup
from potpyri_like.results import Reference
from potpyri_like.stages import FrameStage, Input

__all__ = [
    "Measure",
    "annulus_of",
    "radii_of",
    "register_photometers",
    "sizes_of",
]

_FLAGGED = 1.5  # FWHM around a star in which masked pixels flag it


@hookimpl
def register_photometers() -> Sequence[type[Photometer]]:
    """The photometers that come with the software."""
    return BUILT_IN


@dataclass(frozen=True)
class Measure(FrameStage):
    """Measure centroids near the predicted positions, and fluxes above the local sky.

    Attributes
    ----------
    photometer : Photometer
        Its sizes are in units of the reference's FWHM.
    centroid : str
        One of `CENTROIDS`.
    radii : str
        "fixed": in pixels, for the set; "fwhm": they and the sky's annulus follow the FWHM of each frame.
    annulus : (float, float) or str
        Of the sky, in FWHM; "4,6" as an observer writes it.
    recentre : float
        How far a star may be from where the transform puts it, in FWHM.
    sampling : float
        Pixels per FWHM that are enough: frames with twice as many are binned before they are measured, which
        loses nothing of a star so well sampled and saves three quarters of the time.
    sky_sampling : float
        The same for the sky.
    """

    reads = (
        CALIBRATED,
        REGISTRATION,
        Input(PIXEL_NOISE, required=False),
        REFERENCE,
        Input(FORCED, required=False),
    )
    version = 2
    gives = (MEASUREMENT,)
    takes = ("photometer", "centroid", "radii", "annulus")
    computes = ("astropy", "numpy", "photutils", "scipy", "sep")
    photometer: Photometer = field(default_factory=Aperture)
    centroid: str = "windowed"
    radii: str = "fixed"
    annulus: tuple[float, float] | str = (4.0, 6.0)
    recentre: float = 0.5
    sampling: float = 5.0
    sky_sampling: float = 2.5

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        reference = setup[REFERENCE]
        binning = max(1, int(reference.fwhm / self.sampling))
        template = _template_of(reference, setup.forced)
        registration = frame[REGISTRATION]
        fwhm, transform = registration.fwhm, registration.transform
        scale = fwhm / reference.fwhm if self.radii == "fwhm" else 1.0
        inner, outer = annulus_of(self, reference)
        flux = np.concatenate([reference.flux, np.zeros(len(setup.forced))])
        measured = measure_stars(
            *frame.pixels,
            transform(template.xy),
            fwhm=fwhm,
            radii=scale * self.photometer.sizes(template) * reference.fwhm,
            annulus=(scale * inner, scale * outer),
            recentre=max(1.0, self.recentre * reference.fwhm),
            flag_radius=_FLAGGED * scale * reference.fwhm,
            reach=light_reach(flux, reference.widest, noise=sky_noise(reference.image)),
            binning=binning,
            sky_binning=binning * max(1, int(reference.fwhm / binning / self.sky_sampling)),
            centroid=CENTROIDS[self.centroid],
            photometer=self.photometer,
            context=Context(
                registration.psf, template, transform.matrix, frame.covariance, _photons_of(frame)
            ),
        )
        return frame.after(
            f"{len(template.xy)} stars measured" + f", binned by {binning}" * (binning > 1),
            measurement=measured,
        )


def _template_of(reference: Reference, forced: np.ndarray) -> Template:
    """What masks are made from: the reference, its stars and the forced places after them."""
    digest = reference.digest if not len(forced) else fingerprint(reference.digest, forced)
    return Template(digest, reference.image, np.vstack([reference.xy, forced]), reference.fwhm)


def _photons_of(frame: Frame) -> float:
    """The variance of a pixel for each electron in it; what `Calibrate` tells is that of a sum over pixels."""
    noise = frame.get(PIXEL_NOISE)
    return 1.0 if noise is None else float(noise["photons"]) / frame.covariance


def sizes_of(stage: Measure, reference: Reference) -> np.ndarray:
    """What the photometer sums over, as radii in FWHM of the reference."""
    return stage.photometer.sizes(_template_of(reference, np.empty((0, 2))))


def radii_of(stage: Measure, reference: Reference) -> np.ndarray:
    """Radii in pixels; those of the reference where they follow the FWHM."""
    return sizes_of(stage, reference) * reference.fwhm


def annulus_of(stage: Measure, reference: Reference) -> tuple[float, float]:
    """Inner and outer radius of the sky in pixels; wide enough for its level to be well known.

    Raises
    ------
    UsageError
        The inner one is not the smaller.
    """
    given = stage.annulus.split(",") if isinstance(stage.annulus, str) else stage.annulus
    inner, outer = map(float, given)
    if not 0 < inner < outer:
        raise UsageError(f"--annulus {inner:g},{outer:g}: the inner radius has to be the smaller one")
    return sky_annulus(inner, outer, fwhm=reference.fwhm)
