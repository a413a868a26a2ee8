"""The noise of the light curves at each time scale, compared with their error bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.frame import Purpose, excluded
from potpyri_like.lightcurves import (
    BandFit,
    levelled,
    with_fitted_scatter,
)
from potpyri_like.photometry import (
    BUDGET_CLOSED,
    NoiseBudget,
    Series,
    close_budget,
    photons_seen,
)
from potpyri_like.primitives.fields import (
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
from potpyri_like.results import Grade, Problem, SetResult, StarTable
from potpyri_like.stages import Input

__all__ = ["ComputeNoiseBudget"]

_GAIN_DOUBTED = 1.5  # times the declared gain


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
        f" {1 / factor:.2g} times the declared one; there are no flats to check it: compare it with"
        " the data sheet, or take flats"
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
