"""The noise of a light curve at each time scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves import (
    TIME_SCALES,
    BandFit,
    TransitFit,
    beta_at,
    cdpp_in_time,
    ingress_duration,
    select,
    time_averaging,
)
from potpyri_like.photometry import LightCurve, Series, rms
from potpyri_like.primitives.fields import (
    AVERAGING,
    LIGHT_CURVE,
    SERIES,
    TRANSIT,
)
from potpyri_like.primitives.fit_transit import usable_flux
from potpyri_like.primitives.points import SERIES_FRAMES
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.results import Choice, Problem, SetResult
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
        if tools.options.out_of_transit is not None:
            try:
                chosen, why = _out_of_transit(curve, work.result[SERIES], tools.options.out_of_transit)
            except UsageError as error:
                work = work.found(problems=[Problem(work.observed.name, "out of transit", str(error))])
            else:
                told = f"{np.count_nonzero(chosen)} of {len(chosen)} points"
                work = work.found(choices=[Choice("out of transit", told, why)])
                residuals = np.where(chosen, residuals, np.nan)
        averaging = time_averaging(curve.time, residuals)
        noise = {
            **curve.noise,
            "residual_rms": rms(residuals),
            "cdpp": cdpp_in_time(1 + residuals, curve.time, duration=_duration(work.result.transit)),
            "beta": beta_at(averaging, _ingress(work.result.band_fit, work.result)),
        }
        return work.found(averaging=averaging, light_curve=replace(curve, noise=noise))


def _out_of_transit(curve: LightCurve, series: Series, given: str) -> tuple[np.ndarray, str]:
    """The points in the intervals that the observer gave, and how these were read.

    Raises
    ------
    UsageError
        An interval holds no point, or is of a scale in which the points have no times.
    """
    words = given.split(None, 1)
    scale = TIME_SCALES.get(words[0].lower(), "")
    told = words[1] if scale else given
    pairs = [part.split(":") for part in told.split(",")]
    intervals = [(float(start), float(end)) for start, end in pairs]
    own = TIME_SCALES[curve.time_name]
    times = curve.time if scale in ("", own) else _other_times(curve, series, scale)
    mask = select(times, intervals, path_name="out of transit")
    read = f"{scale.upper()}, as they say" if scale else f"{own.upper()}, the scale of the light curve"
    return mask, f"in the intervals that were given, read as {read}"


def _other_times(curve: LightCurve, series: Series, scale: str) -> np.ndarray:
    """The times of a light curve's points in the scale that is not its own.

    Raises
    ------
    UsageError
        There are none: the target has no coordinates.
    """
    times = series.bjd_tdb if scale == "bjd_tdb" else series.jd_utc
    if times is None:
        raise UsageError(
            "the intervals are in BJD_TDB, and the light curve has JD_UTC: the target has no coordinates;"
            " give --radec 'RA DEC'"
        )
    by_frame = dict(zip(series.frames, times, strict=True))
    return np.array([by_frame[frame] for frame in curve.frames])


def _duration(transit: TransitFit | None) -> float:
    """Of the transit, days; an hour without one."""
    return _HOUR if transit is None else transit.t14.value


def _ingress(band: BandFit | None, result: SetResult) -> float:
    """How long the ingress takes, days: the time scale on which red noise affects a mid-transit time."""
    if band is None or result.transit is None:
        return _INGRESS
    transit = result.transit
    return float(ingress_duration(k=band.k.value, t14=transit.t14.value, b=transit.b.value))
