"""A small picture of the field around a star, cut out of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from potpyri_like.frame import Frame
from potpyri_like.imaging import snapshot
from potpyri_like.primitives.fields import (
    CALIBRATED,
    FORCED,
    REFERENCE,
    REGISTRATION,
    SNAPSHOT,
)
from potpyri_like.primitives.stage import Setup
from potpyri_like.stages import FrameStage, Input

__all__ = ["TakeSnapshot"]


@dataclass(frozen=True)
class TakeSnapshot(FrameStage):
    """Cut out the field around a star.

    Attributes
    ----------
    centre : (float, float), pixel
        Of the star in the reference.
    half : int, pixel
        Half the side of the field.
    binning : int
    """

    former_names = ("Snap",)

    centre: tuple[float, float]
    half: int
    binning: int
    reads = (
        CALIBRATED,
        REGISTRATION,
        REFERENCE,
        Input(FORCED, required=False),
    )
    gives = (SNAPSHOT,)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        transform = frame[REGISTRATION].transform
        xy = transform(np.vstack([setup[REFERENCE].xy, setup.forced]))
        taken = snapshot(
            frame.data,
            xy,
            centre=transform(np.array([self.centre]))[0],
            half=self.half,
            binning=self.binning,
            label=frame.info.label,
        )
        return frame.after("snapshot taken", snapshot=taken)
