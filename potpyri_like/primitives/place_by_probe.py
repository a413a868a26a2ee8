"""The flux at a place where no star was detected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from potpyri_like.frame import Frame
from potpyri_like.photometry import forced_flux
from potpyri_like.primitives.fields import CALIBRATED, PROBE, REFERENCE, REGISTRATION
from potpyri_like.primitives.stage import Setup
from potpyri_like.registration import Probe
from potpyri_like.stages import FrameStage

__all__ = ["PlaceByProbe"]


@dataclass(frozen=True)
class PlaceByProbe(FrameStage):
    """The flux of a star at a place in the reference where none was detected, its neighbours subtracted.

    Attributes
    ----------
    xy : (float, float), pixel
    """

    former_names = ("ProbePlace",)

    xy: tuple[float, float]
    reads = (
        CALIBRATED,
        REGISTRATION,
        REFERENCE,
    )
    gives = (PROBE,)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        registration = frame[REGISTRATION]
        places = registration.transform(np.vstack([[self.xy], setup[REFERENCE].xy]))
        image = np.where(frame.unusable, np.nan, frame.data)
        flux, error = forced_flux(image, places[0], places[1:], profile=registration.psf)
        return frame.after("flux measured at a position", probe=Probe(flux, error))
