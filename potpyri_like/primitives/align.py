"""A frame on the pixels of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from potpyri_like.astrometry import Transform
from potpyri_like.frame import Frame
from potpyri_like.imaging import (
    warp,
    without_sky,
)
from potpyri_like.primitives.fields import (
    ALIGNED,
    CALIBRATED,
    REFERENCE,
)
from potpyri_like.primitives.stage import Setup
from potpyri_like.stages import FrameStage

__all__ = ["Align"]


@dataclass(frozen=True)
class Align(FrameStage):
    """Resample a calibrated frame to the reference's pixels.

    Attributes
    ----------
    transforms : mapping of str to Transform
        From the reference's pixels to the frame's, by the frame's label.
    """

    transforms: Mapping[str, Transform]
    reads = (
        CALIBRATED,
        REFERENCE,
    )
    gives = (ALIGNED,)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        to_reference = self.transforms[frame.info.label].inverse()
        pixels, _ = warp(
            frame.pixels, to_reference.matrix, to_reference.offset, shape=setup[REFERENCE].image.shape
        )
        return frame.after("resampled to the reference", aligned=without_sky(pixels))
