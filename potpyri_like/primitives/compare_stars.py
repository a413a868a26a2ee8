"""Compares the stars with each other: comparison stars and the aperture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves import Metric, named_metric
from potpyri_like.options import Options
from potpyri_like.photometry import (
    ApertureChoice,
    Series,
    airmass_drift,
    choose_aperture,
    ensemble_weights,
    point_to_point,
    relative_flux,
)
from potpyri_like.photometry.choice import total_rms
from potpyri_like.primitives.comparison_words import said
from potpyri_like.primitives.fields import APERTURE, SERIES, STAR_TABLE, TARGET
from potpyri_like.primitives.points import (
    HABIT,
    SERIES_FRAMES,
    for_choices,
    unfit,
    with_clouds,
    with_cuts,
    with_disagreement,
    with_odd_light,
    with_plateau,
)
from potpyri_like.primitives.stage import SetStage, Tools, Work
from potpyri_like.primitives.star_table import star_table
from potpyri_like.primitives.surroundings import Surroundings, surroundings_of
from potpyri_like.results import Candidate, Choice, Grade, Problem, StarTable
from potpyri_like.stages import Input

__all__ = ["CompareStars", "aperture_choice", "without_drifting"]

_DRIFTING, _DRIFT = 6.0, 0.002  # standard deviations; relative, over the night's range of airmass


_PLATEAU = (
    "no pixel rises more than about {:.0f} electrons above the sky, which is below the declared saturation: pixels at"
    " that level count as saturated; correct the instrument's saturation"
)


@dataclass(frozen=True)
class CompareStars(SetStage):
    """Choose the aperture and the comparison stars, and divide every star by them.

    Attributes
    ----------
    settled : mapping of str to ApertureChoice
        Choices that stand, by the set's folder: none is made there.
    """

    former_names = ("Compare",)

    reads = (
        SERIES,
        Input(TARGET, required=False),
    )
    gives = (
        APERTURE,
        STAR_TABLE,
    )
    settled: Mapping[str, ApertureChoice] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, work: Work, tools: Tools) -> Work:
        series, full = with_plateau(work.result[SERIES])  # flags first: what is bad chooses nothing
        if tools.options.reject is not None:
            series = with_cuts(series, work.target_star, tools.options.reject)
        series = with_odd_light(series)
        series = with_clouds(series, work.target_star)
        series = with_disagreement(series, work.target_star)
        steady, around = for_choices(series), surroundings_of(work, series)
        choice = self.settled.get(work.observed.folder) or self.choice(work, steady, tools.options, around)
        choice = without_drifting(choice, steady, work.target_star)
        problems = []
        if around is not None and work.target_star is not None:
            series = around.flagged(series, work.target_star, choice.index)
            problems = around.problems(work.observed.name, choice.index)
        if np.isfinite(full):
            problems.append(Problem(work.observed.name, "saturation", _PLATEAU.format(full), Grade.REMARK))
        table = star_table(series, choice)
        chosen = Choice(
            "aperture",
            f"{series.radii_fwhm[choice.index]:.2f} FWHM",
            choice.reason,
            _aperture_candidates(series, choice, around),
        )
        used = np.flatnonzero(table.weight)
        comparisons = Choice(
            "comparisons", ", ".join(map(str, used[:12])) or "none", said(table), _star_candidates(table)
        )
        work = work.with_(choice=choice)
        return work.found(
            series=series,
            aperture=choice.index,
            stars=table,
            choices=[chosen, comparisons],
            problems=problems,
        )

    def choice(
        self, work: Work, series: Series, options: Options, around: Surroundings | None = None
    ) -> ApertureChoice:
        """The aperture and the weights of the comparison stars, from a series without the points that are flagged."""
        usable = _wanted_comparisons(options.comparisons, work, len(series.reference_xy))
        metric = None if options.metric is None else named_metric(options.metric)
        target, without = work.target_star, unfit(series)
        if target is not None and np.isfinite(series.flux[:, target]).any(axis=1).sum() < SERIES_FRAMES:
            without[target], target = "target", None  # it tells nothing of an aperture
        elif target is not None and around is not None and options.aperture is None:
            flux = series.flux.copy()
            flux[:, target, ~around.allowed] = np.nan  # dilution would look like quiet
            series = replace(series, flux=flux)
        return aperture_choice(series, target, without, usable, options.aperture, metric)


def _wanted_comparisons(text: str | None, work: Work, stars: int) -> np.ndarray | None:
    """The stars that the observer wants to compare with; None where the software chooses.

    Raises
    ------
    UsageError
        The text is no list of stars of this set.
    """
    if text is None:
        return None
    camera, _, numbers = text.rpartition(":")
    if camera and camera.casefold() not in (work.observed.camera.casefold(), work.observed.band.casefold()):
        return None
    try:
        wanted = [int(part) for part in numbers.split(",")]
    except ValueError as error:
        raise UsageError(f"--comparisons {text}: give star numbers, as in 3,5,8 or C1:3,5,8") from error
    if max(wanted) >= stars or min(wanted) < 0:
        raise UsageError(f"--comparisons {text}: {work.observed.name} has the stars 0 to {stars - 1}")
    return np.isin(np.arange(stars), wanted)


def aperture_choice(
    series: Series,
    target: int | None,
    excluded: Mapping[int, str],
    usable: np.ndarray | None,
    radius: float | None,
    metric: Metric | None = None,
) -> ApertureChoice:
    """The aperture and its ensemble: of least noise, or the one asked for, or a habit where frames are few."""
    clear = int(np.isfinite(series.flux).any(axis=(1, 2)).sum())
    few = clear < SERIES_FRAMES
    if radius is None and not few:
        return choose_aperture(
            series.flux,
            series.flux_err,
            target=target,
            time=series.time,
            usable=usable,
            excluded=excluded,
            labels=[f"{r:.2f} FWHM" for r in series.radii_fwhm],
            metric=metric or point_to_point,
            constant_metric=metric or total_rms,
        )
    index = int(np.argmin(np.abs(series.radii_fwhm - (HABIT if radius is None else radius))))
    ensemble = ensemble_weights(
        series.flux[..., index], series.flux_err[..., index], target=target, usable=usable, excluded=excluded
    )
    asked = (
        "given with --aperture"
        if radius is not None
        else f"{clear} usable frames are too few to optimise the aperture; {HABIT:g} FWHM by default"
    )
    return ApertureChoice(index, np.full(len(series.radii), np.nan), ensemble, False, asked)


def without_drifting(choice: ApertureChoice, series: Series, target: int | None) -> ApertureChoice:
    """The choice without comparison stars that drift with airmass, as stars of another colour do.

    No more than a third of them are excluded, the worst first, and three stay.
    """
    weights = choice.ensemble.weights
    flux, error = series.flux[..., choice.index], series.flux_err[..., choice.index]
    relflux, relflux_err = relative_flux(flux, error, weights)
    drift, sure = airmass_drift(relflux, relflux_err, series.airmass)
    used = np.flatnonzero(weights)
    found = used[(np.nan_to_num(sure[used]) > _DRIFTING) & (np.abs(np.nan_to_num(drift[used])) > _DRIFT)]
    found = found[np.argsort(-sure[found], kind="stable")][: max(min(len(used) // 3, len(used) - 3), 0)]
    if not len(found):
        return choice
    reasons = {i: why for i, why in enumerate(choice.ensemble.reasons) if why and i != target}
    reasons |= {
        int(i): f"drifts with airmass by {1e3 * drift[i]:+.1f} ppt, as a star of different colour does"
        for i in found
    }
    return replace(choice, ensemble=ensemble_weights(flux, error, target=target, excluded=reasons))


def _aperture_candidates(
    series: Series, choice: ApertureChoice, around: Surroundings | None
) -> tuple[Candidate, ...]:
    """The apertures of the grid, each with its noise and the reason if it was rejected."""
    noise = choice.metric
    if not np.isfinite(noise[choice.index]):
        return ()
    others = np.zeros(len(noise)) if around is None else np.where(around.allowed, 0, around.others)
    lost = [
        f"{others[i]:.0%} of its light is that of other stars"
        if others[i]
        else _aperture_lost(noise, i, choice.index)
        for i in range(len(noise))
    ]
    mmag = 2500 / np.log(10) * noise
    return tuple(
        Candidate(f"{r:.2f} FWHM", f"{m:.2f} mmag" if np.isfinite(m) else "", why)
        for r, m, why in zip(series.radii_fwhm, mmag, lost, strict=True)
    )


def _aperture_lost(noise: np.ndarray, index: int, chosen: int) -> str:
    """Why an aperture was rejected."""
    more = noise[index] / noise[chosen] - 1
    if index == chosen:
        return ""
    if not np.isfinite(more):
        return "crosses the image edge in some frames, or gives no light curve"
    if more > 0.0005:
        return f"noisier by {100 * more:.1f} %"
    return f"quieter by {100 * -more:.1f} %, by chance: its neighbours, or the errors, say otherwise"


def _star_candidates(table: StarTable) -> tuple[Candidate, ...]:
    """All stars, those of most weight first, and why the others have none."""
    order = np.argsort(-table.weight, kind="stable")
    return tuple(
        Candidate(
            f"star {star}",
            f"weight {table.weight[star]:.3f}, rms {_ppt(table.rms[star])}",
            table.why[star],
        )
        for star in order
    )


def _ppt(rms: float) -> str:
    """The rms of a star in words; one that was not judged has none."""
    return f"{1e3 * rms:.2f} ppt" if np.isfinite(rms) else "unknown"
