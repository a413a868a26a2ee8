"""The noise of a light curve at each time scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves import (
    BandFit,
    TransitFit,
    beta_at,
    cdpp_in_time,
    ingress_duration,
    select,
    time_averaging,
)
from potpyri_like.options import Options
from potpyri_like.photometry import (
    LightCurve,
    rms,
)
from potpyri_like.primitives.fields import (
    AVERAGING,
    LIGHT_CURVE,
    SERIES,
    TRANSIT,
)
from potpyri_like.primitives.fit_transit import usable_flux
from potpyri_like.primitives.points import SERIES_FRAMES
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.results import Problem, SetResult
from potpyri_like.stages import Input

__all__ = ["AverageOverTime"]

_INGRESS = 20 / 1440  # days: the time scale of red noise where no transit tells
_HOUR = 1 / 24


@dataclass(frozen=True)
class AverageOverTime(SetStage):
    """Bin the residuals of the light curve at many widths: the scatter that remains measures the red noise.

    The residuals are those of the fit, or the flux itself where nothing was fitted, within the intervals that the
    observer gave. Points that are flagged as bad are excluded.
    """

    former_names = ("AverageInTime",)

    reads = (
        SERIES,
        LIGHT_CURVE,
        Input(TRANSIT, required=False),
    )
    gives = (AVERAGING,)
    at_the_end: ClassVar[bool] = True

    def __call__(self, work: Work, tools: Tools) -> Work:
        curve = work.result.light_curve
        if curve is None or len(curve.time) < SERIES_FRAMES:
            return work
        residuals = np.where(np.isfinite(usable_flux(curve)), curve.residuals, np.nan)
        try:
            residuals = np.where(_out_of_transit(curve, tools.options), residuals, np.nan)
        except UsageError as error:
            work = work.found(problems=[Problem(work.observed.name, "out of transit", str(error))])
        averaging = time_averaging(curve.time, residuals)
        noise = {
            **curve.noise,
            "residual_rms": rms(residuals),
            "cdpp": cdpp_in_time(1 + residuals, curve.time, duration=_duration(work.result.transit)),
            "beta": beta_at(averaging, _ingress(work.result.band_fit, work.result)),
        }
        return work.found(averaging=averaging, light_curve=replace(curve, noise=noise))


def _out_of_transit(curve: LightCurve, options: Options) -> np.ndarray:
    """The points in the intervals that the observer gave; all where none was given.

    Raises
    ------
    UsageError
        An interval holds no point.
    """
    if options.out_of_transit is None:
        return np.ones(len(curve.time), bool)
    pairs = [part.split(":") for part in options.out_of_transit.split(",")]
    intervals = [(float(start), float(end)) for start, end in pairs]
    return select(curve.time, intervals, path_name="out_of_transit")


def _duration(transit: TransitFit | None) -> float:
    """Of the transit, days; an hour without one."""
    return _HOUR if transit is None else transit.t14.value


def _ingress(band: BandFit | None, result: SetResult) -> float:
    """How long the ingress takes, days: the time scale on which red noise affects a mid-transit time."""
    if band is None or result.transit is None:
        return _INGRESS
    transit = result.transit
    return float(ingress_duration(k=band.k.value, t14=transit.t14.value, b=transit.b.value))
