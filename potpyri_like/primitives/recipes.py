"""The recipes: what is done to a night, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from potpyri_like.primitives.animate import Animate
from potpyri_like.primitives.audit import AuditTimes
from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.hot_pixels import HotPixels
from potpyri_like.primitives.lightcurve import (
    Compare,
    DrawLightCurve,
    GatherSeries,
    PickVariable,
)
from potpyri_like.primitives.masters import MakeMasters
from potpyri_like.primitives.measure import Measure
from potpyri_like.primitives.noise import AverageInTime, CloseBudget
from potpyri_like.primitives.periods import SearchPeriods
from potpyri_like.primitives.register import ChooseReference, Register
from potpyri_like.primitives.stack import Stack
from potpyri_like.primitives.target import LocateTarget, MatchCameras
from potpyri_like.primitives.transit import FitTransit
from potpyri_like.primitives.trim import Trim

__all__ = ["RECIPES", "Recipe", "imaging", "timeseries"]


@dataclass(frozen=True)
class Recipe:
    """Stages in the order in which they run.

    Each says by its attribute `per` how often: once per "set", once for all sets of a "target", or once per "frame".

    Attributes
    ----------
    name : str
    stages : tuple
    joins_nights : bool
        Whether the frames of several nights make one set, each frame calibrated with the masters of its night.
    """

    name: str
    stages: tuple[Any, ...]
    joins_nights: bool = False


def timeseries(measure: Measure | None = None) -> Recipe:
    """Light curves: every star in every frame, compared with the constant ones."""
    calibration = (Trim(), HotPixels(), Calibrate())
    measure = measure or Measure()
    return Recipe(
        "timeseries",
        (
            MakeMasters(),
            ChooseReference(calibration),
            MatchCameras(),
            LocateTarget(calibration),
            *calibration,
            Register(),
            measure,
            GatherSeries(measure),
            AuditTimes(),
            Compare(),
            PickVariable(),
            DrawLightCurve(),
            FitTransit(),
            SearchPeriods(),
            AverageInTime(),
            CloseBudget(),
            Animate(calibration),
            Stack(calibration, best=15),
        ),
    )


def imaging(measure: Measure | None = None) -> Recipe:
    """A deep image of each target and band, and the fluxes of its stars."""
    calibration = (Trim(), HotPixels(), Calibrate())
    measure = measure or Measure()
    return Recipe(
        "imaging",
        (
            MakeMasters(),
            ChooseReference(calibration),
            *calibration,
            Register(),
            measure,
            GatherSeries(measure),
            AuditTimes(),
            Compare(),
            Stack(calibration),
        ),
        joins_nights=True,
    )


RECIPES: dict[str, Callable[..., Recipe]] = {"timeseries": timeseries, "imaging": imaging}
