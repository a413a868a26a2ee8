"""Small pictures of the field around the target through the night, for an animation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.primitives.fields import (
    LIGHT_CURVE,
    SERIES,
    SNAPSHOT,
    SNAPSHOTS,
)
from potpyri_like.primitives.register import Register
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.primitives.take_snapshot import TakeSnapshot
from potpyri_like.stages import FrameStage

__all__ = ["Animate"]

_SIDE = 110  # pixels of a picture, about
_FIELD = 1.8  # annuli from the target to the rim


@dataclass(frozen=True)
class Animate(SetStage):
    """Take pictures of the target in frames spread over the night.

    Attributes
    ----------
    calibration : tuple of FrameStage
        The stages before a picture is taken.
    most : int
        Frames.
    """

    calibration: tuple[FrameStage, ...]
    reads = (
        SERIES,
        LIGHT_CURVE,
    )
    gives = (SNAPSHOTS,)
    at_the_end: ClassVar[bool] = True
    most: int = 40

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, curve = work.result.series, work.result.light_curve
        if series is None or curve is None or tools.options.animation == "no":
            return work
        centre = series.reference_xy[curve.star]
        half = int(np.ceil(_FIELD * series.annulus[1]))
        snap = TakeSnapshot((float(centre[0]), float(centre[1])), half, max(1, round((2 * half + 1) / _SIDE)))
        measured = np.flatnonzero(np.isfinite(series.xy[:, curve.star]).all(axis=1))
        spread = measured[np.unique(np.linspace(0, len(measured) - 1, self.most).astype(int))]
        by_label = {info.label: info for info in work.observed.frames}
        infos = [by_label[series.frames[i]] for i in spread]
        stages = (*self.calibration, Register(), snap)
        outcomes = tools.run_frames(infos, stages, work.setup, what="")
        taken = tuple(shot for o in outcomes if (shot := o.get(SNAPSHOT)) is not None)
        return work.found(snapshots=taken)
