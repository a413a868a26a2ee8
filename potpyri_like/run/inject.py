"""Transits put into the raw pixels of a night's own frames, and what becomes of them: how far to believe a depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from potpyri_like.errors import NightError, ReductionError, UsageError
from potpyri_like.frame import Purpose, excluded
from potpyri_like.imaging import Dimming, dimming_radius
from potpyri_like.instruments import Instrument
from potpyri_like.lightcurves import (
    BandCurve,
    Prior,
    TransitPriors,
    fit_transit,
    transit_of_depth,
)
from potpyri_like.options import Options
from potpyri_like.photometry import Series, ensemble_weights, relative_flux
from potpyri_like.primitives import Work
from potpyri_like.primitives.fields import SERIES, STAR_TABLE, TRANSIT, TRIMMED
from potpyri_like.primitives.inject import Inject
from potpyri_like.primitives.points import for_choices, point_flags
from potpyri_like.products import aligned, plural
from potpyri_like.run.journal import Journal
from potpyri_like.run.memory import Memory, scan_again, worth
from potpyri_like.run.observations import by_target, wanted_sets
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import run_groupings
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.recipe import recipe_of
from potpyri_like.run.record import last_run, recipe_word
from potpyri_like.run.runner import Runner
from potpyri_like.run.workers import workers

__all__ = [
    "Recovery",
    "Trial",
    "dimmings",
    "inject_transits",
    "injected_flux",
    "planned",
    "reach",
    "recovery_of",
    "trial_lines",
]

_ALIKE = 2.0  # times brighter or fainter than the target
_SIGMA = 5.0
_T14 = 0.35  # of the night, where no transit tells how long one lasts
_MIDDLE = 0.4, 0.6  # of the night: where the transits are put
_FOLLOWED = ("time", "airmass", "x", "y", "fwhm", "sky")


@dataclass(frozen=True)
class Trial:
    """One injected transit and what was measured of it; depths are relative, NaN where nothing was.

    Attributes
    ----------
    set_name : str
    star : int
    is_target : bool
    tc, t14 : float, days
    injected, recovered, error : float
        The flux lost at mid-transit.
    why : str
        Why nothing was recovered.
    """

    set_name: str
    star: int
    is_target: bool
    tc: float
    t14: float
    injected: float
    recovered: float = np.nan
    error: float = np.nan
    why: str = ""


@dataclass(frozen=True)
class Recovery:
    """What the trials of one set say together.

    Attributes
    ----------
    set_name : str
    bias, bias_error : float
        Weighted mean of recovered over injected depth, minus 1.
    pull_mean, pull_std : float
        Of recovered minus injected over error.
    shallowest : float
        The depth that is recovered at 5 standard deviations.
    trials : int
    """

    set_name: str
    bias: float
    bias_error: float
    pull_mean: float
    pull_std: float
    shallowest: float
    trials: int


def inject_transits(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    depths: Sequence[float] = (0.003, 0.006, 0.012),
    stars: int = 6,
    seed: int = 0,
    own: Options | None = None,
    progress: Progress | None = None,
) -> Iterator[Trial]:
    """Put transits into the raw pixels of a night that was reduced, measure its frames anew, and fit what is found.

    The transits go into the target, where no transit was found in it, and into constant stars as bright as it, all at
    once; those are left out of the ensemble meanwhile. Aperture and comparison stars are those of the last run.
    Nothing in the night or its products changes.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
    out : Path, optional
        Where the products are.
    depths : sequence of float
        Each is tried in one pass over the frames.
    stars : int
        In which transits are put at a time.
    seed : int
        Of the mid-times.
    own : Options, optional
        What is not taken from a run.json: the user's function of noise and recipe, cluster and network.
    progress : Progress, optional

    Raises
    ------
    UsageError
        The run needs a function or a recipe of the user's, and it was not named, or it is another.
    NightError
        The night was not reduced, or has no light curve.
    """
    run = last_run(folder, out=out)
    options = run.with_own(own or Options())
    if run.recipe_is_other(options.recipe):
        raise UsageError(
            f"--recipe {options.recipe}: {recipe_word(run, options.recipe)};"
            " give that one, or reduce the night with this"
        )
    output, progress = output_of(folder, out), progress or Silent()
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(output))
        night = scan_again(folder, instrument, output, Memory(instrument, journal))
        executor = stack.enter_context(workers(options.jobs, options.scheduler, most=worth(night)))
        runner = stack.enter_context(Runner(output, options, progress, executor, journal))
        recipe = recipe_of(instrument, options)
        fit = recipe.giver(TRANSIT)
        if fit is None:
            raise NightError(f"{folder}: the recipe {recipe.name} fits no transit, so none can be recovered")
        stages = recipe.stages[: recipe.stages.index(fit)]
        groups = by_target(night, wanted_sets(night, options), options)
        works = run_groupings((*stages, fit), groups, runner)
        ready = [
            work for work in works if work.result.light_curve is not None and work.result.stars is not None
        ]
        if not ready:
            raise NightError(
                f"{folder}: no light curve was made of this night, so no transit can be recovered"
            )
        for work in ready:
            for number, depth in enumerate(depths):
                rng = np.random.default_rng([seed, number])
                yield from _tried(work, stages, runner, depth=depth, stars=stars, rng=rng)


def _tried(
    work: Work, stages: Sequence[Any], runner: Runner, *, depth: float, stars: int, rng: np.random.Generator
) -> list[Trial]:
    """One pass over the frames of a set, with transits of one depth in several stars."""
    chosen = _chosen_stars(work, stars)
    if not chosen:
        return []
    series = work.result[SERIES]
    trials = [planned(work, series, star, depth, rng) for star in chosen]
    fluxes = {trial.star: injected_flux(trial, series) for trial in trials}
    frame_stages = tuple(stage for stage in stages if stage.per == "frame")
    after_trim = 1 + next(i for i, stage in enumerate(frame_stages) if TRIMMED in stage.gives)
    inject = Inject(dimmings(series, fluxes), radius=reach(work, series))
    again = (*frame_stages[:after_trim], inject, *frame_stages[after_trim:])
    what = f"{work.observed.name}, transits of {100 * depth:g} %"
    outcomes = runner.run_frames(work.observed.frames, again, work.setup, what=what)
    gather = next(stage for stage in stages if SERIES in stage.gives)
    measured = gather(work.with_(outcomes=tuple(outcomes)), runner).result[SERIES]
    return [_recovered(trial, work, measured, chosen) for trial in trials]


def _chosen_stars(work: Work, count: int) -> list[int]:
    """The target, unless it has a transit of its own, and the constant stars most like it."""
    table, target, series = work.result[STAR_TABLE], work.target_star, work.result[SERIES]
    known = np.isfinite(series.flux).any(axis=2)
    usable = (table.weight > 0) & known[known.any(axis=1)].all(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        away = np.abs(np.log(table.flux / table.flux[target])) if target is not None else -table.weight
    others = [int(s) for s in np.argsort(away, kind="stable") if usable[s] and not away[s] > np.log(_ALIKE)]
    own = [] if target is None or work.result.transit is not None else [target]
    most = max(1, min(count, int(np.count_nonzero(usable)) // 2))  # half of the comparison stars stay
    return [*own, *others][:most]


def planned(work: Work, series: Series, star: int, depth: float, rng: np.random.Generator) -> Trial:
    """A transit in the middle of the night, somewhere."""
    first, last = np.nanmin(series.time), np.nanmax(series.time)
    tc = first + rng.uniform(*_MIDDLE) * (last - first)
    transit = work.result.transit
    t14 = _T14 * (last - first) if transit is None else min(transit.t14.value, 0.6 * (last - first))
    return Trial(work.observed.name, star, _is_target(work, star), float(tc), float(t14), depth)


def _is_target(work: Work, star: int) -> bool:
    """Whether a star is the target that the observer named."""
    return bool(work.named_by) and star == work.target_star


def injected_flux(trial: Trial, series: Series) -> np.ndarray:
    """The transit in each frame, its deepest point exactly as deep as wanted."""
    exposure = float(np.median(series.exposure_days))
    return transit_of_depth(series.time, tc=trial.tc, t14=trial.t14, depth=trial.injected, exposure=exposure)


def dimmings(series: Series, fluxes: dict[int, np.ndarray]) -> dict[str, tuple[Dimming, ...]]:
    """What is taken of each star in each frame in which its place is known."""
    return {
        frame: tuple(
            Dimming(float(x), float(y), float(1 - flux[i]))
            for star, flux in fluxes.items()
            for x, y in [series.xy[i, star]]
            if np.isfinite(x + y) and flux[i] < 1
        )
        for i, frame in enumerate(series.frames)
    }


def reach(work: Work, series: Series) -> float:
    """How far from a star its light is dimmed, pixels: beyond the aperture, and where it has hardly any left."""
    return dimming_radius(float(np.nanmax(series.fwhm)), float(series.radii[work.result.aperture]))


def _recovered(trial: Trial, work: Work, series: Series, without: Sequence[int]) -> Trial:
    """The trial with the depth that a fit finds at its place."""
    table, aperture = work.result[STAR_TABLE], work.result.aperture
    usable = table.weight > 0
    usable[list(without)] = False
    flux, error = series.flux[..., aperture], series.flux_err[..., aperture]
    steady = for_choices(series)
    ensemble = ensemble_weights(
        steady.flux[..., aperture], steady.flux_err[..., aperture], usable=usable, target=trial.star
    )
    relflux, relerr = relative_flux(flux, error, ensemble.weights)
    curve = _curve_of(series, trial.star, relflux[:, trial.star], relerr[:, trial.star])
    priors = TransitPriors(tc=Prior(trial.tc, 0.1 * trial.t14), t14=Prior(trial.t14, 0.1 * trial.t14))
    try:
        band = fit_transit([curve], priors=priors, candidates=_FOLLOWED, sample=False).bands[0]
    except ReductionError as error:
        return replace(trial, why=str(error))
    return replace(trial, recovered=band.depth.value, error=(band.depth.minus + band.depth.plus) / 2)


def _curve_of(series: Series, star: int, flux: np.ndarray, error: np.ndarray) -> BandCurve:
    """The light curve of a star as the fit takes it."""
    flux = np.where(excluded(point_flags(series)[:, star], Purpose.FIT), np.nan, flux)
    return BandCurve("injected", series.time, flux, error, series.exposure_days, series.columns(star))


def recovery_of(trials: Sequence[Trial]) -> Recovery:
    """What the trials of one set say together.

    Raises
    ------
    UsageError
        There is none.
    """
    if not trials:
        raise UsageError(
            "no star could take a transit; there are too few constant stars as bright as the target"
        )
    injected, found, error = (
        np.array([getattr(trial, name) for trial in trials]) for name in ("injected", "recovered", "error")
    )
    good = np.isfinite(found) & (error > 0)
    weight = np.where(good, (injected / np.where(good, error, 1)) ** 2, 0)
    pulls = (found - injected)[good] / error[good]
    total = weight.sum()
    return Recovery(
        trials[0].set_name,
        float((weight * np.where(good, found / injected, 0)).sum() / total - 1) if total else np.nan,
        float(1 / np.sqrt(total)) if total else np.nan,
        float(pulls.mean()) if pulls.size else np.nan,
        float(pulls.std(ddof=1)) if pulls.size > 1 else np.nan,
        _SIGMA * float(np.median(error[good])) if good.any() else np.nan,
        len(trials),
    )


def trial_lines(trials: Sequence[Trial]) -> list[str]:
    """Every trial, then what those of each set say together."""
    if not trials:
        return ["no star could take a transit: there are too few constant stars as bright as the target"]
    rows = [
        [
            trial.set_name,
            "target" if trial.is_target else f"star {trial.star}",
            f"injected {100 * trial.injected:.3f} %",
            trial.why or f"recovered {100 * trial.recovered:.3f} ± {100 * trial.error:.3f} %",
        ]
        for trial in trials
    ]
    sets = dict.fromkeys(trial.set_name for trial in trials)
    found = [recovery_of([trial for trial in trials if trial.set_name == name]) for name in sets]
    said = [
        f"{one.set_name}: depth {100 * one.bias:+.1f} ± {100 * one.bias_error:.1f} % off in"
        f" {plural(one.trials, 'trial')}, pulls {one.pull_mean:+.2f} ± {one.pull_std:.2f}; a transit of"
        f" {100 * one.shallowest:.3f} % is recovered at 5 sigma"
        for one in found
    ]
    return [*aligned(rows), *said]
