"""The transit in all bands of a target together."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from potpyri_like.errors import ArchiveError, ReductionError, UsageError
from potpyri_like.frame import Purpose, excluded
from potpyri_like.lightcurves import (
    BandCurve,
    BandFit,
    Estimate,
    TransitFit,
    TransitPriors,
    find_transit,
    fit_transit,
    flip_times,
    is_due,
    priors_of_ephemeris,
)
from potpyri_like.options import Options
from potpyri_like.photometry import LightCurve
from potpyri_like.primitives.fields import LIGHT_CURVE, SERIES, TRANSIT
from potpyri_like.primitives.stage import TargetStage, Tools, Work
from potpyri_like.results import Candidate, Choice, Grade, Problem
from potpyri_like.sky.archive import Ephemeris, planet_ephemeris

__all__ = ["FitTransit", "band_curve", "curve_names", "late", "usable_flux", "with_sure_clocks"]

log = logging.getLogger(__name__)

_FEWEST = 12  # points of a light curve
_NOTICED = 6.0  # standard deviations from which on a dip is worth a fit
_UNSURE = "the frames' times are doubtful (flag 8), and so is Tc: correct the time cards, then reduce again"


@dataclass(frozen=True)
class FitTransit(TargetStage):
    """Fit one transit to the light curves of all bands, where one shows or an ephemeris says that there is one.

    Baselines are chosen and fitted with it. Points that are flagged as bad are excluded, and those whose times are
    doubtful where enough others are left; where none are, the mid-transit time is reported as doubtful.
    """

    reads = (
        SERIES,
        LIGHT_CURVE,
    )
    gives = (TRANSIT,)
    at_the_end: ClassVar[bool] = True

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        named = curve_names(works)
        if not named or tools.options.fit == "none":
            return works
        named, unsure, problems = with_sure_clocks(works, named)
        curves = [band_curve(works[i], name, unsure=unsure) for i, name in named.items()]
        seen = [works[i].result[SERIES] for i in named]
        steps = sorted({step for series in seen for step in flip_times(series.time, series.rotation)})
        ephemeris = None
        try:
            ephemeris = _known_ephemeris(tools.options)
        except (ArchiveError, UsageError) as error:
            problems.append(Problem("ephemeris", "transit", str(error)))
        fit: TransitFit | None = None
        choices: tuple[Choice, ...] = ()
        try:
            fit, choices = _fitted(curves, ephemeris, steps, tools.options, unsure=unsure)
        except ReductionError as error:
            problems.append(Problem("transit", "transit", str(error)))
        if fit is not None and unsure:
            problems.append(Problem("transit", "transit", _UNSURE, Grade.DOUBTFUL))
        first = next(iter(named))
        return tuple(
            _with_fit(work, fit, named.get(i, ""), choices, problems if i == first else [])
            for i, work in enumerate(works)
        )


def curve_names(works: Sequence[Work]) -> dict[int, str]:
    """What the fits call each light curve that can be fitted: its band, with its camera where several have it."""
    curves = {i: w.result.light_curve for i, w in enumerate(works)}
    fit_for = {
        i: (curve.band or curve.camera, curve.camera, works[i].observed.folder.rpartition("/")[2])
        for i, curve in curves.items()
        if curve is not None and not curve.is_limit and np.isfinite(usable_flux(curve)).sum() >= _FEWEST
    }
    for parts in (1, 2, 3):
        names = {i: " ".join(dict.fromkeys(words[:parts])) for i, words in fit_for.items()}
        if len(set(names.values())) == len(names):
            return names
    return {i: f"{name} {i}" for i, name in names.items()}


def usable_flux(curve: LightCurve) -> np.ndarray:
    """The flux, with NaN for the points that their flags exclude from fits."""
    return np.where(excluded(curve.flags, Purpose.FIT), np.nan, curve.flux)


def _clock_is_doubtful(curve: LightCurve) -> bool:
    """Whether too few of the usable points have sure times for a fit, or fewer than half of them."""
    usable = np.isfinite(usable_flux(curve))
    sure = usable & ~excluded(curve.flags, Purpose.TIMES)
    return bool(2 * sure.sum() < usable.sum() or sure.sum() < _FEWEST)


def with_sure_clocks(
    works: Sequence[Work], named: dict[int, str]
) -> tuple[dict[int, str], bool, list[Problem]]:
    """The light curves whose times serve for a fit, whether even they are doubtful, and the others as problems.

    One clock that is off would bias the mid-transit time of all bands. Where all are doubtful, all are fitted.
    """
    curves = {i: w.result.light_curve for i, w in enumerate(works) if w.result.light_curve is not None}
    sure = {i: name for i, name in named.items() if not _clock_is_doubtful(curves[i])}
    if not sure:
        return named, True, []
    why = "its frames' times are doubtful (flag 8): excluded from the transit fit"
    left = [works[i].observed.name for i in named if i not in sure]
    return sure, False, [Problem(name, "transit", why, Grade.DOUBTFUL) for name in left]


def band_curve(work: Work, name: str, *, unsure: bool = False) -> BandCurve:
    """A light curve as the fit takes it, with everything that a baseline may follow.

    Points of doubtful times are excluded, unless all are `unsure`.
    """
    curve, series = work.result[LIGHT_CURVE], work.result[SERIES]
    purpose = Purpose.FIT if unsure else Purpose.FIT | Purpose.TIMES
    flux = np.where(excluded(curve.flags, purpose), np.nan, curve.flux)
    return BandCurve(name, curve.time, flux, curve.flux_err, series.exposure_days, curve.columns)


# -- what was known before -----------------------------------------------------------------------------------


def _known_ephemeris(options: Options) -> Ephemeris | None:
    """What the observer or the archive says of the transit.

    Raises
    ------
    UsageError, ArchiveError
        The observer's numbers are those of no orbit; the archive does not answer.
    """
    if options.ephemeris is None:
        return planet_ephemeris(options.planet, online=options.online) if options.planet is not None else None
    tc, period, *more = (float(part) for part in re.split(r"[\s,]+", options.ephemeris.strip()))
    t14 = more[0] if more else np.nan
    if not (np.isfinite(tc) and 0 < period < np.inf and (0 < t14 < period or not more)):
        raise UsageError(
            f"--ephemeris {options.ephemeris}: give TC,PERIOD or TC,PERIOD,T14 in days, the period above 0 and longer"
            " than the transit; the ephemeris is ignored"
        )
    return Ephemeris("", tc, period, t14=t14, source="--ephemeris")


def _priors_of(ephemeris: Ephemeris | None, curves: Sequence[BandCurve]) -> TransitPriors:
    """The priors of the fit; that of the mid-transit time is only narrow enough to select the right transit."""
    if ephemeris is None:
        return TransitPriors()
    times = np.concatenate([curve.time[np.isfinite(curve.flux)] for curve in curves])
    tc, error, _ = ephemeris.near(float(np.median(times)))
    return priors_of_ephemeris(
        tc=tc,
        tc_error=error,
        period=ephemeris.period,
        t14=ephemeris.t14,
        t14_error=ephemeris.t14_error,
        b=ephemeris.b,
    )


def _not_due(ephemeris: Ephemeris, priors: TransitPriors, curves: Sequence[BandCurve]) -> str:
    """Why there can be no transit in the light curves; "" where one is due at least in part."""
    assert priors.tc is not None
    times = np.concatenate([curve.time[np.isfinite(curve.flux)] for curve in curves])
    if is_due(priors.tc, times, t14=ephemeris.t14):
        return ""
    return (
        f"according to {ephemeris.source}, the nearest transit is at {priors.tc.mean:.4f}, and the light curves span"
        f" {times.min():.4f} to {times.max():.4f} (--fit transit fits one anyway)"
    )


# -- the fit and its words -----------------------------------------------------------------------------------


def _fitted(
    curves: Sequence[BandCurve],
    ephemeris: Ephemeris | None,
    steps: Sequence[float],
    options: Options,
    *,
    unsure: bool = False,
) -> tuple[TransitFit | None, tuple[Choice, ...]]:
    """The fit, or None where no transit shows; and why."""
    priors = _priors_of(ephemeris, curves)
    if ephemeris is not None and options.fit != "transit" and (why := _not_due(ephemeris, priors, curves)):
        return None, (Choice("transit", "none", why),)
    asked = options.fit == "transit" or ephemeris is not None
    search = find_transit(curves, priors=priors)
    if search.significance < _NOTICED and not asked:
        why = (
            f"the best dip has a significance of {search.significance:.1f}, below the limit of {_NOTICED:g}"
            " (--fit transit fits it anyway)"
        )
        return None, (Choice("transit", "none", why),)
    fit = fit_transit(curves, priors=priors, steps=steps)
    log.info("transit: %s; %s", fit.why, fit.coverage_note)
    if not fit.detected and not asked:
        return None, (Choice("transit", "none", f"{fit.why} (--fit transit keeps it anyway)"),)
    if unsure:  # nor is it compared with its prediction
        fit, ephemeris = replace(fit, why=f"{fit.why}; {_UNSURE}"), None
    return fit, (
        Choice(
            "transit",
            ("doubtful " if unsure else "") + _in_words(fit),
            "; ".join([fit.why, fit.coverage_note, *late(fit, ephemeris)]),
        ),
    )


def _in_words(fit: TransitFit) -> str:
    """Mid-time and depths, as in: Tc 2460729.94312(21); depth g 1.02(3) %, r 0.99(2) %."""
    depths = ", ".join(f"{band.name} {_with_error(band.depth, 100, 3)} %" for band in fit.bands)
    return f"Tc {_with_error(fit.tc, 1, 5)}; depth {depths}"


def _with_error(value: Estimate, factor: float, digits: int) -> str:
    """A value with its error."""
    error = factor * (value.minus + value.plus) / 2
    return f"{factor * value.value:.{digits}f} ± {error:.{digits}f}"


def late(fit: TransitFit, ephemeris: Ephemeris | None) -> list[str]:
    """How far from its prediction the transit came."""
    if ephemeris is None:
        return []
    predicted, error, epoch = ephemeris.near(fit.tc.value)
    minutes = 1440 * (fit.tc.value - predicted)
    known = f" ± {1440 * error:.1f} minutes" if np.isfinite(error) else ""
    which = f"transit {epoch} according to {ephemeris.source}, due at {predicted:.5f}{known}"
    return [f"{abs(minutes):.2f} minutes {'after' if minutes >= 0 else 'before'} {which}"]


def _with_fit(
    work: Work, fit: TransitFit | None, name: str, choices: Sequence[Choice], problems: Sequence[Problem]
) -> Work:
    """The work on one set with its part of the fit."""
    if not name:
        return work
    work = work.found(choices=choices, problems=problems)
    if fit is None:
        return work
    work = work.found(transit=fit, curve_name=name)
    band, curve = work.result.band_fit, work.result.light_curve
    assert band is not None and curve is not None
    curve = replace(curve, model=band.model, trend=band.baseline)
    return work.found(light_curve=curve, choices=[_baseline_choice(band)])


def _baseline_choice(band: BandFit) -> Choice:
    """What the baseline follows, and what it might have followed."""
    tried = [
        Candidate(name, f"BIC {change:+.1f}", "" if name in band.chosen else "not justified by the BIC")
        for name, change in sorted(band.bic.items(), key=lambda item: item[1])
    ]
    unfit = [Candidate(name, "", why) for name, why in band.dropped.items()]
    why = (
        "by the Bayesian information criterion, with the transit in the model; errors times"
        f" {band.scale:.2f}, and times {band.beta:.2f} for red noise"
    )
    return Choice("baseline", ", ".join(("constant", *band.chosen)), why, (*tried, *unfit))
