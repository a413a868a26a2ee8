"""The noise of the light curves at each time scale, compared with their error bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from potpyri_like.errors import UsageError
from potpyri_like.frame import Purpose, excluded
from potpyri_like.lightcurves import (
    TIME_SCALES,
    BandFit,
    TransitFit,
    beta_at,
    cdpp_in_time,
    ingress_duration,
    levelled,
    select,
    time_averaging,
    with_fitted_scatter,
)
from potpyri_like.photometry import (
    BUDGET_CLOSED,
    LightCurve,
    NoiseBudget,
    Series,
    close_budget,
    photons_seen,
    rms,
)
from potpyri_like.primitives.fields import (
    AVERAGING,
    BUDGET,
    LIGHT_CURVE,
    MASTERS,
    REFERENCE,
    SERIES,
    STAR_TABLE,
    TRANSIT,
)
from potpyri_like.primitives.points import SERIES_FRAMES, point_flags
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.primitives.transit import usable_flux
from potpyri_like.results import Choice, Grade, Problem, SetResult, StarTable
from potpyri_like.stages import Input

__all__ = ["AverageOverTime", "ComputeNoiseBudget"]

_INGRESS = 20 / 1440  # days: the time scale of red noise where no transit tells
_HOUR = 1 / 24
_GAIN_DOUBTED = 1.5  # times the declared gain


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


@dataclass(frozen=True)
class ComputeNoiseBudget(SetStage):
    """The noise of every star, term by term, against the scatter that was measured; a note where they disagree."""

    former_names = ("CloseBudget",)

    reads = (
        SERIES,
        STAR_TABLE,
        REFERENCE,
        MASTERS,
        Input(LIGHT_CURVE, required=False),
        Input(TRANSIT, required=False),
    )
    gives = (BUDGET,)
    at_the_end: ClassVar[bool] = True

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, table = work.result.series, work.result.stars
        if series is None or table is None or len(series.frames) < SERIES_FRAMES or not series.pixel_noise:
            return work
        clear = ~excluded(point_flags(series), Purpose.FIT)
        relflux, error = _without_known_changes(work.result, series, table, clear)
        budget = close_budget(series, work.result.aperture, relflux, error, usable=clear)
        notes = (*work.result.notes, *_budget_notes(budget, table, work.target_star))
        doubts = _gain_doubts(work, budget, table)
        return work.found(budget=budget, notes=notes, problems=doubts)


def _gain_doubts(work: Work, budget: NoiseBudget, table: StarTable) -> list[Problem]:
    """A doubt where stars scatter as by a gain far from the declared one, and no flats tell."""
    if work.result.masters.flat is not None:
        return []
    factor, error = photons_seen(budget, table.weight > 0)
    if not (factor - 3 * error > _GAIN_DOUBTED or factor + 3 * error < 1 / _GAIN_DOUBTED):
        return []
    why = (
        f"the comparison stars scatter by {factor:.2g} times the variance of their photons, as if the gain were"
        f" {1 / factor:.2g} times the declared one; no flats tell: compare it with the data sheet, or take flats"
    )
    return [Problem(f"{work.observed.name}: gain", "noise", why, Grade.DOUBTFUL)]


def _fitted_numbers(band: BandFit | None) -> int:
    """How many numbers a fit took from a light curve, about: its baseline, its depth and a share of the rest."""
    return 0 if band is None else len(band.chosen) + 3


def _without_known_changes(
    result: SetResult, series: Series, table: StarTable, clear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The relative fluxes of all stars and their errors, each without its baseline, the target without its transit.

    NaN for the points that are not `clear`, shape (n_frames, n_stars).
    What a baseline took up of the noise is given back: residuals grow as the points outnumber the degrees of freedom.
    """
    relflux, error, curve = table.relflux.copy(), table.relflux_err.copy(), result.light_curve
    if curve is not None:
        relflux[:, curve.star] = 1 + curve.residuals
        error[:, curve.star] = curve.flux_err / (curve.model * curve.trend)
    relflux[~clear] = np.nan
    for star in range(relflux.shape[1]):
        if curve is not None and star == curve.star and result.band_fit is not None:
            flux, taken = relflux[:, star], _fitted_numbers(result.band_fit)
        else:
            flux, names = levelled(series.time, relflux[:, star], error[:, star], series.columns(star))
            taken = len(names)
        relflux[:, star] = with_fitted_scatter(flux, taken)
    return relflux, error


def _budget_notes(budget: NoiseBudget, table: StarTable, target: int | None) -> list[str]:
    """Where the noise predicted and that measured differ by more than their own uncertainty explains."""
    stars = {"the target": np.arange(len(table.weight)) == target, "comparison stars": table.weight > 0}
    return [
        note
        for who, chosen in stars.items()
        for scale, width in enumerate(budget.width)
        if (note := _budget_note(budget, who, np.flatnonzero(chosen), scale, width))
    ]


def _budget_note(budget: NoiseBudget, who: str, stars: np.ndarray, scale: int, width: float) -> str:
    """The note on one time scale; "" for none."""
    middle, sure = budget.typical_ratio(stars, scale)
    low, high = BUDGET_CLOSED
    if np.isnan(middle) or (low <= middle * (1 + sure) and middle * (1 - sure) <= high):
        return ""
    when = "from frame to frame" if width == 0 else f"in bins of {width:g} minutes"
    return (
        f"noise budget of {who} {when}: predicted / measured is {middle:.2f}, outside {low:g} to {high:g}: "
        + ("the error bars are too small" if middle < 1 else "the error bars are too large")
    )
