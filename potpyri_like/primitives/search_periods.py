"""Variability without a transit: periods, flickering, and lags between the bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from potpyri_like.lightcurves import Lag, lag, periodogram, rms_flux, segment_duration
from potpyri_like.primitives.choose_target import VARIABLE_SCORE
from potpyri_like.primitives.fields import LIGHT_CURVE, PERIODS, SERIES, STAR_TABLE, TRANSIT
from potpyri_like.primitives.fit_transit import usable_flux
from potpyri_like.primitives.stage import TargetStage, Tools, Work
from potpyri_like.results import Choice
from potpyri_like.stages import Input

__all__ = ["SearchPeriods", "period_words"]

_FEWEST = 30  # points
_SURE = 0.001  # false-alarm probability


@dataclass(frozen=True)
class SearchPeriods(TargetStage):
    """Look for periods in each light curve without a transit, and for lags between the bands where the star varies."""

    reads = (
        SERIES,
        STAR_TABLE,
        LIGHT_CURVE,
        Input(TRANSIT, required=False),
    )
    gives = (PERIODS,)
    at_the_end: ClassVar[bool] = True

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        searched = tuple(self.searched(work) for work in works)
        curves = [w for w in searched if w.result.periods is not None and _varies(w)]
        if len(curves) < 2:
            return searched
        first = curves[0]
        lags = {work.observed.name: _lag_between(first, work) for work in curves[1:]}
        notes = tuple(_lag_note(name, first.observed.name, found) for name, found in lags.items())
        with_lags = first.found(lags=lags, notes=(*first.result.notes, *notes))
        return tuple(with_lags if work is first else work for work in searched)

    def searched(self, work: Work) -> Work:
        """The work with the periods of its light curve."""
        curve = work.result.light_curve
        if curve is None or work.result.transit is not None:
            return work
        flux = usable_flux(curve)
        if np.isfinite(flux).sum() < _FEWEST:
            return work
        periods = periodogram(curve.time, flux, curve.flux_err)
        relation = rms_flux(
            curve.time, flux, curve.flux_err, duration=segment_duration(curve.time[np.isfinite(curve.flux)])
        )
        found = "none significant" if not periods.false_alarm < _SURE else f"{period_words(periods.period)}"
        why = (
            f"highest peak of the Lomb-Scargle periodogram: {period_words(periods.period)} ±"
            f" {period_words(periods.period_error)}, false-alarm probability {periods.false_alarm:.2g}"
        )
        why = "; ".join([why, *periods.notes])
        choice = Choice("period", found, why)
        return work.found(periods=periods, flux_relation=relation, choices=[choice])


def _varies(work: Work) -> bool:
    """Whether the star varies beyond doubt."""
    table, star = work.result.stars, work.target_star
    return table is not None and star is not None and bool(table.score[star] >= VARIABLE_SCORE)


def period_words(days: float) -> str:
    """A period in the unit that suits it."""
    if not np.isfinite(days):
        return "unknown"
    for unit, length in (("d", 1.0), ("h", 1 / 24), ("min", 1 / 1440)):
        if days >= length:
            return f"{days / length:.4g} {unit}"
    return f"{days * 86400:.4g} s"


def _lag_between(first: Work, second: Work) -> Lag:
    """By how much one light curve follows another."""
    curves = [w.result.light_curve for w in (first, second)]
    return lag(*((c.time, usable_flux(c), c.flux_err) for c in curves if c is not None))


def _lag_note(name: str, reference: str, found: Lag) -> str:
    """The lag in words."""
    if not np.isfinite(found.lag):
        return f"{name} against {reference}: no lag measured" + "".join(f"; {note}" for note in found.notes)
    seconds, error = 86400 * found.lag, 86400 * found.lag_error
    return f"{name} follows {reference} by {seconds:.1f} ± {error:.1f} s (correlation {found.peak:.2f})"
