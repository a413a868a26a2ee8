"""Extracts the light curve of the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from potpyri_like.frame import Purpose, excluded
from potpyri_like.photometry import LightCurve, Series, baseline, expected, point_to_point, rms
from potpyri_like.primitives.comparison_words import said
from potpyri_like.primitives.fields import LIGHT_CURVE, SERIES, STAR_TABLE, TARGET, VARIABLE
from potpyri_like.primitives.points import SERIES_FRAMES, point_flags
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.results import Choice, Grade, Problem, StarTable
from potpyri_like.stages import Input

__all__ = ["ExtractLightCurve"]


_FEWEST = 3  # points that have a scatter


@dataclass(frozen=True)
class ExtractLightCurve(SetStage):
    """The light curve of the target, 1 out of transit."""

    former_names = ("DrawLightCurve",)

    reads = (
        SERIES,
        STAR_TABLE,
        TARGET,
        Input(VARIABLE, required=False),
    )
    gives = (LIGHT_CURVE,)

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, table, star = work.result[SERIES], work.result.stars, work.target_star
        if star is None and any(
            problem.stage in ("target", "light curve") for problem in work.result.problems
        ):
            return work  # it was said before why there is none
        if star is None and work.named_by:
            return work  # another set of the target says why
        if star is None or table is None or not np.isfinite(table.relflux[:, star]).any():
            if len(series.frames) < SERIES_FRAMES:
                return work
            why = _no_curve(star, table, work.target_why)
            return work.found(problems=[Problem(work.observed.name, "light curve", why)])
        curve = _light_curve(work, series, table, star)
        problems = []
        if not np.isfinite(curve.noise["rms"]):
            problems.append(_no_figures(work, curve))
        named_by = [Choice("target", f"star {star}", work.target_why)] if work.named_by else []
        return work.found(light_curve=curve, choices=named_by, problems=problems)


def _no_curve(star: int | None, table: StarTable | None, why: str) -> str:
    """Why an observation has no light curve."""
    if table is None or not np.any(table.weight):
        return "no star can serve as a comparison star"
    if star is None:
        return why or "the target was not found"
    return f"star {star} was not measured in any frame"


def _no_figures(work: Work, curve: LightCurve) -> Problem:
    """What is said of a light curve too few of whose points were measured, or too few of them without a flag."""
    measured = int(np.isfinite(curve.flux).sum())
    if measured < _FEWEST:
        why = f"star {curve.star} was measured in too few frames"
        few = curve.time.size < SERIES_FRAMES  # as a test or a misspelt name has
        return Problem(work.observed.name, "light curve", why, Grade.REMARK if few else Grade.MISSING)
    why = (
        f"nearly all of the {measured} points of star {curve.star} are flagged (column flags): no noise values,"
        " no fit"
    )
    return Problem(work.observed.name, "light curve", why, Grade.DOUBTFUL)


def _light_curve(work: Work, series: Series, table: StarTable, star: int) -> LightCurve:
    """The light curve of one star."""
    flux, error, flags = table.relflux[:, star], table.relflux_err[:, star], point_flags(series)[:, star]
    out = excluded(flags, Purpose.CHOICES)
    level = baseline(flux if out.all() else np.where(out, np.nan, flux), series.time)
    flux, error = flux / level, error / level
    clear = np.where(out, np.nan, flux)
    if np.isfinite(clear).sum() < _FEWEST:
        clear = np.full(len(flux), np.nan)  # two points have no scatter to speak of
    used = np.flatnonzero(table.weight)
    aperture = work.result.aperture
    return LightCurve(
        star=star,
        target=work.observed.target
        if work.named_by
        else f"star {star}, not identified as {work.observed.target}",
        is_identified=bool(work.named_by),
        is_limit=work.is_limit,
        band=work.observed.band,
        camera=work.observed.camera,
        time_name=series.time_name,
        time=series.time,
        flux=flux,
        flux_err=error,
        x=series.xy[:, star, 0],
        y=series.xy[:, star, 1],
        fwhm=series.fwhm,
        sky=series.sky[:, star],
        airmass=series.airmass,
        comparison=_summed(series.flux[:, used, aperture]),
        flags=flags,
        frames=series.frames,
        radius=float(series.radii[aperture]),
        radius_fwhm=float(series.radii_fwhm[aperture]),
        annulus=series.annulus,
        model=np.ones(len(flux)),
        trend=np.ones(len(flux)),
        comparisons={int(i): float(table.weight[i]) for i in used},
        noise={
            "rms": rms(clear),
            "point_to_point": point_to_point(clear, series.time),
            "expected": expected(error[np.isfinite(clear)]),
        },
        reasons={
            "target": work.target_why,
            "aperture": next((c.why for c in work.result.choices if c.what == "aperture"), ""),
            "comparisons": said(table),
            "baseline": "normalised to the out-of-transit level",
            "time": _time_reason(work),
        },
    )


def _summed(flux: np.ndarray) -> np.ndarray:
    """The light of some stars together in each frame; NaN where none was measured."""
    return np.where(np.isfinite(flux).any(axis=1), np.nansum(flux, axis=1), np.nan)


def _time_reason(work: Work) -> str:
    """Where the time's correction comes from, or why there is none."""
    if work.setup.coordinates is None:
        return "no valid coordinates: give --radec for BJD_TDB"
    return work.setup.coordinates_why
