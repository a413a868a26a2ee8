"""Inject known dimmings of stars into the raw pixels of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from potpyri_like.frame import Frame
from potpyri_like.imaging import Dimming, dimmed
from potpyri_like.primitives.fields import DIMMED, TRIMMED
from potpyri_like.primitives.stage import Setup
from potpyri_like.stages import FrameStage

__all__ = ["Inject"]


@dataclass(frozen=True)
class Inject(FrameStage):
    """Dim stars in a trimmed frame that is not calibrated yet: all that follows meets the dip as it would a real one.

    What a pixel has above the sky around the star is multiplied by 1 - loss, so that the star keeps its profile and
    its noise.

    Attributes
    ----------
    dimmings : mapping of str to tuple of Dimming
        By the frame's label.
    radius : float, pixel
        Around each star.
    """

    dimmings: Mapping[str, tuple[Dimming, ...]]
    radius: float
    reads = (TRIMMED,)
    gives = (DIMMED,)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        data = frame.data.copy()
        for dimming in self.dimmings.get(frame.info.label, ()):
            dimmed(data, dimming, radius=self.radius, out=data)
        return frame.after("stars dimmed", pixels=frame.pixels._replace(data=data))
